"""A script that asks vLLM for one thing and needs no niah: what goes into a bug report."""

from collections.abc import Mapping, Sequence
from typing import Any

from niah.engines import Case

_TEXT = '''\
"""A prompt that vLLM answers wrong. Needs vllm and numpy: python {file}"""
import json
import os
from pathlib import Path

os.environ.update({environment})
import numpy as np
from vllm import LLM, SamplingParams, TokensPrompt

TITLE = {title}
EXPECTED = {expected}
FOUND = {found}
ENGINE = {engine}
ASKED = {asked}  # file of ids, most tokens of the answer, cache salt
STOP = {stop}
SCORED, FIRST = {scored}  # ids of the right answer, the first one that counts


def main():
    llm = LLM(**ENGINE)

    def ask(ids, salt, **sampling):
        prompt = TokensPrompt(prompt_token_ids=ids, **({{"cache_salt": salt}} if salt else {{}}))
        sampling = SamplingParams(temperature=0.0, stop_token_ids=STOP, detokenize=False, **sampling)
        return llm.generate([prompt], sampling, use_tqdm=False)[0]

    prompts = [(np.load(Path(__file__).parent / file).tolist(), most, salt) for file, most, salt in ASKED]
    answers = [list(ask(ids, salt, max_tokens=most).outputs[0].token_ids) for ids, most, salt in prompts]
    logprob, (ids, _, salt) = None, prompts[-1]
    if SCORED:
        rows = ask(ids + SCORED, salt, max_tokens=1, prompt_logprobs=0).prompt_logprobs[len(ids):]
        logprob = sum(row[token].logprob for row, token in list(zip(rows, SCORED))[FIRST:])
    print(TITLE, f"expected: {{EXPECTED}}", f"then: {{FOUND}}", f"now: ids {{answers[-1]}}", sep="\\n")
    print(json.dumps({{"ids": answers, "logprob": logprob, "num_tokens": len(ids)}}), flush=True)


if __name__ == "__main__":
    main()
'''


def text(arguments: Mapping[str, Any], environment: Mapping[str, str], stop: Sequence[int], case: Case) -> str:
    """``arguments`` are those of vllm.LLM, ``environment`` what decides how it computes, ``stop`` the ids that end an
    answer."""
    scored = (list(case.scored[0]), case.scored[1]) if case.scored else ([], 0)
    return _TEXT.format(
        file="reproduce.py", environment=dict(environment), title=ascii(case.title), expected=ascii(case.expected),
        found=ascii(case.found), engine=_lines(arguments), asked=[list(one) for one in case.asked],
        stop=list(map(int, stop)), scored=scored,
    )


def _lines(arguments: Mapping[str, Any]) -> str:
    """A dictionary, a line an argument."""
    return "{\n" + "".join(f"    {name!r}: {value!r},\n" for name, value in arguments.items()) + "}"

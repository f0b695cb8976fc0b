"""Grades of an open engine beside those of a computation of everything: ``python -m tests.helpers.grades '{...}'``.

One JSON line a case. A case is a prompt that ends at a residue of the block, and a right answer of so many tokens after
it. The right answer is what the model writes there by itself (``right``), so that vLLM has cached a part of it when it
is graded, or something else. The full computation is one request of vLLM's own that reads no cache.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from niah.engines import Job
from niah.engines.vllm import VLLM
from niah.models.files import ModelFiles
from niah.records import Completion, Forced, Prompt
from tests.helpers.tokenizers import SMOLLM2, load_tokenizer

TEXT = "The special magic code for Lima is {code}. Grass is green and the sky is blue. Here we go, there and back. "
LEAD = " The code is"


@dataclass(frozen=True)
class Case:
    """``lead`` tokens stand before the target's ``num_target``; ``again``: the same prompt was asked before."""

    residue: int
    num_target: int
    lead: int
    right: bool
    again: bool = False


@dataclass(frozen=True)
class Trouble:
    """What to ask for, by vLLM's names where it has one.

    ``cut``: rows of prompts as its second runner gives them; ``broken``: more rows than tokens.
    """

    block: int
    model: str = "smollm2"
    chunk: int = 128
    num_blocks_before: int = 2
    max_num_seqs: int = 1
    prefix_caching: bool = True
    cut: bool = False
    broken: bool = False
    cases: tuple[dict[str, Any], ...] = ()


def as_second_runner() -> None:
    """Makes vLLM's first runner give rows of a prompt from the cached part on, as its second one does."""
    from vllm.v1.outputs import LogprobsTensors
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    whole, firsts = GPUModelRunner._get_prompt_logprobs_dict, {}

    def cut(self: Any, hidden_states: Any, num_scheduled_tokens: dict[str, int]) -> dict[str, Any]:
        for name in self.num_prompt_logprobs:
            if name in num_scheduled_tokens:
                firsts.setdefault(name, self.requests[name].num_computed_tokens)
        made = whole(self, hidden_states, num_scheduled_tokens)
        found = {name: (tensors, firsts.pop(name)) for name, tensors in made.items()}
        return {
            name: LogprobsTensors(
                tensors.logprob_token_ids[first:], tensors.logprobs[first:], tensors.selected_token_ranks[first:]
            )
            for name, (tensors, first) in found.items() if first < len(tensors.logprobs)
        }

    GPUModelRunner._get_prompt_logprobs_dict = cut


def break_rows() -> None:
    """Makes vLLM give three rows more than a prompt has tokens."""
    from vllm.v1.engine.logprobs import LogprobsProcessor

    whole = LogprobsProcessor._update_prompt_logprobs

    def broken(self: Any, tensors: Any) -> None:
        whole(self, tensors)
        self.prompt_logprobs.extend([None] * 3)

    LogprobsProcessor._update_prompt_logprobs = broken


def blocks_of(size: int) -> None:
    """Lets vLLM's CPU attention have blocks of 16: its kernel for them is there, its list has multiples of 32."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    if size % 32:
        CPUAttentionBackend.get_supported_kernel_block_sizes = staticmethod(lambda kv_cache_spec=None: [size])


def tiny(folder: Path) -> Path:
    """A Llama of two layers with random weights, sure enough of what it writes, with SmolLM2's vocabulary."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=49152, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=4096, initializer_range=0.3, tie_word_embeddings=True,
    ))
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def prompts(asked: Trouble) -> Iterator[tuple[Case, np.ndarray]]:
    """Each case with the ids of its prompt: a code to be copied stands in a text of its own."""
    tokenizer = load_tokenizer("smollm2")
    for number, one in enumerate(asked.cases):
        case = Case(**one)
        rng = np.random.default_rng(number)
        code = "-".join("".join(rng.choice(list("0123456789abcdef"), 4)) for _ in range(max(1, case.num_target // 3)))
        length = asked.num_blocks_before * asked.block + case.residue
        ids = tokenizer.encode(TEXT.format(code=code) * (length // 20)).ids
        tail = tokenizer.encode("\nQuestion: what is the code for Lima? Answer: The code is").ids
        yield case, np.asarray([*ids[: length - len(tail)], *tail], dtype=np.int32)


def main(asked: Trouble) -> None:
    blocks_of(asked.block)
    if asked.cut:
        as_second_runner()
    if asked.broken:
        break_rows()
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    if asked.model == "smollm2":
        from niah.models.resolve import files_of

        files = files_of(SMOLLM2)
    else:
        files = ModelFiles(asked.model, Path(asked.model), None, "")
    engine = VLLM(max_num_seqs=asked.max_num_seqs, graded=True, kv_cache_memory_gib=0.25)
    job = Job(files, load_tokenizer("smollm2"), "bfloat16", "bfloat16", 2048, 0, serving={
        "block_size": asked.block, "max_num_batched_tokens": asked.chunk, "max_num_seqs": asked.max_num_seqs,
        "max_model_len": 2048, "enable_prefix_caching": asked.prefix_caching,
    })
    session = engine.open(job)
    llm = session._llm
    given = list(prompts(asked))
    written = _written(llm, [(ids, case.lead + case.num_target) for case, ids in given])
    session._sent_tokens = session._counted_tokens()
    todo = []
    for number, ((case, ids), own) in enumerate(zip(given, written, strict=True)):
        rng = np.random.default_rng(1000 + number)
        right = own if case.right else [*own[: case.lead], *rng.integers(1000, 2000, case.num_target).tolist()]
        rivals = tuple((place, (right[place] + 7) % 2000) for place in {case.lead, len(right) - 1})
        forced = Forced(np.asarray(right, dtype=np.int32), case.lead, rivals if number % 2 else ())
        prompt = Prompt(ids, (), len(right) + 8, "", targets=("x",), forced=forced)
        todo += [(number, prompt)] * (2 if case.again else 1)
    results = [(key, result) for key, result in session.generate((place, one) for place, (_, one) in enumerate(todo))]
    facts = session.facts()
    full = _full(llm, [prompt for _, prompt in todo])
    for (place, result), rows in zip(sorted(results, key=itemgetter(0)), full, strict=True):
        number, prompt = todo[place]
        _tell(asked, given[number][0], prompt, result, rows, facts)
    session.close()


def _written(llm: Any, wanted: list[tuple[np.ndarray, int]]) -> list[list[int]]:
    """What the model writes by itself, under a salt of its own, which leaves the cache of the cases as it is."""
    from vllm import SamplingParams, TokensPrompt

    own = [
        TokensPrompt(prompt_token_ids=ids.tolist(), cache_salt=f"own-{place}")
        for place, (ids, _) in enumerate(wanted)
    ]
    parameters = [
        SamplingParams(temperature=0.0, max_tokens=count, ignore_eos=True, detokenize=False) for _, count in wanted
    ]
    return [list(output.outputs[0].token_ids) for output in llm.generate(own, parameters, use_tqdm=False)]


def _full(llm: Any, prompts: list[Prompt]) -> list[list[dict[int, Any]]]:
    """The row of each place of each right answer, all of it computed."""
    from vllm import SamplingParams, TokensPrompt

    own = [TokensPrompt(prompt_token_ids=np.concatenate([one.ids, one.forced.ids]).tolist()) for one in prompts]
    parameters = [
        SamplingParams(
            temperature=0.0, max_tokens=1, prompt_logprobs=20 if prompt.forced.rivals else 0,
            skip_reading_prefix_cache=True, detokenize=False,
        )
        for prompt in prompts
    ]
    outputs = llm.generate(own, parameters, use_tqdm=False)
    return [
        [output.prompt_logprobs[len(one.ids) + place] for place in range(len(one.forced.ids))]
        for one, output in zip(prompts, outputs, strict=True)
    ]


def _tell(asked: Trouble, case: Case, prompt: Prompt, result: Any, full: list[dict[int, Any]], facts: Any) -> None:
    forced = prompt.forced
    own = [row[token] for row, token in zip(full, forced.ids.tolist(), strict=True)]
    margins = [own[place].logprob - _at_most(full[place], token) for place, token in forced.rivals]
    grade = result.grade if isinstance(result, Completion) else None
    print("GRADE " + json.dumps({
        "block": asked.block, "prompt": len(prompt.ids), "residue": case.residue, "target": case.num_target,
        "lead": case.lead, "right": case.right, "again": case.again,
        "not_graded": result.not_graded if isinstance(result, Completion) else result.message,
        "num_written": result.num_tokens if isinstance(result, Completion) else 0,
        "logprob": grade and grade.logprob, "rank": grade and grade.worst_rank, "margin": grade and grade.margin,
        "num_tokens": grade and grade.num_tokens,
        "full_logprob": sum(one.logprob for one in own[forced.start :]),
        "full_rank": max(one.rank for one in own[forced.start :]), "full_margin": min(margins, default=None),
        "counted": facts["prompt_tokens_counted"] == facts["prompt_tokens_sent"],
    }), flush=True)


def _at_most(row: dict[int, Any], token: int) -> float:
    """The token's log-probability, or that of the last of the 20 likeliest."""
    return row[token].logprob if token in row else sorted(one.logprob for one in row.values())[-20]


if __name__ == "__main__":
    main(Trouble(**json.loads(sys.argv[1])))

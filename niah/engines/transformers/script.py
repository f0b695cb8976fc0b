"""A script that asks Hugging Face transformers for one thing and needs no niah."""

from collections.abc import Mapping, Sequence
from typing import Any

from niah.engines import Case

_TEXT = '''\
"""A prompt and what transformers answers. Needs torch, transformers and numpy: python {file}"""
import json
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

TITLE = {title}
EXPECTED = {expected}
FOUND = {found}
MODEL = {model}
OVERRIDES = {overrides}  # of its config
ASKED = {asked}  # file of ids, most tokens of the answer, unused here
STOP = {stop}
SCORED, FIRST = {scored}  # ids of the right answer, the first one that counts

config = AutoConfig.from_pretrained(MODEL, revision={revision}, **OVERRIDES)
model = AutoModelForCausalLM.from_pretrained(
    MODEL, revision={revision}, config=config, dtype=torch.{dtype}, attn_implementation={attention}
).to({device}).eval()
answers, logprob = [], None
with torch.inference_mode():
    for file, most, _ in ASKED:
        ids = torch.from_numpy(np.load(Path(__file__).parent / file).astype(np.int64)).to(model.device)[None]
        made = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=most, eos_token_id=STOP,
            pad_token_id=STOP[0],
        )
        answers.append(made[0, ids.shape[1]:].tolist())
    if SCORED:
        right = torch.tensor([SCORED], device=model.device)
        logits = model(torch.cat([ids, right], dim=1), logits_to_keep=len(SCORED) + 1).logits[0, :-1]
        logprob = float(logits.float().log_softmax(-1).gather(1, right[0, :, None])[FIRST:].sum())
print(TITLE, f"expected: {{EXPECTED}}", f"then: {{FOUND}}", f"now: ids {{answers[-1]}}", sep="\\n")
print(json.dumps({{"ids": answers, "logprob": logprob, "num_tokens": ids.shape[1]}}), flush=True)
'''


def text(
    model: str, revision: str | None, overrides: Mapping[str, Any], dtype: str, attention: str, device: str,
    stop: Sequence[int], case: Case,
) -> str:
    """``model`` is its folder or id, ``overrides`` change its config, ``stop`` are the ids that end an answer."""
    return _TEXT.format(
        file="reproduce.py", title=ascii(case.title), expected=ascii(case.expected), found=ascii(case.found),
        model=ascii(model), revision=ascii(revision or "main"), overrides=dict(overrides), dtype=dtype,
        attention=ascii(attention), device=ascii(device), asked=[list(one) for one in case.asked],
        stop=list(map(int, stop)), scored=(list(case.scored[0]), case.scored[1]) if case.scored else ([], 0),
    )

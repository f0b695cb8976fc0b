"""niah's foresight beside vLLM's own choice: what serves a model, with which blocks, or why nothing does.

``compared`` is the table of docs/backends.md (python benchmarks/backends.py) and of tests/planner/test_choices.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from niah import choices
from niah.config import Run
from niah.engines import Job
from niah.errors import NiahError
from niah.models.files import ModelFiles
from niah.models.resolve import config_of
from niah.planner import architecture, attention, memory, serving
from niah.planner.hardware import Hardware
from tests.helpers import vllm_choices
from tests.helpers.configs import built
from tests.helpers.machines import KNOWN

GPUS = ("h100", "h200", "b200", "l40s", "a100_80")
LENGTH = 65_536
STRICTER = {
    "nvfp4_ds_mla": "vLLM takes any name that begins with nvfp4 for one of FlashInfer's (flashinfer.py:529), whose "
    "kernels read other pages than it then lays out: a cache of sparse MLA alone",
}


@dataclass(frozen=True)
class Case:
    """What was asked, what niah foretells and what vLLM does: backends, versions of FlashAttention and tokens of a
    block in a line, or "refused", with the words in which it is."""

    gpu: str
    model: str
    kv: str
    words: tuple[str, ...]
    niah: str
    vllm: str
    niah_says: str = ""
    vllm_says: str = ""

    @property
    def agrees(self) -> bool:
        return self.niah == self.vllm

    @property
    def why_stricter(self) -> str:
        """Why niah refuses what vLLM lets pass, empty where it does not."""
        return STRICTER.get(self.kv, "") if self.niah == "refused" and self.vllm.startswith("FLASHINFER") else ""


def models() -> list[str]:
    """Models of conf/, without ``custom``, whose architecture is the user's."""
    return [node["name"] for node in choices.choices("model") if node["name"] != "custom"]


def caches() -> list[str]:
    """Those of conf/, without float32, which vLLM has no name for (attention.spelled): the model's own type stands."""
    return [node["name"] for node in choices.choices("kv") if node["name"] != "fp32"]


def eight(gpu: str) -> Hardware:
    return replace(next(one for one in KNOWN if one.name == gpu), num_gpus=8)


def compared(
    gpu: str, asked: Sequence[tuple[str, str]], words: Sequence[str] = (), length: int = LENGTH
) -> list[Case]:
    """Each (model, kv) with the other ``words``, on eight of these GPUs; vLLM is asked once for what is alike."""
    hardware = eight(gpu)
    with_model = {model: built(f"model={model}", *words) for model in {model for model, _ in asked}}
    with_kv = {kv: built(f"kv={kv}").kv for kv in {kv for _, kv in asked}}
    runs = [replace(with_model[model], kv=with_kv[kv]) for model, kv in asked]
    foretold = [_foretold(run, hardware, min(length, run.model.limit)) for run in runs]
    keys = [json.dumps(question, sort_keys=True) for *_, question in foretold]
    unique = list(dict.fromkeys(keys))
    answers = dict(zip(unique, vllm_choices.asked([json.loads(key) for key in unique], hardware), strict=True))
    return [
        Case(gpu, model, kv, tuple(words), niah, _told(answers[key]), says, answers[key].get("refused", ""))
        for (model, kv), (niah, says, _), key in zip(asked, foretold, keys, strict=True)
    ]


def told(gpu: str, asked: Sequence[tuple[str, str, str]]) -> list[list[dict[str, Any]]]:
    """What a worker that holds the layers of each (model, kv, word) on eight of these GPUs says of them."""
    hardware = eight(gpu)
    runs = [built(f"model={model}", f"kv={kv}", *filter(None, [word])) for model, kv, word in asked]
    questions = [_foretold(run, hardware, min(LENGTH, run.model.limit))[2] for run in runs]
    return [answer["told"] for answer in vllm_choices.asked(questions, hardware)]


def _foretold(run: Run, hardware: Hardware, length: int) -> tuple[str, str, dict[str, Any]]:
    """What niah says, in a word and in a sentence, and what it gives vLLM (or would, where it refuses)."""
    wish, shape = run.engine.wish(), architecture.of(run.model)
    assert wish is not None
    try:
        setup = run.engine.fit(run.model, [length], run.kv.dtype, hardware, KNOWN).setup
    except NiahError as error:
        # what it would give if it did not refuse: as for bfloat16 without any of what was asked
        split = max(memory.splits(shape, hardware.num_gpus))
        block = serving.block_for(length, attention.kind_of(shape), 16)
        name = attention.spelled(run.kv.dtype, shape, hardware.capability)
        plain = serving.unplanned(hardware, wish, run.kv.dtype)
        setup = replace(plain, tensor_parallel=split, block_size=plain.block_size or block, cache_name=name)
        return "refused", str(error), _question(run, setup, length)
    found = attention.choice(shape, run.kv.dtype, hardware.capability, wish.asked, setup.tensor_parallel)
    block = memory.pool(shape, setup).block_size if memory.counts(shape, run.kv.dtype) else setup.block_size
    return _words(found.backends, found.versions, block), "", _question(run, setup, length)


def _question(run: Run, setup: memory.Setup, length: int) -> dict[str, Any]:
    """As VLLM.open puts the arguments together."""
    no_tokenizer: Any = None
    job = Job(ModelFiles("", Path(), None, ""), no_tokenizer, run.model.dtype, run.kv.dtype, length, run.seed)
    engine: Any = run.engine
    arguments = {
        **engine._arguments(job, False), **serving.arguments(setup, length, engine.wish()),
        **run.model.arguments_at(length), **engine.args,
    }
    del arguments["model"], arguments["revision"]
    return {
        "config": config_of(run.model), "arguments": arguments, "environment": run.model.environment_at(length),
    }


def _told(answer: dict[str, Any]) -> str:
    if "refused" in answer:
        return "refused"
    names = {layer["backend"] for layer in answer["layers"]}
    versions = {layer["version"] for layer in answer["layers"] if layer["version"]}
    return _words(sorted(names), sorted(versions), answer["block_size"])


def _words(names: Sequence[str], versions: Sequence[int], block: int) -> str:
    flash = [f"FA{version}" for version in versions]
    return f"{'+'.join(names)} {'+'.join(flash)} {block}".replace("  ", " ")

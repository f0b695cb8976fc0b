"""Which attention backend serves which model, KV cache and GPU: niah's foresight beside vLLM's own choice.

    python benchmarks/backends.py [GPU ...] [write=docs/backends.md]

Needs no GPU and no weights: vLLM's own models are made without weights on its CUDA platform class, patched to run here.
Takes about three minutes a GPU on two cores. Prints how many cases agree, and each that does not; with ``write`` the
table too.
"""

import re
import sys
import time
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from niah.engines.vllm import versions
from tests.helpers import foretold
from tests.helpers.foretold import GPUS, Case

HEAD = """# Attention backends

What serves each model of `conf/model` with each KV cache of `conf/kv` that vLLM has, on eight GPUs of one kind, prompts
of 64K tokens: attention backend, version of FlashAttention, tokens of a block. Each cell is vLLM {vllm}'s own choice
for the arguments that niah gives it, made on vLLM's CUDA platform class without a GPU, and what niah foretells before
anything loads: {agree:,} of {cases:,} cases agree{but}. `python benchmarks/backends.py write=docs/backends.md` makes
this page again. Models whose cells are alike share a row; - is refused, by both.
"""
REFUSED = """
## Refused

niah refuses before loading what vLLM refuses once it has started: niah's reason, and vLLM's words of the first case.
"""


def main(words: list[str]) -> int:
    out = next((word.removeprefix("write=") for word in words if word.startswith("write=")), "")
    gpus = [word for word in words if "=" not in word] or list(GPUS)
    cases: list[Case] = []
    for gpu in gpus:
        begun = time.perf_counter()
        found = foretold.compared(gpu, [(model, kv) for model in foretold.models() for kv in foretold.caches()])
        agree = sum(case.agrees for case in found)
        print(f"{gpu}: {agree} of {len(found)} cases agree, {time.perf_counter() - begun:.0f} s", flush=True)
        cases += found
    for case in cases:
        if not case.agrees and not case.why_stricter:
            what = f"niah {case.niah} {case.niah_says}; vLLM {case.vllm} {case.vllm_says}"
            print(f"{case.gpu} {case.model} {case.kv}: {what}")
    refused = [case for case in cases if case.niah == case.vllm == "refused"]
    stricter = [case for case in cases if case.why_stricter]
    print(
        f"all: {sum(case.agrees for case in cases)} of {len(cases)} agree, {len(refused)} refused by both; "
        f"{len(stricter)} refused by niah alone"
    )
    for why in {case.why_stricter for case in stricter}:
        print(f"refused by niah alone: {why}")
    if out:
        Path(out).write_text("\n".join(page(cases, gpus)) + "\n", encoding="utf-8")
    return int(any(not case.agrees and not case.why_stricter for case in cases))


def page(cases: list[Case], gpus: list[str]) -> Iterable[str]:
    """The table in Markdown: a section a GPU, models that are alike in one row."""
    agree = sum(case.agrees for case in cases)
    stricter = [case for case in cases if case.why_stricter]
    but = f"; {len(stricter)} are refused by niah alone ({stricter[0].why_stricter})" if stricter else ""
    yield HEAD.format(vllm=versions.installed(), agree=agree, cases=len(cases), but=but)
    own = [kv for kv in foretold.caches() if any(case.kv == kv and case.vllm != "refused" for case in cases)]
    tables: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for gpu in gpus:
        here = [case for case in cases if case.gpu == gpu and case.kv in own]
        by_model = groupby(here, key=lambda one: one.model)
        tables.setdefault(tuple((model, *(case.vllm for case in group)) for model, group in by_model), []).append(gpu)
    for table, alike_gpus in tables.items():
        yield f"## {', '.join(alike_gpus)}\n"
        rows: dict[tuple[str, ...], list[str]] = {}
        for model, *found in table:
            rows.setdefault(tuple(found), []).append(model)
        yield f"| model | {' | '.join(own)} |"
        yield "|---|" + "---|" * len(own)
        for cells, models in rows.items():
            yield f"| {', '.join(models)} | {' | '.join(cell.strip().replace('refused', '-') for cell in cells)} |"
        yield ""
    yield REFUSED
    yield "| models | KV caches | GPUs | niah | vLLM |"
    yield "|---|---|---|---|---|"
    told: dict[str, list[Case]] = {}
    for case in cases:
        if case.niah == case.vllm == "refused" and case.kv in own:
            told.setdefault(_why(case.niah_says), []).append(case)
    for why, alike in told.items():
        columns = [_listed(getattr(case, name) for case in alike) for name in ("model", "kv", "gpu")]
        yield f"| {' | '.join(columns)} | {why} | {_essence(alike[0].vllm_says)} |"


def _listed(names: Iterable[str]) -> str:
    """Each once; of many the first three."""
    found = list(dict.fromkeys(names))
    return ", ".join(found if len(found) <= 5 else [*found[:3], f"{len(found) - 3} more"])


def _why(text: str) -> str:
    """The reason in niah's refusal: without the case's own names and what it offers instead."""
    said = text.split("; expected")[0].split("; nor any")[0]
    inside = re.search(r"capability [\d.]+ \((.*)\)$", said)
    return (inside[1] if inside else said.split(": ", 1)[-1]).replace("|", "\\|")


def _essence(text: str) -> str:
    """vLLM's own reasons, without the configuration that it repeats before them."""
    text = " ".join(text.split())
    found = text[text.index("Reasons: ") :] if "Reasons: " in text else text.split(" [type=")[0]
    return (found if len(found) <= 400 else found[:400] + " ...").replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

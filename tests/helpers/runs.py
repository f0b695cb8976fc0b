"""Run folders with chosen answers, written by the real store."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from niah.records import EngineFacts, Environment, Row, RunRecord, Scope, Sources, Trial
from niah.runs.store import RunFolder

ROW = Row(
    trial=0, length=1024, depth=50.0, repeat=0, outcome="correct", score=1.0, response="灯塔 \"x\"\n", answer="x",
    targets=["x"], prompt_sha256="0" * 64, num_prompt_tokens=992, num_cached_tokens=0, num_completion_tokens=3,
    finish_reason="stop", needle_spans=[[1, 5]], needle_depths=[49.5], needles_kept=[True], repeated_share=0.0,
    seconds=0.1, first_token_seconds=None, model="m", task="t", haystack="h", reader="full", engine="fake",
    kv_cache_dtype="bfloat16",
)
LENGTHS, DEPTHS = (8192, 16384, 32768), (0.0, 50.0, 100.0)


def grid(repeats: int, lengths=LENGTHS, depths=DEPTHS) -> list[Trial]:
    cells = [(repeat, length, depth) for repeat in range(repeats) for length in lengths for depth in depths]
    return [Trial(index, length, depth, repeat) for index, (repeat, length, depth) in enumerate(cells)]


def rows(trials: list[Trial], right: Callable[[Trial], bool | float | None], *, salt: str = "", **fields) -> list[Row]:
    """``right`` gives the score, None for a trial that the engine failed on. ``salt`` makes other prompts."""
    made = []
    for trial in trials:
        score = right(trial)
        outcome = "engine-error" if score is None else "correct" if score == 1 else "wrong"
        made.append(dataclasses.replace(
            ROW, trial=trial.index, length=trial.length, depth=trial.depth, repeat=trial.repeat, outcome=outcome,
            score=None if score is None else float(score), answer="x" if score else "y",
            prompt_sha256=f"{salt}{trial.length}-{trial.depth}-{trial.repeat}", **fields,
        ))
    return made


def run(path: Path, content: list[Row], **config) -> str:
    """A finished run at ``path``; returns it as text. Its times are its own: equal ones would be those of a copy."""
    own = crc32(path.name.encode()) % 1000 / 1e6
    content = [dataclasses.replace(row, seconds=row.seconds + own) for row in content]
    settings = {
        "model": {"name": "m", "label": "Test Model", "path": "x/y"},
        "ctx": {"lengths": sorted({row.length for row in content}), "depths": sorted({row.depth for row in content})},
        "task": {"name": "t"}, "haystack": {"name": "h"}, "reader": {"name": "full"}, "kv": {"dtype": "bfloat16"},
        "engine": {"name": "fake"}, "scorer": {"name": "contains"}, "report": {"formats": ["png"], "dpi": 60}, **config,
    }
    with RunFolder(path) as folder:
        folder.write_record(RunRecord(
            config=settings, scope=Scope(num_trials=len(content)), sources=Sources(haystack_sha256="0"),
            engine=EngineFacts({"name": "fake"}),
            environment=Environment(cpu="test", num_cores=2, packages={"vllm": "0"}),
        ))
        folder.rows_path.write_text("".join(json.dumps(dataclasses.asdict(row)) + "\n" for row in content))
    return str(path)


def made(trial, length, depth, outcome, score):
    return dataclasses.replace(ROW, trial=trial, length=length, depth=depth, outcome=outcome, score=score)

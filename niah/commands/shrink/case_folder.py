"""What a shrunk trial leaves: a folder that stands alone, with ids, scripts and a README, and whether they show it."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from niah import disk, secrets
from niah.commands.results import make, write
from niah.commands.shrink.failure import LOGPROB, Answer
from niah.commands.shrink.probes import Prober
from niah.commands.shrink.shape import Shape
from niah.commands.shrink.sides import Side
from niah.engines import Case
from niah.engines.reply import Door
from niah.errors import NiahError
from niah.records import Completion

SCRIPT, REFERENCE, README = "reproduce.py", "reference.py", "README.md"
_SECONDS = 3600


@dataclass(frozen=True)
class Checked:
    """What the scripts said in processes of their own; ``trouble`` says why one said nothing. ``is_confirmed``: the
    failure is there too."""

    is_confirmed: bool
    said: str
    trouble: str = ""


def files_of(prober: Prober, shape: Shape) -> dict[str, np.ndarray]:
    """The ids of each prompt by its file's name, in the order in which they are asked."""
    prompts = [*prober.pieces.before(shape), prober.pieces.prompt(shape)]
    names = ["ids.npy"] if len(prompts) == 1 else [f"ids_{number}.npy" for number in range(len(prompts))]
    return {name: prompt.ids for name, prompt in zip(names, prompts, strict=True)}


def scripts_of(prober: Prober, shape: Shape, title: str, answers: Mapping[str, Any]) -> dict[str, str]:
    """The texts of the scripts by name. Raises NiahError where an engine cannot be asked by one."""
    pieces, files = prober.pieces, list(files_of(prober, shape))
    prompt = pieces.prompt(shape)
    forced = prompt.forced
    second = answers.get("second", {})
    targets = " ".join(prompt.targets)
    budgets = [*(one.max_tokens for one in pieces.before(shape)), shape.max_tokens]
    asked = tuple((file, most, "") for file, most in zip(files, budgets, strict=True))
    case = Case(
        title, asked, targets, secrets.without_values(answers["first"]["text"]), prober.first.session.served,
        (tuple(map(int, forced.ids)), forced.start) if forced and prober.criterion.kind == LOGPROB else None,
        tuple(start for start, _ in prompt.spans),
    )
    if prober.is_cold:
        case = replace(case, asked=(*asked, (files[-1], shape.max_tokens, "cold")))
    found = {SCRIPT: _script(prober.first, case)}
    if prober.second and not prober.is_cold:
        own = replace(case, asked=asked[-1:], found=second.get("text", ""), served=prober.second.session.served)
        found[REFERENCE] = _script(prober.second, own).replace(SCRIPT, REFERENCE)
    return found


def _script(side: Side, case: Case) -> str:
    text = secrets.masked(side.run.engine.script(side.job, case))
    if not text:
        raise NiahError(
            f"shrink: engine={side.run.engine.name} cannot be asked for ids by a script of its own; expected vllm, "
            "transformers, or a server that takes ids"
        )
    return text


def fill(folder: Path, files: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> None:
    """Writes all of them; what an earlier, larger result left beside goes."""
    make(folder)
    for old in [*folder.glob("ids*.npy"), folder / REFERENCE]:
        if old.name not in {*files, *texts}:
            with suppress(OSError):
                old.unlink()
    for name, ids in files.items():
        held = io.BytesIO()
        np.save(held, np.ascontiguousarray(ids, dtype=np.int32), allow_pickle=False)
        try:
            disk.replace(folder / name, held.getvalue())
        except OSError as error:
            raise NiahError(f"{folder / name}: cannot be written ({error.strerror}); free some space") from error
    for name, text in texts.items():
        write(folder / name, text)


def checked(
    folder: Path, prober: Prober, shape: Shape, names: Sequence[str], environment: Mapping[str, str]
) -> Checked:
    """Runs the scripts, each in a new process with this environment, and judges what they print by the same rules."""
    found: list[list[Answer]] = []
    said = []
    for name in names:
        try:
            done = subprocess.run(
                [sys.executable, name], cwd=folder, capture_output=True, timeout=_SECONDS, stdin=subprocess.DEVNULL,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return Checked(False, "", f"{name} had not ended after {_SECONDS / 60:.0f} minutes")
        out = done.stdout.decode(errors="replace")
        try:
            content = json.loads(out.strip().splitlines()[-1])
            num = int(content["num_tokens"])
            found.append([_answer(prober, shape, content, place, num) for place in range(_num_of(content))])
        except (ValueError, LookupError, TypeError):
            told = done.stderr.decode(errors="replace").strip() or out.strip() or "nothing"
            last = secrets.masked(told.splitlines()[-1])[:300]
            return Checked(False, "", f"{name} ended with code {done.returncode}: {last}")
        said += [f"$ python {name}", *(line for line in out.strip().splitlines()[-5:])]
    if prober.is_cold:
        first, second = found[0][-2], found[0][-1]
    else:
        first, second = found[0][-1], found[1][-1] if len(found) > 1 else None  # type: ignore[assignment]
    return Checked(prober.criterion.fails(first, second), secrets.masked("\n".join(said)))


def _num_of(content: Mapping[str, Any]) -> int:
    return len(content["texts"] if "texts" in content else content["ids"])


def _answer(prober: Prober, shape: Shape, content: Mapping[str, Any], place: int, num_prompt_tokens: int) -> Answer:
    """One answer that a script printed, judged."""
    recipe = prober.judge.recipe
    if "texts" in content:
        text, ids, reason = str(content["texts"][place]), (), "stop"
    else:
        written = [int(one) for one in content["ids"][place]]
        is_stopped = bool(written) and written[-1] in recipe.tokenizer.stop_ids
        reason = "stop" if is_stopped or len(written) < shape.max_tokens else "length"
        while written and written[-1] in recipe.tokenizer.stop_ids:
            written.pop()
        text, ids = recipe.tokenizer.decode(written), tuple(written)  # type: ignore[assignment]
    result = Completion(text, len(ids), num_prompt_tokens, None, reason, 0.0, None, ids=ids)
    door = Door(recipe.tokenizer, recipe.delimiters)
    answer = prober.judge.answer(door.checked(result, prober.pieces.prompt(shape)))
    logprob = content.get("logprob")
    return replace(answer, logprob=None if logprob is None else float(logprob))

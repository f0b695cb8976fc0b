"""What ``calibrate`` leaves: calibration.json in a finished run's folder, and the tables of its page."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.commands.calibrate.diagnose import TrialCheck
from niah.commands.calibrate.verify import Verdict
from niah.commands.results import write
from niah.report.page.numbers import Extra
from niah.runs.checks import CALIBRATION
from niah.stats.noise_margin import EXACT, Threshold


@dataclass(frozen=True)
class Line:
    """A length of one variant: predicted and seen from the first depth to the last, # found, . lost."""

    length: int
    trials: int
    right: int
    predicted: str
    seen: str


def lines_of(trials: Sequence[TrialCheck]) -> list[Line]:
    """One for each length, the shortest first."""
    found = []
    for length in sorted({trial.length for trial in trials}):
        own = sorted((trial for trial in trials if trial.length == length), key=lambda trial: trial.depth)
        found.append(Line(
            length, len(own), sum(trial.is_expected for trial in own),
            "".join("#" if trial.is_predicted else "." for trial in own),
            "".join("#" if trial.is_predicted == trial.is_expected else "." for trial in own),
        ))
    return found


def sentence(verdict: Verdict) -> str:
    """What was seen of one variant, right or wrong."""
    return f"{verdict.variant}, {verdict.backend}: {right(verdict)}"


def right(verdict: Verdict) -> str:
    return f"{verdict.num_right} of {len(verdict.trials)} trials as predicted"


def keep(folder: Path, verdicts: Sequence[Verdict], faults: Sequence[str]) -> None:
    """Writes calibration.json into the folder of the run that the verdicts are of."""
    content = {"schema": 1, "faults": list(faults), "variants": [_plain(one) for one in verdicts]}
    write(folder / CALIBRATION, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _plain(verdict: Verdict) -> dict[str, Any]:
    return {
        "variant": verdict.variant, "backend": verdict.backend, "sentence": sentence(verdict),
        "right": verdict.num_right, "trials": len(verdict.trials), "bad": list(verdict.bad),
        "lengths": [vars(line) for line in lines_of(verdict.trials)],
    }


def table(verdict: Verdict) -> Extra:
    """A line a length, as it is printed."""
    return Extra(
        f"Calibration: {verdict.variant}, {verdict.backend}",
        (("length", "length"), ("trials", "count"), ("as predicted", "count"), ("predicted", "text"), ("seen", "text")),
        [(line.length, line.trials, line.right, line.predicted, line.seen) for line in lines_of(verdict.trials)],
        (
            "A column of signs is a trial, from the first depth to the last: # found, . lost, as exact arithmetic "
            "predicts it and as the engine answered.", *(f"bad trial left out: {reason}" for reason in verdict.bad),
        ),
    )


def margins(found: Sequence[Threshold]) -> Extra:
    """The noise margin of each KV dtype at each length."""
    exact = {one.length: one for one in found if one.dtype == EXACT}
    return Extra(
        "Noise margin",
        (("KV cache", "text"), ("length", "length"), ("half found", "nats"), ("all found", "nats"),
         ("above exact arithmetic", "nats")),
        [
            (one.dtype, one.length, one.half, one.all, None if one.dtype == EXACT else one.above(exact.get(one.length)))
            for one in found
        ],
        ("The score in nats that a needle needs until half of the trials find it, and until all do.",),
    )

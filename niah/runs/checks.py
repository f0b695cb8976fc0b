"""What other commands found out about a finished run and left in its folder: ``calibrate`` and ``crosscheck``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah import disk
from niah.stats.agreement import VERDICTS

CALIBRATION, CROSSCHECK = "calibration.json", "crosscheck.json"
_MAX_BYTES = 2**26
VERIFIED, FAILED, NOT_RUN = "verified", "failed", "not run"


@dataclass(frozen=True)
class Calibration:
    """``verdict`` is one of this module's; ``sentences`` say what was seen, for people."""

    verdict: str = NOT_RUN
    sentences: tuple[str, ...] = ()


def calibration(folder: Path, variant: str) -> Calibration:
    """What ``calibrate DIR`` found of one variant of this run; of a file that cannot be read, that it is so."""
    try:
        content = _content(folder / CALIBRATION)
        if content is None:
            return Calibration()
        found = [one for one in content["variants"] if one["variant"] == variant]
        faults = [*map(str, content["faults"])]
        verdict = FAILED if faults else VERIFIED if found else NOT_RUN
        return Calibration(verdict, (*(str(one["sentence"]) for one in found), *faults))
    except (KeyError, TypeError, ValueError, OSError) as error:
        return Calibration(NOT_RUN, (_unreadable(folder / CALIBRATION, error),))


def crosscheck(folder: Path, variant: str) -> str:
    """What a second engine answered, in one sentence; empty where none was asked."""
    try:
        content = _content(folder / CROSSCHECK)
        one = content["variants"].get(variant) if content else None
        if content is None or one is None:
            return ""
        seconds = content["second"].values()
        names = dict.fromkeys(str(second["engine"]["name"]) for second in seconds)
        counts = ", ".join(f"{int(one['verdicts'][kind]):,} {kind}" for kind in VERDICTS)
        return (
            f"crosscheck by {', '.join(names)}: {int(one['same']):,} of {int(one['n']):,} answers the same, word for "
            f"word; {counts}"
        )
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        return _unreadable(folder / CROSSCHECK, error)


def _content(file: Path) -> dict[str, Any] | None:
    """None where there is none. Raises OSError or ValueError for what neither command wrote."""
    if not file.is_file():
        return None
    with file.open("rb") as content:
        text = content.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES >> 20} MiB")
    return disk.parsed(text)


def _unreadable(file: Path, error: Exception) -> str:
    return f"{file.name}: cannot be read ({type(error).__name__}: {error})"

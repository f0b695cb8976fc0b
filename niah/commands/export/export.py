"""The verb ``export``: what to write, where, and what was written."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from niah.commands.export import every_eval_ever, hf_eval_results, inspect, lm_eval, parquet
from niah.commands.export.parts import Part, parts
from niah.commands.results import make, write
from niah.commands.words import own_words
from niah.errors import NiahError
from niah.report import labels
from niah.terminal import say
from niah.units import format_count

_FORMATS = ("every_eval_ever", "inspect", "lm_eval", "hf_eval_results", "parquet")

_OF_REPORT = {
    "csv": "format=csv", "latex": "format=latex", "json": "format=json", "pdf": "report.formats=[pdf]",
    "png": "report.formats=[png]", "svg": "report.formats=[svg]",
}
"""What a paper wants too, and the words of ``report`` that give it."""


def main(words: list[str]) -> int:
    """Exit code of ``export DIR to=FORMAT [out=DIR] [dataset=ORGANISATION/NAME]``."""
    own, rest = own_words({"to": "", "out": "", "dataset": ""}, words)
    if own["to"] in _OF_REPORT:
        instead = f"report {rest[0] if rest else 'DIR'} {_OF_REPORT[own['to']]}"
        raise NiahError(
            f"export to: got {own['to']}, which is report's: {instead}; expected one of {', '.join(_FORMATS)}"
        )
    if own["to"] not in _FORMATS:
        raise NiahError(f"export to: got {own['to'] or 'nothing'}; expected one of {', '.join(_FORMATS)}")
    if own["dataset"] and own["to"] != "hf_eval_results":
        raise NiahError(f"export dataset: is for to=hf_eval_results; got it with to={own['to']}; leave it out")
    if len(rest) != 1:
        raise NiahError(f"export: got {len(rest)} folders; expected export DIR to={own['to']} [out=DIR]")
    found = parts(rest[0])
    folder = make(Path(own["out"] or Path(rest[0]) / f"export-{own['to']}"))
    files = parquet.write(found, folder) if own["to"] == "parquet" else [
        _written(folder, *one) for part in found for one in _files(own["to"], own["dataset"])(part)
    ]
    num_rows, num_lost = sum(len(one.rows) for one in found), sum(len(one.rows) - len(one.answered) for one in found)
    made_up = labels.made_up("fake" if any(one.is_fake for one in found) else "")
    lost = f", {num_lost} of them without an answer" if num_lost else ""
    say(f"{own['to']}{made_up}: {format_count(num_rows, 'row')}{lost}", *(str(file) for file in files))
    return 0


def _files(to: str, dataset: str) -> Callable[[Part], Iterator[tuple[str, str]]]:
    made: dict[str, Callable[[Part], Iterator[tuple[str, str]]]] = {
        "every_eval_ever": every_eval_ever.files, "inspect": inspect.files, "lm_eval": lm_eval.files,
        "hf_eval_results": partial(hf_eval_results.files, dataset=dataset),
    }
    return made[to]


def _written(folder: Path, name: str, content: str) -> Path:
    file = folder / name
    make(file.parent)
    write(file, content)
    return file

"""The verb ``rescore``: stored responses scored again by the rules of this version, the old scores kept beside."""

from dataclasses import replace
from pathlib import Path

from niah import scorers
from niah.commands.words import folder_arguments
from niah.errors import NiahError
from niah.records import Row
from niah.runs import store, sweeps
from niah.runs.scoring import rescored
from niah.runs.store import RunFolder
from niah.terminal import note, say
from niah.units import format_count

_SHOWN = 10
"""Changed trials that are named one by one."""


def main(words: list[str]) -> int:
    """Exit code of ``rescore DIR [DIR ...]``."""
    paths, rest = folder_arguments("rescore", words)
    if rest:
        raise NiahError(f"rescore: got {rest[0]!r}; expected folders alone, as rescore outputs/NAME")
    runs, failed = sweeps.runs_below(paths), []
    for path in runs:
        try:
            say(*rescore(path))
        except NiahError as error:
            if len(runs) == 1:
                raise
            failed.append(path)
            note(f"niah: {path}: {str(error).removeprefix(f'{path}: ')}")
    if failed:
        raise NiahError(f"rescore: {len(failed)} of {len(runs)} runs are as they were, see above; the others are done")
    return 0


def rescore(path: str) -> list[str]:
    """Lines to print of one run's folder, whose rows are replaced in one step.

    run.json, which says by which rules they are judged, comes after: a command that was cut short is given again.
    """
    store.opened(path)  # says what is wrong before a lock is laid into a folder that is none of ours
    with RunFolder(Path(path)) as folder:
        _, record, rows = store.open_for_reading(path)
        found = rescored(record, rows)
        if found.changed:
            folder.replace_rows(found.rows)
        if record.scorer_version != scorers.VERSION:
            folder.write_record(replace(record, scorer_version=scorers.VERSION))
    if not found.changed:
        return [f"{path}: {format_count(len(rows), 'row')}, all scored as before (rules {scorers.VERSION})"]
    lines = [f"{path}: {found.sentence()}; the old scores are in scored_before of rows.jsonl"]
    lines += [_line(before, now) for before, now in found.changed[:_SHOWN]]
    if len(found.changed) > _SHOWN:
        lines.append(f"  and {len(found.changed) - _SHOWN:,} more")
    return [*lines, f"tables and figures: niah report {path}"]


def _line(before: Row, now: Row) -> str:
    """One changed trial."""
    said = " ".join(now.response.split())
    said = said if len(said) < 60 else said[:57] + "..."
    variant = f" {now.variant}" if now.variant else ""
    was, is_now = (f"{row.outcome} ({row.score:g})" for row in (before, now))
    return f"  trial {now.trial}{variant}: {was} is now {is_now}: {said!r}"

"""The verb ``track``: tells trackers of runs that are there, their settings, numbers, tables, pictures and page."""

from pathlib import Path

from niah.commands.page import NUMBERS
from niah.commands.report import report
from niah.commands.track import trackers
from niah.commands.track.following import Following
from niah.commands.words import folder_arguments, own_words
from niah.errors import NiahError
from niah.runs import store, sweeps
from niah.terminal import say


def main(words: list[str]) -> int:
    """Exit code of ``track DIR [DIR ...] to=wandb``: 0, or 1 where a tracker failed."""
    own, words = own_words({"to": ""}, words)
    paths, rest = folder_arguments("track", words)
    if rest:
        raise NiahError(f"track: got {rest[0]!r}; expected track {paths[0]} to={own['to'] or 'wandb'}")
    if not own["to"].strip("[] "):
        raise NiahError(f"track to: got nothing; expected some of {', '.join(trackers.KNOWN)}, as to=wandb")
    trackers.named(own["to"], "to")
    has_failed = False
    for path in sweeps.runs_below(paths):
        store.open_for_reading(path, needs_settings=False)
        if not (Path(path) / NUMBERS).is_file():
            report([path], ["report.page=true"])
        lines: list[str] = []
        following = Following(trackers.named(own["to"], "to"), lines.append)
        following.finish(Path(path))
        say(*lines)
        has_failed |= following.has_failed
    return 1 if has_failed else 0

"""The verb ``gate``: may this run pass? A policy of bounds, and GO, NO-GO or INCONCLUSIVE."""

import os
from pathlib import Path

from niah import secrets
from niah.commands.gate import certificates, formats
from niah.commands.gate.candidates import candidates
from niah.commands.gate.findings import judged
from niah.commands.gate.policy import read
from niah.commands.results import make, write
from niah.commands.words import own_words
from niah.errors import NiahError
from niah.terminal import say
from niah.units import format_count

_USAGE = "gate POLICY RUN [BASELINE] [out=DIR] [format=text|json|junit|markdown]"


def main(words: list[str]) -> int:
    """Exit code of ``gate POLICY RUN [BASELINE]``: GO 0, NO-GO 3, INCONCLUSIVE 4.

    RUN and BASELINE are run folders or folders of such. gate.json, gate.xml (JUnit), gate.md and gate.txt are written
    into RUN, or into ``out``; ``format`` is what is printed.
    """
    own, rest = own_words({"out": "", "format": "text"}, words)
    if own["format"] not in formats.FORMATS:
        raise NiahError(f"gate format: got {own['format']!r}; expected one of {', '.join(formats.FORMATS)}")
    if not 2 <= len(rest) <= 3:
        raise NiahError(f"gate: got {format_count(len(rest), 'word')} ({' '.join(rest) or 'none'}); expected {_USAGE}")
    policy, run, baseline = read(os.path.expanduser(rest[0])), rest[1], rest[2] if len(rest) > 2 else None
    found, notes = candidates(policy, run, baseline)
    gate = formats.Gate(policy, found, judged(policy, found), [*notes, *certificates.of_other_scores(found)])
    folder = make(Path(own["out"] or run))
    for name, (file, made) in formats.FORMATS.items():
        content = secrets.masked(made(gate))
        write(folder / file, content)
        if name == own["format"]:
            shown = content.rstrip("\n")
    files = ", ".join(str(folder / file) for file, _ in formats.FORMATS.values())
    say(*shown.split("\n"), *([f"written: {files}"] if own["format"] == "text" else []))
    return gate.exit_code

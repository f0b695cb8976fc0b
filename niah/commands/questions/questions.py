"""The verb ``questions``: what it takes and prints."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from niah import config as configuration
from niah.commands import hydra
from niah.commands.questions import findings
from niah.commands.questions.findings import Findings
from niah.commands.words import own_words
from niah.errors import NiahError
from niah.haystacks import Haystack
from niah.runs import store
from niah.tasks import question_file
from niah.tasks.question_file import QuestionFile
from niah.terminal import say
from niah.units import format_count, format_length

_USE = "niah questions check mine.jsonl haystack.path=FOLDER [run=outputs/NAME]"
_MOST_SHOWN = 20
_AROUND = 2048
"""Tokens beside the longest document that a context needs at most: template, question, answer, some haystack."""


def main(words: list[str]) -> int:
    """Exit code of ``questions check FILE [haystack.key=...] [run=DIR]``: 2 where there is something to mend."""
    own, rest = own_words({"run": ""}, words)
    if len(rest) < 2 or rest[0] != "check" or ("=" in rest[1] and not os.path.exists(rest[1])):
        raise NiahError(f"questions: got {' '.join(words) or 'nothing'!r}; expected {_USE}")
    path, given = rest[1], rest[2:]
    for word in given:
        if not word.startswith(("haystack=", "haystack.")):
            raise NiahError(f"questions check: got {word}; expected haystack=NAME, haystack.key=value or run=DIR")
    file = question_file.read(path, "questions check")
    found = findings.of_file(file)
    skipped: list[str] = []
    if own["run"]:
        found, haystack = _with_run(file, found, os.path.expanduser(own["run"]))
    elif not given:
        raise NiahError(f"questions check: which documents? expected haystack.path=FOLDER, or run=DIR; {_USE}")
    if given:
        haystack = _haystack(given)
    documents = findings.documents_of(haystack, skipped)
    more = findings.of_haystack(file, haystack, documents)
    found = replace(
        found, answers=more.answers, duplicates=more.duplicates, num_documents=more.num_documents
    )
    say(*_lines(path, file, found, skipped))
    if not own["run"] and file.questions:
        say("", *_advice(path, file, given, documents))
    return 2 if len(found) else 0


def _haystack(words: Sequence[str]) -> Haystack:
    """The haystack of a run with these words; files where they name none."""
    made: list[Haystack] = []

    def take(config: Any) -> int:
        made.append(configuration.build(config).haystack)
        return 0

    named = [] if any(word.startswith("haystack=") for word in words) else ["haystack=files"]
    hydra.run(hydra.adapted([*named, *words]), take)
    return made[0]


def _with_run(file: QuestionFile, found: Findings, path: str) -> tuple[Findings, Haystack]:
    """With what a run without a context knew, and the haystack of that run."""
    folder, record = store.opened(path)
    known = findings.of_run(file.questions, record, folder.rows(), path)
    return replace(found, known=known), configuration.stored(record.config).haystack


def _lines(path: str, file: QuestionFile, found: Findings, skipped: Sequence[str]) -> list[str]:
    num = len(file.questions)
    documents = "" if found.num_documents is None else f", {format_count(found.num_documents, 'document')}"
    lines = [f"{path}: {format_count(num, 'question')}{documents}"]
    lines += [f"note: left out: {line}" for line in skipped[:_MOST_SHOWN]]
    parts = (
        ("lines that are no question", found.lines), ("questions that are asked twice", found.repeated),
        ("answers", found.answers), ("documents that are the same", found.duplicates),
        ("known without a context", found.known),
    )
    for title, sentences in parts:
        if sentences:
            lines += ["", f"{title}: {len(sentences):,}", *(f"  {one}" for one in sentences[:_MOST_SHOWN])]
        if len(sentences) > _MOST_SHOWN:
            lines.append(f"  and {len(sentences) - _MOST_SHOWN:,} more")
    return [*lines, "", f"{len(found):,} to mend" if len(found) else "nothing to mend"]


def _advice(
    path: str, file: QuestionFile, given: Sequence[str], documents: Sequence[tuple[str, str]]
) -> list[str]:
    """How to find the questions that need no document: commands as they may be pasted."""
    texts = [one.needle for one in file.questions] + [text for _, text in documents]
    longest, length = max((len(text.encode()) for text in texts), default=0), 8192
    while length < longest + _AROUND:  # no token has less than a byte
        length *= 2
    named = [] if any(word.startswith("haystack=") for word in given) else ["haystack=files"]
    words = [
        "task=questions", f"task.path={path}", *named, *given, "reader=none",
        f"ctx.lengths=[{format_length(length).lower()}]", "ctx.depths=[50]",
        f"ctx.repeats={max(1, len(file.questions))}", "name=without_context",
    ]
    return [
        "which questions a model answers without a context (add its model=...):",
        f"  python -m niah {shlex.join(words)}",
        f"  python -m niah questions check {shlex.quote(path)} run=outputs/without_context",
    ]

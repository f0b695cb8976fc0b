"""What the model saw around each needle and in each retrieved chunk, written beside the rows while a run goes on: a
report then needs no tokenizer and no haystack.

It can be made again from the rows (``show`` does), so it is not forced to the disk: a line that is torn or missing is
one text less on the page.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from niah import secrets
from niah.prompts.recipe import Built
from niah.records import Retrieval

NAME = "excerpts.jsonl"
_AROUND, _AROUND_OTHERS = 60, 24
"""Tokens shown before and after a needle that is asked for, and one that is not."""
_ENDS = 60
"""Tokens shown of the prompt's beginning and of its end."""
_MAX_NEEDLES, _MAX_CHUNKS = 24, 24
_MAX_LINE = 2**22
"""Bytes: a longer line is none of ours."""
_BEGINNING = re.compile(rb'\{"prompt_sha256":"([0-9a-f]{64})"')


@dataclass(frozen=True)
class Excerpt:
    """What is worth seeing of a prompt: its question and ends, its needles as [before, needle, after], and the chunks
    that were retrieved, best first. Needles are those that the reader kept; the answer takes the first ``num_needed``
    of those planted."""

    prompt_sha256: str
    question: str
    beginning: str
    end: str
    num_needed: int
    needles: list[list[str]]
    chunks: list[str]


class Excerpts:
    """Adds a line a prompt to a run folder's excerpts.jsonl. What keeps it from writing is the page's loss alone."""

    def __init__(self, folder: Path, decode: Callable[[np.ndarray], str]):
        self._path, self._decode = folder / NAME, decode
        self._known = {sha256 for sha256, _ in _lines(folder)}
        self._is_torn = _ends_in_a_torn_line(self._path)

    def add(self, built: Built, retrieval: Retrieval | None) -> None:
        """Once for all variants that were asked the same prompt."""
        if built.prompt.sha256 in self._known:
            return
        self._known.add(built.prompt.sha256)
        if self._path.exists() and not self._path.is_file():
            return
        line = json.dumps(asdict(excerpt(built, retrieval, self._decode)), separators=(",", ":")).encode()
        with suppress(OSError), self._path.open("ab") as file:
            file.write(b"\n" * self._is_torn + line + b"\n")
            self._is_torn = False


def excerpt(built: Built, retrieval: Retrieval | None, decode: Callable[[np.ndarray], str]) -> Excerpt:
    """``decode`` is the tokenizer's. What settings took from the environment is not in it."""
    prompt, problem = built.prompt, built.problem
    num_needed = len(problem.needles) if problem.num_needed is None else problem.num_needed

    def text(ids: np.ndarray) -> str:
        return secrets.without_values(decode(ids))

    needles = []
    kept = [number for number, is_kept in enumerate(built.view.kept) if is_kept]
    for number, (start, stop) in list(zip(kept, prompt.spans, strict=False))[:_MAX_NEEDLES]:
        around = _AROUND if number < num_needed else _AROUND_OTHERS
        parts = prompt.ids[max(0, start - around) : start], prompt.ids[start:stop], prompt.ids[stop : stop + around]
        needles.append([*map(text, parts)])
    chunks = [text(ids) for ids in retrieval.ids[:_MAX_CHUNKS]] if retrieval else []
    return Excerpt(
        prompt.sha256, secrets.without_values(problem.question), text(prompt.ids[:_ENDS]), text(prompt.ids[-_ENDS:]),
        num_needed, needles, chunks,
    )


def read(folder: Path) -> dict[str, str]:
    """All excerpts of a run folder by the prompt's sha256, each as its line of JSON, which is not parsed here: 100,000
    are 200 MB."""
    return {sha256: line.decode(errors="replace") for sha256, line in _lines(folder)}


def _ends_in_a_torn_line(path: Path) -> bool:
    """Whether a write was cut: the next line begins on one of its own."""
    if not path.is_file():
        return False
    with suppress(OSError), path.open("rb") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    return False


def _lines(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each line with its prompt's sha256; those that do not begin as ours are passed over."""
    if not (folder / NAME).is_file():  # a pipe would be waited for, a device read for ever
        return
    with suppress(OSError), (folder / NAME).open("rb") as file:
        is_whole = True
        while line := file.readline(_MAX_LINE + 1):
            begun = _BEGINNING.match(line) if is_whole and len(line) <= _MAX_LINE else None
            is_whole = line.endswith(b"\n")
            if begun and is_whole:
                yield begun[1].decode(), line

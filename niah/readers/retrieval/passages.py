"""Passages that a service gave, as rows hold them; what reads rows needs no HTTP for it."""

from dataclasses import replace
from typing import Any

from niah.records import Passage


def of_row(passage: Passage) -> dict[str, Any]:
    """A passage as a row holds it: by its characters in the context where it stands there word for word."""
    held: dict[str, Any] = {"text": passage.text} if passage.place is None else {"at": list(passage.place)}
    if passage.score is not None:
        held["score"] = round(passage.score, 6)
    return {**held, **({"document": passage.document} if passage.document else {})}


def from_row(held: dict[str, Any], text: str) -> Passage:
    """The passage that a row holds; ``text`` is the whole context."""
    score, document = held.get("score"), str(held.get("document", ""))
    if "at" not in held:
        return Passage(str(held["text"]), score, document)
    start, stop = held["at"]
    return Passage(text[start:stop], score, document, (start, stop))


def placed(passage: Passage, text: str) -> Passage:
    """The passage with its place in the context's ``text``, where it stands there word for word."""
    start = text.find(passage.text)
    return replace(passage, place=None if start < 0 else (start, start + len(passage.text)))

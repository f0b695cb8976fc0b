"""From chosen token ranges of a context to what the model sees, and which needles are in it."""

from collections.abc import Sequence

import numpy as np

from niah.readers import Material
from niah.records import Retrieval, View
from niah.tokens import boundaries

SEPARATOR = "\n\n"
"""Between parts that do not follow each other in the context."""

Ranges = Sequence[tuple[int, int]]


def merged(ranges: np.ndarray) -> np.ndarray:
    """Ranges in the order of the text, int64 (ranges, 2), joined where they touch or overlap."""
    ordered = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    first = np.flatnonzero(np.concatenate(([True], ordered[1:, 0] > reach[:-1])))
    return np.stack([ordered[first, 0], reach[np.append(first[1:], len(ordered)) - 1]], axis=1)


def fate(needle: tuple[int, int], ranges: Ranges) -> str:
    """Whether a needle is in these parts: whole (in one of them), split (some of it), missed."""
    start, stop = needle
    if any(first <= start and stop <= last for first, last in ranges):
        return "whole"
    return "split" if any(first < stop and start < last for first, last in ranges) else "missed"


def view(material: Material, ranges: Ranges, retrieval: Retrieval) -> View:
    """The parts, separator between them. Haystack stays ids; needles are pieces of their own."""
    pieces: list[np.ndarray | str] = []
    places: dict[int, int] = {}
    ordered = sorted(range(len(material.needles)), key=lambda number: material.needles[number])
    for start, stop in ranges:
        if pieces:
            pieces.append(SEPARATOR)
        at = start
        for number in ordered:
            needle = material.needles[number]
            if number in places or not (start <= needle[0] and needle[1] <= stop):
                continue
            first, last = _in_characters(material, *needle)
            first, last = max(first, at), min(max(last, at), stop)
            pieces.extend([material.ids[at:first], material.tokenizer.decode(material.ids[first:last])])
            places[number] = len(pieces) - 1
            at = last
        pieces.append(material.ids[at:stop])
    kept = tuple(number in places for number in range(len(ordered)))
    return View(tuple(pieces) or ("",), kept, tuple(places.get(number) for number in range(len(kept))), retrieval)


def _in_characters(material: Material, start: int, stop: int) -> tuple[int, int]:
    """The span, widened to whole characters."""
    while start > 0 and not boundaries.is_whole(material.tokenizer, material.ids, start):
        start -= 1
    while stop < len(material.ids) and not boundaries.is_whole(material.tokenizer, material.ids, stop):
        stop += 1
    return start, stop

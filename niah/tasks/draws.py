"""Random keys and values for needles, none drawn twice, answers found nowhere in the haystack."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from niah.errors import NiahError
from niah.languages.wordlists import pair
from niah.tasks import Surroundings

_TRIES = 1000
ANSWERS = ("number", "word", "uuid")
KEYS = ("city", "pair", "uuid")


_SPARE, _SPARE_SHARE = 512, 1 / 16


def with_spare(num_tokens: int) -> float:
    """Tokens of documents, turns or lines to make where ``num_tokens`` fit, so that there is something to cut to
    length: some and a share of a long context, as alone each has a token or two more than behind another one."""
    return num_tokens * (1 + _SPARE_SHARE) + _SPARE


def number(rng: np.random.Generator) -> str:
    """Seven digits, as in RULER."""
    return str(int(rng.integers(1_000_000, 10_000_000)))


def random_uuid(rng: np.random.Generator) -> str:
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))


def value(rng: np.random.Generator, kind: str, words: Sequence[str]) -> str:
    """A number, a word of ``words`` or a UUID."""
    if kind == "word":
        return str(words[int(rng.integers(len(words)))])
    return number(rng) if kind == "number" else random_uuid(rng)


def key(rng: np.random.Generator, kind: str, cities: Sequence[str]) -> str:
    """A city of ``cities``, a pair of English words (RULER's keys) or a UUID."""
    if kind == "city":
        return str(cities[int(rng.integers(len(cities)))])
    return pair(rng) if kind == "pair" else random_uuid(rng)


def distinct(draw: Callable[[], str], count: int, what: str, taken: Sequence[str] = ()) -> list[str]:
    """``count`` different draws, none in ``taken``. Raises NiahError where there are not so many."""
    found = dict.fromkeys(taken)
    for _ in range(_TRIES * (count + 1)):
        if len(found) == count + len(taken):
            break
        found.setdefault(draw())
    else:
        raise NiahError(f"{what}: there are not {count:,} different ones; take fewer, or task.key_kind=uuid")
    return list(found)[len(taken) :]


def unseen(draw: Callable[[], str], count: int, haystack: Surroundings, what: str) -> list[str]:
    """``count`` different draws that occur nowhere in the haystack."""
    found: list[str] = []
    refused: set[str] = set()
    for _ in range(_TRIES):
        drawn = [text for text in dict.fromkeys(draw() for _ in range(count)) if text not in refused]
        held = haystack.holding([text for text in drawn if text not in found])
        refused |= held
        found = list(dict.fromkeys([*found, *(text for text in drawn if text not in held)]))
        if len(found) >= count:
            return found[:count]
    raise NiahError(
        f"{what}: {len(refused):,} of the drawn answers occur in the haystack and too few are left; "
        "take task.answer=uuid or another haystack"
    )


def given(text: str, haystack: Surroundings, where: str) -> str:
    """The user's own answer. Raises NiahError where the haystack holds it already."""
    if haystack.holding([text]):
        raise NiahError(
            f"{where}: the haystack already holds {text!r}, so finding it proves nothing; "
            "take another value or haystack"
        )
    return text


def listed(items: Sequence[str], phrases: dict[str, Any]) -> str:
    """The items as a list in the phrases' language: "a, b and c"."""
    if len(items) == 1:
        return items[0]
    return f"{phrases['list_separator'].join(items[:-1])}{phrases['list_last']}{items[-1]}"


def serial(items: Sequence[str]) -> str:
    """The items as RULER lists them: "a, b, and c", and "a, and b"."""
    return f"{', '.join(items[:-1])}, and {items[-1]}" if len(items) > 1 else items[0]


def filled(text: str, **values: object) -> str:
    """``text`` with {name} replaced; braces of the user's own text stay."""
    for name, replacement in values.items():
        text = text.replace(f"{{{name}}}", str(replacement))
    return text

"""Where two greedy answers part: the first token that differs, and how close the call was on the second engine."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.tokens.tokenizer import Tokenizer

STOP = -1
"""Stands for any of the tokens that end an answer: a row does not say which it was."""


@dataclass(frozen=True)
class StoredAnswer:
    """A row's answer as ids, STOP at its end where it stopped by itself.

    ``is_counted``: there are as many as the engine counted. Rows hold text, so the ids are read from it again.
    """

    ids: tuple[int, ...]
    is_counted: bool


@dataclass(frozen=True)
class FirstDifference:
    """``place`` counts tokens of the answer from 0; texts are those of single tokens, empty for the end of the answer.

    ``gap`` (nats) is how much more the second engine gave its own token there; with ``is_at_least`` the first engine's
    token was not among those whose log-probabilities it gave, and the gap is at least that much.
    """

    place: int
    first: str
    second: str
    gap: float | None
    is_at_least: bool


def stored_answer(
    tokenizer: Tokenizer, text: str, num_tokens: int, is_stopped: bool, other: Sequence[int]
) -> StoredAnswer:
    """The ids of a stored answer.

    One text can be written in several ids. Of the ways that share a beginning with ``other`` (ids of the second engine)
    and go on as the tokenizer would, the one with the longest such beginning is taken that has the number of tokens the
    first engine counted; so a difference in the splitting alone is not taken for one.
    """
    wanted = num_tokens - is_stopped
    end = (STOP,) if is_stopped else ()
    for shared in range(min(len(other), wanted), -1, -1):
        begun = tokenizer.decode(other[:shared]) if shared else ""
        if not text.startswith(begun):
            continue
        ids = (*other[:shared], *tokenizer.reference(text[len(begun) :]))
        if len(ids) == wanted and tokenizer.decode(ids) == text:
            return StoredAnswer((*ids, *end), True)
    return StoredAnswer((*tokenizer.reference(text), *end), False)


def first_difference(
    tokenizer: Tokenizer, answer: StoredAnswer, ids: Sequence[int], steps: Sequence[dict[int, float]]
) -> FirstDifference | None:
    """None where both wrote the same. ``ids`` are the second engine's own, with ``steps`` as Traced has them."""
    stops = tokenizer.stop_ids
    second = [STOP if token in stops else token for token in ids]
    for place in range(max(len(answer.ids), len(second))):
        own, other = (row[place] if place < len(row) else None for row in (answer.ids, second))
        if own == other:
            continue
        gap, is_at_least = _gap(own, steps[place], stops) if place < len(steps) else (None, False)
        return FirstDifference(place, _text(tokenizer, own), _text(tokenizer, other), gap, is_at_least)
    return None


def _text(tokenizer: Tokenizer, token: int | None) -> str:
    return "" if token is None or token == STOP else tokenizer.decode([token])


def _gap(token: int | None, weighed: dict[int, float], stops: Sequence[int]) -> tuple[float | None, bool]:
    if token is None:
        return None, False
    best = next(iter(weighed.values()))
    found = [weighed[one] for one in (stops if token == STOP else (token,)) if one in weighed]
    return round(best - (max(found) if found else min(weighed.values())), 6), not found

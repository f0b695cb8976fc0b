"""The classes of trials that ``edges`` may name: residues of the length and of the needle's place, borders, windows,
hits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from niah.commands.edges.design import AGAIN, BEFORE, COLD, NEAR
from niah.planner.borders import PERIOD, POSITION, WINDOW, Border
from niah.stats.classes import Class, Scope

PERIODS = range(2, 17)
_RESOLUTION = 0.02
"""Nats that count as alike: kernels round one way at one length and another way at the next."""
_BIN = 32
"""Neighbouring lengths of short prompts, which are compared with each other."""
_RANGE = 16
_TOGETHER = 16
"""Of periods up to this all ranges of residues are looked at, of longer ones those near the border."""


@dataclass(frozen=True)
class Seen:
    """An answered trial, places in tokens of its prompt. ``answer`` is where the answer's first token lies in the text;
    ``cached`` tokens were a hit; ``strength`` is the right answer's log-probability, NaN where it was not measured."""

    zone: str
    repeat: int
    num_tokens: int
    start: int
    stop: int
    answer: int
    cached: int
    is_wrong: bool
    strength: float
    key: int
    twin: int = -1
    """The key of the trial whose prompt this one repeats."""


def scopes(seen: Sequence[Seen], borders: Sequence[Border]) -> list[Scope]:
    """What is compared with what: prompts asked once; what was lost when they were asked again; and where nothing can
    be found beyond a window, what was found there."""
    windows = [one.tokens for one in borders if one.kind == WINDOW and one.is_everywhere]
    shortest = min(windows, default=0)

    def is_beyond(one: Seen) -> bool:
        return bool(shortest) and one.num_tokens - 1 - one.answer >= shortest

    first = [one for one in seen if one.zone != AGAIN and not is_beyond(one)]
    found = [_scope(first, _of_prompts(first, borders))]
    beyond = [one for one in seen if one.zone == f"window {shortest}" and is_beyond(one)]
    if beyond:
        found.append(_scope(beyond, _of_beyond(beyond, shortest), is_turned=True))
    found += _again(seen, borders)
    return found


def _scope(seen: Sequence[Seen], classes: Iterator[Class], *, is_turned: bool = False) -> Scope:
    strata = {name: number for number, name in enumerate(dict.fromkeys(map(_stratum, seen)))}
    strength = np.array([_rounded(one.strength) for one in seen])
    wrong = np.array([one.is_wrong for one in seen], dtype=bool)
    return Scope(
        np.array([strata[_stratum(one)] for one in seen]), ~wrong if is_turned else wrong,
        -strength if is_turned else strength, _useful(classes), np.array([one.key for one in seen]),
    )


def _rounded(nats: float) -> float:
    return round(nats / _RESOLUTION) * _RESOLUTION if np.isfinite(nats) else float("nan")


def _stratum(one: Seen) -> tuple:
    """Trials with this in common are exchangeable: neighbouring lengths, or one text and about one place."""
    if one.zone in (COLD, AGAIN):
        return one.zone, one.num_tokens // _BIN
    return one.zone, one.repeat, one.start if one.zone.startswith("window") else 0


def _useful(classes: Iterator[Class]) -> list[Class]:
    """Those with trials inside and outside; of several that hold the same trials the simplest."""
    found: dict[bytes, Class] = {}
    for one in classes:
        if not 0 < one.member.sum() < len(one.member):
            continue
        key = one.member.tobytes()
        if key not in found or one.simplicity < found[key].simplicity:
            found[key] = one
    return list(found.values())


def _of_prompts(seen: Sequence[Seen], borders: Sequence[Border]) -> Iterator[Class]:
    num = np.array([one.num_tokens for one in seen])
    start = np.array([one.start for one in seen])
    stop = np.array([one.stop for one in seen])
    answer = np.array([one.answer for one in seen])
    yield from _residues("the prompt's length is", num, 0)
    yield from _residues("the needle begins at", start, 1)
    for border in borders:
        size = border.tokens
        if border.kind == PERIOD:
            yield from _past(f"the prompt ends {{}} past a border of {size:,} ({border.name})", num, size, 2)
            yield from _past(f"the needle begins {{}} past a border of {size:,} ({border.name})", start, size, 3)
            yield Class(
                f"the needle lies across a border of {size:,} ({border.name})", start // size != (stop - 1) // size, (4,)
            )
            yield Class(
                f"the answer lies in the last, partial {size:,} tokens ({border.name})",
                (answer >= num // size * size) & (num % size > 0), (4,),
            )
            yield Class(f"the answer lies in the first {size:,} tokens ({border.name})", answer < size, (4,))
        elif border.kind == POSITION:
            name = f"token {size:,} ({border.name})"
            yield from _near(f"the prompt ends {{}} {name}", num - size, _zone(seen, f"length {size}"))
            yield from _near(f"the needle begins {{}} {name}", start - size, _zone(seen, f"place {size}"))
            yield Class(f"the needle lies across {name}", (start < size) & (stop > size), (4,))
            yield Class(f"the prompt reaches beyond {name}", num > size, (3,))
        else:
            distance = num - 1 - answer
            zone = _zone(seen, f"window {size}")
            window = f"the window of {size:,}"
            for first, last in _ranges(-_RANGE // 2, _RANGE // 2 - 1):
                inside = zone & (distance - size >= first) & (distance - size <= last)
                yield Class(f"the answer lies {_in_window(first, last)} {window}", inside, (5, last - first))
            for off in range(-BEFORE, BEFORE + 1):
                by = f" but {off:+d} tokens" if off else ""
                yield Class(f"the answer lies beyond {window}{by}", zone & (distance - size >= off), (4, abs(off)))


def _of_beyond(seen: Sequence[Seen], window: int) -> Iterator[Class]:
    """Found where nothing can be: the first tokens beyond a window."""
    distance = np.array([one.num_tokens - 1 - one.answer for one in seen]) - window
    for last in range(_RANGE // 2):
        name = "token" if not last else f"{last + 1} tokens"
        yield Class(f"found although it lies in the first {name} beyond the window of {window:,}", distance <= last, (5, last))


def _again(seen: Sequence[Seen], borders: Sequence[Border]) -> list[Scope]:
    """Prompts that were asked again, from the prefix cache, beside themselves."""
    before = {one.key: one for one in seen}
    pairs = [(before[one.twin], one) for one in seen if one.zone == AGAIN and one.twin in before and one.cached]
    if not pairs:
        return []
    loss = np.array([_rounded(after.strength) - _rounded(first.strength) for first, after in pairs])
    lost = np.array([after.is_wrong and not first.is_wrong for first, after in pairs])
    bins = np.array([after.num_tokens // _BIN for _, after in pairs])
    left = np.array([after.num_tokens - after.cached for _, after in pairs])
    num = np.array([after.num_tokens for _, after in pairs])
    after = "after a prefix-cache hit"

    def classes() -> Iterator[Class]:
        for first, last in _ranges(1, 2 * _RANGE):
            yield Class(
                f"{after} that leaves {_span(first, last)} to compute", (left >= first) & (left <= last),
                (2, last - first),
            )
        yield from _residues(f"{after} the prompt's length is", num, 1)

    together = [one for pair in pairs for one in pair]
    pair = np.repeat(np.arange(len(pairs)), 2)
    is_after = np.tile([False, True], len(pairs))
    return [
        Scope(bins, lost, loss, _useful(classes()), np.array([after.key for _, after in pairs])),
        Scope(
            pair, np.array([one.is_wrong for one in together]), np.array([_rounded(one.strength) for one in together]),
            [Class(f"{after}, whatever it leaves to compute", is_after, (1,))],
            np.array([one.key for one in together]),
        ),
    ]


def _residues(what: str, values: np.ndarray, rank: int) -> Iterator[Class]:
    for period in PERIODS:
        residues = values % period
        for one in range(period):
            yield Class(f"{what} {one} mod {period}", residues == one, (rank, 0, period))
    for first, last in _cyclic(_TOGETHER):
        inside = (values - first) % _TOGETHER <= last - first
        yield Class(f"{what} {first} to {last % _TOGETHER} mod {_TOGETHER}", inside, (rank, 1, last - first))


def _cyclic(period: int) -> Iterator[tuple[int, int]]:
    """Ranges of 2 to ``period`` - 2 residues; the last may be above the period."""
    for first in range(period):
        for size in range(2, period - 1):
            yield first, first + size - 1


def _past(what: str, values: np.ndarray, period: int, rank: int) -> Iterator[Class]:
    """Ranges of tokens about a border of ``period``, from ``BEFORE`` before it."""
    if period <= _TOGETHER:  # residues have them
        return
    off = (values + BEFORE) % period - BEFORE
    for first, last in _ranges(-BEFORE, NEAR):
        yield Class(what.format(_span(first, last)), (off >= first) & (off <= last), (rank, 2, last - first))


def _near(what: str, off: np.ndarray, zone: np.ndarray) -> Iterator[Class]:
    for first, last in _ranges(-BEFORE, BEFORE):
        words = f"{_span(first, last)} past"
        yield Class(what.format(words), zone & (off >= first) & (off <= last), (3, last - first))


def _ranges(low: int, high: int) -> Iterator[tuple[int, int]]:
    for first in range(low, high + 1):
        for last in range(first, min(high, first + _RANGE - 1) + 1):
            yield first, last


def _span(first: int, last: int) -> str:
    if first == last:
        return f"{first} token" if abs(first) == 1 else f"{first} tokens"
    return f"{first} to {last} tokens"


def _in_window(first: int, last: int) -> str:
    """Places by their distance to a window's border: its last token is -1."""
    if last < 0:
        return f"in the last token of" if (first, last) == (-1, -1) else f"{-last} to {-first} tokens from the end of"
    return f"{_span(first, last)} beyond the last of"


def _zone(seen: Sequence[Seen], name: str) -> np.ndarray:
    return np.array([one.zone == name for one in seen], dtype=bool)



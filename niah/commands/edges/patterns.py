"""The classes of trials that ``edges`` may name: residues of the length and of the needle's place, borders, windows,
hits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from niah.commands.edges.design import AGAIN, BEFORE, COLD, NEAR
from niah.planner.borders import PERIOD, POSITION, WINDOW, Border
from niah.stats.classes import Class, Scope

PERIODS = range(2, 17)
FOUND = "(found, though)"
"""Before the name of a class that is better than it can be."""
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
    ``cached`` tokens were a hit; ``strength`` is the right answer's log-probability, NaN where it was not measured: it
    is that of a prompt with ``num_forced`` tokens of the right answer behind it."""

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
    num_forced: int = 0


def scopes(seen: Sequence[Seen], borders: Sequence[Border]) -> list[Scope]:
    """What is compared with what: prompts asked once; what was lost when they were asked again; and where nothing can
    be found beyond a window, what was found there."""
    windows = [one.tokens for one in borders if one.kind == WINDOW and one.is_everywhere]
    shortest = min(windows, default=0)

    def is_beyond(one: Seen) -> bool:
        return bool(shortest) and one.num_tokens - 1 - one.answer >= shortest

    first = [one for one in seen if one.zone != AGAIN and not is_beyond(one)]
    found = [_answers(first, _of_prompts(first, borders))]
    if all(np.isfinite(one.strength) for one in first):
        longer = [replace(one, num_tokens=one.num_tokens + one.num_forced) for one in first]
        found.append(_strengths(longer, chain(_of_prompts(longer, borders), _of_graded_hits(longer, borders))))
    beyond = [one for one in seen if one.zone == f"window {shortest}" and is_beyond(one)]
    if beyond:
        found.append(_answers(beyond, _of_beyond(beyond, shortest), is_turned=True))
    return found + _again(seen)


def _answers(seen: Sequence[Seen], classes: Iterator[Class], *, is_turned: bool = False) -> Scope:
    wrong = np.array([one.is_wrong for one in seen], dtype=bool)
    nothing = np.full(len(seen), np.nan)
    return Scope(_strata(seen), ~wrong if is_turned else wrong, nothing, _useful(classes), _keys(seen))


def _strengths(seen: Sequence[Seen], classes: Iterator[Class]) -> Scope:
    strength = np.array([_rounded(one.strength) for one in seen])
    return Scope(_strata(seen), np.zeros(len(seen), dtype=bool), strength, _useful(classes), _keys(seen))


def _strata(seen: Sequence[Seen]) -> np.ndarray:
    names = [_stratum(one) for one in seen]
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], dtype=np.int64)


def _keys(seen: Sequence[Seen]) -> np.ndarray:
    return np.array([one.key for one in seen], dtype=np.int64)


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
            is_across = start // size != (stop - 1) // size
            yield Class(f"the needle lies across a border of {size:,} ({border.name})", is_across, (4,))
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
            for off in () if border.is_everywhere else range(-BEFORE, BEFORE + 1):
                by = f" but {off:+d} tokens" if off else ""
                yield Class(f"the answer lies beyond {window}{by}", zone & (distance - size >= off), (4, abs(off)))


def _of_beyond(seen: Sequence[Seen], window: int) -> Iterator[Class]:
    """Found where nothing can be: the first tokens beyond a window."""
    distance = np.array([one.num_tokens - 1 - one.answer for one in seen]) - window
    for last in range(_RANGE // 2):
        name = "token" if not last else f"{last + 1} tokens"
        what = f"{FOUND} it lies in the first {name} beyond the window of {window:,}"
        yield Class(what, distance <= last, (5, last))


def _of_graded_hits(seen: Sequence[Seen], borders: Sequence[Border]) -> Iterator[Class]:
    """The right answer is forced after a prompt that has just been read: from the last whole block on. Of ``seen`` the
    lengths are with the right answer."""
    num = np.array([one.num_tokens for one in seen])
    prompt = num - np.array([one.num_forced for one in seen])
    for border in borders:
        if border.kind == PERIOD and "KV block" in border.name:
            left = num - prompt // border.tokens * border.tokens
            yield from _left(left)


def _left(left: np.ndarray) -> Iterator[Class]:
    for first, last in _ranges(1, 2 * _RANGE):
        yield Class(
            f"a prefix-cache hit leaves {_span(first, last)} to compute", (left >= first) & (left <= last),
            (2, last - first),
        )


def _again(seen: Sequence[Seen]) -> list[Scope]:
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
    hit = "a prefix-cache hit was used"

    together = [one for pair in pairs for one in pair]
    pair = np.repeat(np.arange(len(pairs)), 2)
    is_after = np.tile([False, True], len(pairs))
    own = _useful(chain(_left(left), _residues(f"{hit} and the prompt's length is", num, 1)))
    strength = np.array([_rounded(one.strength) for one in together])
    whatever = [Class(f"{hit}, whatever it leaves to compute", is_after, (1,))]
    return [
        Scope(bins, lost, loss, own, _keys([after for _, after in pairs])),
        Scope(pair, np.array([one.is_wrong for one in together]), strength, whatever, _keys(together)),
    ]


def between(base: Sequence[Seen], own: Sequence[Seen], name: str) -> list[Scope]:
    """The answers of another variant beside those of the first to the same prompts."""
    known = {one.key: one for one in base}
    pairs = [one for after in own if after.key in known for one in (known[after.key], after)]
    is_own = np.tile([False, True], len(pairs) // 2)
    wrong = np.array([one.is_wrong for one in pairs], dtype=bool)
    number, nothing = np.repeat(np.arange(len(pairs) // 2), 2), np.full(len(pairs), np.nan)
    return [Scope(number, wrong, nothing, [Class(name, is_own, (0,))], _keys(pairs))]


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
        return "in the last token of" if (first, last) == (-1, -1) else f"{-last} to {-first} tokens from the end of"
    return f"{_span(first, last)} beyond the last of"


def _zone(seen: Sequence[Seen], name: str) -> np.ndarray:
    return np.array([one.zone == name for one in seen], dtype=bool)

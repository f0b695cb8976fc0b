"""RULER's table as data: scores of its settings by length, their mean and weighted means, effective lengths."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from niah.records import Outcome, Row
from niah.stats import clusters, suite
from niah.stats.cells import CONFIDENCE
from niah.stats.effective_length import RULER, EffectiveLength, leading, of_counts, ruler_weights
from niah.tasks.ruler import SETTINGS
from niah.units import format_length

SAMPLES = 500
"""RULER's samples of each setting and length (its scripts' NUM_SAMPLES)."""


@dataclass(frozen=True)
class Score:
    """Points from 0 to 100 with the ends of their interval. ``num_samples`` are answered trials of ``num_repeats``
    repeats; ``half_width`` is that of the interval, ``half_width_500`` what RULER's number of samples would give."""

    mean: float
    low: float
    high: float
    num_samples: int
    num_repeats: int
    half_width_500: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Line:
    """One line of scores; None at a length without an answer."""

    name: str
    scores: tuple[Score | None, ...]


@dataclass(frozen=True)
class Table:
    """One model's, reader's and variant's: ``settings`` are those measured, in RULER's order, ``mean`` is that of the
    settings that have answers at every length (``counted``), ``weighted`` RULER's wAvg. (inc) and (dec) of it.

    ``effective`` are effective lengths of the mean; ``notes`` one line each of what limits the table.
    """

    title: str
    lengths: tuple[int, ...]
    settings: tuple[Line, ...]
    counted: tuple[str, ...]
    mean: Line
    weighted: tuple[Line, ...]
    effective: tuple[EffectiveLength, ...]
    notes: tuple[str, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines with a score at each length."""
        return (*self.settings, self.mean) if self.counted else self.settings


def table(
    title: str, rows: Mapping[str, Sequence[Row]], notes: Sequence[str] = (), threshold: float | None = None
) -> Table:
    """From the rows of each setting, by RULER's names. Scores are those that rows have, the share of references found
    (RULER's string_match_all and string_match_part). ``threshold`` (0 to 1) adds an effective length of the user's own.
    """
    ordered = {name: rows[name] for name in SETTINGS if name in rows}
    answered = {name: [row for row in some if row.is_answered] for name, some in ordered.items()}
    lengths = tuple(sorted({row.length for some in ordered.values() for row in some}))
    settings = tuple(Line(name, tuple(_of_setting(some, n) for n in lengths)) for name, some in answered.items())
    counted = tuple(line.name for line in settings if lengths and None not in line.scores)
    mean = Line("", ())
    weighted: tuple[Line, ...] = ()
    effective: tuple[EffectiveLength, ...] = ()
    if counted:
        cube = _Cube({name: answered[name] for name in counted}, lengths)
        name = f"mean of {len(counted)}"
        mean = Line(name, tuple(cube.score([place]) for place in range(len(lengths))))
        if len(lengths) > 1:
            weighted = tuple(
                Line(f"wAvg. ({kind}) of {len(counted)}", (cube.score(range(len(lengths)), shares),))
                for kind, shares in zip(("inc", "dec"), ruler_weights(len(lengths)), strict=True)
            )
            effective = _effective(mean, lengths, threshold)
    found = [*_missing(settings, counted, lengths), *_unequal(settings), *_unanswered(rows, answered), *notes]
    return Table(title, lengths, settings, counted, mean, weighted, effective, tuple(found))


def _of_setting(rows: Sequence[Row], length: int) -> Score | None:
    """Of one setting at one length: Wilson's interval with effective trials, repeats as clusters."""
    chosen = [row for row in rows if row.length == length]
    if not chosen:
        return None
    values = np.array([row.score or 0.0 for row in chosen])
    repeats, labels = np.unique([row.repeat for row in chosen], return_inverse=True)
    sums, sizes = clusters.clustered(labels, values, len(repeats))
    ends = clusters.wilson(sums, sizes, (values**2).sum(), CONFIDENCE)
    return _score(ends, np.array([values.mean()]), np.ones(1), 1, len(values), len(repeats))


def _score(
    ends: tuple, means: np.ndarray, weights: np.ndarray, num_settings: int, num_samples: int, num_repeats: int
) -> Score:
    """``ends`` of the interval of the weighted mean of ``means``, from 0 to 1."""
    low, high = (100 * float(np.clip(end, 0, 1)) for end in ends)
    cited = suite.stratified_wilson(means, np.full(means.shape, float(SAMPLES)), weights, num_settings, CONFIDENCE)
    half = 50 * float(cited[1] - cited[0])
    return Score(100 * float(weights @ means), low, high, num_samples, num_repeats, half)


class _Cube:
    """Scores by setting, length and repeat, each (settings, lengths, repeats)."""

    def __init__(self, rows: Mapping[str, Sequence[Row]], lengths: Sequence[int]):
        places = {length: place for place, length in enumerate(lengths)}
        flat = [(number, places[row.length], row) for number, some in enumerate(rows.values()) for row in some]
        repeats, repeat = np.unique([row.repeat for *_, row in flat], return_inverse=True)
        shape = len(rows), len(lengths), len(repeats)
        index = np.ravel_multi_index(
            (np.array([one[0] for one in flat]), np.array([one[1] for one in flat]), repeat), shape
        )
        size = int(np.prod(shape))
        self.sums = np.bincount(index, [row.score or 0.0 for *_, row in flat], size).reshape(shape)
        self.sizes = np.bincount(index, minlength=size).reshape(shape).astype(float)

    def score(self, lengths: Sequence[int], shares: np.ndarray | None = None) -> Score:
        """The settings' mean over these lengths (places), each with its share."""
        num_settings, num_lengths = len(self.sums), len(lengths)
        each = np.ones(1) if shares is None else shares
        shape = num_settings * num_lengths, -1
        strata = suite.Strata(
            self.sums[:, list(lengths)].reshape(shape), self.sizes[:, list(lengths)].reshape(shape),
            np.tile(each, num_settings) / num_settings, np.repeat(np.arange(num_settings), num_lengths),
        )
        numbers = int(strata.sizes.sum()), int((strata.sizes.sum(0) > 0).sum())
        return _score(suite.wilson(strata, CONFIDENCE), strata.means, strata.weights, num_settings, *numbers)


def _effective(mean: Line, lengths: Sequence[int], threshold: float | None) -> tuple[EffectiveLength, ...]:
    """Of the mean's scores; the interval has every length that their intervals do not rule out."""
    scores = [one for one in mean.scores if one is not None]
    levels = [("RULER, 85.6", RULER)] + ([(f"your {100 * threshold:g}", threshold)] if threshold is not None else [])
    found = []
    for name, level in levels:
        wanted = 100 * level - 1e-9
        counts = [
            leading(np.array(passes)) for passes in (
                [one.mean >= wanted for one in scores], [one.low >= wanted for one in scores],
                [one.high >= wanted for one in scores],
            )
        ]
        found.append(of_counts(name, level, np.array(lengths), counts))
    return tuple(found)


def _missing(settings: Sequence[Line], counted: Sequence[str], lengths: Sequence[int]) -> list[str]:
    notes = []
    if missing := [name for name in SETTINGS if name not in {line.name for line in settings}]:
        notes.append(f"missing: {', '.join(missing)}")
    for line in settings:
        if line.name not in counted:
            where = ", ".join(format_length(n) for n, one in zip(lengths, line.scores, strict=True) if one is None)
            notes.append(f"{line.name} has no answer at {where}, so no mean counts it")
    if len(counted) < len(SETTINGS):
        notes.append(
            f"{len(counted)} of {len(SETTINGS)} settings have answers at every length: "
            + (f"the means are of these {len(counted)}, none is RULER's" if counted else "there is no mean")
        )
    return notes


def _unequal(settings: Sequence[Line]) -> list[str]:
    """Settings or lengths whose numbers of samples are not those of most."""
    numbers = {line.name: {one.num_samples for one in line.scores if one} for line in settings}
    kinds = Counter(tuple(sorted(some)) for some in numbers.values())
    if len(kinds) < 2 and all(len(some) < 2 for some in numbers.values()):
        return []
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, some in numbers.items():
        groups.setdefault(tuple(sorted(some)), []).append(name)
    most = kinds.most_common(1)[0][0]
    parts = [f"{_range(some)} of {', '.join(names)}" for some, names in groups.items() if some != most]
    rest = f", {_range(most)} of the others" if parts else " by length"
    return [f"unequal samples a length: {'; '.join(parts) or _range(most)}{rest}; each setting counts the same"]


def _range(numbers: Sequence[int]) -> str:
    if not numbers:
        return "none"
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _unanswered(rows: Mapping[str, Sequence[Row]], answered: Mapping[str, Sequence[Row]]) -> list[str]:
    """What was left out for having no answer, and what was cut off and counts."""
    notes = []
    without = {
        name: Counter(row.outcome for row in rows[name] if not row.is_answered) for name in answered
    }
    for outcome in sorted({kind for some in without.values() for kind in some}):
        each = {name: some[outcome] for name, some in without.items() if some[outcome]}
        named = ", ".join(f"{name} {number}" for name, number in each.items())
        notes.append(f"left out: {sum(each.values())} trials that ended as {outcome} ({named})")
    cut = {name: sum(row.outcome == Outcome.TRUNCATED for row in some) for name, some in answered.items()}
    if total := sum(cut.values()):
        named = ", ".join(f"{name} {number}" for name, number in cut.items() if number)
        notes.append(f"{total} answers were cut off by their budget and count by what they hold, as in RULER ({named})")
    return notes

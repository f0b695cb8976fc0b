"""Which trials, with which seeds, in which order."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest

import numpy as np

from niah import limits
from niah.errors import NiahError
from niah.limits import NEW, limited, one_of
from niah.records import Trial

DEPTHS = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0]
MAX_TRIALS = 1_000_000
"""All of a run's are in memory, and its rows too."""
APART, BY_LENGTH, BY_REPEAT = "none", "depths", "lengths"
"""``ctx.share``: each trial has a context of its own, or shares that of its length and repeat, or of its repeat."""


@dataclass(frozen=True)
class Ladder:
    """The grid: every length (tokens) at every depth (percent), ``repeats`` times with another needle and text.

    ``share`` is the protocol. none: a needle in a context of its own for each trial. depths: one context for each
    length and repeat, with a needle for every depth, of which a trial asks for one. lengths: one context for each
    repeat, with a needle for every depth of every length; a shorter length is the beginning of a longer one.

    With ``stem`` (tokens; 0: no) places are exact, as the verb ``edges`` wants them: a depth is percent of ``measure``
    tokens whatever the length, and the needle begins at that very token of the prompt, between words. A prompt longer
    than ``stem`` begins with text of its repeat and ends with text of its own (prompts/exact.py), a shorter one has
    text of its own throughout.
    """

    name: str = "custom"
    lengths: list[int] = limited([8192], at_least=1, unit="tokens")
    depths: list[float] = limited(DEPTHS, at_least=0, at_most=100)
    repeats: int = limited(1, at_least=1)
    share: str = one_of(APART, BY_LENGTH, BY_REPEAT, known_as=NEW)
    stem: int = limited(0, at_least=0, unit="tokens", known_as=NEW)
    measure: int = limited(0, at_least=0, unit="tokens", known_as=NEW)

    def __post_init__(self) -> None:
        limits.check(self, "ctx")
        if not self.lengths:
            raise NiahError("ctx.lengths: empty; expected at least one length, as [8k,16k]")
        if not self.depths:
            raise NiahError("ctx.depths: empty; expected at least one depth, as [0,50,100]")
        if bool(self.stem) != bool(self.measure) or (self.stem and self.share != APART):
            raise NiahError("ctx.stem: exact places need ctx.measure too, and a context for each trial; expected both")
        if (num := len({*self.lengths}) * len({*self.depths}) * self.repeats) > MAX_TRIALS:
            raise NiahError(
                f"ctx.repeats: {num:,} trials of {len({*self.lengths})} lengths, {len({*self.depths})} depths and "
                f"{self.repeats:,} repeats; expected at most {MAX_TRIALS:,}; take fewer"
            )


QUESTION_TOKENS = 96
"""What two prompts of one context do not have in common, about: the end that is cut to length, and the question."""
GROWING = {
    APART: ("name", "lengths", "depths", "repeats"), BY_LENGTH: ("name", "lengths", "repeats"),
    BY_REPEAT: ("name", "repeats"),
}
"""Settings of a ladder, by its ``share``, that say how much is asked, never what: a smaller one's trials are those of a
larger one. What stands in a shared context depends on its depths, or on its lengths too."""
PLACEMENTS = ("even", "random", "clustered")
"""Where the needles after the first go: evenly over the context, at random, or right behind the first."""


def trials(ladder: Ladder, *, has_depth: bool = True) -> list[Trial]:
    """All trials, numbered by repeat, then length, then depth.

    Without depth (nothing is planted) a repeat has one trial a length: other depths would be the same
    prompt again, counted as new evidence.
    """
    depths = sorted(set(ladder.depths)) if has_depth else [0.0]
    cells = [
        (repeat, length, depth)
        for repeat in range(ladder.repeats)
        for length in sorted(set(ladder.lengths))
        for depth in depths
    ]
    return [Trial(index, length, depth, repeat) for index, (repeat, length, depth) in enumerate(cells)]


def exact_place(depth: float, measure: int) -> int:
    """The token of the prompt at which a needle of this depth begins, where places are exact (``Ladder.measure``)."""
    return round(depth / 100 * measure)


def needle_depths(depth: float, num_needles: int, placement: str, rng: np.random.Generator) -> list[float]:
    """Depths of all needles in percent, the first at ``depth``.

    Those of the others do not depend on it, so trials of a repeat go on sharing their beginnings.
    """
    others = max(0, num_needles - 1)
    if placement == "even":
        rest = [100 * (number + 0.5) / others for number in range(others)]
    elif placement == "random":
        rest = [float(drawn) for drawn in rng.uniform(0, 100, others)]
    else:
        rest = [depth] * others
    return [depth, *rest][:num_needles]


def above_limit(ladder: Ladder, max_length: int, model: str) -> dict[int, str]:
    """Why each length above the model's own limit is. Raises NiahError when all of them are."""
    above = {
        number: (
            f"ctx.lengths[{number}]: above the limit of {model}; got {length:,}; "
            f"expected at most {max_length:,} (model.max_length)"
        )
        for number, length in enumerate(ladder.lengths)
        if length > max_length
    }
    if len(above) == len(ladder.lengths):
        raise NiahError(f"{above[0]}; take shorter lengths, another model or a reader that retrieves")
    return {ladder.lengths[number]: reason for number, reason in above.items()}


def in_running_order(unordered: Sequence[Trial], share: str = APART) -> list[Trial]:
    """Deepest needle first within a repeat: each prompt then begins like one already read.

    Trials of a repeat share text up to the shallower of their needles, so the engine's prefix cache
    serves that part. Needles at one place, in two lengths, follow each other: they share more. Trials that ``share``
    a context (``Ladder``) follow each other, the longest first: it holds the beginning of all others.
    """
    if share != APART:
        return sorted(unordered, key=lambda t: (t.repeat, -t.length, t.depth))
    return sorted(unordered, key=lambda t: (t.repeat, -round(t.depth / 100 * t.length), -t.length))


def side_by_side(ordered: Sequence[Trial], num: int) -> list[Trial]:
    """Trials of ``num`` repeats in turn: the first one of each, then the second of each, then the next ``num`` repeats.

    So ``num`` engines, a repeat each, have work at once, and no prompt is built long before it is sent.
    """
    if num == 1:
        return list(ordered)
    groups = [list(group) for _, group in groupby(ordered, key=lambda trial: trial.repeat)]
    rows = [row for start in range(0, len(groups), num) for row in zip_longest(*groups[start : start + num])]
    return [trial for row in rows for trial in row if trial is not None]


def expected_work(
    ordered: Sequence[Trial], answer_tokens: int, prefix_caching: bool, num_read: Callable[[int], int] | None = None,
    share: str = APART,
) -> list[int]:
    """Tokens each trial makes the engine compute, about: for the time left, never for results.

    ``num_read`` says how many tokens of a length a reader reads that leaves text out.
    """
    if num_read:
        return [num_read(trial.length) + 4 * answer_tokens for trial in ordered]
    reused = expected_reuse(ordered, share) if prefix_caching else [0] * len(ordered)
    # a decoded token costs several read ones
    return [trial.length - shared + 4 * answer_tokens for trial, shared in zip(ordered, reused, strict=True)]


def expected_reuse(ordered: Sequence[Trial], share: str = APART) -> list[int]:
    """Tokens with which each trial's prompt begins like one of its repeat that was read before it, about."""
    found, repeat, needles, read = [], None, 0, 0
    for trial in ordered:
        if trial.repeat != repeat:
            repeat, needles, read, length = trial.repeat, 0, 0, 0
        if share != APART:
            is_begun = read and (share == BY_REPEAT or trial.length == length)
            found.append(max(0, min(trial.length, read) - QUESTION_TOKENS) if is_begun else 0)
            read, length = trial.length if share == BY_LENGTH else max(read, trial.length), trial.length
            continue
        needle = round(trial.depth / 100 * trial.length)
        found.append(min(needle, needles))
        needles = max(needles, needle)
    return found


def generator(seed: int, repeat: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose of one repeat, whatever else is in the grid."""
    label = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.default_rng([seed, repeat, label])

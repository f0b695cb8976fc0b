"""Exact tests of whether one class of trials does worse than its neighbours, and which of many classes to name.

Trials of a stratum (one text, neighbouring lengths) are exchangeable where no class matters: each test is a permutation
test within strata, whatever strata have in common or how they differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, ndtr, ndtri

from niah.stats.significance import holm

_SCREEN = 2.6
"""Standard deviations from which the exact distribution is worked out; below them p is the normal one, and never small
enough to matter."""
_MOST_NAMED = 4
SIGNALS = ("wrong", "weak")
"""What a class is worse in: wrong answers, or the right answer's log-probability."""


@dataclass(frozen=True)
class Class:
    """A class of trials that may be named. ``member`` is bool (trials,); ``simplicity`` orders those that hold the same
    trials, the simplest first."""

    name: str
    member: np.ndarray
    simplicity: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scope:
    """Trials that are compared with each other, and the classes among them.

    ``stratum`` int (trials,), ``wrong`` bool (trials,), ``strength`` (trials,) the right answer's log-probability in
    nats or NaN where it was not measured.
    """

    stratum: np.ndarray
    wrong: np.ndarray
    strength: np.ndarray
    classes: Sequence[Class]
    keys: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Says of each trial which one it is, over all scopes; (trials,)."""


@dataclass(frozen=True)
class Found:
    """A class that is named. ``p`` is the exact p of its test, ``adjusted`` Holm's over all; ``in_class`` and
    ``outside`` are the share of wrong answers there, or the mean log-probability in nats; ``num_class`` and ``num_all``
    count trials. ``explained`` is the share of all wrong answers in its scope that lie in it."""

    name: str
    signal: str
    p: float
    adjusted: float
    in_class: float
    outside: float
    num_class: int
    num_all: int
    explained: float


@dataclass(frozen=True)
class Search:
    """What was found among ``num_tests``, two a class, of which ``num_counted`` could have reached significance.
    ``threshold`` is the p that is surely enough."""

    found: list[Found]
    num_tests: int
    num_counted: int
    threshold: float


def search(scopes: Sequence[Scope], alpha: float) -> Search:
    """The classes that are worse than their neighbours, the one that explains most first; falsely any with a
    probability of at most ``alpha``.

    Holm (1979) over all tests that could reach their level at all given how many trials and wrong answers there are
    (Tarone 1990, Biometrics 46). Of the significant ones the smallest p is named, the simplest where several hold the
    same trials. Its trials are then left out, and what is still significant is named too.
    """
    named: list[Found] = []
    dropped: set[int] = set()
    first: Search | None = None
    while len(named) < _MOST_NAMED:
        left = [_without(scope, dropped) for scope in scopes]
        tests = [test for scope in left for test in _tests(scope)]
        counted = _counted(tests, alpha)
        if first is None:
            num = sum(2 if np.isfinite(scope.strength).all() else 1 for scope in left for _ in scope.classes)
            first = Search(named, num, len(counted), alpha / max(1, num))
        best = _best(counted, alpha)
        if best is None:
            break
        named.append(best.found())
        dropped |= set(best.scope.keys[best.scope.classes[best.place].member].tolist())
    assert first is not None
    return first


@dataclass
class _Test:
    scope: Scope
    place: int
    signal: str
    scores: np.ndarray
    """High is bad; (trials,)."""
    z: float
    least: float
    """Natural logarithm of the smallest p that the test can reach."""
    p: float = 1.0
    adjusted: float = 1.0

    @property
    def own(self) -> Class:
        return self.scope.classes[self.place]

    def found(self) -> Found:
        member, scope = self.own.member, self.scope
        values = scope.wrong.astype(float) if self.signal == "wrong" else scope.strength
        num_wrong = int(scope.wrong.sum())
        return Found(
            self.own.name, self.signal, self.p, self.adjusted, float(np.nanmean(values[member])),
            float(np.nanmean(values[~member])), int(member.sum()), len(member),
            float(scope.wrong[member].sum() / num_wrong) if num_wrong else float("nan"),
        )


def _without(scope: Scope, dropped: set[int]) -> Scope:
    if not dropped:
        return scope
    kept = ~np.isin(scope.keys, list(dropped))
    own = [Class(one.name, one.member[kept], one.simplicity) for one in scope.classes]
    return Scope(scope.stratum[kept], scope.wrong[kept], scope.strength[kept], own, scope.keys[kept])


def _tests(scope: Scope) -> list[_Test]:
    """Both signals of every class that has members and others in a stratum."""
    if not len(scope.stratum) or not scope.classes:
        return []
    members = np.array([one.member for one in scope.classes], dtype=float)
    strata = [scope.stratum == one for one in np.unique(scope.stratum)]
    found = []
    for signal in SIGNALS:
        if signal == "weak" and not np.isfinite(scope.strength).all():
            continue
        scores = scope.wrong.astype(float) if signal == "wrong" else _badness(scope.strength, strata)
        z, least = _screened(members, scores, strata, is_rank=signal == "weak")
        for place in np.flatnonzero(np.isfinite(z)):
            test = _Test(scope, int(place), signal, scores, float(z[place]), float(least[place]))
            test.p = float(ndtr(-test.z))
            if test.z > _SCREEN:
                test.p = exact_p(scores, scope.classes[place].member, scope.stratum, is_rank=signal == "weak")
            found.append(test)
    return found


def _badness(strength: np.ndarray, strata: Sequence[np.ndarray]) -> np.ndarray:
    """Rank of each trial in its stratum, 1 for the strongest; ties are broken by lot, so that ranks are a
    permutation."""
    lot = np.random.default_rng(0).random(len(strength))
    ranks = np.empty(len(strength))
    for own in strata:
        order = np.lexsort((lot[own], -strength[own]))
        of = np.empty(len(order))
        of[order] = np.arange(1, len(order) + 1)
        ranks[own] = of
    return ranks


def _screened(
    members: np.ndarray, scores: np.ndarray, strata: Sequence[np.ndarray], *, is_rank: bool
) -> tuple[np.ndarray, np.ndarray]:
    """z of each class's sum of scores under permutation within strata, NaN where nothing can vary; and the logarithm of
    the smallest p that it can reach."""
    excess, variance, least = np.zeros(len(members)), np.zeros(len(members)), np.zeros(len(members))
    for own in strata:
        mine, size = scores[own], int(own.sum())
        count = members[:, own].sum(1)
        excess += members[:, own] @ mine - count * mine.mean()
        if size > 1:
            variance += count * (size - count) / (size - 1) * mine.var()
        ways = _log_choose(size, count)
        if is_rank:
            least -= ways
        else:
            num_wrong = mine.sum()
            most = np.minimum(count, num_wrong)
            least += _log_choose(num_wrong, most) + _log_choose(size - num_wrong, count - most) - ways
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 1e-12, excess / np.sqrt(variance), np.nan), least


def _log_choose(n: np.ndarray | float, k: np.ndarray | float) -> np.ndarray:
    return np.asarray(gammaln(np.add(n, 1)) - gammaln(np.add(k, 1)) - gammaln(np.subtract(n, k) + 1))


def exact_p(scores: np.ndarray, member: np.ndarray, stratum: np.ndarray, *, is_rank: bool) -> float:
    """P(the class's sum of scores is at least as large) where the trials of each stratum are permuted.

    ``scores`` are 0 and 1 (the sum over strata of Fisher's exact test: Mantel and Haenszel 1959, with the exact
    distribution by convolution) or ``is_rank`` the numbers 1 to n of each stratum (van Elteren 1960, likewise).
    """
    chances, observed = np.ones(1), 0
    """Of each sum above the smallest possible, taken from the top: what the class falls short of the largest sum."""
    for one in np.unique(stratum):
        own = stratum == one
        size, count = int(own.sum()), int(member[own].sum())
        mine = int(scores[own & member].sum())
        if is_rank:
            top = count * size - count * (count - 1) // 2
            part = _rank_sums(size, count)
        else:
            num_wrong = int(scores[own].sum())
            top = min(count, num_wrong)
            falls = np.arange(top - max(0, count + num_wrong - size) + 1)
            taken = top - falls
            part = np.exp(
                _log_choose(num_wrong, taken) + _log_choose(size - num_wrong, count - taken) - _log_choose(size, count)
            )
        observed += top - mine
        chances = np.convolve(chances, part)
    return float(min(1.0, chances[: observed + 1].sum()))


@lru_cache(maxsize=4096)
def _rank_sums(size: int, count: int) -> np.ndarray:
    """Chance of each amount by which the sum of ``count`` of the numbers 1 to ``size`` falls short of the largest: the
    distribution of Wilcoxon's statistic (Mann and Whitney 1947), by adding one number at a time."""
    count = min(count, size - count)  # falls short as far either way
    most = count * (size - count)
    ways = np.zeros((count + 1, most + 1))
    ways[0, 0] = 1.0
    for number in range(size):  # number: how far below the largest this one is
        for taken in range(min(count, number + 1), 0, -1):
            shift = number - (taken - 1)
            if shift <= most:
                ways[taken, shift:] += ways[taken - 1, : most + 1 - shift]
    found: np.ndarray = ways[count] / ways[count].sum()
    return found


def _counted(tests: list[_Test], alpha: float) -> list[_Test]:
    """Those that can reach alpha / K at all, K the smallest number that counts no more of them."""
    least = np.sort([test.least for test in tests])
    for num in range(1, len(tests) + 2):
        reach = np.log(alpha / num) + 1e-9
        if int(np.searchsorted(least, reach, side="right")) <= num:
            return [test for test in tests if test.least <= reach]
    return tests


def _best(tests: list[_Test], alpha: float) -> _Test | None:
    """The significant test with the smallest p, of several the one whose class holds the fewest right answers: strata
    without a wrong one are no evidence. Holm's adjusted p is written to each."""
    if not tests:
        return None
    for test, adjusted in zip(tests, holm(np.array([test.p for test in tests])), strict=True):
        test.adjusted = float(adjusted)
    significant = [test for test in tests if test.adjusted <= alpha]

    def order(test: _Test) -> tuple[float, int, tuple[int, ...]]:
        num_right = int((test.own.member & ~test.scope.wrong).sum()) if test.signal == "wrong" else 0
        return round(float(np.log(max(test.p, 1e-300))), 6), num_right, test.own.simplicity

    return min(significant, key=order, default=None)


def detectable_share(
    num_class: int, num_others: int, wrong_share: float, threshold: float, power: float = 0.8
) -> float:
    """The smallest share of a class's trials that, were they wrong, would have been found with this power where of the
    others ``wrong_share`` are: NaN where none would. One stratum of Fisher's exact test at ``threshold``."""
    from scipy.stats import binom, hypergeom

    wrong_outside = round(wrong_share * num_others)
    counts = np.arange(num_class + 1)
    total = num_class + num_others
    p = np.array([hypergeom.sf(one - 1, total, one + wrong_outside, num_class) for one in counts])
    enough = counts[p <= threshold]
    if not len(enough):
        return float("nan")
    for share in np.arange(0.02, 1.001, 0.02):
        if binom.sf(enough[0] - 1, num_class, share) >= power:
            return float(share)
    return float("nan")


def detectable_shift(num_class: int, num_others: int, deviation: float, threshold: float, power: float = 0.8) -> float:
    """The same for a fall of the log-probability, in the unit of ``deviation``, its standard deviation within strata;
    by the efficiency of ranks under a normal distribution (3 / pi)."""
    if not num_class or not num_others:
        return float("nan")
    spread = np.sqrt((1 / num_class + 1 / num_others) * np.pi / 3)
    return float((ndtri(1 - threshold) + ndtri(power)) * spread * deviation)

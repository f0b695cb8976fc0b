"""Is one of two worse, or not worse by more than a margin: evidence that holds at any moment, from paired repeats.

A repeat's difference is its score under the second less that under the first: of all cells, or of one that was drawn at
random beforehand; its mean is that of the grid either way. "Worse" bets that differences lie below 0, against the two
being alike (``evidence.signed_growth``); over the whole grid with half of the error probability, and at each length by
itself with an equal part of the other half. "Not worse" bets that the mean over the whole grid lies above -margin,
whatever the differences' distribution (``evidence.growth``), with all of it: where the second is worse by the margin it
is no error to call it worse, so that no case can be wrong both ways.
"""

from dataclasses import dataclass

import numpy as np

from niah.stats import evidence

WORSE, NOT_WORSE, OPEN = "worse", "not worse", "open"


def worse(differences: np.ndarray) -> np.ndarray:
    """Nats of evidence that the second is worse after each of the differences (..., repeats), of which none is left
    out."""
    return evidence.signed_evidence(evidence.signed_growth(-np.asarray(differences, dtype=float)).cumsum(-2))


def not_worse(differences: np.ndarray, margin: float) -> np.ndarray:
    """Nats of evidence after each of the differences (..., repeats) that their mean lies above -margin."""
    values = (1 + np.asarray(differences, dtype=float)) / 2
    return evidence.evidence(evidence.growth(values, (1 - margin) / 2).cumsum(-2))


@dataclass(frozen=True)
class Decision:
    """``verdict`` is worse, not worse or open; ``where`` the length at which it is worse, 0 for the whole grid.

    Evidence in nats is the most that there was, beside what it needs.
    """

    verdict: str
    where: int
    worse: float
    worse_needed: float
    not_worse: float
    not_worse_needed: float
    num_repeats: int
    difference: float


def decide(
    differences: np.ndarray, by_length: dict[int, np.ndarray], num_lengths: int, margin: float, alpha: float
) -> Decision:
    """From the differences of whole repeats (repeats,), and from those of each length by itself, as far as they go."""
    whole_needed = evidence.needed(alpha / 2)
    each_needed = evidence.needed(alpha / 2 / num_lengths)
    whole = float(worse(differences).max(initial=0.0))
    within = float(not_worse(differences, margin).max(initial=0.0))
    own = {length: float(worse(some).max(initial=0.0)) for length, some in by_length.items()}
    where = max(own, key=lambda length: own[length], default=0)
    verdict, place, needed = OPEN, 0, evidence.needed(alpha)
    shown, shown_needed = whole, whole_needed
    if whole >= whole_needed:
        verdict = WORSE
    elif num_lengths > 1 and own.get(where, 0.0) >= each_needed:
        verdict, place, shown, shown_needed = WORSE, where, own[where], each_needed
    elif within >= needed:
        verdict = NOT_WORSE
    mean = float(np.mean(differences)) if len(differences) else float("nan")
    return Decision(verdict, place, shown, shown_needed, within, needed, len(differences), mean)

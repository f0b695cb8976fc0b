"""The graded signal of a comparison in words: its table, and one sentence that says what it is about."""

from niah.report.text_table import aligned
from niah.report.verdict import named, p_text
from niah.stats.comparison import Comparison
from niah.stats.signal import Signal
from niah.stats.significance import NONZERO
from niah.units import format_length

ACCURACY, GRADED = "accuracy", "graded"
"""What may decide (compare.primary): right and wrong, or the log-probability of the right answer."""


def table(found: Comparison, confidence: float) -> list[str]:
    """One line a length and one for all; empty where not both runs measured it."""
    if not found.signal:
        return []
    head = f"log-probability of the answer, difference [{confidence:.0%}], nats"
    rows = [["length", "pairs", head, "p", "Holm p", "test"]]
    for s in (*found.signal_lengths, found.signal):
        name = "all" if s is found.signal else format_length(s.lengths[0])
        rows.append([name, str(s.num_pairs), _nats(s), p_text(s.p), p_text(s.adjusted_p), s.test])
    return aligned(rows, [8, 6, 66, 7, 7, 0])


def is_open(found: Comparison, confidence: float) -> bool:
    """A test was made and found nothing, overall and at every length."""
    return found.signal is not None and found.signal.has_test and not has_found(found, confidence)


def has_found(found: Comparison, confidence: float) -> bool:
    """Something is significant, overall or at a length after Holm."""
    signals = [*([found.signal] if found.signal else []), *found.signal_lengths]
    return any(one.is_significant(confidence) for one in signals)


def sentence(
    found: Comparison, other: str, confidence: float, primary: str, detectable: float | None = None
) -> str | None:
    """What became of the log-probability, and what part in the verdict that has; None where it was not measured.

    ``detectable`` is the smallest fall (nats) that would have been found with 80%, where nothing was.
    """
    overall = found.signal
    if overall is None:
        return None
    role = "decides, as declared" if primary == GRADED else "secondary, accuracy decides"
    text = f"Graded signal ({role}): {_change(found, overall, other, confidence, detectable)}"
    if overall.num_pairs < found.overall.num_pairs:
        text += f"; measured in {overall.num_pairs} of {found.overall.num_pairs} pairs"
    return f"{text}."


def _change(found: Comparison, overall: Signal, other: str, confidence: float, detectable: float | None) -> str:
    what = f"{other}'s log-probability of the right answer"
    if not overall.has_test:
        return f"no verdict on {what}, {_nats(overall)} nats: 1 repeat is one needle in one text"
    hits = {
        sign: [s.lengths[0] for s in found.signal_lengths if sign * s.mean > 0 and s.is_significant(confidence)]
        for sign in (-1, 1)
    }
    ladder = [s.lengths[0] for s in found.signal_lengths]
    alone = " and ".join(
        f"{'falls' if sign < 0 else 'rises'} at {named(lengths, ladder)}" for sign, lengths in hits.items() if lengths
    )
    if overall.is_significant(confidence):
        shown = f"{what} {'falls' if overall.mean < 0 else 'rises'} by {_span(overall)} nats over all lengths together"
        by_itself = f" ({alone} by itself)" if alone and len(ladder) > 1 else ""
        return f"{shown}{by_itself}; its probability goes from {overall.base:.2f} to {overall.other:.2f} on average"
    if alone:
        return f"{what} {alone}, and is {_nats(overall)} nats from the baseline's over all lengths together"
    could = f"; a fall of {detectable:.2g} nats or more would have been found with 80%" if detectable else ""
    return f"no significant change of {what}, {_nats(overall)} nats{could}"


def second(verdict: str, found: Comparison, confidence: float, primary: str) -> str:
    """The sentence about accuracy in its place: as it is where accuracy decides, else after the graded signal's.

    Where the first question finds nothing the second is not asked: a fixed sequence, in which both together are wrong
    in 5% (Maurer, Hothorn and Lehmacher 1995).
    """
    if primary == ACCURACY:
        return verdict
    if has_gate(found, confidence):
        return f"Accuracy (second, asked as the first was answered): {verdict}"
    return f"Accuracy (second, no claim as the first shows nothing): {verdict}"


def has_gate(found: Comparison, confidence: float) -> bool:
    """Whether accuracy may be claimed after the graded signal: over all lengths together it has changed."""
    return found.signal is not None and found.signal.is_significant(confidence)


def _span(s: Signal) -> str:
    ends = sorted((abs(s.low), abs(s.high)))
    least = ">0" if ends[0] <= NONZERO else f"{ends[0]:.3f}"
    return f"{abs(s.mean):.3f} [{least}, {ends[1]:.3f}]"


def _nats(s: Signal) -> str:
    return f"{s.mean:+.3f} [{_end(s.low)}, {_end(s.high)}]"


def _end(value: float) -> str:
    if 0 < abs(value) <= NONZERO:
        return ">0" if value > 0 else "<0"
    return f"{value + 0.0:+.3f}"

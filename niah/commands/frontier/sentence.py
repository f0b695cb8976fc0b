"""What ``frontier`` says: the interval in one sentence, a line for each length, what it took."""

from collections.abc import Sequence
from typing import Any

from niah import grid
from niah.commands.frontier.search import Search
from niah.grid import Ladder
from niah.report.text_table import aligned
from niah.stats import evidence
from niah.units import format_length


def lines(search: Search, ladder: Ladder, confidence: float) -> list[str]:
    """All that is printed of one variant."""
    frontier, chances = search.frontier, search.frontier.chances()[0]
    reached = int(chances.argmax())
    rows = [["length", "contexts", "believed", "proven", "evidence above", "below"]]
    means = frontier.means()[0].mean(-1)
    above, below = evidence.evidence(frontier.above[0]), evidence.evidence(frontier.below[0])
    for place, length in enumerate(search.lengths):
        proven = "above" if frontier.is_above[0, place] else "below" if frontier.is_below[0, place] else "-"
        rows.append([
            format_length(length), str(frontier.counts[0, place]), f"{means[place]:.2f}", proven,
            f"{above[place]:.1f} of {frontier.needed_above:.1f}", f"{below[place]:.1f} of {frontier.needed_below:.1f}",
        ])
    repeats = 5
    trials = grid.trials(Ladder(lengths=search.lengths, depths=ladder.depths, repeats=repeats))
    ordered = grid.in_running_order(trials, ladder.share)
    whole = sum(grid.expected_work(ordered, 0, prefix_caching=True, share=ladder.share))
    return [
        sentence(search, confidence), *aligned(rows, [8, 8, 8, 6, 15, 12]),
        f"believed, not claimed: {_name(search.lengths, reached)} with {chances[reached]:.2f}",
        f"{int(frontier.counts.sum())} contexts, {search.tokens:,} tokens computed; a grid of {repeats} repeats, which "
        f"proves nothing, computes about {whole:,}",
    ]


def sentence(search: Search, confidence: float) -> str:
    """The claim."""
    low, high = (int(one[0]) for one in search.frontier.interval())
    level = f"effective length at {search.threshold:.1%}"
    if search.base:
        level += f" of the accuracy at {', '.join(map(format_length, search.base))}"
    last = len(search.lengths)
    if low == high:
        least = "at least " if low == last else ""
        return f"{level}: {least}{_name(search.lengths, low)}, with {confidence:.0%} confidence"
    if low == 0 and high == last:
        return f"{level}: nothing is proven yet with {confidence:.0%} confidence"
    ends = (f"at least {_name(search.lengths, low)}" if low else "", f"at most {_name(search.lengths, high)}"
            if high < last else "")
    return f"{level}: {', '.join(filter(None, ends))}, with {confidence:.0%} confidence"


def _name(lengths: Sequence[int], reached: int) -> str:
    return format_length(lengths[reached - 1]) if reached else f"below {format_length(lengths[0])}"


def content(search: Search, confidence: float) -> dict[str, Any]:
    """The same as numbers. Lengths are tokens; null is below the ladder."""
    frontier = search.frontier
    low, high = (int(one[0]) for one in frontier.interval())
    chances = frontier.chances()[0]
    return {
        "sentence": sentence(search, confidence), "threshold": search.threshold, "base": search.base,
        "confidence": confidence,
        "low": search.lengths[low - 1] if low else None, "high": search.lengths[high - 1] if high else None,
        "high_is_open": high == len(search.lengths), "lengths": search.lengths, "depths": search.depths,
        "contexts": frontier.counts[0].tolist(), "is_above": frontier.is_above[0].tolist(),
        "is_below": frontier.is_below[0].tolist(),
        "evidence_above": evidence.evidence(frontier.above[0]).tolist(),
        "evidence_below": evidence.evidence(frontier.below[0]).tolist(),
        "needed_above": frontier.needed_above, "needed_below": frontier.needed_below,
        "believed": chances.tolist(), "believed_accuracy": frontier.means()[0].tolist(), "tokens": search.tokens,
        "steps": [[step.tokens, step.low, step.high] for step in search.steps],
    }

"""What ``edges`` says: a table of the zones, the pattern that is named, or what is ruled out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from niah.commands.edges.patterns import FOUND, Seen
from niah.report.text_table import aligned
from niah.stats.classes import Found, Search, detectable_share, detectable_shift

_SHARES = (("a quarter of all prompts, as a residue mod 4", 4), ("a sixteenth", 16), ("a fortieth", 40))
_ALIKE = 0.5
"""Share of wrong answers from which what no pattern explains is said to be everywhere."""


def lines(name: str, seen: Sequence[Seen], searched: Search, confidence: float, computed: int) -> list[str]:
    """All that is printed of one variant."""
    zones: dict[str, list[Seen]] = {}
    for one in seen:
        zones.setdefault(one.zone, []).append(one)
    rows = [["prompts", "number", "tokens", "hits", "wrong", "log-probability"]]
    for zone, own in zones.items():
        lengths = [one.num_tokens for one in own]
        rows.append([
            zone, str(len(own)), f"{min(lengths):,} to {max(lengths):,}", str(sum(one.cached > 0 for one in own)),
            str(sum(one.is_wrong for one in own)), _nats(float(np.mean([one.strength for one in own]))),
        ])
    said = [*([name] if name else []), *aligned(rows, [10, 6, 14, 4, 5, 15])]
    said += [sentence(one) for one in searched.found]
    if not searched.found:
        said.append(f"no pattern, with {confidence:.0%} confidence that one would not be named by chance")
        share = np.mean([one.is_wrong for one in seen])
        if share > _ALIKE:
            said.append(
                f"{share:.0%} of the answers are wrong, whatever the length and wherever the needle lies: of no "
                "border; the model, or a fault that is everywhere alike (calibrate=true tells them apart)"
            )
        said.append(f"would have been found with 80%: {ruled_out(seen, searched)}")
    said.append(
        f"{len(seen)} prompts, {computed:,} prompt tokens computed; {searched.num_tests:,} tests, of which a p below "
        f"{searched.threshold:.0e} is named"
    )
    return said


def sentence(found: Found) -> str:
    """The pattern and its evidence."""
    evidence = f"p = {found.p:.0e} ({found.adjusted:.0e} among all tests)"
    num_others = found.num_all - found.num_class
    if found.signal == "wrong":
        wrong, others = round(found.in_class * found.num_class), round(found.outside * num_others)
        verb = "wrong only where" if not others else "wrong more often where"
        counts = f"{wrong} of {found.num_class} there, {others} of {num_others} elsewhere"
        if found.name.startswith(FOUND):
            return f"found where nothing can be: {found.name.removeprefix(FOUND).strip()}: {evidence}; {counts}"
        return f"{verb} {found.name}: {evidence}; {counts}"
    return (
        f"weaker where {found.name}: {evidence}; the right answer's log-probability, of prompts that end in it, is "
        f"{_nats(found.in_class)} in {found.num_class} of them, {_nats(found.outside)} elsewhere"
    )


def ruled_out(seen: Sequence[Seen], searched: Search) -> str:
    """Effects that would have been found, by the size of the class that has them."""
    asked = [one for one in seen if one.twin < 0]
    share = float(np.mean([one.is_wrong for one in asked]))
    parts = []
    for name, of in _SHARES:
        size = max(1, len(asked) // of)
        found = detectable_share(size, len(asked) - size, share, searched.threshold)
        shift = detectable_shift(size, len(asked) - size, _deviation(asked), searched.threshold)
        weak = f" or {shift:.2g} nats" if np.isfinite(shift) else ""
        wrong = f"{found:.0%} wrong" if np.isfinite(found) else "nothing in answers"
        parts.append(f"{wrong}{weak} in {name}")
    return "; ".join(parts)


def _deviation(seen: Sequence[Seen]) -> float:
    """Standard deviation of the log-probability within zone and text, nats."""
    groups: dict[tuple[str, int], list[float]] = {}
    for one in seen:
        groups.setdefault((one.zone, one.repeat), []).append(one.strength)
    spreads = [np.var(own, ddof=1) for own in groups.values() if len(own) > 1]
    return float(np.sqrt(np.mean(spreads))) if spreads else float("nan")


def between(by_name: Mapping[str, Sequence[Seen]]) -> str:
    """How the variants differ on the same prompts; empty for one."""
    if len(by_name) < 2:
        return ""
    (first, base), *others = by_name.items()
    parts = []
    for name, own in others:
        known = {one.key: one for one in base}
        pairs = [(known[one.key], one) for one in own if one.key in known]
        if not pairs:
            continue
        shift = float(np.mean([after.strength - before.strength for before, after in pairs]))
        lost = sum(after.is_wrong and not before.is_wrong for before, after in pairs)
        gained = sum(before.is_wrong and not after.is_wrong for before, after in pairs)
        parts.append(
            f"{name} against {first} on the same {len(pairs)} prompts: {lost} lost, {gained} gained, the right "
            f"answer's log-probability {_nats(shift)} on average"
        )
    return "; ".join(parts)


def content(seen: Sequence[Seen], searched: Search, computed: int) -> dict[str, Any]:
    """The same as numbers."""
    return {
        "found": [{**asdict(one), "sentence": sentence(one)} for one in searched.found],
        "ruled_out": "" if searched.found else ruled_out(seen, searched), "num_prompts": len(seen),
        "num_wrong": sum(one.is_wrong for one in seen), "tokens": computed, "num_tests": searched.num_tests,
        "threshold": searched.threshold,
    }


def _nats(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "-"

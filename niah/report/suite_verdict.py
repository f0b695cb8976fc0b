"""A comparison of sweeps in words: the mean of their settings, and one line and verdict a setting."""

from collections.abc import Mapping, Sequence

from niah.report import verdict
from niah.report.text_table import aligned
from niah.stats.comparison import MIN_REPEATS, Comparison, Difference
from niah.stats.signflip import smallest_p


def table(settings: Mapping[str, Difference], base: str, other: str, confidence: float) -> list[str]:
    """One line a setting, over all its lengths, p adjusted over the settings (Holm)."""
    head = f"difference [{confidence:.0%}], points"
    rows = [["setting", "pairs", base[-16:], other[-16:], head, "lost", "gained", "p", "Holm p", "verdict"]]
    for name, one in settings.items():
        rows.append([
            name, str(one.num_pairs), f"{one.base:.3f}", f"{one.other:.3f}", verdict.span(one), str(one.num_lost),
            str(one.num_gained), verdict.p_text(one.p), verdict.p_text(one.adjusted_p), said(one, confidence),
        ])
    width = max(map(len, ("setting", *settings)))
    return [line.rstrip() for line in aligned(rows, [-width, 6, 16, 16, 28, 4, 6, 7, 7, 0])]


def said(one: Difference, confidence: float) -> str:
    """The verdict on one setting, in a word or two."""
    if not one.has_test:
        return "no verdict"
    if not one.is_significant(confidence):
        return "no significant difference"
    return "worse" if one.difference < 0 else "better"


def sentence(settings: Mapping[str, Difference], confidence: float) -> str:
    """What the settings show one by one."""
    words = {name: said(one, confidence) for name, one in settings.items()}
    parts = [
        f"{kind} in {', '.join(f'{name} ({verdict.span(settings[name])} points)' for name in names)}"
        for kind in ("worse", "better") if (names := [name for name, word in words.items() if word == kind])
    ]
    num_open = sum(word == "no significant difference" for word in words.values())
    if num_open:
        which = "any" if num_open == len(settings) else f"the other {num_open}" if parts else str(num_open)
        parts.append(f"no significant difference in {which}")
    if untested := sum(word == "no verdict" for word in words.values()):
        parts.append(f"no verdict on {untested}")
    return f"The {len(settings)} settings one by one (Holm): {'; '.join(parts)}."


def caveats(settings: Mapping[str, Difference], confidence: float) -> list[str]:
    """That so few repeats can show no single setting, where that is so."""
    repeats = max(one.num_repeats for one in settings.values())
    needed = next(r for r in range(MIN_REPEATS, 99) if smallest_p(r) * len(settings) <= 1 - confidence)
    if not MIN_REPEATS <= repeats < needed:
        return []
    return [
        f"{repeats} repeats: no single setting can be significant among {len(settings)} (Holm); from {needed} repeats "
        "on it can"
    ]


def is_worse(suite: Comparison, settings: Sequence[Difference], confidence: float) -> bool:
    """The mean lost, overall or at a length, or a setting did."""
    differences = (suite.overall, *suite.lengths, *settings)
    return any(one.difference < 0 and one.is_significant(confidence) for one in differences)

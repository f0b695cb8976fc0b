"""Means of what is measured beside the score (``Score.beside``, thinking under a budget), over all answers and by
length."""

from collections.abc import Iterable, Sequence

from niah.records import Row
from niah.stats import budgets


def means(rows: Iterable[Row]) -> dict[str, float]:
    """By name, in the scorer's order, each over the answers that have it; empty where none has any."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, value in _of_row(row).items():
            found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def by_length(rows: Iterable[Row]) -> dict[int, dict[str, float]]:
    """The same for each length in tokens."""
    parts: dict[int, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.length, []).append(row)
    return {length: found for length, own in sorted(parts.items()) if (found := means(own))}


def _of_row(row: Row) -> dict[str, float]:
    return {**row.beside, **budgets.of_row(row)}


def sentence(rows: Sequence[Row]) -> str:
    """What to say of them beside a mean of scores; empty where there are none."""
    named = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in means(rows).items())
    return f"beside the score, mean of {sum(bool(_of_row(row)) for row in rows):,} answers: {named}" if named else ""

"""What a crosscheck says: whose failures they are, how often both engines wrote the same, where they first parted."""

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from niah.commands.report import without_nan
from niah.stats.agreement import BOTH_FAIL, BOTH_RIGHT, FIRST_FAILS, SECOND_FAILS, VERDICTS, Agreement, agreement
from niah.units import format_length

if TYPE_CHECKING:
    from niah.commands.crosscheck.crosscheck import CrosscheckSettings

_SHOWN = 12
"""First differences printed; all are in crosscheck.jsonl."""


@dataclass(frozen=True)
class Told:
    """Lines to print, and the same as data."""

    lines: list[str]
    content: dict[str, Any]


def tell(lines: Sequence[dict[str, Any]], settings: "CrosscheckSettings", path: str, second: str, num_trials: int) -> Told:
    """From lines of crosscheck.jsonl, one an answer. ``num_trials`` is how many trials the run has."""
    answered = [line for line in lines if line["second"]["score"] is not None]
    variants = {line["variant"]: None for line in answered}
    of = {name: [line for line in answered if line["variant"] == name] for name in variants}
    found = {name: _agreement(own, settings) for name, own in of.items()}
    together = _agreement(answered, settings)
    asked = len({line["trial"] for line in answered})
    first = answered[0]["first"]["engine"] if answered else "?"
    told = [
        f"{path} ({first}) against {second}: {len(answered)} answers to {asked} of {num_trials} trials, on the same prompt ids",
        *_table(found, together),
        *(_sentence(name, one, first, second.partition(" ")[0], _of_the_dtype(of, name)) for name, one in found.items()),
        *_same(together, settings, asked, num_trials), *_signal(of),
    ]
    parted = [line for line in answered if not line["is_same"]]
    told += _differences(parted, settings, path)
    uncounted = sum(line["ids_counted"] is False for line in answered)
    if uncounted:
        told.append(f"note: the text of {uncounted} stored answers could not be split into as many tokens as were counted; their place is an estimate")
    content = {
        "num_trials": asked, "overall": dataclasses.asdict(together), "variants": {name: dataclasses.asdict(one) for name, one in found.items()},
        "near_ties": sum(_is_near(line, settings) for line in parted), "differences": len(parted), "lines": told,
    }
    return Told(told, without_nan(content))


def _agreement(lines: Sequence[dict[str, Any]], settings: "CrosscheckSettings") -> Agreement:
    return agreement(
        [line["repeat"] for line in lines], [line["is_same"] for line in lines], [line["verdict"] for line in lines],
        settings.confidence,
    )


def _table(found: dict[str, Agreement], together: Agreement) -> list[str]:
    rows = [*found.items(), *([("all", together)] if len(found) > 1 else [])]
    width = max([7, *(len(name) for name, _ in rows)])
    lines = [f"{'variant':<{width}}  answers  {'  '.join(VERDICTS)}  same answer"]
    for name, one in rows:
        counts = "  ".join(f"{one.verdicts[kind]:>{len(kind)}}" for kind in VERDICTS)
        lines.append(f"{name:<{width}}  {one.n:>7}  {counts}  {_share(one)}")
    return lines


def _share(one: Agreement) -> str:
    return f"{one.same}/{one.n} = {one.same / one.n:.0%} [{one.low:.0%}, {one.high:.0%}]" if one.n else "none"


def _of_the_dtype(of: dict[str, list[dict[str, Any]]], name: str) -> int:
    """Trials that fail under this variant on both engines, and are right on both under the run's first variant."""
    base = {line["trial"] for line in of[next(iter(of))] if line["verdict"] == BOTH_RIGHT}
    return sum(line["verdict"] == BOTH_FAIL and line["trial"] in base for line in of[name])


def _sentence(name: str, one: Agreement, first: str, second: str, num_of_dtype: int) -> str:
    """Whose failures they are."""
    both, alone, other = (one.verdicts[kind] for kind in (BOTH_FAIL, FIRST_FAILS, SECOND_FAILS))
    if not both + alone:
        told = f"no failure of {first} in this sample"
    else:
        dtype = f", or for {num_of_dtype} of them, right under the first variant on both, this KV dtype" if num_of_dtype else ""
        told = f"of {both + alone} failures of {first}, {both} fail on {second} too (the model{dtype}) and {alone} do not (the engine or its numerics)"
    return f"{name or first}: {told}; {other} fail on {second} alone"


def _same(one: Agreement, settings: "CrosscheckSettings", asked: int, num_trials: int) -> list[str]:
    if not one.n:
        return []
    lines = [f"the same greedy answer, word for word: {_share(one)} (Wilson, {settings.confidence:.0%}, by repeats)"]
    if asked < num_trials:
        lines.append(
            "note: the sample takes discordant trials first, then as many wrong as right ones, so its shares are not those of "
            "the whole run; crosscheck.trials=0 asks for all"
        )
    return lines


def _signal(of: dict[str, list[dict[str, Any]]]) -> list[str]:
    """How far the engines' log-probabilities of the right answer lie apart, which shows in every trial."""
    lines = []
    for name, own in of.items():
        shifts = [line["second"]["logprob"] - line["first"]["logprob"] for line in own if None not in (line["second"]["logprob"], line["first"]["logprob"])]
        if shifts:
            sizes = [abs(shift) for shift in shifts]
            lines.append(
                f"{name}: the right answer's log-probability on the second engine lies {statistics.median(sizes):.3f} nats (median, "
                f"largest {max(sizes):.3f}) from the first's; mean shift {statistics.fmean(shifts):+.3f}"
            )
    return lines


def _is_near(line: dict[str, Any], settings: "CrosscheckSettings") -> bool:
    """A near-tie; a gap that is only known to be at least so much is none."""
    place = line.get("difference")
    return bool(place and place["gap"] is not None and not place["is_at_least"] and place["gap"] <= settings.near_tie)


def _differences(parted: Sequence[dict[str, Any]], settings: "CrosscheckSettings", path: str) -> list[str]:
    if not parted:
        return ["no answer differs"]
    near = sum(_is_near(line, settings) for line in parted)
    told = [line for line in parted if line["difference"] and line["difference"]["gap"] is not None]
    lines = [f"first differences: {len(parted)}; {near} are near-ties (at most {settings.near_tie:g} nats apart on the second engine), where rounding decides"]
    if len(told) < len(parted):
        lines.append(f"note: for {len(parted) - len(told)} of them the second engine does not tell what it weighed")
    ordered = sorted(told, key=lambda line: (-line["difference"]["gap"], line["trial"]))
    if ordered:
        lines.append("the widest gaps first: token of the first engine -> of the second (what the second gave its own more, nats)")
    for line in ordered[:_SHOWN]:
        place = line["difference"]
        lines.append(
            f"  {line['variant']} trial {line['trial']} at {format_length(line['length'])}, {line['depth']:g}%, token {place['place']}: "
            f"{_token(place['first'])} -> {_token(place['second'])} ({'>= ' if place['is_at_least'] else ''}{place['gap']:.3f}"
            f"{', near-tie' if _is_near(line, settings) else ''}); {line['verdict']}"
        )
    if len(ordered) > _SHOWN:
        lines.append(f"  and {len(ordered) - _SHOWN} more in crosscheck.jsonl; python -m niah show {path} --trial N has the prompt")
    return lines


def _token(text: str) -> str:
    return repr(text) if text else "end"

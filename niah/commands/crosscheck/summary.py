"""What a crosscheck says: whose failures they are, how often both engines wrote the same, where they first parted."""

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from niah.commands.crosscheck.settings import CrosscheckSettings
from niah.commands.results import without_nan
from niah.report.text_table import aligned
from niah.stats.agreement import (
    BOTH_FAIL,
    BOTH_RIGHT,
    FIRST_FAILS,
    SECOND_FAILS,
    VERDICTS,
    Agreement,
    agreement,
)
from niah.units import format_length

_SHOWN = 12
"""First differences printed; all are in crosscheck.jsonl."""
Line = dict[str, Any]
"""One line of crosscheck.jsonl: an answer of the second engine beside the first's."""


@dataclass(frozen=True)
class Summary:
    """Lines to print, and the same as data."""

    lines: list[str]
    content: dict[str, Any]


def summary(
    answers: Sequence[Line], settings: CrosscheckSettings, path: str, second: str, num_trials: int
) -> Summary:
    """Of all answers of the second engine, named ``second``. ``num_trials`` is how many trials the run at ``path``
    has."""
    answered = [line for line in answers if line["second"]["score"] is not None]
    by_variant = {
        name: [line for line in answered if line["variant"] == name]
        for name in dict.fromkeys(line["variant"] for line in answered)
    }
    agreements = {name: _agreement(own, settings) for name, own in by_variant.items()}
    overall = _agreement(answered, settings)
    num_asked = len({line["trial"] for line in answered})
    first = answered[0]["first"]["engine"] if answered else "?"
    parted = [line for line in answered if not line["is_same"]]
    lines = [
        f"{path} ({first}) against {second}: {len(answered)} answers to {num_asked} of {num_trials} trials, "
        "on the same prompt ids",
        *_table(agreements, overall),
        *(
            _failures(name, one, first, second.partition(" ")[0], _num_of_dtype(by_variant, name))
            for name, one in agreements.items()
        ),
        *_same(overall, settings, num_asked, num_trials),
        *_signal(by_variant),
        *_differences(parted, settings, path),
    ]
    if uncounted := sum(line["ids_counted"] is False for line in answered):
        lines.append(
            f"note: the text of {uncounted} stored answers could not be split into as many tokens as were counted; "
            "their place is an estimate"
        )
    content = {
        "num_trials": num_asked, "overall": dataclasses.asdict(overall),
        "variants": {name: dataclasses.asdict(one) for name, one in agreements.items()},
        "near_ties": sum(_is_near(line, settings) for line in parted), "differences": len(parted), "lines": lines,
    }
    return Summary(lines, without_nan(content))


def _agreement(lines: Sequence[Line], settings: CrosscheckSettings) -> Agreement:
    return agreement(
        [line["repeat"] for line in lines], [line["is_same"] for line in lines], [line["verdict"] for line in lines],
        settings.confidence,
    )


def _table(agreements: dict[str, Agreement], overall: Agreement) -> list[str]:
    named = [*agreements.items(), *([("all", overall)] if len(agreements) > 1 else [])]
    rows = [
        [name, str(one.n), *(str(one.verdicts[kind]) for kind in VERDICTS), _share(one)] for name, one in named
    ]
    widths = [-max([7, *(len(name) for name, _ in named)]), 7, *map(len, VERDICTS), 0]
    return aligned([["variant", "answers", *VERDICTS, "same answer"], *rows], widths)


def _share(one: Agreement) -> str:
    return f"{one.same}/{one.n} = {one.same / one.n:.0%} [{one.low:.0%}, {one.high:.0%}]" if one.n else "none"


def _num_of_dtype(by_variant: dict[str, list[Line]], name: str) -> int:
    """Trials that fail under this variant on both engines, and are right on both under the run's first variant."""
    base = {line["trial"] for line in by_variant[next(iter(by_variant))] if line["verdict"] == BOTH_RIGHT}
    return sum(line["verdict"] == BOTH_FAIL and line["trial"] in base for line in by_variant[name])


def _failures(name: str, one: Agreement, first: str, second: str, num_of_dtype: int) -> str:
    """Whose failures they are."""
    both, alone, other = (one.verdicts[kind] for kind in (BOTH_FAIL, FIRST_FAILS, SECOND_FAILS))
    if both + alone:
        dtype = f", or for {num_of_dtype} of them, right under the first variant on both, this KV dtype"
        dtype = dtype if num_of_dtype else ""
        text = (
            f"of {both + alone} failures of {first}, {both} fail on {second} too (the model{dtype}) and {alone} do not "
            "(the engine or its numerics)"
        )
    else:
        text = f"no failure of {first} in this sample"
    return f"{name or first}: {text}; {other} fail on {second} alone"


def _same(one: Agreement, settings: CrosscheckSettings, num_asked: int, num_trials: int) -> list[str]:
    if not one.n:
        return []
    lines = [
        f"the same greedy answer, word for word: {_share(one)} (Wilson, {settings.confidence:.0%}, by repeats)"
    ]
    if num_asked < num_trials:
        lines.append(
            "note: the sample takes discordant trials first, then as many wrong as right ones, so its shares are not "
            "those of the whole run; crosscheck.trials=0 asks for all"
        )
    return lines


def _signal(by_variant: dict[str, list[Line]]) -> list[str]:
    """How far the engines' log-probabilities of the right answer lie apart, which shows in every trial."""
    lines = []
    for name, own in by_variant.items():
        pairs = [(line["first"]["logprob"], line["second"]["logprob"]) for line in own]
        shifts = [second - first for first, second in pairs if first is not None and second is not None]
        if shifts:
            sizes = [abs(shift) for shift in shifts]
            lines.append(
                f"{name}: the right answer's log-probability on the second engine lies {statistics.median(sizes):.3f} "
                f"nats (median, largest {max(sizes):.3f}) from the first's; mean shift {statistics.fmean(shifts):+.3f}"
            )
    return lines


def _is_near(line: Line, settings: CrosscheckSettings) -> bool:
    """A near-tie; a gap that is only known to be at least so much is none."""
    place = line.get("difference")
    return bool(place and place["gap"] is not None and not place["is_at_least"] and place["gap"] <= settings.near_tie)


def _differences(parted: Sequence[Line], settings: CrosscheckSettings, path: str) -> list[str]:
    if not parted:
        return ["no answer differs"]
    near = sum(_is_near(line, settings) for line in parted)
    weighed = [line for line in parted if line["difference"] and line["difference"]["gap"] is not None]
    lines = [
        f"first differences: {len(parted)}; {near} are near-ties (at most {settings.near_tie:g} nats apart on the "
        "second engine), where rounding decides"
    ]
    if len(weighed) < len(parted):
        lines.append(
            f"note: for {len(parted) - len(weighed)} of them the second engine does not tell what it weighed"
        )
    ordered = sorted(weighed, key=lambda line: (-line["difference"]["gap"], line["trial"]))
    if ordered:
        lines.append(
            "the widest gaps first: token of the first engine -> of the second (what the second gave its own more, "
            "nats)"
        )
    lines += [_difference(line, settings) for line in ordered[:_SHOWN]]
    if len(ordered) > _SHOWN:
        lines.append(
            f"  and {len(ordered) - _SHOWN} more in crosscheck.jsonl; "
            f"python -m niah show {path} --trial N has the prompt"
        )
    return lines


def _difference(line: Line, settings: CrosscheckSettings) -> str:
    place = line["difference"]
    gap = f"{'>= ' if place['is_at_least'] else ''}{place['gap']:.3f}{', near-tie' if _is_near(line, settings) else ''}"
    return (
        f"  {line['variant']} trial {line['trial']} at {format_length(line['length'])}, {line['depth']:g}%, "
        f"token {place['place']}: {_token(place['first'])} -> {_token(place['second'])} ({gap}); {line['verdict']}"
    )


def _token(text: str) -> str:
    return repr(text) if text else "end"

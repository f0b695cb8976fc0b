"""Rebuilds a trial of a stored run and prints what the model saw."""

from collections.abc import Callable, Sequence

import numpy as np

from niah import config, terminal
from niah.commands.words import folder_arguments
from niah.errors import NiahError
from niah.prompts.recipe import Recipe
from niah.records import Prompt, Row, RunRecord
from niah.runs import store
from niah.terminal import say
from niah.units import format_count, format_length, parse_length

_AROUND = 60
"""Tokens shown before and after a needle."""
_MOST_NEEDLES = 8
"""With more needles than these, surroundings are shown of the first, and of those that the answer takes."""
_SHOWN_OF_ANSWER = 80
"""Characters, in a list of trials."""
_SHOWN_OF_THINKING = 200
"""Characters of each end of a thought."""


def main(words: list[str]) -> int:
    """Exit code of ``show DIR [--trial N | --cell LENGTH,DEPTH] [--whole]``."""
    is_whole = "--whole" in words
    words = [word for word in words if word != "--whole"]
    number, words = _option(words, "--trial")
    place, words = _option(words, "--cell")
    if number is not None and not number.isdigit():
        raise NiahError(f"show --trial: got {number!r}; expected the number of a trial, as --trial 17")
    paths, rest = folder_arguments("show", words)
    if rest or len(paths) > 1:
        raise NiahError(
            f"show: got {[*paths[1:], *rest][0]!r}; expected DIR [--trial N | --cell LENGTH,DEPTH] [--whole]"
        )
    trial = None if number is None else int(number)
    if place is not None:
        if trial is not None:
            raise NiahError("show: got --trial and --cell; expected one of them")
        lines, trials = matching(paths[0], place)
        say(*lines)
        if len(trials) > 1:
            return 0
        (trial,) = trials
    say(describe(paths[0], trial, whole=is_whole))
    return 0


def _option(words: list[str], name: str) -> tuple[str | None, list[str]]:
    """The value of ``name VALUE`` or ``name=VALUE``, None where it is not there; and the other words."""
    for place, word in enumerate(words):
        key, separator, value = word.partition("=")
        if key == name:
            taken = 1 if separator else 2
            return value or "".join(words[place + 1 : place + taken]), words[:place] + words[place + taken :]
    return None, words


def matching(path: str, place: str) -> tuple[list[str], list[int]]:
    """A line for each row of a cell, or of a whole length where no depth is given; and the numbers of their trials.

    Raises NiahError where the run has no row there.
    """
    length_text, _, depth_text = place.partition(",")
    length = parse_length(length_text, "show --cell")
    try:
        depth = float(depth_text.strip().removesuffix("%")) if depth_text.strip() else None
    except ValueError as error:
        raise NiahError(f"show --cell: got {place!r}; expected length and depth, as --cell 8k,50") from error
    rows = store.open_for_reading(path, needs_settings=False)[2]
    found = [row for row in rows if row.length == length and depth in (None, row.depth)]
    if not found:
        cells = sorted({(row.length, row.depth) for row in rows})
        lengths = ", ".join(dict.fromkeys(format_length(one) for one, _ in cells))
        depths = ", ".join(dict.fromkeys(f"{one:g}" for _, one in sorted(cells, key=lambda cell: cell[1])))
        raise NiahError(
            f"{path}: no row at {place}; expected a length of {lengths or 'none'} and a depth of {depths or 'none'}"
        )
    trials = sorted({row.trial for row in found})
    counts = f"{format_count(len(found), 'row')} of {format_count(len(trials), 'trial')}"
    lines = [f"{counts} at {place}; show {path} --trial N rebuilds one"]
    for row in sorted(found, key=lambda row: (row.trial, row.variant)):
        variant = f" {row.variant}" if row.variant else ""
        said = terminal.line(row.response.strip() or row.error)[:_SHOWN_OF_ANSWER]
        lines.append(f"  trial {row.trial}, depth {row.depth:g}%, repeat {row.repeat}{variant}: {row.outcome}: {said}")
    return lines, trials


def describe(path: str, trial: int | None, *, whole: bool = False) -> str:
    """The trial as text. Raises NiahError when the prompt cannot be rebuilt exactly.

    ``trial`` None takes the first wrong one, else the first. ``whole`` shows all of the prompt. Where run.json is lost
    there is only what the row says.
    """
    folder, record, rows = store.open_for_reading(path, needs_settings=False)
    if not rows:
        raise NiahError(f"{folder.path}: no finished trial yet; run it first")
    row = _pick(rows, trial, path)
    lines = [
        f"trial {row.trial} of {path}: length {format_length(row.length)}, depth {row.depth:g}% "
        f"(needle at {_depths(row.needle_depths)}), repeat {row.repeat}",
    ]
    if record.is_of_rows:
        lines.append(f"prompt: {row.num_prompt_tokens:,} tokens{_left_out(row)}, not built again without run.json")
        lines += [*_retrieved(row), "", f"targets:  {', '.join(row.targets)}"]
    else:
        lines += _rebuilt(record, row, path, whole=whole)
    for one in (one for one in rows if one.trial == row.trial):
        lines += _answered(one)
    return "\n".join(lines)


def _rebuilt(record: RunRecord, row: Row, path: str, *, whole: bool) -> list[str]:
    """The prompt, built again and verified, and what was asked."""
    recipe = Recipe(config.stored(store.settings_of(record))).checked()
    built = recipe.rebuild(row, record.sources, path)
    prompt, decode = built.prompt, recipe.tokenizer.decode
    is_same_text = recipe.sources().haystack_sha256 == record.sources.haystack_sha256
    verified = "as stored: verified" if is_same_text else "as stored; the haystack is another text now, but not here"
    lines = [f"prompt: {len(prompt.ids):,} tokens{_left_out(row)}, sha256 {prompt.sha256} ({verified})", ""]
    lines += [decode(prompt.ids)] if whole else _excerpts(prompt, decode)
    return [
        *lines, *_retrieved(row), "",
        f"question: {built.problem.question}", f"targets:  {', '.join(built.problem.targets)}",
    ]


def _answered(row: Row) -> list[str]:
    """What one variant made of the prompt."""
    cached = "unknown" if row.num_cached_tokens is None else f"{row.num_cached_tokens:,}"
    lines = [f"--- {row.variant}"] if row.variant else []
    lines += [
        f"response: {row.response.strip() or '(none)'}",
        f"outcome:  {row.outcome}" + (f", score {row.score:g}" if row.score is not None else f": {row.error}"),
        f"engine:   {format_count(row.num_completion_tokens, 'token')} in {row.seconds:.2f} s, {cached} of the "
        f"prompt's from the prefix cache, ended by {row.finish_reason}",
    ]
    if row.thinking:
        lines.append(f"thinking: {row.num_thinking_tokens:,} of these tokens, not judged: {_ends(row.thinking)}")
    if row.ended_in:
        where = "its thinking (model.thinking_budget gives it room)" if row.ended_in == "thinking" else "the answer"
        lines.append(f"cut off:  its tokens ended in {where}")
    if row.logprob is not None:
        lead = "" if row.margin is None else f", {row.margin:+.2f} nats to the best distractor"
        lines.append(
            f"graded:   log-probability {row.logprob:.2f} nats of the right answer's {row.num_target_tokens} tokens, "
            f"the worst of them in place {row.worst_rank}{lead}"
        )
    if row.not_graded:
        lines.append(f"graded:   not, for {row.not_graded}")
    return lines


def _ends(text: str) -> str:
    """A long text by its two ends, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= 2 * _SHOWN_OF_THINKING else (
        f"{text[:_SHOWN_OF_THINKING]} ... {text[-_SHOWN_OF_THINKING:]}"
    )


def _left_out(row: Row) -> str:
    num = row.needles_kept.count(False)
    return f" (reader={row.reader}, without {num} of {len(row.needles_kept)} needles)" if num else ""


def _retrieved(row: Row) -> list[str]:
    """What the retriever gave, best first, and what became of each needle."""
    if not row.needles_retrieved and not row.retrieved:
        return []
    route = {"rag": "; answered from them", "long": "; then the whole context was read"}.get(row.route, "")
    lines = ["", f"retrieved: {len(row.retrieved)} chunks in {row.retrieval_seconds:.3f} s{route}"]
    texts = [str(one.get("text", "")) for one in row.passages] or [""] * len(row.retrieved)
    lines += [
        f"  tokens {int(start):,} to {int(stop):,} of the context, score {score:g}" if start >= 0
        else f"  not word for word in the context, score {score:g}: {_ends(text)}"
        for (start, stop, score), text in zip(row.retrieved, texts, strict=False)
    ]
    return [*lines, *(f"  needle {number}: {fate}" for number, fate in enumerate(row.needles_retrieved, 1))]


def _pick(rows: list[Row], trial: int | None, path: str) -> Row:
    if trial is None:
        return next((row for row in rows if row.score is not None and row.score < 1), rows[0])
    for row in rows:
        if row.trial == trial:
            return row
    numbers = sorted(row.trial for row in rows)
    raise NiahError(
        f"{path}: no row of trial {trial}; expected one of the {len(numbers)} finished, from {numbers[0]} to "
        f"{numbers[-1]}"
    )


def _depths(depths: Sequence[float]) -> str:
    """Of all needles, the first at the cell's depth; of many the first ones."""
    shown = ", ".join(f"{depth:.2f}%" for depth in depths[:_MOST_NEEDLES])
    return f"{shown} and {len(depths) - _MOST_NEEDLES} more" if len(depths) > _MOST_NEEDLES else shown


def _excerpts(prompt: Prompt, decode: Callable[[np.ndarray], str]) -> list[str]:
    """The prompt's beginning, each needle marked in its surroundings, and the end. Where there are many, those that the
    answer does not take stand alone."""
    ids = prompt.ids
    most = max(prompt.num_needed, _MOST_NEEDLES)
    parts = [("beginning", decode(ids[:_AROUND]) + " …")]
    for number, (start, stop) in enumerate(prompt.spans, 1):
        if number > most:
            parts.append((f"needle {number} (tokens {start:,} to {stop:,})", f">>>{decode(ids[start:stop])}<<<"))
            continue
        before = decode(ids[max(0, start - _AROUND) : start])
        after = decode(ids[stop : stop + _AROUND])
        parts.append(
            (f"needle {number} (tokens {start:,} to {stop:,})", f"… {before}>>>{decode(ids[start:stop])}<<<{after} …")
        )
    parts.append(("end", "… " + decode(ids[-_AROUND:])))
    return [f"--- {title}\n{text}" for title, text in parts]

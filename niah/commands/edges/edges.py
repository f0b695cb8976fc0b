"""The verb ``edges``: asks at every border of a model and its engine, and names the pattern of what goes wrong."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any

from niah import config as configuration
from niah import grid
from niah.commands import fault, hydra, unanswered
from niah.commands.edges import patterns, sentence
from niah.commands.edges.design import Asked, Design, Room, design
from niah.commands.edges.patterns import Seen
from niah.commands.edges.settings import EdgesSettings
from niah.commands.results import without_nan, write
from niah.commands.words import own_settings, restart_with_environment
from niah.config import Run
from niah.errors import NiahError
from niah.models.resolve import config_of
from niah.planner import borders as known
from niah.planner.borders import Border
from niah.prompts import exact
from niah.prompts.recipe import Recipe
from niah.records import Outcome, Row, Trial
from niah.runs import capacity, packages, runner
from niah.runs.agenda import Chooser
from niah.runs.console import Console
from niah.runs.history import Cell, cell
from niah.runs.variants import variants
from niah.stats import classes

Roles = Mapping[Cell, Asked]


def main(words: list[str]) -> int:
    """Exit code of ``edges WORDS [edges.key=...]``: 0, or 2 where a pattern is named.

    Raises UnansweredError where none is, but an engine was given up, or trials are left without an answer.
    """
    settings, rest = own_settings("edges", EdgesSettings, words)
    restart_with_environment(rest)
    return hydra.run(hydra.adapted(rest), lambda config: _measure(configuration.build(config), settings))


def _measure(run: Run, settings: EdgesSettings) -> int:
    fault.take_stops()
    console = Console()
    _check(run)
    packages.check(run)
    recipe = Recipe(run)
    room = _room(recipe)
    longest = min(max(run.ctx.lengths), run.model.limit) - run.answer_tokens
    setups = [] if run.engine.wish() is None else [fit.setup for fit in capacity.check(run).values()]
    under_way = (run.engine.max_num_seqs, run.engine.replicas, int(run.resolved["engine"].get("concurrency", 1)))
    at_once = max([*under_way, *(setup.max_num_seqs for setup in setups)])
    borders = known.joined(_of_model(run), *map(known.of_setup, setups))
    while True:
        made = design(borders, room, longest, settings.texts, run.seed, is_one_by_one=at_once <= 1)
        asking = _asking(run, made)
        console.note(_before(made, borders))
        summary = runner.run(asking, console, choosing=partial(_listed, made, run.answer_tokens), keeps_stop=True)
        engines = [summary.record.engine, *summary.record.engines.values()]
        found = known.joined(borders, *map(known.of_engine, engines))
        before = {(one.kind, one.tokens) for one in borders}
        new = [one for one in found if (one.kind, one.tokens) not in before]
        borders = found
        if summary.stopped or all(made.covers(one) for one in new):
            break
        console.note(f"borders that only the engine tells of: {'; '.join(map(str, new))}")
    if _say(asking, settings, made, borders, summary, console):
        return 2
    unanswered.check([summary])
    return 0


def _check(run: Run) -> None:
    """Raises NiahError for a run whose needles have no place of their own."""
    why = ""
    if run.task.writes_context or not run.task.has_depth:
        why = f"task={run.task.name} has no needle whose place can be chosen; expected task=single"
    elif not run.reader.reads_all:
        why = f"reader={run.reader.name} leaves text out; expected reader=full"
    elif run.ctx.share != grid.APART:
        why = f"ctx.share={run.ctx.share}: prompts of one length; expected ctx.share=none"
    if why:
        raise NiahError(f"edges: {why}")


def _room(recipe: Recipe) -> Room:
    problem, _, frame = recipe.of_repeat(0)
    if len(problem.needles) != 1:
        raise NiahError(
            f"edges: task={recipe.run.task.name} plants {len(problem.needles)} needles; expected one, as task=single"
        )
    before, behind = exact.around(recipe.tokenizer, frame)
    needle = len(recipe.tokenizer.encode(f" {problem.needles[0]}").ids)
    head = problem.needles[0].partition(problem.targets[0])[0]
    return Room(before, behind, needle, len(recipe.tokenizer.encode(f" {head.rstrip()}").ids))


def _of_model(run: Run) -> list[Border]:
    try:
        return known.of_config(config_of(run.model))
    except NiahError:  # a server's model has no files here
        return []


def _asking(run: Run, made: Design) -> Run:
    """The run whose grid holds the design. What a control sample would show is asked by the design itself."""
    ladder = made.ladder(run.answer_tokens)
    resolved = {**run.resolved, "ctx": {**run.resolved["ctx"], **asdict(ladder)}}
    engine = run.engine
    if any(field.name == "cold_check" for field in fields(engine)):
        engine = replace(engine, cold_check=0.0)
        resolved["engine"] = {**resolved["engine"], "cold_check": 0.0}
    return replace(run, ctx=ladder, engine=engine, resolved=resolved)


def _before(made: Design, borders: Sequence[Border]) -> str:
    names = "; ".join(map(str, borders)) or "none known, so residues alone"
    left = f"; beyond these lengths: {', '.join(map(str, made.left_out))}" if made.left_out else ""
    return (
        f"borders: {names}{left}; {len(made.asked)} prompts, about {made.num_computed():,} tokens to compute for each "
        "KV dtype"
    )


def _listed(made: Design, answer_tokens: int, variant: str, trials: Sequence[Trial]) -> Chooser:
    return Listed(made, answer_tokens, trials)


class Listed(Chooser):
    """Asks one variant what the design has and no row answers yet, in its order."""

    def __init__(self, made: Design, answer_tokens: int, trials: Sequence[Trial]):
        own = {cell(trial): trial for trial in trials}
        self._waiting = [own[one] for one in roles(made, answer_tokens) if one in own]
        self._done: set[Cell] = set()
        self._left_out: set[int] = set()

    def next(self) -> list[Trial]:
        due = [one for one in self._waiting if cell(one) not in self._done and one.length not in self._left_out]
        self._waiting = []
        return due

    def tell(self, row: Row) -> None:
        self._done.add(cell(row))

    def resume(self, rows: Sequence[Row]) -> None:
        self._done.update(cell(row) for row in rows if row.score is not None or row.outcome == Outcome.DOES_NOT_FIT)

    def leave_out(self, lengths: Collection[int]) -> None:
        self._left_out.update(lengths)


def roles(made: Design, answer_tokens: int) -> dict[Cell, Asked]:
    """What each cell of the grid is asked for, in running order."""
    return {(one.num_tokens + answer_tokens, made.depth(one), one.repeat): one for one in made.asked}


@dataclass(frozen=True)
class Answer:
    """The right answer of a repeat: tokens from its first one to the needle's end, and how many are forced behind a
    prompt to see its log-probability."""

    before_end: int = 1
    num_forced: int = 0


def seen(rows: Mapping[Cell, Row], asked: Roles, answers: Mapping[int, Answer]) -> list[Seen]:
    """The answered rows of one variant in the design; ``answers`` are by repeat."""
    keys = {(one.num_tokens, one.place, one.repeat): number for number, one in enumerate(asked.values())
            if not one.is_again}
    found = []
    for number, (place, role) in enumerate(asked.items()):
        row = rows.get(place)
        if row is None or row.score is None or not row.needle_spans:
            continue
        start, stop = (int(end) for end in row.needle_spans[0])
        right = answers.get(role.repeat, Answer())
        found.append(Seen(
            zone=role.zone, repeat=role.repeat, num_tokens=int(row.num_prompt_tokens), start=start, stop=stop,
            answer=stop - right.before_end, cached=int(row.num_cached_tokens or 0), is_wrong=row.score < 1,
            strength=float("nan") if row.logprob is None else float(row.logprob), key=number,
            twin=keys.get((role.num_tokens, role.place, role.repeat), -1) if role.is_again else -1,
            num_forced=right.num_forced,
        ))
    return found


def right_answers(recipe: Recipe, made: Design, answer_tokens: int) -> dict[int, Answer]:
    """Of every repeat; the place is the needle's last token where the answer does not stand in it as it is to be
    written."""
    found: dict[int, Answer] = {}
    for place, role in roles(made, answer_tokens).items():
        if role.repeat in found:
            continue
        prompt = recipe.build(Trial(0, *place)).prompt
        needle = prompt.ids[slice(*prompt.spans[0])].tolist()
        right = prompt.forced.ids.tolist() if prompt.forced else []
        target = right[prompt.forced.start :] if prompt.forced else []
        places = [at for at in range(len(needle)) if target and needle[at : at + len(target)] == target]
        found[role.repeat] = Answer(len(needle) - places[-1] if places else 1, len(right))
    return found


def _say(
    run: Run, settings: EdgesSettings, made: Design, borders: Sequence[Border], summary: runner.Summary,
    console: Console,
) -> int:
    """Table and sentence of each variant, edges.json; how many patterns are named."""
    names = [one.name for one in variants(run)]
    alpha = (1 - settings.confidence) / len(names)
    asked, answers = roles(made, run.answer_tokens), right_answers(Recipe(run), made, run.answer_tokens)
    content: dict[str, Any] = {}
    by_name: dict[str, list[Seen]] = {}
    num_named = 0
    for name in names:
        rows = {cell(row): row for row in summary.rows if (row.variant or names[0]) == name}
        trials = by_name[name] = seen(rows, asked, answers)
        if not trials:
            console.say(f"{name}: no answers")
            continue
        compared = patterns.scopes(trials, borders)
        if name != names[0] and names[0] in by_name:
            what = f"the variant is {name}, not {names[0]}, whatever the length and wherever the needle lies"
            compared += patterns.between(by_name[names[0]], trials, what)
        searched = classes.search(compared, alpha)
        num_named += len(searched.found)
        computed = sum(row.num_prompt_tokens - (row.num_cached_tokens or 0) for row in rows.values())
        for line in sentence.lines(name if len(names) > 1 else "", trials, searched, settings.confidence, computed):
            console.say(line)
        content[name] = sentence.content(trials, searched, computed)
    if line := sentence.between(by_name):
        console.say(line)
    file = summary.folder / "edges.json"
    plain = {
        "schema": 1, "settings": asdict(settings), "borders": [asdict(one) for one in borders],
        "left_out": [asdict(one) for one in made.left_out], "variants": content,
    }
    write(file, json.dumps(without_nan(plain), indent=1) + "\n")
    console.say(f"edges: {file}")
    return num_named

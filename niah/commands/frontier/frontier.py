"""The verb ``frontier``: contexts are chosen as answers come, until the effective length is proven or the budget
spent."""

import json
from collections.abc import Sequence
from typing import Any

from niah import config as configuration
from niah import grid
from niah.commands import budget, fault, hydra, unanswered
from niah.commands.frontier import sentence
from niah.commands.frontier.search import Search
from niah.commands.frontier.settings import FrontierSettings
from niah.commands.results import without_nan, write
from niah.commands.words import own_settings, refuse_repeats, restart_with_environment
from niah.config import Run
from niah.errors import NiahError
from niah.records import Trial
from niah.runs import runner
from niah.runs.console import Console
from niah.runs.repeats import check_reader, with_repeats
from niah.runs.runner import Summary
from niah.runs.scoring import rescored_sha256


def main(words: list[str]) -> int:
    """Exit code of ``frontier WORDS [frontier.key=...]``.

    Raises UnansweredError where an engine was given up, or trials are left without an answer.
    """
    settings, rest = own_settings("frontier", FrontierSettings, words)
    refuse_repeats("frontier", rest)
    restart_with_environment(rest)
    return hydra.run(hydra.adapted(rest), lambda config: _measure(configuration.build(config), settings))


def _measure(run: Run, settings: FrontierSettings) -> int:
    fault.take_stops()
    console = Console()
    check_reader(run)
    run = with_repeats(run, settings.most)
    spent = budget.parse(settings.budget, run.hardware, "frontier.budget")
    searches: dict[str, Search] = {}

    def search(variant: str, trials: Sequence[Trial]) -> Search:
        searches[variant] = Search(
            trials, settings.level, settings.confidence, settings.most, run.seed, spent,
            has_all=_has_all(run, settings), prefix_caching=run.engine.prefix_caching, is_of_base=settings.is_of_base,
            share=run.ctx.share,
        )
        return searches[variant]

    try:
        summary = runner.run(run, console, choosing=search, keeps_stop=True)
    except BaseException:
        for line in _lines(searches, run, settings):
            console.say(line)
        raise
    from niah.commands import page, report  # matplotlib: seconds that whoever is refused above need not wait

    if not searches:
        raise NiahError(
            f"{summary.folder}: every trial of these lengths and depths was asked before; raise frontier.most above "
            f"{settings.most}"
        )
    for line in _lines(searches, run, settings):
        console.say(line)
    shown = page.shown_of(str(summary.folder), "", summary.record, summary.rows)
    lines = _drawn(searches, run, settings, summary)
    lines += report.draw([one.panel for one in shown], summary.folder, run.report)
    for line in [*lines, *page.write_page(shown, summary.folder, run.report)]:
        console.say(line)
    unanswered.check([summary])
    return 0


def _has_all(run: Run, settings: FrontierSettings) -> bool:
    if settings.unit == "auto":
        return run.ctx.share != grid.APART
    return settings.unit == "all"


def _lines(searches: dict[str, Search], run: Run, settings: FrontierSettings) -> list[str]:
    found: list[str] = []
    for variant, one in searches.items():
        found += [variant] if len(searches) > 1 else []
        found += sentence.lines(one, run.ctx, settings.confidence)
    return found


def _drawn(searches: dict[str, Search], run: Run, settings: FrontierSettings, summary: Summary) -> list[str]:
    """Writes frontier.json and a picture of each variant; a line for each picture."""
    from niah.report import frontier_chart

    content: dict[str, Any] = {name: sentence.content(one, settings.confidence) for name, one in searches.items()}
    plain = {"schema": 1, "rescored_sha256": rescored_sha256(summary.rows), "variants": content}
    folder = summary.folder
    write(folder / "frontier.json", json.dumps(without_nan(plain), indent=1) + "\n")
    lines = []
    for variant, one in searches.items():
        name = "frontier" if len(searches) == 1 else f"frontier-{variant}".replace(" ", "-")
        claim = sentence.sentence(one, settings.confidence)
        cache, *others = variant.split()
        parts = [run.model.label or run.model.name, run.task.name, f"KV cache {cache}", *others]
        title = f"{', '.join(parts)}\n{claim}"
        files = frontier_chart.draw(
            title, one.lengths, one.depths, one.frontier.means()[0], one.frontier.counts[0],
            [(step.tokens, step.low, step.high) for step in one.steps], run.engine.name, name, folder, run.report,
        )
        lines += [f"frontier: {file}" for file in files]
    return lines

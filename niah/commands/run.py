"""Verbs that take a configuration: what is measured, planned, written or asked follows from key=value words."""

import os
import signal
import time

from niah.commands import hydra
from niah.commands.words import folder_arguments, own_words, restart_with_environment
from niah.errors import NiahError


def run(overrides: list[str]) -> int:
    restart_with_environment(overrides)
    # later configs of a sweep start when they start, and those of a launcher in processes of their own
    own_process, starts = os.getpid(), [float(os.environ.pop("NIAH_STARTED", time.time()))]
    return hydra.run(
        hydra.adapted(overrides),
        lambda config: _measure(config, starts.pop() if starts and os.getpid() == own_process else time.time()),
    )


def _measure(config, started: float) -> int:
    from niah import config as configuration
    from niah.runs.console import Console

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # in a launcher's process too
    settings = configuration.build(config)
    from niah.runs import runner

    console = Console()
    if settings.calibrate:
        from niah.commands.calibrate import verify

        for line in verify.verify(settings, console):
            console.say(line)
    summary = runner.run(settings, console)
    from niah.commands.report import draw
    from niah.records import RETRIED
    from niah.report import table
    from niah.units import format_seconds

    console.say(table.accuracy_by_length(summary.record, summary.rows, settings.report.threshold))
    for line in draw([("", summary.record, summary.rows)], summary.folder, settings.report):
        console.say(line)
    failed = [row for row in summary.rows if row.outcome in RETRIED]
    console.say(f"{summary.num_new} trials in {format_seconds(time.time() - started)}, engine start included")
    if failed:
        raise NiahError(
            f"{summary.folder}: {len(failed)} of {len(summary.rows)} trials ended without an answer "
            f"(trial {failed[0].trial}: {failed[0].error}); the same command tries them again"
        )
    return 0


def prepare(overrides: list[str]) -> int:
    def prepare(config) -> int:
        from niah.config import build
        from niah.prompts.recipe import Recipe

        recipe = Recipe(build(config))
        for line in recipe.notes():
            print(line)
        recipe.check(without=recipe.unfit)
        print(f"model: {recipe.files.engine_path} ({recipe.files.identity})")
        if source := recipe.corpus:
            print(f"haystack: {source.haystack.name}, {source.num_tokens:,} tokens, sha256 {source.sha256}")
        return 0

    return hydra.run(hydra.adapted(overrides), prepare)


def plan(overrides: list[str]) -> int:
    own, overrides = own_words({"out": "", "format": "text", "exact": "false"}, overrides)
    if own["format"] not in ("text", "json"):
        raise NiahError(f"plan format: got {own['format']!r}; expected text or json")

    def show(config) -> int:
        from niah.commands import plan as planning
        from niah.config import build

        run = build(config)
        exact = own["exact"].casefold() == "true"
        lines = planning.exactly(run) if exact else planning.describe(run, overrides, own["format"], own["out"])
        for line in lines:
            print(line)
        return 0

    return hydra.run(hydra.adapted(overrides), show)


def serve_check(overrides: list[str]) -> int:
    from niah.commands import serve_check
    from niah.units import parse_length

    own, overrides = own_words({"probe": ""}, overrides)
    probed = [parse_length(word, "probe") for word in own["probe"].strip("[]").split(",") if word]
    given = {word.split("=")[0] for word in overrides}

    def check(config) -> int:
        from niah.config import build

        for line in serve_check.lines(build(config), given, probed):
            print(line, flush=True)
        return 0

    return hydra.run(hydra.adapted([*([] if "engine" in given else ["engine=openai"]), *overrides]), check)


def build(overrides: list[str]) -> int:
    own, overrides = own_words({"out": "", "format": "ids"}, overrides)
    if not own["out"]:
        raise NiahError("build: where to? expected out=DIR, as build model=scout ctx.lengths=[1m] out=contexts")
    formats = own["format"].strip("[]").replace(" ", "").split(",")
    words = hydra.adapted(overrides)
    is_sweep = bool({"-m", "--multirun"} & {*words})

    def write(config) -> int:
        from niah.commands import build as export
        from niah.config import build
        from niah.prompts.recipe import Recipe

        started = time.time()
        for line in export.write(Recipe(build(config)), own["out"], formats, own_folder=is_sweep):
            print(line, flush=True)
        print(f"in {time.time() - started:.1f} s")
        return 0

    return hydra.run(words, write)


def power(overrides: list[str]) -> int:
    from niah.commands import power as powering

    own = [word for word in overrides if word.startswith("power.")]

    def tell(config) -> int:
        from niah.config import build

        run = build(config)
        print(*powering.tell(run.ctx, own, run.task.has_depth), sep="\n")
        return 0

    return hydra.run(hydra.adapted([word for word in overrides if word not in own]), tell)


def calibrate(arguments: list[str]) -> int:
    own, rest = own_words({"out": "", "models": "", "tokenizer": ""}, arguments)
    from niah.commands.calibrate import calibrate as telling

    if rest and os.path.isdir(rest[0]):
        paths, _ = folder_arguments("calibrate", rest)
        for line in telling.check(paths):
            print(line, flush=True)
        return 0
    if rest:
        if given := [name for name in ("models", "tokenizer") if own[name]]:
            raise NiahError(f"calibrate {given[0]}=: is for writing checkpoints, without settings of a run; got {rest[0]} too; leave one out")
        restart_with_environment(rest)
        from niah.commands.calibrate import margin

        return hydra.run(hydra.adapted(margin.words(rest)), lambda config: telling.margin(config, own["out"]))
    names = [name for name in own["models"].strip("[]").replace(" ", "").split(",") if name]
    for line in telling.write(names, own["out"], own["tokenizer"]):
        print(line, flush=True)
    return 0

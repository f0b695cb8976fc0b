"""Verbs and help: the only place that prints results."""

import itertools
import os
import signal
import sys
import time
from collections.abc import Sequence

from niah import __version__, compose, usage
from niah.errors import NiahError

_VERBS = (
    "run", "plan", "prepare", "build", "power", "calibrate", "report", "compare", "crosscheck", "rag", "show", "serve-check",
)


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 done, 1 refused or trials failed, 2 a regression (compare.fail_on), 130 stopped by Ctrl-C."""
    arguments = list(arguments)
    try:
        if any(word in ("-h", "--help", "help") for word in arguments):
            print(usage.text())
            return 0
        if arguments[:1] == ["--version"]:
            print(__version__)
            return 0
        verb = arguments.pop(0) if arguments and arguments[0] in _VERBS else "run"
        verbs = {
            "run": _run, "plan": _plan, "prepare": _prepare, "build": _build, "power": _power, "calibrate": _calibrate,
            "report": _report, "compare": _compare, "crosscheck": _crosscheck, "rag": _rag, "show": _show,
            "serve-check": _serve_check,
        }
        return verbs[verb](arguments)
    except NiahError as error:
        print(f"niah: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("niah: stopped; finished trials are kept, the same command continues", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def _run(overrides: list[str]) -> int:
    _restart_with_environment(overrides)
    starts = [float(os.environ.pop("NIAH_STARTED", time.time()))]  # later configs of a sweep start when they start
    return compose.run(
        compose.adapted(overrides), lambda config: _measure(config, starts.pop() if starts else time.time())
    )


def _measure(config, started: float) -> int:
    from niah import config as configuration
    from niah.console import Console

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop is a Ctrl-C
    settings = configuration.build(config)
    from niah import runner

    console = Console()
    if settings.calibrate:
        from niah.calibration import verify

        for line in verify.verify(settings, console):
            console.say(line)
    summary = runner.run(settings, console)
    from niah.records import RETRIED
    from niah.report import table
    from niah.reporting import draw
    from niah.units import format_seconds

    console.say(table.accuracy_by_length(summary.run, summary.rows, settings.report.threshold))
    for line in draw([("", summary.run, summary.rows)], summary.folder, settings.report):
        console.say(line)
    failed = [row for row in summary.rows if row.outcome in RETRIED]
    console.say(f"{summary.num_new} trials in {format_seconds(time.time() - started)}, engine start included")
    if failed:
        raise NiahError(
            f"{summary.folder}: {len(failed)} of {len(summary.rows)} trials ended without an answer "
            f"(trial {failed[0].trial}: {failed[0].error}); the same command tries them again"
        )
    return 0


def _prepare(overrides: list[str]) -> int:
    def prepare(config) -> int:
        from niah.config import build
        from niah.recipe import Recipe

        recipe = Recipe(build(config))
        for line in recipe.notes():
            print(line)
        recipe.check(without=recipe.unfit)
        print(f"model: {recipe.files.engine_path} ({recipe.files.identity})")
        if source := recipe.corpus:
            print(f"haystack: {source.haystack.name}, {source.num_tokens:,} tokens, sha256 {source.sha256}")
        return 0

    return compose.run(compose.adapted(overrides), prepare)


def _plan(overrides: list[str]) -> int:
    options, overrides = _options({"out": "", "format": "text", "exact": "false"}, overrides)
    if options["format"] not in ("text", "json"):
        raise NiahError(f"plan format: got {options['format']!r}; expected text or json")
    given = {word.split("=")[0] for word in overrides}

    def show(config) -> int:
        from niah import planning
        from niah.config import build

        run = build(config)
        exact = options["exact"].casefold() == "true"
        lines = planning.exactly(run) if exact else planning.describe(run, given, options["format"], options["out"])
        for line in lines:
            print(line)
        return 0

    return compose.run(compose.adapted(overrides), show)


def _serve_check(overrides: list[str]) -> int:
    from niah import serve_check
    from niah.units import parse_length

    options, overrides = _options({"probe": ""}, overrides)
    probed = [parse_length(word, "probe") for word in options["probe"].strip("[]").split(",") if word]
    given = {word.split("=")[0] for word in overrides}

    def check(config) -> int:
        from niah.config import build

        for line in serve_check.lines(build(config), given, probed):
            print(line, flush=True)
        return 0

    return compose.run(compose.adapted([*([] if "engine" in given else ["engine=openai"]), *overrides]), check)


def _options(defaults: dict[str, str], words: list[str]) -> tuple[dict[str, str], list[str]]:
    """A verb's own key=value words, and the rest, which are Hydra's."""
    options, rest = dict(defaults), []
    for word in words:
        key, separator, value = word.partition("=")
        if separator and key in options:
            options[key] = value
        else:
            rest.append(word)
    return options, rest


def _build(overrides: list[str]) -> int:
    options, overrides = _options({"out": "", "format": "ids"}, overrides)
    if not options["out"]:
        raise NiahError("build: where to? expected out=DIR, as build model=scout ctx.lengths=[1m] out=contexts")
    formats = options["format"].strip("[]").replace(" ", "").split(",")
    words = compose.adapted(overrides)
    is_sweep = bool({"-m", "--multirun"} & {*words})

    def write(config) -> int:
        from niah import export
        from niah.config import build
        from niah.recipe import Recipe

        started = time.time()
        for line in export.write(Recipe(build(config)), options["out"], formats, own_folder=is_sweep):
            print(line, flush=True)
        print(f"in {time.time() - started:.1f} s")
        return 0

    return compose.run(words, write)


def _report(arguments: list[str]) -> int:
    paths, rest = _folder_arguments("report", arguments)
    from niah import reporting

    print(*reporting.report(paths, rest), sep="\n")
    return 0


def _compare(arguments: list[str]) -> int:
    paths, rest = _folder_arguments("compare", arguments)
    from niah import comparing

    lines, code = comparing.compare(paths, rest)
    print(*lines, sep="\n")
    return code


def _crosscheck(arguments: list[str]) -> int:
    _restart_with_environment(["engine=transformers", *arguments])
    paths, rest = _folder_arguments("crosscheck", arguments)
    if len(paths) > 1:
        raise NiahError(f"crosscheck: got {paths[1]!r} beside {paths[0]!r}; expected one run, as crosscheck outputs/NAME")
    from niah.console import Console
    from niah.crosscheck import crosscheck

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(*crosscheck(paths[0], rest, Console()), sep="\n")
    return 0


def _rag(arguments: list[str]) -> int:
    paths, rest = _folder_arguments("rag", arguments)
    from niah.rag import telling

    print(*telling.tell(paths, rest), sep="\n")
    return 0


def _power(overrides: list[str]) -> int:
    from niah import powering

    own = [word for word in overrides if word.startswith("power.")]

    def tell(config) -> int:
        from niah.config import build

        run = build(config)
        print(*powering.tell(run.ctx, own, run.task.has_depth), sep="\n")
        return 0

    return compose.run(compose.adapted([word for word in overrides if word not in own]), tell)


def _calibrate(arguments: list[str]) -> int:
    options, rest = _options({"out": "", "models": "", "tokenizer": ""}, arguments)
    from niah.calibration import telling

    if rest and os.path.isdir(rest[0]):
        paths, _ = _folder_arguments("calibrate", rest)
        for line in telling.check(paths):
            print(line, flush=True)
        return 0
    if rest:
        _restart_with_environment(rest)
        from niah.calibration import sweeping

        return compose.run(compose.adapted(sweeping.words(rest)), lambda config: sweeping.tell(config, options["out"]))
    names = [name for name in options["models"].strip("[]").replace(" ", "").split(",") if name]
    for line in telling.write(names, options["out"], options["tokenizer"]):
        print(line, flush=True)
    return 0


def _show(arguments: list[str]) -> int:
    whole = "--whole" in arguments
    arguments = [word for word in arguments if word != "--whole"]
    trial = None
    for place, word in enumerate(arguments):
        if word.startswith("--trial"):
            value = word.partition("=")[2] or (arguments[place + 1] if place + 1 < len(arguments) else "")
            if not value.isdigit():
                raise NiahError(f"show --trial: got {value!r}; expected the number of a trial, as --trial 17")
            trial = int(value)
            del arguments[place : place + (1 if "=" in word else 2)]
            break
    paths, rest = _folder_arguments("show", arguments)
    if rest or len(paths) > 1:
        raise NiahError(f"show: got {[*paths[1:], *rest][0]!r}; expected DIR [--trial N] [--whole]")
    from niah import show

    print(show.describe(paths[0], trial, whole=whole))
    return 0


def _folder_arguments(verb: str, arguments: list[str]) -> tuple[list[str], list[str]]:
    paths = list(itertools.takewhile(lambda word: os.path.isdir(word) or not (word.startswith("-") or "=" in word), arguments))
    if not paths:
        raise NiahError(f"{verb}: which run? expected its folder, as {verb} outputs/NAME")
    return paths, arguments[len(paths) :]


def _restart_with_environment(overrides: Sequence[str]) -> None:
    """Starts this command anew where vLLM needs variables that only a new process sees."""
    engine = next((word.split("=", 1)[1] for word in reversed(overrides) if word.startswith("engine=")), "vllm")
    if "vllm" not in engine.split(",") or os.environ.get("NIAH_RESTARTED"):
        return
    from niah.engines.process import environment

    missing = environment()
    if "LD_PRELOAD" not in missing:
        os.environ.update(missing)
        return
    sys.stdout.flush()
    os.environ.update(missing, NIAH_RESTARTED="1", NIAH_STARTED=repr(time.time()))
    os.execv(sys.executable, sys.orig_argv[:1] + sys.orig_argv[1:])

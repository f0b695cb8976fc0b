"""Verbs and help: the only place that prints results."""

import os
import signal
import sys
import time
from collections.abc import Sequence

from niah import __version__, compose
from niah.errors import NiahError

HELP = """\
niah {version}: does this model really find a fact at that length?

usage:
  python -m niah [key=value ...]              run: measure, then draw the heatmap
  python -m niah plan [key=value ...] [format=json] [out=DIR] [exact=true]   what fits, how long, what it costs; loads nothing
  python -m niah prepare [key=value ...]      fetch and convert the model, tokenise the haystack; no engine
  python -m niah build out=DIR [key=value ...] [format=[ids,text,jsonl]]   write the exact contexts; no engine
  python -m niah report DIR [report.key=...]  draw again from the rows of outputs/NAME
  python -m niah show DIR [--trial N] [--whole]   what the model saw in one trial, rebuilt and verified

examples:
  python -m niah                              a small real model on this machine, in minutes
  python -m niah kv=fp8 ctx.repeats=3         FP8 KV cache, three needles a cell
  python -m niah model=gemma3_270m ctx=32k
  python -m niah model.path=ORG/NAME model.max_length=128k ctx=128k
  python -m niah plan model=scout ctx=10m hardware=8xh200
  python -m niah build model=scout ctx.lengths=[10m] haystack=generated out=contexts
  python -m niah experiment=ruler             RULER's 13 settings, one run each
  python -m niah haystack=files haystack.path=notes/ task.answer=uuid name=mine
  python -m niah -m reader=full,bm25,dense reader.budget=4k   RAG beside the long context
  python -m niah -m kv=bf16,fp8               one run each (Hydra multirun)

groups (key=NAME picks conf/key/NAME.yaml, key.field=... sets one field):
{groups}

The same command with the same settings continues where it stopped. Lengths: 8192, 8k, 1m.
"""
_VERBS = ("run", "plan", "prepare", "build", "report", "show")


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 done, 1 refused or trials failed, 130 stopped by Ctrl-C."""
    arguments = list(arguments)
    try:
        if any(word in ("-h", "--help", "help") for word in arguments):
            print(HELP.format(version=__version__, groups=_groups()))
            return 0
        if arguments[:1] == ["--version"]:
            print(__version__)
            return 0
        verb = arguments.pop(0) if arguments and arguments[0] in _VERBS else "run"
        verbs = {"run": _run, "plan": _plan, "prepare": _prepare, "build": _build, "report": _report, "show": _show}
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


def _groups() -> str:
    folders = sorted(folder for folder in compose.conf_folder().iterdir() if folder.is_dir())
    return "\n".join(
        f"  {folder.name:<10} {', '.join(sorted((f.stem for f in folder.glob('*.yaml')), key=_by_size))}"
        for folder in folders
    )


def _by_size(name: str) -> tuple[int, str]:
    from niah.units import parse_length

    try:
        return parse_length(name, ""), name
    except NiahError:
        return 0, name


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
    summary = runner.run(settings, console)
    from niah.records import RETRIED
    from niah.report import heatmap, table
    from niah.units import format_seconds

    console.say(table.accuracy_by_length(summary.run, summary.rows))
    for file in heatmap.draw(summary.run, summary.rows, summary.folder, settings.report):
        console.say(f"heatmap: {file}")
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
    path, rest = _folder_argument("report", arguments)
    from niah import config as configuration
    from niah import store
    from niah.report import heatmap, table
    from niah.report.settings import ReportSettings

    folder, content, rows = store.open_for_reading(path)
    changes = compose.plain(rest)
    if unknown := set(changes) - {"report"}:
        raise NiahError(f"report {path}: got {sorted(unknown)[0]}=...; expected report.key=value")
    settings, _ = configuration.typed(
        "report", ReportSettings, {**content["config"]["report"], **changes.get("report", {})}
    )
    print(table.accuracy_by_length(content, rows))
    for file in heatmap.draw(content, rows, folder.path, settings):
        print(f"heatmap: {file}")
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
    path, rest = _folder_argument("show", arguments)
    if rest:
        raise NiahError(f"show: got {rest[0]!r}; expected DIR [--trial N] [--whole]")
    from niah import show

    print(show.describe(path, trial, whole=whole))
    return 0


def _folder_argument(verb: str, arguments: list[str]) -> tuple[str, list[str]]:
    if not arguments or "=" in arguments[0] or arguments[0].startswith("-"):
        raise NiahError(f"{verb}: which run? expected its folder, as {verb} outputs/NAME")
    return arguments[0], arguments[1:]


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

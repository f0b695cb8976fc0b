"""What ``python -m niah --help`` says, and ``help VERB``, ``help GROUP``, ``help GROUP=CHOICE``."""

import re
import textwrap
from pathlib import Path

from niah import __version__, choices
from niah.commands import meant
from niah.errors import NiahError
from niah.units import parse_length

USAGE = (
    ("run", "[key=value ...]", "run: measure, then draw the heatmap"),
    ("run", "ctx=128k budget=2h", "as many repeats as that allows; also 2e9 tokens, or $20"),
    ("run", "track=wandb|mlflow|trackio|tensorboard", "a list too: progress and results go there; docs/track.md"),
    ("plan", "[key=value ...] [format=json] [out=DIR] [exact=true] [budget=30m]", "what fits, how long, what it costs"),
    ("prepare", "[key=value ...]", "fetch and convert the model, tokenise the haystack; no engine"),
    ("build", "out=DIR [key=value ...] [format=[ids,text,jsonl]]", "write the exact contexts; no engine"),
    ("power", "[key=value ...] [power.key=...]", "what difference this grid can detect, and the repeats needed"),
    ("frontier", "[key=value ...] [frontier.threshold=0.85] [frontier.budget=30m]", "the effective length, proven"),
    ("decide", "kv=[bf16,fp8] [key=value ...] [decide.margin=0.02]", "repeats until a loss is proven or ruled out"),
    ("edges", "[key=value ...] [edges.texts=8]", "lengths, places and cache hits at every border: engine faults"),
    ("pressure", "[key=value ...] [pressure.pool=1.5]", "alone, under load, evicted, restored: engine faults"),
    ("gate", "POLICY RUN [BASELINE] [out=DIR] [format=junit]", "bounds: GO 0, NO-GO 3, INCONCLUSIVE 4; docs/ci.md"),
    ("shrink", "DIR --trial N [--against VARIANT|transformers|cold] [shrink.key=...]", "a failing trial, small"),
    ("export", "DIR to=every_eval_ever|inspect|lm_eval|hf_eval_results|parquet [out=DIR]", "docs/export.md"),
    ("track", "DIR [DIR ...] to=wandb|mlflow|trackio|tensorboard", "runs that are there, to trackers; docs/track.md"),
    ("calibrate", "[models=[full,scout]] [out=DIR] [tokenizer=NAME]", "write models whose right answer is known"),
    ("calibrate", "DIR [DIR ...]", "runs of model=calibration/..., trial by trial beside what must come out"),
    ("calibrate", "kv=[bf16,fp8] ctx=8k [out=DIR]", "the engine's noise margin by length and KV dtype"),
    ("report", "DIR [DIR ...] [report.key=...]", "draw again from rows, several runs side by side"),
    ("report", "DIR [DIR ...] format=csv|latex|json [table=lengths|cells|differences]", "the numbers alone"),
    ("rescore", "DIR [DIR ...]", "score stored responses again by today's rules, old scores kept; no engine"),
    ("compare", "A B [C ...] [compare.key=...]", "paired tests against A, difference heatmap; exit code 2: worse"),
    ("crosscheck", "DIR [engine=transformers] [crosscheck.trials=N]", "the same ids on a second engine"),
    ("rag", "DIR [DIR ...] [rag.key=...]", "readers on the same instances: when and why RAG is better"),
    ("questions", "check FILE haystack.path=FOLDER [run=DIR]", "your own questions: what would prove nothing"),
    ("ruler", "DIR [DIR ...] [ruler.format=text|json|csv|latex] [out=DIR]", "RULER's score of a sweep, one table"),
    ("serve-check", "engine.base_url=URL [model=NAME] [probe=32k]", "what a running server can do, its real limit"),
    ("show", "DIR [--trial N | --cell 8k,50] [--whole]", "what the model saw in one trial, rebuilt and verified"),
    ("list", "[DIR] [format=json|csv|latex]", "the runs in a folder: what, how far, how well, how large"),
    ("rm", "DIR [DIR ...] [yes=true]", "removes runs, after a question"),
    ("choices", "[GROUP] [format=json]", "what there is of a group, a line each"),
    ("completion", "bash|zsh|fish", "completion for that shell, as its script"),
)
"""A verb, the words behind it, what it does; of ``[compare.key=...]`` the settings are those of ``OWN``."""

OWN = {
    "compare": "niah.commands.compare.pairs.CompareSettings", "power": "niah.commands.power.PowerSettings",
    "frontier": "niah.commands.frontier.settings.FrontierSettings",
    "decide": "niah.commands.decide.settings.DecideSettings", "rag": "niah.commands.rag.settings.RagSettings",
    "crosscheck": "niah.commands.crosscheck.settings.CrosscheckSettings",
    "edges": "niah.commands.edges.settings.EdgesSettings",
    "pressure": "niah.commands.pressure.settings.PressureSettings",
    "shrink": "niah.commands.shrink.settings.ShrinkSettings",
    "ruler": "niah.commands.ruler.ruler.RulerSettings", "quick": "niah.commands.ruler.quick.QuickSettings",
}
"""The classes of the settings that verbs have beside a run's."""

CLASSES = {
    "model": "niah.models.settings.Model", "ctx": "niah.grid.Ladder", "kv": "niah.engines.KVCache",
    "spec": "niah.models.speculation.Speculation",
    "report": "niah.report.settings.ReportSettings", "hardware": "niah.planner.hardware.Hardware",
}
"""The class of a group, where it is the same for all its choices."""

_EXAMPLES = """\
  python -m niah                              a small real model on this machine, in minutes
  python -m niah kv=fp8 ctx.repeats=3         FP8 KV cache, three needles a cell
  python -m niah model=gemma3_270m ctx=32k
  python -m niah model=ORG/NAME model.max_length=128k ctx=128k   any model of Hugging Face; a folder or .gguf file too
  python -m niah plan model=scout ctx=10m hardware=8xh200
  python -m niah build model=scout ctx.lengths=[10m] haystack=generated out=contexts
  python -m niah experiment=ruler outputs=outputs/a && python -m niah ruler outputs/a   RULER's 13 settings, its score
  python -m niah experiment=ruler_quick quick.difference=10   the same with the repeats that find 10 points, cost first
  python -m niah haystack=files haystack.path=notes/ task.answer=uuid name=mine
  python -m niah -m reader=full,bm25,dense reader.budget=4k   RAG beside the long context
  python -m niah experiment=rag_vs_long && python -m niah rag outputs/rag_vs_long
  python -m niah questions check mine.jsonl haystack.path=docs/   answers that stand elsewhere, duplicates
  python -m niah experiment=my_documents task.path=mine.jsonl haystack.path=docs/   then: rag outputs/my_documents
  python -m niah spec=[none,ngram]            with and without speculative decoding, the same prompts
  python -m niah model=qwen3_5_4b model.thinking_budget=[0,1k,4k]   budgets of thinking, the same prompts
  python -m niah -m kv=bf16,fp8               one run each (Hydra multirun)
  python -m niah compare outputs/bf16 outputs/fp8 compare.margin=0.02 compare.fail_on=worse
  python -m niah power ctx=128k power.difference=0.05
  python -m niah frontier ctx=128k frontier.budget=30m
  python -m niah decide kv=[bf16,fp8] ctx=16k decide.budget=2h
  python -m niah pressure model=gemma3_270m ctx=8k pressure.others=7   the same prompts under load, in a small KV pool
  python -m niah engine=openai engine.base_url=http://127.0.0.1:8000/v1   against a server that already runs
  python -m niah model=calibration/full ctx=128k  weights made to find everything; also window_4k, scout, margin
  python -m niah calibrate=true ctx=32k kv=fp8    a model whose answers are known first, with the same engine
  python -m niah retry=true ...                   trials too that were out of memory twice or ended the engine twice
  python -m niah --config-dir DIR task=mine       a task (reader, engine, ...) of your own: DIR/task/mine.yaml
                                                  names its class, as mine.Mine in DIR/mine.py; for every verb
  python -m niah report outputs/a outputs/b report.formats=[pdf] report.width=single
  python -m niah show outputs/a --cell 8k,50      the trials of a dark cell
  python -m niah list outputs format=csv
"""

_TYPED = {"power.source": "power.from"}
"""Settings whose name in a command is a word of Python's."""
_SETTING = re.compile(r"(\w+): *(\"[^\"]*\"|'[^']*'|[^#\s]\S*(?: +[^#\s]\S*)*)? *(?: # *(.*))?")
"""A line of a choice's file: a setting, its value (none where it goes on below), a comment."""

_TEXT = """\
niah {version}: does this model really find a fact at that length?

usage:
{usage}
  python -m niah help VERB, or VERB --help     its settings, defaults, examples; help GROUP=CHOICE: those of a choice
  python -m niah models                        a line on each; also {plurals}

examples:
{examples}
groups (key=NAME picks conf/key/NAME.yaml, key.field=... sets one field):
{groups}

The same command with the same settings continues where it stopped. Lengths: 8192, 8k, 1m.
A value is taken as typed, = , {{}} # and spaces too; quotes around all of it go; \\n in a text is a line break. With -m
a comma makes one run of each, in texts only between quotes: task.question="'Who?','When?'". NIAH_DEBUG=1: tracebacks.
{codes}
"""

EXIT_CODES = """\
Exit codes: 0 done; 1 refused (one line says why), or a check that found a fault; 2 a regression (compare.fail_on,
decide), a pattern (edges, pressure), or questions to mend; 3 and 4 gate's NO-GO and INCONCLUSIVE; 5 trials ended
without an answer, which the same command asks again; 130 stopped (Ctrl-C, SIGTERM, SIGHUP), and the same command
continues."""


def text() -> str:
    """The help with all groups and choices of ``conf``."""
    lines = [(f"{verb} {words}" if verb != "run" else words, does) for verb, words, does in USAGE]
    return _TEXT.format(
        version=__version__, usage=_usage(lines), examples=_EXAMPLES, groups=_groups(), codes=EXIT_CODES,
        plurals=", ".join([*list(meant.PLURALS)[1:], "kv", "hardware", "ctx"]),
    )


def of(topic: str) -> str:
    """The help of a verb, a group, or a choice as reader=bm25. Raises NiahError for what is none of these."""
    group, separator, name = topic.partition("=")
    if topic in dict.fromkeys(verb for verb, _, _ in USAGE):
        return "\n".join(_of_verb(topic))
    if group in choices.groups():
        return "\n".join(_of_choice(group, meant.choice(group, name)) if separator else _of_group(group))
    known = [*dict.fromkeys(verb for verb, _, _ in USAGE), *choices.groups()]
    near = meant.near(topic, known)
    hint = f"did you mean {near[0]}" if near else f"expected one of {', '.join(known)}, or a choice as reader=bm25"
    raise NiahError(f"help {topic}: no such verb or group; {hint}")


def groups_of(verb: str) -> list[str]:
    """The groups of settings that a verb has beside a run's, as compare in ``[compare.key=...]``."""
    found = dict.fromkeys(re.findall(r"\[(\w+)\.", " ".join(words for name, words, _ in USAGE if name == verb)))
    return [*found, *(["quick"] if verb == "run" else [])]


def takes_a_run(verb: str) -> bool:
    """Whether a verb takes the settings of a run."""
    return verb == "serve-check" or any(name == verb and "[key=value ...]" in words for name, words, _ in USAGE)


def keys_of_a_run() -> list[str]:
    """The groups and the settings without a group, as conf/config.yaml has them."""
    return [key for key, _, _ in _entries()]


def class_of(group: str, name: str = "") -> str:
    """The dotted path of the class of a group's settings, of a choice where each has its own; the default's without a
    name. Empty where there is none."""
    if path := {**OWN, **CLASSES}.get(group):
        return path
    default = next((value for key, value, _ in _entries() if key == group), "")
    file = choices.file_of(group, name or default)
    return _read(file)[1] if file else ""


def table(group: str, name: str = "") -> list[tuple[str, str, str]]:
    """Key, default and what it may hold of each setting of a group, or of one of its choices; the default is empty
    where a command has to give one."""
    file = choices.file_of(group, name) if name else None
    return _rows(class_of(group, name), group, _read(file)[0] if file else {})


def about(group: str, name: str = "") -> list[str]:
    """What the class of a group's settings, or of a choice's, says of them, a paragraph each."""
    from niah.commands import fields

    return fields.about(class_of(group, name))


def of_a_run() -> list[tuple[str, str, str]]:
    """Key, default and words on each part of a run's settings, as conf/config.yaml has them."""
    rows = []
    for key, default, comment in _entries():
        if key in choices.groups():
            num = len(choices.names_within(key))
            comment = "; ".join(filter(None, (comment, f"one of {num}: niah choices {key}" if num > 1 else "")))
        rows.append((key, default, comment))
    return rows


def values_of(key: str) -> tuple[str, ...]:
    """What a setting may hold, where those are few."""
    from niah.commands import fields  # dataclasses: no --help waits for it

    group, _, name = key.partition(".")
    known = [class_of(group)] if group in {**OWN, **CLASSES} else [class_of(group, one) for one in choices.names(group)]
    found = (one.values for path in known for one in fields.settings(path) if one.name == name)
    return next(found, ())


def _usage(lines: list[tuple[str, str]]) -> str:
    return "\n".join(f"  python -m niah {words:<27}{'' if len(words) < 27 else '  '} {does}" for words, does in lines)


def _of_verb(verb: str) -> list[str]:
    own = [(words, does) for name, words, does in USAGE if name == verb]
    called = "" if verb == "run" else f"{verb} "
    lines = ["usage:", _usage([(f"{called}{words}", does) for words, does in own])]
    for group in groups_of(verb):
        path = OWN.get(group) or CLASSES[group]
        title = "of experiment=ruler_quick" if group == "quick" else f"of {verb}"
        lines += ["", f"settings {title}:", *_settings(path, group, {}), *_about(path)]
    if takes_a_run(verb):
        lines += ["", "settings of a run (help GROUP and help GROUP=CHOICE show what is in each):", *_of_a_run()]
    if examples := _examples(verb):
        lines += ["", "examples:", *examples]
    return [*lines, "", EXIT_CODES]


def _examples(verb: str) -> list[str]:
    """Those lines of the examples that have the verb in them; for ``run`` those that have none."""
    verbs = {name for name, _, _ in USAGE}
    found = []
    for line in _EXAMPLES.splitlines():
        first = re.findall(r"python -m niah(?: +([\w-]+)(?![\w=./-])| |$)", line)
        if verb in first or (verb == "run" and first and not verbs & {*first}):
            found.append(line)
    return found


def _of_a_run() -> list[str]:
    return _columns([(f"{key}={default}", comment) for key, default, comment in of_a_run()])


def _entries() -> list[tuple[str, str, str]]:
    """Key, default and comment of all that conf/config.yaml sets of a run."""
    text = (choices.conf_folder() / "config.yaml").read_text(encoding="utf-8").partition("\nhydra:")[0]
    return re.findall(r"^(?:  - )?([a-z]+): *(\S+)(?: *# *(.*))?$", text, re.MULTILINE)


def _of_group(group: str) -> list[str]:
    lines = _wrapped(f"{group}=NAME, one of: {', '.join(sorted(choices.names_within(group), key=_by_size))}")
    if group in CLASSES:
        return [*lines, "", f"settings of {group}:", *_settings(CLASSES[group], group, {}), *_about(CLASSES[group])]
    default = next((value for key, value, _ in _entries() if key == group), "null")
    if default == "null":
        return [*lines, f"help {group}=NAME shows what one sets; niah choices {group} has a line on each"]
    lines.append(f"help {group}=NAME shows the settings of one; those of {default}, the default:")
    return [*lines, "", *_of_choice(group, default)]


def _of_choice(group: str, name: str) -> list[str]:
    """The settings of a choice: what its file gives, then what its class has; the words that its file has on them."""
    file = choices.file_of(group, name)
    if file is None:  # a folder of experiments
        return [f"{group}={name}: a run of each of {', '.join(meant.files_in(group, name))}"]
    given, target = _read(file)
    path = target or CLASSES.get(group, "")
    if not path:
        return [f"{group}={name}:", *file.read_text(encoding="utf-8").splitlines()]
    from niah.commands import fields

    own = fields.first_sentence(path) if target else ""
    return [f"{group}={name}: {own}" if own else f"{group}={name}", *_settings(path, group, given), *_about(path)]


def _read(file: Path) -> tuple[dict[str, tuple[str, str]], str]:
    """Of a choice's file each setting on a line of its own, with the comment behind it; and its ``_target_``.

    Read line by line: no library, and no more than a help needs.
    """
    found: dict[str, tuple[str, str]] = {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := _SETTING.fullmatch(line):
            found[match[1]] = (match[2].strip("\"'") if match[2] else "...", match[3] or "")
    return found, found.pop("_target_", ("", ""))[0]


def _settings(path: str, group: str, given: dict[str, tuple[str, str]]) -> list[str]:
    return _columns([(f"{key}={default}", about) for key, default, about in _rows(path, group, given)])


def _rows(path: str, group: str, given: dict[str, tuple[str, str]]) -> list[tuple[str, str, str]]:
    from niah.commands import fields

    rows = []
    for one in fields.settings(path):
        if one.name == "name":
            continue
        default, comment = given.get(one.name, (one.default, ""))
        if one.values and all(value in comment or value == default for value in one.values):
            comment = ""  # it names what may stand there, as the setting's own line does
        is_required = default == "???"
        held = "; ".join(filter(None, ("required" if is_required else "", one.expected, comment)))
        rows.append((_TYPED.get(f"{group}.{one.name}", f"{group}.{one.name}"), "" if is_required else default, held))
    return rows


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    width = min(40, max((len(key) for key, _ in rows), default=0))
    return [f"  {key:<{width}}  {rest}".rstrip() for key, rest in rows]


def _about(path: str) -> list[str]:
    from niah.commands import fields

    return [line for text in fields.about(path) for line in ("", *_wrapped(text))]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 118, subsequent_indent="  ", break_on_hyphens=False)


def _groups() -> str:
    known = {group: sorted(choices.names(group), key=_by_size) for group in choices.groups()}
    lines = []
    for group, names in known.items():
        inside = [f"{name}/..." for name in choices.folders_of(group)]
        lines.append(f"  {group:<10} {', '.join([*names, *inside])}")
    return "\n".join(lines)


def _by_size(name: str) -> tuple[int, str]:
    try:
        return parse_length(name, ""), name
    except NiahError:
        return 0, name

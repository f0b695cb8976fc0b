"""From the words of a command to composed configs and the jobs on them: one, or each of a sweep. Hydra is used here."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import hydra
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from niah import choices, config, terminal, values
from niah.commands import fault, meant
from niah.commands.words import last_of_each
from niah.errors import NiahError, UnansweredError, is_full
from niah.limits import is_free_text
from niah.models.speculation import METHODS
from niah.planner.hardware import counted
from niah.runs import store
from niah.units import parse_length

_WORD = re.compile(r"(\+\+|\+|~|)([^=]*)(=?)(.*)", re.DOTALL)
_SWEEP = {"-m", "--multirun"}
_MOST_DEPTHS = 99


def adapted(words: Sequence[str]) -> list[str]:
    """Overrides as Hydra wants them, from the commands people write.

    ``model=ORG/NAME`` and ``model=./folder`` mean ``model.path=``; a choice may be in another letter case, or
    called by its title. ``model.path=`` without ``model=`` means a model without a file; a calibration model has
    one. ``ctx=24k``, a length without a file, means the ladder up to it. ``reader.budget=[1k,4k]`` is one run each,
    ``model.thinking_budget=[0,1k]`` one variant each. An experiment that is a folder means one run of each file in
    it. ``hardware=2x8xh100`` is two nodes of eight. ``name=`` of several runs is the folder that holds theirs.

    A setting's value is taken as typed: only with -m a comma, or a function as range(1,3), sweeps. A value that is
    wholly in quotes is what they hold; ``\\n`` in free text is a line break.
    """
    words = meant.instead(last_of_each(words, choices.groups()))
    is_sweep, is_implied = bool(_SWEEP & {*words}), any(map(_implies_a_sweep, words))
    words, drafts = _each_speculation(words)
    if is_sweep or is_implied:
        words = _in_one_folder(words)
    result = [*drafts]
    for word in words:
        if word.startswith("-"):
            result.append(word)
            continue
        sign, key, separator, value = _parts(word)
        if not separator and not sign:
            raise meant.bare(word, ())
        if key == "track":
            raise NiahError(
                f"track: got {value!r}; only niah run tracks while it measures; expected niah track DIR to={value} "
                "afterwards"
            )
        if sign == "~" or not separator or re.match(r"hydra\b", key):
            result.append(word)
        elif word == "experiment=null":
            continue  # none is the default, and Hydra takes no null for a choice
        elif key == "experiment" and ("," in (files := _files_of_a_folder(value))):
            result.append(f"{sign}experiment={files}")
        elif key == "reader.budget" and value.startswith("["):
            result.append(f"++{key}={value.strip('[]').replace(' ', '')}")
        elif key == "model.thinking_budget" and value.startswith("["):
            result.append(f"++model.thinking_budgets={_setting('model.thinking_budgets', value, is_sweep)}")
        elif key == "ctx" and (ladder := _ladder_up_to(value)):
            result.insert(0, f"++ctx.lengths={ladder}".replace(" ", ""))  # before ctx.lengths=, wherever that stands
        elif key == "kv" and value.startswith("["):
            result += _each_cache(value)
        elif key == "hardware" and (parts := counted(value)):
            name, num_gpus, num_nodes = parts
            counts = [f"++hardware.num_gpus={num_gpus}", f"++hardware.num_nodes={num_nodes}"]
            result[:0] = [f"hardware={_quoted(meant.choice('hardware', name))}", *counts]
        elif "." in key:
            _note_a_lone_depth(key, value)
            # a field that a group's file leaves at its default is there all the same; config checks names
            make = _setting if key.count(".") == 1 else _deeper
            result.append(f"++{key}={make(key, value, is_sweep)}")
        else:
            result.append(f"{sign}{key}={_top(key, value, is_sweep or (is_implied and key in choices.groups()))}")
    if is_implied and not is_sweep:
        result.append("-m")
    return sorted(result, key=lambda word: not word.startswith("-"))  # Hydra takes options before overrides alone


def _in_one_folder(words: Sequence[str]) -> list[str]:
    """Several runs cannot share the folder that ``name=`` says: it becomes the one that theirs lie in. A run that is
    there already keeps it, and goes on."""
    given = {_parts(word)[1]: _parts(word)[3] for word in words if not word.startswith("-")}
    name, outputs = given.get("name", "null"), given.get("outputs", "outputs")
    if name == "null" or _swept("name", name) or _swept("outputs", outputs):
        return list(words)
    folder = Path(values.as_typed(outputs) or "outputs", config.folder_name(values.as_typed(name)) or "")
    if store.is_run(folder.expanduser()):
        return list(words)
    return [*(word for word in words if _parts(word)[1] not in ("name", "outputs")), f"outputs={folder}"]


def _implies_a_sweep(word: str) -> bool:
    """Whether it means several runs without -m: then the choices of groups may be several too."""
    key, _, value = word.lstrip("+").partition("=")
    if key == "experiment":
        return "," in _files_of_a_folder(value) or choices.is_sweep(value)
    return key == "reader.budget" and value.startswith("[")


def _parts(word: str) -> tuple[str, str, str, str]:
    match = _WORD.fullmatch(word)
    assert match  # every string does
    return match[1], match[2], match[3], match[4]


def _top(key: str, value: str, is_sweep: bool) -> str:
    """The value of a group's choice, of name, outputs, seed or calibrate, in Hydra's grammar."""
    is_choice = key.partition("@")[0] in choices.groups()
    if is_sweep and (sweep := _swept(key, value)):
        return _each_choice(key, sweep.value()) or value
    if is_choice and "," in value:
        raise NiahError(f"{key}={value}: several choices; expected one, or -m before it for a run of each")
    if key == "outputs":
        value = os.path.expanduser(value)  # Hydra itself makes this folder for a sweep
    if key not in choices.groups():
        return _quoted(values.as_typed(value) or value) if is_choice else _said(value)
    return _quoted(meant.choice(key, values.as_typed(value) or value))


def _each_choice(key: str, sweep: Any) -> str:
    """The choices of a group that a sweep a,b means; empty for another sweep, and where they are as they should be."""
    if key not in choices.groups() or not isinstance(sweep, ChoiceSweep) or not sweep.simple_form:
        return ""
    names = [one.text if isinstance(one, QuotedString) else str(one) for one in sweep.list]
    right = [meant.choice(key, name) for name in names]
    return ",".join(map(_quoted, right)) if right != names else ""


def _note_a_lone_depth(key: str, value: str) -> None:
    """A whole number of depths is easily meant for how many, and is the one depth of that percent."""
    if key == "ctx.depths" and value.isdecimal() and 1 < int(value) <= _MOST_DEPTHS and value not in ("50", "100"):
        num = int(value)
        even = ",".join(f"{100 * place / (num - 1):.4g}" for place in range(num))
        terminal.note(f"niah: ctx.depths={value} is one depth, at {value}%; {value} depths are ctx.depths=[{even}]")


def _setting(key: str, value: str, is_sweep: bool) -> str:
    """The value of a group's setting in Hydra's grammar."""
    sweep = _swept(key, value) if is_sweep else None
    if (sweep or value == "null" or "\\n" in value) and _is_free_text(key):
        return _free_text(key, value, sweep)
    return value if sweep else _said(value)


def _free_text(key: str, value: str, sweep: Override | None) -> str:
    """A text as typed, line breaks for ``\\n``; a sweep only of texts in quotes, or by choice(...)."""
    texts = sweep.value() if sweep else None
    if isinstance(texts, ChoiceSweep):
        parts = texts.list
        if not texts.simple_form or all(isinstance(one, QuotedString) for one in parts):
            return ",".join(_quoted(one.text if isinstance(one, QuotedString) else str(one)) for one in parts)
    text = values.as_typed(value)
    if text is None:
        may_be_none = any(type(None) in get_args(kind) for _, kind in config.fields_named(key))
        return "null" if may_be_none else _quoted(value)
    return _quoted(text.replace("\\n", "\n") if text == value else text)


def _deeper(key: str, value: str, is_sweep: bool) -> str:
    """What lies within a setting, as engine.args.x: Hydra's grammar, and JSON; text where neither understands it."""
    override = _parsed(key, value)
    if override and "${" not in value and (is_sweep or not override.is_sweep_override()):
        return value
    if value[:1] in ("[", "{"):
        return _in_grammar(values.read(value, key))
    return _quoted(value)


def _is_free_text(key: str) -> bool:
    return any(is_free_text(field) for field, _ in config.fields_named(key))


def _parsed(key: str, value: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(f"{key}={value}")
    except HydraException:
        return None


def _swept(key: str, value: str) -> Override | None:
    """The sweep that the value is in Hydra's grammar, if it is one.

    Raises NiahError for one that would look something up: it would end in run.json.
    """
    override = _parsed(key, value)
    if override is None or not override.is_sweep_override():
        return None
    if "${" in value and not _is_free_text(key):
        raise NiahError(
            f"{key}: got {value!r}; expected values without ${{...}}: a command looks nothing up; let the shell do so"
        )
    return override


def _said(value: str) -> str:
    text = values.as_typed(value)
    return "null" if text is None else _quoted(text)


def _quoted(text: str) -> str:
    """The text in Hydra's grammar, with nothing in it that Hydra or OmegaConf would take for more than text."""
    return str(QuotedString(values.escaped(text), Quote.single).with_quotes())


def _in_grammar(value: Any) -> str:
    """Plain data in Hydra's grammar."""
    if isinstance(value, dict):
        keys = {name: re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", name) for name in value}
        return "{" + ",".join(f"{keys[name]}:{_in_grammar(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_in_grammar, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    return "null" if value is None else str(value).lower()


def _each_cache(value: str) -> list[str]:
    """``kv=[bf16,fp8]``: the first is the choice, the others are run beside it."""
    names = [meant.choice("kv", name.strip()) for name in value.strip("[]").split(",") if name.strip()]
    known = {node["name"]: node["dtype"] for node in choices.choices("kv")}
    if not names:
        raise NiahError(f"kv: got {value}; expected at least one, as kv=[bf16,fp8]")
    others = [{"name": name, "dtype": known[name]} for name in names[1:]]
    return [f"kv={_quoted(names[0])}", *([f"++kv.also={_in_grammar(others)}"] if others else [])]


def _each_speculation(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """``spec=[none,ngram]`` and settings as ``spec.num_speculative_tokens=3``, which are those of each that takes them:
    the other words, and what these are in Hydra's grammar, nothing where there is no such list."""
    lists = [word for word in words if word.startswith("spec=[")]
    if not lists:
        return list(words), []
    own = [word for word in words if word.startswith("spec.") and "=" in word]
    changed = {word[5:].partition("=")[0]: word.partition("=")[2] for word in own}
    names = [name.strip() for name in lists[-1].removeprefix("spec=").strip("[]").split(",") if name.strip()]
    known = {node["name"]: node for node in choices.choices("spec")}
    for name in names:
        if name not in known:
            raise NiahError(f"spec={name}: no such choice; expected one of {', '.join(known)}")
    if not names:
        raise NiahError(f"{lists[-1]}: names none; expected at least one, as spec=[none,ngram]")
    takes = {name: METHODS.get(known[name]["method"], ()) for name in names}
    for key in changed:
        if not any(key in taken for taken in takes.values()):
            allowed = ", ".join(dict.fromkeys(one for taken in takes.values() for one in taken)) or "no settings"
            raise NiahError(f"spec.{key}: none of {', '.join(names)} takes it; expected {allowed}")
    first, *others = (
        {**known[name], **{key: value for key, value in changed.items() if key in takes[name]}} for name in names
    )
    own_settings = [f"++spec.{key}={_quoted(changed[key])}" for key in first if key in changed]
    result = [f"spec={_quoted(names[0])}", *own_settings]
    result += [f"++spec.also={_in_grammar(others)}"] if others else []
    return [word for word in words if word not in (*lists, *own)], result


def _files_of_a_folder(value: str) -> str:
    """Of an experiment that is a folder each file in it, with commas between; else the value itself."""
    places = [folder / "experiment" / value for folder in choices.folders()] if value else []
    names: list[str] = []
    with suppress(OSError):  # too long for a file's name
        names = sorted({f"{value}/{file.stem}" for place in places for file in place.glob("*.yaml")})
    return ",".join(names) if names else value


def _ladder_up_to(value: str) -> list[int]:
    """Lengths from 8K up to this one, each twice the one before; none for a file of ctx, or where it is no length."""
    if "," in value or choices.file_of("ctx", value):
        return []
    try:
        longest = parse_length(value, "ctx")
    except NiahError:
        return []  # Hydra lists the choices
    lengths = [8192]
    while lengths[-1] * 2 < longest:
        lengths.append(lengths[-1] * 2)
    return [length for length in lengths if length < longest] + [longest]


def run(overrides: list[str], job: Callable[[Any], int]) -> int:
    """Composes the config (or, with -m, each config of the sweep) and runs ``job`` on it.

    Returns the largest exit code. Where a job fails, the others of a sweep still run; then the last error is raised,
    of trials without an answer only where nothing was refused.
    """
    if "hydra/launcher=ray" in overrides and not any(".init.address=" in word for word in overrides):
        from niah.engines.replicas.start import stay_on_this_machine

        if not os.environ.get("RAY_ADDRESS"):
            stay_on_this_machine()
    try:
        os.getcwd()
    except OSError as error:
        raise NiahError(f"the folder this command was given in is gone ({error.strerror}); cd to another") from error
    codes: list[int] = []
    failed: list[Exception] = []
    own_process, own_folder = os.getpid(), choices.own_folder()

    @hydra.main(version_base="1.3", config_path=str(choices.conf_folder()), config_name="config")
    def composed(composed_config: Any) -> None:
        try:
            if os.getpid() != own_process:  # a launcher's, which knows nothing of this one
                choices.use(own_folder)
            codes.append(job(composed_config))
        except Exception as error:
            if os.getpid() != own_process:  # Hydra carries the first error home, this tells them all
                fault.show(error)
                kind = UnansweredError if isinstance(error, UnansweredError) else NiahError
                raise kind(fault.line(error)) from None
            failed.append(error)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed by Hydra
    before = sys.argv
    sys.argv = [before[0], *([f"--config-dir={own_folder}"] if own_folder else []), *overrides]
    try:
        composed()
    except (HydraException, OmegaConfBaseException) as error:
        raise NiahError(_one_line(error)) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:  # the last: a file that holds itself
        raise choices.unreadable(error) from error
    except OSError as error:  # of a choice's file, where Hydra looks for it
        place = f"...{str(error.filename)[-60:]}"
        if is_full(error):  # a sweep's multirun.yaml
            raise
        raise NiahError(f"{place}: cannot be read ({error.strerror}); expected a file of settings") from error
    finally:
        sys.argv = before
    failed.sort(key=lambda error: not isinstance(error, UnansweredError))
    said = {fault.line(error): error for error in failed[:-1]}  # each run of a sweep may be refused for the same
    for line, earlier in said.items():
        if line != fault.line(failed[-1]):
            fault.show(earlier)
    if failed:
        raise failed[-1]
    return max(codes, default=0)


def _one_line(error: Exception) -> str:
    """Hydra's complaint as one line of where, what, expected."""
    text = " ".join(str(error).replace("\t", " ").split())
    no_choice = r"Could not find '([^']*)/([^']*)' Available options in '[^']*': (.*?)(?: Config search path|$)"
    if match := re.search(no_choice, text):
        group, choice, options = match.groups()
        return f"{group}={choice}: no such choice; expected one of {', '.join(options.split())}"
    if match := re.search(r"Could not override '(hydra\.[^']*)'", text):
        return (
            f"{match[1]}: not among this launcher's settings; expected one of them (--cfg=hydra lists them), "
            "or + before it to add it"
        )
    if match := re.search(r"Could not override '([^']*)'", text):
        return _unknown_key(match[1])
    if override := getattr(error, "override", None):
        reason = text.split(" See http")[0]
        return f"{override.lstrip('+')}: not understood ({reason}); expected key=value, lists as key=[a,b]"
    return f"{text.split(' See http')[0]}; see python -m niah --help"


def _unknown_key(key: str) -> str:
    """One line about a key that is neither a group nor a setting without one; often it is a group's setting."""
    groups = choices.groups()
    if key == "budget":
        return (
            "budget: no setting of this verb; expected it with niah run and niah plan; niah frontier and niah decide "
            "have frontier.budget= and decide.budget="
        )
    inside = [f"{group}.{key}=..." for group in groups if config.fields_named(f"{group}.{key}")]
    if right := inside[:3] or [f"{name}=..." for name in meant.near(key, [*groups, *config.PLACE_ONLY, "seed"])[:1]]:
        return f"{key}: unknown key; did you mean {' or '.join(right)}"
    return f"{key}: unknown key; expected name, outputs, seed or one of the groups {', '.join(groups)}"

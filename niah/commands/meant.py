"""What a word that is not quite right was meant for: the right words where they are plain, else one line with them."""

import os
import re
from collections.abc import Iterable, Sequence

from niah import choices, values
from niah.errors import NiahError
from niah.models.constructed import SCHEME
from niah.units import parse_length

PLURALS = {
    "models": "model", "tasks": "task", "haystacks": "haystack", "experiments": "experiment", "readers": "reader",
    "scorers": "scorer", "engines": "engine",
}
"""Words for ``choices GROUP``, beside the group's own name."""
OTHER_VERBS = {"ls": "list", "remove": "rm", "diff": "compare", "measure": "run", "eval": "run"}
"""What others call a verb of niah's."""
_OPTIONS = {
    "-m", "--multirun", "--cfg", "--info", "--resolve", "--package", "--hydra-help",
}
"""Hydra's own, those that are of use here."""
_WITH_VALUE = {"--cfg": "job, hydra or all", "--info": "all or defaults", "--package": "a group"}
_NEAR = 0.6
_SHOWN = 4


def near(word: str, known: Iterable[str]) -> list[str]:
    """Of the words those that this one may be a slip for, the nearest first."""
    import difflib  # not before: it is for words that are wrong

    return difflib.get_close_matches(word, list(known), n=_SHOWN, cutoff=_NEAR)


def verb(words: Sequence[str], verbs: Iterable[str]) -> list[str]:
    """The words with a verb of niah's first, where the first is another word for one: ``models``, ``kv``, ``ls``."""
    first, rest = (words[0], list(words[1:])) if words else ("", [])
    if first in verbs:
        return list(words)
    if first in PLURALS or first in choices.groups():
        return ["choices", PLURALS.get(first, first), *rest]
    return [OTHER_VERBS[first], *rest] if first in OTHER_VERBS else list(words)


def check(words: Sequence[str], verbs: Iterable[str]) -> None:
    """Raises NiahError for the first word of a run that is neither key=value nor an option that there is."""
    for number, word in enumerate(words):
        if word.startswith("-"):
            _check_option(word, words[number + 1] if number + 1 < len(words) else "")
        elif "=" not in word and not word.startswith("~"):
            raise bare(word, list(verbs))


def bare(word: str, verbs: Sequence[str]) -> NiahError:
    """The error for a word that is neither a verb nor key=value."""
    names = [*verbs, *PLURALS, "help", "version"]
    right = ""
    if word in verbs:
        right = f"niah {word}, the verb before all else"
    elif found := near(word, names):
        right = f"niah {found[0]}" if found[0] != "version" else "niah --version"
    elif groups := [group for group in choices.groups() if word in choices.names_within(group)]:
        right = " or ".join(f"{group}={word}" for group in groups)
    elif os.path.isdir(word):
        right = f"niah report {word}, or show, compare, list"
    why = f"did you mean {right}" if right else "expected key=value, or a verb first"
    return NiahError(f"{word}: not understood; {why}; see python -m niah --help")


def instead(words: Sequence[str]) -> list[str]:
    """A command's words with those in other words that are plain: model=ORG/NAME and model=./folder as model.path=,
    and model.path= without a model as that of no file, or of a calibration model's file.

    Raises NiahError for an option that there is none of.
    """
    if "--resolve" in words and not any(word.startswith("--cfg") for word in words):
        raise NiahError("--resolve: resolves nothing by itself; expected it with --cfg=job")
    found, models, path = [], [], None
    for number, word in enumerate(words):
        if word.startswith("-"):
            _check_option(word, words[number + 1] if number + 1 < len(words) else "")
        key, _, value = word.partition("=")
        if key.lstrip("+") == "model.path":
            path = values.as_typed(value)
        if key == "model" and _names_weights(value):
            path, word = value, f"model.path={value}"
        elif key == "model":
            models.append(value)
        found.append(word)
    if path is None or {*models} - {"custom"}:
        return found
    return [f"model={_file_of_weights(path)}", *(word for word in found if word != "model=custom")]


def _file_of_weights(path: str) -> str:
    """The choice of model for weights named by where they lie: custom, but for calibration:margin@nats:12 the file of
    that calibration model, which says how it is asked."""
    own = f"calibration/{path.removeprefix(SCHEME).partition('@')[0]}"
    return own if path.startswith(SCHEME) and choices.file_of("model", own) else "custom"


def _check_option(word: str, following: str) -> None:
    name, separator, value = word.partition("=")
    if name in _WITH_VALUE and not (separator and value):
        raise NiahError(f"{name}: which? expected {name}=..., {_WITH_VALUE[name]}")
    if name in _OPTIONS:
        return
    key = name.lstrip("-").replace("-", "_")
    if key.partition(".")[0] in (*choices.groups(), "name", "outputs", "seed", "calibrate", "retry", "ruler", "budget"):
        value = value if separator else following
        right = f"{key}={value}" if value and "=" not in value else f"{key}=VALUE"
        raise NiahError(f"{word}: no such option; settings are written as key=value; did you mean {right}")
    raise NiahError(
        f"{word}: no such option here; expected key=value, or -m for a run of each; see python -m niah --help"
    )


def _names_weights(value: str) -> bool:
    """Whether a model is named by where it lies: a folder or file that is there, or an id of Hugging Face's hub."""
    if "," in value or choices.file_of("model", value) or _same("model", value):
        return False
    if value and (os.path.exists(os.path.expanduser(value)) or value.startswith(("./", "../", "/", "~", SCHEME))):
        return True
    organisation, _, name = value.partition("/")
    is_id = bool(organisation and name) and "/" not in name and organisation not in choices.folders_of("model")
    return is_id or value.endswith(".gguf")


def choice(group: str, value: str) -> str:
    """The name of the choice that is meant. Raises NiahError, with the names that may be meant, where it is none."""
    if choices.file_of(group, value) or files_in(group, value):
        return value
    if found := _same(group, value):
        return found
    raise no_choice(group, value)


def no_choice(group: str, value: str) -> NiahError:
    """The error for a choice that is not there."""
    right = [f"{group}={name}" for name in _near(group, value)]
    if group == "haystack" and value and os.path.exists(os.path.expanduser(value)):
        right = [f"haystack=files haystack.path={value}"]
    if right:
        hint = f"did you mean {' or '.join(right)}; python -m niah choices {group} lists all"
    else:
        hint = f"expected one of {', '.join([*choices.names(group), *choices.folders_of(group)])}"
        hint += ", or a length, as 24k" if group == "ctx" else ""
        hint += ", or an id of Hugging Face (ORG/NAME), a folder or a .gguf file" if group == "model" else ""
    return NiahError(f"{group}={value}: no such choice; {hint}")


def files_in(group: str, folder: str) -> list[str]:
    """The experiments in a folder of them, which is a choice of all."""
    if group != "experiment" or not folder:
        return []
    return [name for name in choices.names_within(group) if name.rpartition("/")[0] == folder]


def _same(group: str, value: str) -> str:
    """The one choice that has this name but for letter case and separators, or is called so; empty where none is."""
    form = _form(value)
    if not form or group == "ctx":
        return ""
    found = [name for name in choices.names_within(group) if _form(name) == form]
    found = found or [name for name, called in _called(group).items() if form in map(_form, called)]
    return found[0] if len(found) == 1 else ""


def _near(group: str, value: str) -> list[str]:
    """The choices that may be meant: whose name or title holds the word, or all its parts, else that are spelt so."""
    form = _form(value)
    if not any(one.isalpha() for one in form) or (group == "ctx" and _is_length(value)):
        return []
    names = sorted(choices.names_within(group), key=lambda name: (name.count("/"), name))
    if last := [name for name in names if _form(name.rpartition("/")[2]) == form]:
        return last[:_SHOWN]
    if len(form) > 2:
        called = _called(group)
        holding = [name for name in names if any(form in _form(one) for one in (name, *called.get(name, ())))]
        parts = [_form(part) for part in re.split(r"[^A-Za-z0-9]+", value) if part]
        holding = holding or [
            name for name in names
            if any(all(part in _form(one) for part in parts) for one in (name, *called.get(name, ())))
        ]
        if holding:
            return holding[:_SHOWN]
    return near(value, [*choices.folders_of(group), *names])


def _called(group: str) -> dict[str, list[str]]:
    """What the choices of a group are called beside their names: a model's weights and title, a dtype, a GPU's name."""
    keys = {"model": ("path", "label"), "kv": ("dtype",), "hardware": ("label",)}.get(group, ())
    found = {}
    for name in choices.names_within(group) if keys else ():
        file = choices.file_of(group, name)
        text = file.read_text(encoding="utf-8", errors="replace") if file else ""
        lines = (re.search(rf"^{one}: *(\S.*?) *(?:#.*)?$", text, re.M) for one in keys)
        found[name] = [match[1].strip("\"'") for match in lines if match]
    return found


def _form(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())


def _is_length(value: str) -> bool:
    try:
        return parse_length(value, "") > 0
    except NiahError:
        return False

"""The verb ``completion``: a shell's script, and the words that it asks for at each Tab."""

import os
import shlex
from collections.abc import Iterable, Sequence

from niah import choices
from niah.commands import help, meant
from niah.errors import NiahError
from niah.terminal import say

_SCRIPTS = {
    "bash": """\
# niah for bash: eval "$(niah completion bash)", or that output in ~/.local/share/bash-completion/completions/niah
_niah() {
    local line="${COMP_LINE:0:COMP_POINT}" word typed
    typed="${line##*[[:space:]]}"
    COMPREPLY=()
    while IFS= read -r word; do
        [[ "$word" == *[=/.] ]] && compopt -o nospace
        [[ "$COMP_WORDBREAKS" == *=* ]] && word="${word#"${typed%"${typed##*[=:]}"}"}"
        COMPREPLY+=("$word")
    done < <("$1" completion words "$line" 2> /dev/null)
}
complete -F _niah niah
""",
    "zsh": """\
#compdef niah
# niah for zsh: eval "$(niah completion zsh)" after compinit, or that output as _niah in a folder of fpath
_niah() {
    local -a found open
    local word
    for word in "${(@f)$("${words[1]}" completion words "${(j: :)words[1,CURRENT]}" 2> /dev/null)}"; do
        [[ -z "$word" ]] && continue
        [[ "$word" == *[=/.] ]] && open+=("$word") || found+=("$word")
    done
    compadd -Q -S '' -- $open
    compadd -Q -- $found
}
compdef _niah niah
""",
    "fish": """\
# niah for fish: niah completion fish | source, or that output in ~/.config/fish/completions/niah.fish
function __niah
    niah completion words (commandline --cut-at-cursor --current-process | string collect)
end
complete --command niah --no-files --arguments '(__niah)'
""",
}
_FOLDERS = {
    "report", "rescore", "compare", "crosscheck", "rag", "ruler", "show", "rm", "list", "calibrate", "shrink", "export",
    "gate",
}
"""Verbs that begin with folders of runs."""
_OPTIONS = {"show": ("--trial", "--cell", "--whole"), "shrink": ("--trial", "--against")}


def main(words: list[str]) -> int:
    """Exit code of ``completion bash|zsh|fish``, and of ``completion words LINE``, which those scripts give."""
    if words[:1] == ["words"] and len(words) == 2:
        say(*found(words[1]))
        return 0
    if len(words) != 1 or words[0] not in _SCRIPTS:
        raise NiahError(f"completion: for which shell? expected one of {', '.join(_SCRIPTS)}, as completion bash")
    say(_SCRIPTS[words[0]].rstrip("\n"))
    return 0


def found(line: str) -> list[str]:
    """The words that may stand at the end of a line that begins with niah, whole."""
    before, word = _parts(line)
    given = [one for one in before[1:] if not one.startswith("-")]
    verbs = list(dict.fromkeys(name for name, _, _ in help.USAGE))
    verb = given[0] if given and given[0] in (*verbs, *meant.PLURALS, "help") else ""
    if "=" in word:
        return _starting(word, _values(*word.split("=", 1), is_sweep=bool({"-m", "--multirun"} & {*before})))
    if verb in ("help", "choices"):
        return _starting(word, [*choices.groups(), *(verbs if verb == "help" else ())])
    if verb == "completion":
        return _starting(word, _SCRIPTS)
    if verb in meant.PLURALS:
        return _starting(word, ("format=json",))
    takes_a_run = not verb or help.takes_a_run(verb)
    keys = [f"{key}=" for key in help.keys_of_a_run()] if takes_a_run else []
    keys += [f"{group}." for group in help.groups_of(verb or "run") if verb or word]
    if "." in word and word.partition(".")[0] in (*choices.groups(), *help.OWN):
        return _starting(word, _fields(word.partition(".")[0], given))
    known = [*(() if given else (*verbs, *meant.PLURALS, "help")), *keys, *_OPTIONS.get(verb, ())]
    if takes_a_run and word:
        known += [f"{group}." for group in choices.groups() if group != "experiment"]
    return _starting(word, known) + (_folders(word) if verb in _FOLDERS else [])


def _parts(line: str) -> tuple[list[str], str]:
    """The finished words of a line and the one under way, empty where a new one begins."""
    try:
        words = shlex.split(line)
    except ValueError:  # an open quote
        words = line.split()
    return (words, "") if not line or line[-1].isspace() else (words[:-1], words[-1] if words else "")


def _starting(word: str, known: Iterable[str]) -> list[str]:
    return [one for one in dict.fromkeys(known) if one.startswith(word)]


def _values(key: str, value: str, *, is_sweep: bool) -> list[str]:
    """Whole words key=value for each choice or value of a setting; where several may stand, the last is completed."""
    before, comma, _ = value.rpartition(",") if is_sweep else ("", "", value)
    if key in choices.groups():
        names: Sequence[str] = [*choices.names_within(key), *choices.folders_of(key)]
    elif "." in key:
        names = help.values_of(key)
    else:
        names = {"format": ("json", "text", "csv", "latex"), "exact": ("true",), "retry": ("true",),
                 "calibrate": ("true",)}.get(key, ())
        return _starting(f"{key}={value}", [f"{key}={name}" for name in names]) or _folders(value, f"{key}=")
    if not names and key.endswith(("path", "paths", "out")):
        return _folders(value, f"{key}=", is_file=True)
    return [f"{key}={before}{comma}{name}" for name in names]


def _fields(group: str, given: Sequence[str]) -> list[str]:
    """``group.field=`` of the choice that the command makes, else of the default's class."""
    from niah.commands import fields  # dataclasses: no other Tab waits for it

    chosen = next((word.partition("=")[2] for word in reversed(given) if word.startswith(f"{group}=")), "")
    return [f"{group}.{one.name}=" for one in fields.settings(help.class_of(group, chosen)) if one.name != "name"]


def _folders(typed: str, before: str = "", *, is_file: bool = False) -> list[str]:
    """Folders, and files with ``is_file``, that begin as typed; of a folder of runs those runs."""
    place, name = os.path.split(typed)
    try:
        inside = sorted(os.scandir(os.path.expanduser(place) or "."), key=lambda one: one.name)
    except OSError:
        return []
    shown = [one for one in inside if one.name.startswith(name) and (name.startswith(".") or one.name[0] != ".")]
    return [
        f"{before}{os.path.join(place, one.name)}{'/' if one.is_dir() else ''}"
        for one in shown if is_file or one.is_dir()
    ]

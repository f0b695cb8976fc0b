"""Each command in a block of README, of docs/ and of the help is one: its verb, choices and settings are there."""

import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache

import pytest

from niah import choices
from niah.cli import VERBS
from niah.commands import fields, help, meant
from niah.errors import NiahError
from niah.planner.hardware import counted
from tests.helpers.command import REPOSITORY

FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OF_A_VERB = {
    "budget", "track", "out", "format", "exact", "models", "tokenizer", "probe", "to", "dataset", "table", "run", "yes",
}
"""Keys without a group that are a verb's, not a run's."""
STANDS_FOR = re.compile(r"\.\.\.|…|DIR|NAME|URL|=a,b$|^\[|^-|^hydra|^[^=]*$")
"""A word that the reader puts another for, or that is no setting of niah's."""


def commands(text: str) -> Iterator[list[str]]:
    """The words behind niah of each command in lines of a shell."""
    for line in text.splitlines():
        if "niah " not in line or line.startswith("$"):  # an example of a refusal
            continue
        words = shlex.split(line, comments=True)
        cuts = [-1, *(number for number, word in enumerate(words) if word in ("&&", "|", "&")), len(words)]
        for start, stop in itertools.pairwise(cuts):
            one = words[start + 1 : stop]
            one = one[2:] if one[:1] and one[0].endswith("python") and one[1:2] == ["-m"] else one
            if one[:1] == ["niah"] and len(one) > 1:
                yield one[1:]


@cache
def places() -> dict[str, list[list[str]]]:
    """The commands of each page, and of the help's examples."""
    found = {}
    for page in sorted(page for folder in (".", "docs", "haystacks") for page in (REPOSITORY / folder).glob("*.md")):
        blocks = FENCED.findall(page.read_text(encoding="utf-8"))
        found[str(page.relative_to(REPOSITORY))] = [one for block in blocks for one in commands(block)]
    examples = (re.split(r"\s{2,}", line.strip())[0] for line in help._EXAMPLES.splitlines())
    found["help"] = [*commands("\n".join(examples))]
    return {name: own for name, own in found.items() if own}


@cache
def keys_of(group: str) -> frozenset[str]:
    """The settings of all choices of a group, or of a verb's group."""
    if path := help.OWN.get(group):
        return frozenset(f"{group}.{one.name}" for one in fields.settings(path))
    return frozenset(key for name in choices.names_within(group) for key, _, _ in help.table(group, name))


def check(words: Sequence[str]) -> None:
    """Raises NiahError, or fails, where a word is none of niah's."""
    if words[0] == "help" or "--config-dir" in words:  # plug-ins of the reader's own
        return
    first = meant.verb(list(words[:1]), VERBS)[0]
    assert first in VERBS or "=" in first or first.startswith("-"), first
    for word in words:
        if not STANDS_FOR.search(word):
            _setting(*word.split("=", 1))


def _setting(key: str, value: str) -> None:
    group, _, name = key.partition(".")
    if name:
        assert f"{group}.{name.partition('.')[0]}" in keys_of(group), key
    elif group in choices.groups():
        for one in value.strip("[]").split(","):
            if (group, one) != ("experiment", "ruler_quick") and one not in choices.folders_of(group):
                machine = counted(one) if group == "hardware" else None
                meant.choice(group, machine[0] if machine else one)
    else:
        assert key in {*OF_A_VERB, *help.keys_of_a_run()}, key


@pytest.mark.parametrize("place", places())
def test_each_command_that_is_written_is_one(place):
    wrong = []
    for words in places()[place]:
        try:
            check(words)
        except (NiahError, AssertionError) as error:
            wrong.append(f"{shlex.join(words)}: {error}")
    assert not wrong


def test_commands_are_found_and_wrong_ones_named():
    assert sum(map(len, places().values())) > 120 and {"README.md", "docs/use.md", "docs/ci.md", "help"} <= {*places()}
    text = "python -m niah kv=fp8 ctx=8k   # that\nx && niah rag 'a b' | tee\n"
    assert [*commands(text)] == [["kv=fp8", "ctx=8k"], ["rag", "a b"]]
    for word in ("kv=fp9", "task.num_kays=3", "compare.fail=worse", "experiment=rulr", "sede=3", "compair"):
        with pytest.raises((NiahError, AssertionError), match=re.split("[.=]", word)[-2 if "=" in word else -1]):
            check([word])

"""What verbs do with the words of a command: their own, their folders, changed settings; and vLLM's restart."""

import itertools
import os
import sys
import time
from collections.abc import Container, Sequence
from typing import Any, TypeVar

from niah import terminal, values
from niah.engines.vllm.process import environment
from niah.errors import NiahError

_Settings = TypeVar("_Settings")

RULER_QUICK = "experiment=ruler_quick"
"""The word that ``ruler.quick`` makes a sweep of."""


def own_words(defaults: dict[str, str], words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The verb's own key=value words by name, ``defaults`` where they are not given; and the other words, in order."""
    own, rest = dict(defaults), []
    for word in last_of_each(words, defaults):
        key, separator, value = word.partition("=")
        if separator and key in own:
            own[key] = os.path.expanduser(value) if key == "out" else value
        else:
            rest.append(word)
    return own, rest


def last_of_each(words: Sequence[str], keys: Container[str]) -> list[str]:
    """The words, of those that give one of these keys the last alone, which is the one that counts: an earlier one
    would leave what it means beside itself (kv=[bf16,fp8] a second cache). The first key with two values is told."""
    last = {word.partition("=")[0]: place for place, word in enumerate(words) if "=" in word}
    kept, is_told = [], False
    for place, word in enumerate(words):
        key, separator, value = word.partition("=")
        if not separator or key not in keys or place == last[key]:
            kept.append(word)
        elif not is_told and (final := words[last[key]]) != word:
            both = f"; {key}=[{value},{final.partition('=')[2]}] takes both" if key == "track" else ""
            terminal.note(
                f"niah: {key} is given twice ({value}, {final.partition('=')[2]}); the last counts, {final}{both}"
            )
            is_told = True
    return kept


def folder_arguments(verb: str, arguments: list[str]) -> tuple[list[str], list[str]]:
    """The run folders that a command begins with, and the words behind them. Raises NiahError where there is none."""
    paths = list(itertools.takewhile(_may_be_a_folder, arguments))
    if not paths:
        raise NiahError(f"{verb}: which run? expected its folder, as {verb} outputs/NAME")
    return paths, arguments[len(paths) :]


def _may_be_a_folder(word: str) -> bool:
    return os.path.isdir(word) or not (word.startswith("-") or "=" in word)


def changes(where: str, words: Sequence[str], groups: Sequence[str]) -> dict[str, Any]:
    """``group.key=value`` words as nested data. Raises NiahError for another group or another form of word."""
    for word in words:
        key, separator, _ = word.partition("=")
        if not separator or key.split(".")[0] not in groups or "." not in key:
            expected = " or ".join(f"{group}.key=value" for group in groups)
            raise NiahError(f"{where}: got {word}; expected {expected}")
    return values.from_words(words)


def own_settings(group: str, cls: type[_Settings], words: Sequence[str]) -> tuple[_Settings, list[str]]:
    """The ``cls`` that a verb's ``group.key=value`` words make, and the other words. Raises NiahError for odd ones."""
    from niah import config  # a verb without settings of its own need not wait for it

    own = [word for word in words if word.startswith(f"{group}.")]
    changed = changes(group, own, (group,)).get(group, {})
    return config.typed(group, cls, changed)[0], [word for word in words if word not in own]


def refuse_repeats(verb: str, words: Sequence[str]) -> None:
    """Raises NiahError where a verb that asks repeats until it knows enough is told how many."""
    if given := [word for word in words if word.lstrip("+").startswith("ctx.repeats=")]:
        raise NiahError(
            f"{verb} {given[-1]}: it asks repeats until it knows enough; expected none, or {verb}.most= for the most"
        )


def restart_with_environment(overrides: Sequence[str]) -> None:
    """Starts this command anew where vLLM needs variables that only a new process sees.

    And makes CUDA number GPUs as nvidia-smi does, whatever the engine: its own order puts the fastest first.
    """
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    engine = next((word.split("=", 1)[1] for word in reversed(overrides) if word.startswith("engine=")), "vllm")
    if "vllm" not in engine.casefold().split(",") or os.environ.get("NIAH_RESTARTED"):
        return
    missing = environment()
    if "LD_PRELOAD" not in missing:
        os.environ.update(missing)
        return
    sys.stdout.flush()
    os.environ.update(missing, NIAH_RESTARTED="1", NIAH_STARTED=repr(time.monotonic()))
    os.execv(sys.executable, sys.orig_argv)

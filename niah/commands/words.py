"""What verbs do with the words of a command, and the environment they need."""

import itertools
import os
import sys
import time
from collections.abc import Sequence

from niah.errors import NiahError


def own_words(defaults: dict[str, str], words: list[str]) -> tuple[dict[str, str], list[str]]:
    """A verb's own key=value words, and the rest, which are Hydra's."""
    own, rest = dict(defaults), []
    for word in words:
        key, separator, value = word.partition("=")
        if separator and key in own:
            own[key] = value
        else:
            rest.append(word)
    return own, rest


def folder_arguments(verb: str, arguments: list[str]) -> tuple[list[str], list[str]]:
    paths = list(itertools.takewhile(lambda word: os.path.isdir(word) or not (word.startswith("-") or "=" in word), arguments))
    if not paths:
        raise NiahError(f"{verb}: which run? expected its folder, as {verb} outputs/NAME")
    return paths, arguments[len(paths) :]


def restart_with_environment(overrides: Sequence[str]) -> None:
    """Starts this command anew where vLLM needs variables that only a new process sees."""
    engine = next((word.split("=", 1)[1] for word in reversed(overrides) if word.startswith("engine=")), "vllm")
    if "vllm" not in engine.split(",") or os.environ.get("NIAH_RESTARTED"):
        return
    from niah.engines.vllm.process import environment

    missing = environment()
    if "LD_PRELOAD" not in missing:
        os.environ.update(missing)
        return
    sys.stdout.flush()
    os.environ.update(missing, NIAH_RESTARTED="1", NIAH_STARTED=repr(time.time()))
    os.execv(sys.executable, sys.orig_argv[:1] + sys.orig_argv[1:])

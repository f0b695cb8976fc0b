"""From the words of a command to a composed config; with ``config`` the only user of Hydra."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from niah.choices import choices, conf_folder
from niah.errors import NiahError

_TEXTS = (
    "task.needle", "task.question", "task.answer_prefix", "task.template", "task.key", "task.value", "task.claim",
    "task.instruction", "task.path", "model.system", "haystack.path", "haystack.sentences", "haystack.sentence",
    "haystack.separator", "haystack.comment",
    "haystack.licence", "reader.instruction", "reader.marker", "reader.model", "reader.rerank",
)
"""Fields of free text: Hydra's grammar would trip over spaces, commas and braces in them."""


def adapted(overrides: Sequence[str]) -> list[str]:
    """Overrides as Hydra wants them, from the commands people write.

    ``model.path=`` without ``model=`` means a model without a file. ``ctx=24k``, a length without a
    file, means the ladder up to it. ``reader.budget=[1k,4k]`` is one run each. An experiment that is a folder means one run of each file in it. Fields of free text need no second pair of quotes; \\n in them is a
    line break. ``hardware=2x8xh100`` is two nodes of eight.
    """
    from niah.planner.hardware import counted
    from niah.units import parse_length

    result, names = [], {word.split("=", 1)[0] for word in overrides if "=" in word}
    overrides = [_each_of_a_folder(word) for word in overrides]
    if any(word.startswith("experiment=") and "," in word for word in overrides) and not {"-m", "--multirun"} & {*overrides}:
        result.append("-m")
    if "model.path" in names and "model" not in names:
        result.append("model=custom")
    for word in overrides:
        key, separator, value = word.partition("=")
        if not word.startswith("-") and not separator and key[:1] not in "~+":
            raise NiahError(
                f"{word}: not understood; expected key=value, or a verb first; see python -m niah --help"
            )
        if key == "ctx" and "," not in value and not (conf_folder() / "ctx" / f"{value}.yaml").is_file():
            try:
                longest = parse_length(value, "ctx")
            except NiahError:
                pass  # no length either: Hydra lists the choices
            else:
                result.append(f"++ctx.lengths={_ladder(longest)}".replace(" ", ""))
                continue
        if key == "reader.budget" and value.startswith("["):  # one run each
            value = value.strip("[]").replace(" ", "")
            word = f"{key}={value}"
            if not {"-m", "--multirun"} & {*overrides, *result}:
                result.append("-m")
        if key == "kv" and value.startswith("["):
            result += _each_cache(value)
            continue
        if key == "hardware" and (parts := counted(value)):
            result += [f"hardware={parts[0]}", f"++hardware.num_gpus={parts[1]}", f"++hardware.num_nodes={parts[2]}"]
            continue
        if key in _TEXTS and value[:1] not in "'\"":
            value = value.replace("\\n", "\n").replace("'", "\\'")
            word = f"{key}='{value}'"
        # a field that a group's file leaves at its default is there all the same; config checks names
        result.append(f"++{word}" if "." in key and key[0].isalpha() and not key.startswith("hydra.") else word)
    return sorted(result, key=lambda word: not word.startswith("-"))  # Hydra takes options before overrides alone


def _each_cache(value: str) -> list[str]:
    """``kv=[bf16,fp8]``: the first is the choice, the others are run beside it."""
    names = [name.strip() for name in value.strip("[]").split(",") if name.strip()]
    known = {node["name"]: node["dtype"] for node in choices("kv")}
    for name in names:
        if name not in known:
            raise NiahError(f"kv={name}: no such choice; expected one of {', '.join(known)}")
    if not names:
        raise NiahError(f"kv: got {value}; expected at least one, as kv=[bf16,fp8]")
    others = ",".join(f"{{name:{name},dtype:{known[name]}}}" for name in names[1:])
    return [f"kv={names[0]}", *([f"++kv.also=[{others}]"] if others else [])]


def _each_of_a_folder(word: str) -> str:
    key, _, value = word.partition("=")
    folder = conf_folder() / "experiment" / value
    if key != "experiment" or not value or not folder.is_dir():
        return word
    return "experiment=" + ",".join(f"{value}/{file.stem}" for file in sorted(folder.glob("*.yaml")))


def _ladder(longest: int) -> list[int]:
    lengths = [8192]
    while lengths[-1] * 2 < longest:
        lengths.append(lengths[-1] * 2)
    return [length for length in lengths if length < longest] + [longest]


def run(overrides: list[str], job: Callable[[Any], int]) -> int:
    """Composes the config (or, with -m, each config of the sweep) and runs ``job`` on it."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    codes: list[int] = []
    refused: list[NiahError] = []
    own_process = os.getpid()

    @hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
    def composed(config) -> None:
        try:
            codes.append(job(config))
        except NiahError as error:  # the other configs of a sweep still run
            if os.getpid() != own_process:  # a launcher's: Hydra carries the first error home, this tells them all
                print(f"niah: {error}", file=sys.stderr, flush=True)
                raise
            refused.append(error)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed by Hydra
    before = sys.argv
    sys.argv = [before[0], *overrides]
    try:
        composed()
    except (HydraException, OmegaConfBaseException) as error:
        raise NiahError(_one_line(error)) from error
    finally:
        sys.argv = before
    for error in refused[:-1]:
        print(f"niah: {error}", file=sys.stderr)
    if refused:
        raise refused[-1]
    return max(codes, default=0)


def _one_line(error: Exception) -> str:
    """Hydra's complaint as one line of where, what, expected."""
    text = " ".join(str(error).replace("\t", " ").split())
    if match := re.search(r"Could not find '([^']*)/([^']*)' Available options in '[^']*': (.*?)(?: Config search path|$)", text):
        group, choice, options = match.groups()
        return f"{group}={choice}: no such choice; expected one of {', '.join(options.split())}"
    if match := re.search(r"Could not override '(hydra\.[^']*)'", text):
        return f"{match[1]}: not among this launcher's settings; expected one of them (--cfg=hydra lists them), or + before it to add it"
    if match := re.search(r"Could not override '([^']*)'", text):
        groups = sorted(folder.name for folder in conf_folder().iterdir() if folder.is_dir())
        return f"{match[1]}: unknown key; expected name, outputs, seed or one of the groups {', '.join(groups)}"
    if override := getattr(error, "override", None):
        reason = text.split(" See http")[0]
        return f"{override.lstrip('+')}: not understood ({reason}); expected key=value, lists as key=[a,b], quotes around ="
    return f"{text.split(' See http')[0]}; see python -m niah --help"

"""Values as people type them: a text as it is, a list as [a,b], a dict as {a: 1}, JSON, a number, true, null."""

import json
import re
from collections.abc import Sequence
from typing import Any

from niah.errors import NiahError, first_line


def as_typed(text: str) -> str | None:
    """What a command gives a setting with ``text``: the same, but for null, and without quotes that hold all of it."""
    if text == "null":
        return None
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and text[0] not in text[1:-1]
    return text[1:-1] if is_quoted else text


def read(text: str, where: str, *, is_text: bool = False) -> Any:
    """The list or dict that ``text`` says, in Hydra's grammar or in JSON.

    With ``is_text`` it is a list in YAML's flow style, whose items stay what was typed (1e5, null). Raises NiahError,
    with the key ``where``, for what is neither.
    """
    import yaml
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    why = "it is neither"
    try:
        if is_text:
            found = yaml.load(text, yaml.BaseLoader)  # makes texts alone
        else:
            override = OverridesParser.create().parse_override(f"x={text}")
            found = None if override.is_sweep_override() else override.value()
    except yaml.YAMLError as error:
        found, why = None, first_line(error)
    except HydraException as error:
        try:
            found = json.loads(text)
        except ValueError:
            found, why = None, first_line(error)
    if not isinstance(found, list if is_text else list | dict):
        expected = "a list as [a,b]" if is_text else "a list as [a,b], a dict as {a: 1}, or JSON"
        raise NiahError(f"{where}={text}: not understood ({why}); expected {expected}")
    return found


def from_words(words: Sequence[str]) -> dict[str, Any]:
    """``group.key=value`` words as nested data: a group's settings as typed, what lies deeper as OmegaConf reads it."""
    from omegaconf import OmegaConf

    tree: dict[str, Any] = {}
    for word in words:
        path, _, text = word.partition("=")
        *above, last = path.split(".")
        node = tree
        for name in above:
            node = node.setdefault(name, {})
        if len(above) < 2:
            node[last] = as_typed(text)
        elif text[:1] in ("[", "{"):
            node[last] = read(text, path)
        else:
            node[last] = by_name(OmegaConf.to_container(OmegaConf.from_dotlist([f"x={text}"])))["x"]
    return tree


def escaped(data: Any) -> Any:
    """The same data for OmegaConf, which then takes ``${`` in texts as text and resolves nothing."""
    if isinstance(data, dict):
        return {key: escaped(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [escaped(value) for value in data]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", data) if isinstance(data, str) else data


def by_name(data: Any) -> dict[str, Any]:
    """A dict from a library, its keys known to be names."""
    return {str(key): value for key, value in data.items()}

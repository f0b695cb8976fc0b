"""Values as people type them: a text as it is, a list as [a,b], a dict as {a: 1}, JSON, a number, true, null; and
``${oc.env:NAME}`` in a file of settings, which is the environment's."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from niah import secrets
from niah.errors import NiahError, first_line

_TAKEN = re.compile(r"\$\{oc\.env:([^{}]*)\}")
Taken = Mapping[str, Mapping[str, str]]
"""Settings that hold something of the environment, by full key: for each variable the digest of its value."""


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
        except json.JSONDecodeError as other:
            after = f" after {text[max(0, other.pos - 20) : other.pos]!r}" if other.pos else ""
            found, why = None, f"as JSON: {other.msg} at character {other.pos + 1}{after}"
        except (ValueError, RecursionError):  # numbers of thousands of digits, lists in lists in lists
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


def resolved(config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A composed config (OmegaConf's) as plain data; and, nested alike, those settings alone that hold something of the
    environment, with ``${oc.env:NAME}`` in its place.

    Raises OmegaConfBaseException for what cannot be resolved.
    """
    from omegaconf import OmegaConf
    from omegaconf.resolvers import oc

    read: set[str] = set()

    def reading(key: str, *default: Any) -> Any:
        if key in os.environ:
            read.add(key)
            secrets.take(os.environ[key], f"${{oc.env:{key}}}")
        return oc.env(key, *default)

    def naming(key: str, *default: Any) -> Any:
        return f"${{oc.env:{key}}}" if key in os.environ else oc.env(key, *default)

    try:
        OmegaConf.register_new_resolver("oc.env", reading, replace=True)
        live = by_name(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
        if not read:
            return live, {}
        OmegaConf.register_new_resolver("oc.env", naming, replace=True)
        named = by_name(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
    return live, _differing(live, named)


def recorded(live: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """Settings as they may be written down: ``${oc.env:NAME}`` where they hold something of the environment."""
    written = dict(live)
    for key, value in named.items():
        if key in live:
            is_deeper = isinstance(value, dict) and isinstance(live[key], dict)
            written[key] = recorded(live[key], value) if is_deeper else value
    return written


def taken(named: Any, key: str = "") -> dict[str, dict[str, str]]:
    """What of the environment stands in each setting of ``named``, by its full key, as ``Taken`` has it."""
    if isinstance(named, dict):
        return {
            full: digests for name, value in named.items()
            for full, digests in taken(value, f"{key}.{name}" if key else str(name)).items()
        }
    return {key: {name: digest(name, os.environ.get(name, "")) for name in sorted({*_names_in(named)})}}


@cache
def digest(name: str, value: str) -> str:
    """Tells one value of a variable from another, and nobody what it is: 16 MiB and some 50 ms for each guess."""
    return hashlib.scrypt(value.encode(errors="surrogateescape"), salt=name.encode(), n=2**14, r=8, p=1, dklen=16).hex()


def as_recorded(written: dict[str, Any], known: Taken) -> dict[str, Any]:
    """Settings that were written down, with the environment's values in them again.

    Raises NiahError where a variable holds another value than then, or none: nothing else is ever looked up, so that a
    folder from elsewhere learns nothing of this environment.
    """
    for key, digests in known.items():
        for name, there in digests.items():
            if name not in os.environ or digest(name, os.environ[name]) != there:
                held = "another value" if name in os.environ else "no value"
                raise NiahError(
                    f"{key}: was taken from the variable {name}, which holds {held} now; expected the one that the run "
                    f"began with; export {name}=..."
                )
            secrets.take(os.environ[name], f"${{oc.env:{name}}}")
    return {name: _filled(value, known, name) for name, value in written.items()}


def _filled(value: Any, known: Taken, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, known, f"{key}.{name}") for name, one in value.items()}
    return _with_values(value, known[key]) if key in known else value


def _with_values(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_with_values(one, names) for one in value]
    if not isinstance(value, str):
        return value
    return _TAKEN.sub(lambda match: os.environ[match[1]] if match[1] in names else match[0], value)


def _differing(live: Any, named: Any) -> dict[str, Any]:
    """Of two nestings that are alike the parts of the second that differ."""
    found: dict[str, Any] = {}
    for key, value in named.items():
        if isinstance(value, dict) and isinstance(live.get(key), dict):
            if inside := _differing(live[key], value):
                found[key] = inside
        elif value != live.get(key):
            found[key] = value
    return found


def _names_in(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _names_in(one)
    elif isinstance(value, str):
        yield from _TAKEN.findall(value)

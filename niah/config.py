"""From Hydra's DictConfig to a typed Run; every error names the full key."""

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_origin

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigKeyError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from niah.choices import choices, named
from niah.engines import Engine, KVCache
from niah.errors import NiahError, first_line
from niah.grid import Ladder
from niah.haystacks import Haystack
from niah.limits import decides
from niah.models.settings import Model
from niah.planner.hardware import Hardware
from niah.readers import Reader
from niah.report.settings import ReportSettings
from niah.scorers import Scorer
from niah.scorers.auto import Auto
from niah.tasks import Task
from niah.units import parse_length

_CLASSES = {"model": Model, "ctx": Ladder, "kv": KVCache, "report": ReportSettings, "hardware": Hardware}
_BY_TARGET = ("task", "haystack", "reader", "scorer", "engine")
_BASES: dict[str, type] = {"task": Task, "haystack": Haystack, "reader": Reader, "scorer": Scorer}
PLACE_ONLY = ("name", "outputs", "report", "hardware", "calibrate")
"""Keys that decide where results go and how they look, never what they are."""
RETIRED = {"hardware.bandwidth_gb_s"}
"""Settings that once were: runs and files that still name them are read without them, since no number came of them."""


@dataclass(frozen=True)
class Run:
    """One config. With ``calibrate`` a model whose answers are known runs first. ``resolved`` is the same as plain data, every default spelled out."""

    name: str | None
    outputs: str
    seed: int
    model: Model
    ctx: Ladder
    task: Task
    haystack: Haystack
    reader: Reader
    scorer: Scorer
    engine: Engine
    kv: KVCache
    report: ReportSettings
    hardware: Hardware
    calibrate: bool
    resolved: dict[str, Any] = field(repr=False)

    @property
    def content(self) -> dict[str, Any]:
        """The part of ``resolved`` that decides prompts and answers."""
        return deciding(self.resolved)


def build(config: DictConfig) -> Run:
    """Raises NiahError for an unknown key, a wrong type or a value out of range."""
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = error.full_key or "model.path"
        raise NiahError(f"{key}: not given; expected a value; add {key}=... to the command") from error
    except (InterpolationKeyError, OmegaConfBaseException) as error:
        raise NiahError(f"{getattr(error, 'full_key', 'config')}: {first_line(error)}") from error
    parts: dict[str, Any] = {}
    resolved: dict[str, Any] = {}
    known = {f.name for f in dataclasses.fields(Run)} - {"resolved"}
    for key in plain:
        if key not in known:
            raise _unknown(key, known)
    for key in (*_CLASSES, *_BY_TARGET):
        node = plain.get(key, {} if key == "hardware" else None)  # runs stored before there was hardware
        if not isinstance(node, dict):
            raise NiahError(f"{key}: got {node!r}; expected a group choice, as {key}=NAME")
        if key in _CLASSES:
            parts[key], resolved[key] = typed(key, _CLASSES[key], node)
            continue
        node = dict(node)
        path = node.pop("_target_", None)
        cls = plug_in(key, path)
        if issubclass(cls, Reader):
            node = cls.own(node)
        parts[key], plain_node = typed(key, cls, node)
        resolved[key] = {"_target_": path, **plain_node}  # as conf/ gives it: where a class lives is no setting
    if isinstance(parts["scorer"], Auto):
        parts["scorer"] = parts["task"].scorer
        resolved["scorer"] = {"_target_": _scorer_path(type(parts["scorer"])), **dataclasses.asdict(parts["scorer"])}
    for key, kind in (("name", str), ("outputs", str), ("seed", int)):
        value = plain.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            if kind is str and isinstance(value, int | float):
                value = str(value)
            else:
                raise NiahError(f"{key}: got {value!r}; expected {kind.__name__}")
        parts[key] = resolved[key] = value
    parts["calibrate"] = resolved["calibrate"] = plain.get("calibrate", False)  # runs stored before there was any
    if not isinstance(parts["calibrate"], bool):
        raise NiahError(f"calibrate: got {parts['calibrate']!r}; expected true or false")
    if parts["name"] is not None and not re.fullmatch(r"[\w+=,@-][\w.+=,@-]*", parts["name"]):
        raise NiahError(f"name: got {parts['name']!r}; expected one folder name of letters, digits and .+=,@_-")
    return Run(**parts, resolved=resolved)


def deciding(resolved: dict[str, Any]) -> dict[str, Any]:
    """Resolved settings without ``PLACE_ONLY`` and those of the engine that decide no answer (``limits.decides``)."""
    kept = {key: value for key, value in resolved.items() if key not in PLACE_ONLY}
    how_asked = _how_asked(kept["engine"].get("_target_"))
    return kept | {"engine": {name: value for name, value in kept["engine"].items() if name not in how_asked}}


def _how_asked(path: str | None) -> set[str]:
    """Settings of an engine that decide how it is asked, never what it answers; none of one that cannot be imported any more."""
    try:
        cls = plug_in("engine", path)
    except NiahError:
        return set()
    return {field.name for field in dataclasses.fields(cls) if not decides(field)}


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"model.path": ...}; lists stay whole."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    joined: dict[str, Any] = {}
    for key, value in tree.items():
        joined.update(flat(value, f"{prefix}.{key}" if prefix else str(key)))
    return joined


def from_resolved(resolved: Mapping[str, Any]) -> Run:
    """The Run of a stored run.json."""
    return build(OmegaConf.create(dict(resolved)))


def plug_in(key: str, path: str | None) -> type[Any]:
    """The class that a ``_target_`` names. Raises NiahError where there is no such dataclass."""
    try:
        cls = named(path or "")
        if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
            raise TypeError(f"{path} is not a dataclass")
        if key in _BASES and not issubclass(cls, _BASES[key]):
            raise TypeError(f"it is no subclass of {_BASES[key].__module__}.{_BASES[key].__name__}")
    except Exception as error:
        raise NiahError(
            f"{key}._target_: got {path!r} ({first_line(error)}); expected the dotted path of a dataclass"
        ) from error
    return cls


def typed(key: str, cls: type, node: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The node as an instance of its own dataclass, and as plain data."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    node = {name: value for name, value in node.items() if f"{key}.{name}" not in RETIRED}
    for name in node:
        if name not in fields:
            raise _unknown(f"{key}.{name}", {f"{key}.{field_name}" for field_name in fields})
        if get_origin(fields[name].type) is list and isinstance(node[name], str | int | float):
            node = {**node, name: [node[name]]}  # ctx.lengths=8k is a list of one
        is_zero = (fields[name].metadata.get("zero") or fields[name].default == 0) and node[name] in (0, "0")
        if fields[name].metadata.get("unit") == "tokens" and not is_zero:
            node = {**node, name: _lengths(node[name], f"{key}.{name}")}
    schema = OmegaConf.structured(cls)
    OmegaConf.set_readonly(schema, False)
    try:
        merged = OmegaConf.merge(schema, node)
        value = OmegaConf.to_object(merged)
    except MissingMandatoryValue as error:
        name = f"{key}.{error.full_key}"
        raise NiahError(f"{name}: not given; expected a value; add {name}=... to the command") from error
    except (ValidationError, ConfigKeyError) as error:
        kind = fields[re.split(r"[.\[]", str(error.full_key))[0]].type
        expected = str(getattr(kind, "__name__", kind) if get_origin(kind) is None else kind)
        raise NiahError(f"{key}.{error.full_key}: {first_line(error).rstrip('.')}; expected {expected}") from error
    return value, OmegaConf.to_container(merged)


@cache
def _scorer_path(cls: type) -> str:
    """The path that conf/scorer gives for a scorer that a task names; for one of a user's own the path it is imported by."""
    paths = (str(node["_target_"]) for node in choices("scorer"))
    return next((path for path in paths if plug_in("scorer", path) is cls), f"{cls.__module__}.{cls.__qualname__}")


def _lengths(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [parse_length(item, f"{where}[{number}]") for number, item in enumerate(value)]
    return parse_length(value, where)


def _unknown(key: str, known: set[str]) -> NiahError:
    near = difflib.get_close_matches(key, known, n=1)
    names = ", ".join(sorted(name.rsplit(".", 1)[-1] for name in known))
    return NiahError(f"{key}: unknown key; expected one of {names}" + (f"; did you mean {near[0]}?" if near else ""))

"""From a composed config, or from words of a command, to a typed Run; every error names the full key."""

import dataclasses
import difflib
import os
import re
import sys
import types
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException, ValidationError

from niah import origin, secrets, values
from niah.choices import PLUG_INS, choices, named, plug_in_folders
from niah.engines import Engine, KVCache
from niah.errors import NiahError, first_line, own_line
from niah.grid import APART, Ladder
from niah.haystacks import Haystack
from niah.limits import identity
from niah.models import grants
from niah.models.settings import Model
from niah.models.speculation import Speculation
from niah.planner.hardware import Hardware
from niah.readers import Reader
from niah.readers.retrieval import chunker
from niah.readers.retrieval.chunker import Chunker
from niah.report.settings import ReportSettings
from niah.scorers import Scorer
from niah.scorers.auto import Auto
from niah.tasks import Task
from niah.tasks.ruler import Ruler
from niah.units import parse_length

_CLASSES = {
    "model": Model, "ctx": Ladder, "kv": KVCache, "spec": Speculation, "report": ReportSettings, "hardware": Hardware,
}
_LATER = ("hardware", "spec")
"""Groups that runs stored by earlier versions do not have."""
_OPTIONAL = {"ruler": Ruler}
"""Groups without choices, null unless an experiment gives them."""
_BASES: dict[str, type] = {
    "task": Task, "haystack": Haystack, "reader": Reader, "scorer": Scorer, "engine": Engine, "chunker": Chunker,
}
MAX_SEED = 2**32 - 1
"""The largest that numpy's and PyTorch's generators both take."""
PLACE_ONLY = ("name", "outputs", "report", "hardware", "calibrate", "retry", "ruler")
"""Keys that decide where results go, how they look or are called and how patiently they are asked for, never what they
are."""
RETIRED = {"hardware.bandwidth_gb_s"}
"""Settings that once were: runs and files that still name them are read without them, since no number came of them."""

_ALSO_CALLED = {
    "price": "dollars_per_gpu_hour", "cost": "dollars_per_gpu_hour", "gpus": "num_gpus", "nodes": "num_nodes",
    "memory": "memory_gib", "samples": "repeats", "n": "repeats", "max_model_len": "max_length", "url": "base_url",
    "tensor_parallel": "tensor_parallel_size", "tp": "tensor_parallel_size", "needles": "num_keys",
}
"""Settings by the words that others have for them."""


@dataclass(frozen=True)
class Run:
    """The settings of a run. With ``calibrate`` a model whose answers are known runs first, with ``retry`` trials are
    asked again that ended an engine twice. ``ruler`` says which of RULER's settings it is, if it is one.

    ``resolved`` is the same as plain data, every default spelled out; ``named`` are those of it that hold something of
    the environment, as ``values.resolved`` gives them.
    """

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
    spec: Speculation
    report: ReportSettings
    hardware: Hardware
    ruler: Ruler | None
    calibrate: bool
    retry: bool
    resolved: dict[str, Any] = field(repr=False)
    named: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def recorded(self) -> dict[str, Any]:
        """``resolved`` as it is written down: without values of the environment."""
        return values.recorded(self.resolved, self.named)

    @property
    def answer_tokens(self) -> int:
        """Tokens that the model may write, thinking and answer: all of a trial's length that is no prompt."""
        return self.task.answer_tokens + self.model.thinking_room

    @property
    def content(self) -> dict[str, Any]:
        """The part of ``recorded`` that decides prompts and answers, with digests of what the environment gave."""
        own = {
            "engine": type(self.engine), "task": type(self.task), "haystack": type(self.haystack),
            "reader": type(self.reader),
        }
        content = deciding(self.recorded, own)
        known = {key: one for key, one in values.taken(self.named).items() if key in flat(content)}
        return {**content, "environment": known} if known else content


def build(config: DictConfig) -> Run:
    """The Run of a composed config. Raises NiahError for an unknown key, a wrong type or a value out of range."""
    try:
        plain, named = values.resolved(_with_its_limit(config))
    except MissingMandatoryValue as error:
        key = error.full_key or "model.path"
        raise NiahError(f"{key}: not given; expected a value; add {key}=... to the command") from error
    except OmegaConfBaseException as error:
        raise NiahError(f"{error.full_key or 'config'}: {first_line(error)}") from error
    run = dataclasses.replace(from_resolved(plain), named=named)
    _check_names(run)
    check_secrets(run.recorded)
    return run


def _with_its_limit(config: DictConfig) -> DictConfig:
    """A model without ``max_length`` has that of its config.json, where one is on this machine. Raises NiahError where
    its folder or file is not there."""
    model = config.get("model")
    if not OmegaConf.is_dict(model) or not OmegaConf.is_missing(model, "max_length"):
        return config
    if OmegaConf.is_missing(model, "path"):
        return config
    from niah.engines.vllm.positions import allowed  # these two take their time, and few commands need them
    from niah.models.resolve import files_at_hand

    plain = values.by_name(OmegaConf.to_container(model, resolve=True))
    _, limit = allowed(files_at_hand(typed("model", Model, {**plain, "max_length": 1})[0]).config)
    if not limit:
        return config
    config = config.copy()
    OmegaConf.update(config, "model.max_length", limit)
    return config


def _check_names(run: Run) -> None:
    """Raises NiahError for a name that no folder can have: those of these groups make the run's, where it has none."""
    parts: dict[str, Any] = {
        "model": run.model, "ctx": run.ctx, "task": run.task, "haystack": run.haystack, "reader": run.reader,
        "engine": run.engine,
    }
    names = [(f"{group}.name", str(part.name)) for group, part in parts.items()]
    labels = [(f"{key}.name", one.name) for key, group in (("kv", run.kv), ("spec", run.spec)) for one in group.each()]
    for key, name in (*names, *labels):
        if not name or name[0] in ".- " or not name.isprintable() or {*name} & {*"/\\"} or len(name.encode()) > 80:
            raise NiahError(
                f"{key}: got {name[:40]!r}; expected a name that a folder can have, of at most 80 bytes: no / or \\, "
                "no control characters, no dot, dash or space at its beginning"
            )
    for key, name in (*names, ("name", run.name or "")):
        if (taken := secrets.without_values(name)) != name:
            raise NiahError(
                f"{key}: got {taken}, whose value would be the name of a folder and stand in rows; expected a name "
                "that holds none"
            )


def check_secrets(settings: Mapping[str, Any]) -> None:
    """Raises NiahError where a setting was given a key or a password: settings are written to run.json, and all who may
    list processes see the words of a command."""
    for key, value in _texts(settings):
        if value and (secrets.is_setting_of_one(key.rpartition(".")[2]) or secrets.holds_one(value)):
            raise NiahError(
                f"{key}: holds what looks like a key or a password (not repeated); settings are written to run.json; "
                "leave it in a variable of the environment (HF_TOKEN, or the one that engine.api_key_env names)"
            )


def _texts(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in nested settings, with its key; those of a list have that of the list."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _texts(value, key)
    elif isinstance(tree, str):
        yield key, tree


def stored(plain: Mapping[str, Any], granted: Mapping[str, Any] = MappingProxyType({})) -> Run:
    """The Run of the settings in a run.json, which may come from elsewhere: it loads no code that only it names, and
    its model's files are trusted no further than the user's own ``granted`` settings of the model say.

    Raises NiahError as ``build`` does.
    """
    model = plain.get("model")
    kept = {**grants.without_trust(model), **granted} if isinstance(model, dict) else model
    return from_resolved({**plain, "model": kept}, is_stored=True)


def from_resolved(plain: Mapping[str, Any], *, is_stored: bool = False) -> Run:
    """The Run of settings as plain data: ``${...}`` in them is text. Raises NiahError as ``build`` does."""
    known = {f.name for f in dataclasses.fields(Run)} - {"resolved", "named"}
    for key in plain:
        if key not in known:
            raise _unknown(key, known)
    parts: dict[str, Any] = {}
    resolved: dict[str, Any] = {}
    for key, cls in _OPTIONAL.items():  # first: what a task takes from one is refused by the key that was typed
        node = plain.get(key)
        if not isinstance(node, dict | None):
            keys = ", ".join(f"{key}.{one.name}=..." for one in dataclasses.fields(cls))
            raise NiahError(f"{key}: got {node!r}; expected null, or {keys}")
        parts[key], resolved[key] = (None, None) if node is None else typed(key, cls, node)
    for key in (*_CLASSES, *PLUG_INS):
        node = plain.get(key, {} if key in _LATER else None)
        if not isinstance(node, dict):
            raise NiahError(f"{key}: got {node!r}; expected a group choice, as {key}=NAME")
        if key in _CLASSES:
            parts[key], resolved[key] = typed(key, _CLASSES[key], node)
            continue
        node = dict(node)
        path = node.pop("_target_", None)
        cls = plug_in(key, path, is_stored=is_stored)
        if issubclass(cls, Reader):
            node = cls.own(node)
        parts[key], plain_node = typed(key, cls, node)
        resolved[key] = {"_target_": path, **plain_node}  # as conf/ gives it: where a class lives is no setting
    _check_chunker(resolved["reader"].get("chunker"), is_stored=is_stored)
    if isinstance(parts["scorer"], Auto):
        parts["scorer"] = parts["task"].scorer
        resolved["scorer"] = {"_target_": _scorer_path(type(parts["scorer"])), **dataclasses.asdict(parts["scorer"])}
    parts["name"] = resolved["name"] = folder_name(plain.get("name"))
    resolved["outputs"] = _text("outputs", plain.get("outputs"))
    parts["outputs"] = os.path.expanduser(resolved["outputs"])
    parts["seed"] = resolved["seed"] = _seed(plain.get("seed"))
    is_calibrated = _switch("calibrate", plain.get("calibrate", False))  # runs stored before there was any have none
    parts["calibrate"] = resolved["calibrate"] = is_calibrated
    parts["retry"] = resolved["retry"] = _switch("retry", plain.get("retry", False))
    if parts["ctx"].share != APART:
        _check_shared(parts["ctx"].share, parts["task"], is_rulers=parts["ruler"] is not None)
    return Run(**parts, resolved=resolved)


def _check_shared(share: str, task: Task, *, is_rulers: bool) -> None:
    """Raises NiahError where the trials of a task cannot share a context, or were no setting of RULER's any more."""
    if is_rulers:
        raise NiahError(
            f"ctx.share={share}: RULER has a context for each sample; expected ctx.share=none, or ruler=null"
        )
    why = task.unshared or ("" if task.has_depth else "its trials have no depth")
    if not why and "{question}" in task.template.partition("{context}")[0]:
        why = "task.template has the question before the context, so that no two prompts begin alike"
    if why:
        raise NiahError(
            f"ctx.share={share}: trials of task={task.name} cannot share a context: {why}; expected ctx.share=none, or "
            "another task, as single, multikey, latent or conflicting"
        )


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise NiahError(f"{key}: got {value!r}; expected str")
    return str(value)


def folder_name(value: Any) -> str | None:
    """A folder's name, or None. Refused is what would leave the folder of runs, or hide in it."""
    if value is None:
        return None
    name = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    allowed = isinstance(name, str) and all(one in "_.+=,@-" or unicodedata.category(one)[0] in "LMN" for one in name)
    if not allowed or not name or name[0] == ".":
        raise NiahError(f"name: got {value!r}; expected one folder name of letters, digits and .+=,@_-")
    if len(name.encode()) > 200:
        raise NiahError(f"name: got {len(name.encode())} bytes, {name[:20]}...; expected a folder name of at most 200")
    return str(name)


def _seed(value: Any) -> int:
    seed = value
    if isinstance(value, str):
        with suppress(ValueError):
            seed = int(value)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise NiahError(f"seed: got {value!r}; expected int")
    if not 0 <= seed <= MAX_SEED:
        raise NiahError(f"seed: got {seed}; expected 0 to {MAX_SEED:,}")
    return seed


def _switch(key: str, value: Any) -> bool:
    switch = {"true": True, "false": False}.get(value.casefold()) if isinstance(value, str) else value
    if not isinstance(switch, bool):
        raise NiahError(f"{key}: got {value!r}; expected true or false")
    return switch


def deciding(resolved: dict[str, Any], own: Mapping[str, type] = MappingProxyType({})) -> dict[str, Any]:
    """Resolved settings without ``PLACE_ONLY``, and those of model, ctx and the plug-ins as
    ``limits.identity`` has them; of a plug-in that cannot be loaded all. ``own`` are the plug-ins' classes where they
    are known; else what a stored run may load."""
    kept = {key: value for key, value in resolved.items() if key not in PLACE_ONLY}
    kept["model"] = identity(Model, kept["model"])
    if "spec" in kept and not _drafts(kept["spec"]):
        del kept["spec"]  # nothing is drafted, as in runs before there was any
    if "ctx" in kept:  # labels of runs are made without
        kept["ctx"] = identity(Ladder, kept["ctx"])
    for key in kept.keys() & {"engine", "task", "haystack", "reader"}:
        with suppress(NiahError):
            cls = own.get(key) or plug_in(key, kept[key].get("_target_"), is_stored=True)
            kept[key] = identity(cls, kept[key])
    return kept


def _drafts(spec: Any) -> bool:
    """Whether a run's ``spec`` group, as plain data, drafts anything."""
    return isinstance(spec, Mapping) and (spec.get("method", "none") != "none" or bool(spec.get("also")))


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as {"model.path": ...}; lists stay whole."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    joined: dict[str, Any] = {}
    for key, value in tree.items():
        joined.update(flat(value, f"{prefix}.{key}" if prefix else str(key)))
    return joined


def plug_in(key: str, path: Any, *, is_stored: bool = False) -> type[Any]:
    """The class that a ``_target_`` names. Raises NiahError where there is no such dataclass, and where a stored run
    names what is neither niah's, nor installed, nor the user's own."""
    try:
        if is_stored and not _may_be_loaded(key, str(path)):
            raise ModuleNotFoundError(
                "no module of niah, of an installed package or of a folder of this command; a stored run loads no other"
            )
        cls = named(str(path))
        if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
            raise TypeError(f"{path} is not a dataclass")
        if key in _BASES and not issubclass(cls, _BASES[key]):
            raise TypeError(f"it is no subclass of {_BASES[key].__module__}.{_BASES[key].__name__}")
    except Exception as error:
        if place := own_line(error):  # a bug in it
            raise NiahError(f"{key}._target_: {path} cannot be imported: {place}: {first_line(error)}") from error
        is_own = isinstance(error, ModuleNotFoundError) and not str(path).startswith("niah.")
        where = "; a module of your own is found with --config-dir FOLDER, the one that holds it" if is_own else ""
        raise NiahError(
            f"{key}._target_: got {path!r} ({first_line(error)}); expected the dotted path of a dataclass{where}"
        ) from error
    return cls


def _check_chunker(path: Any, *, is_stored: bool) -> None:
    """Raises NiahError where ``reader.chunker`` names no class that cuts, and where a stored run may not load it."""
    if path is None:
        return
    if is_stored and not _may_be_loaded("chunker", str(path)):
        raise NiahError(
            f"reader.chunker: a stored run names {str(path)!r}, neither in an installed package nor in a folder of "
            "this command; expected one of these; --config-dir FOLDER names the one that holds your own"
        )
    chunker.check(str(path))


def _may_be_loaded(key: str, path: str) -> bool:
    """Whether a class may be loaded that a stored run names.

    One in niah's own room of such classes, in a module that is loaded already, one that a file of the user's choices
    names as it stands, or one in a module of an installed package or of the user's folder of plug-ins.
    """
    module = path.rpartition(".")[0]
    if not module:  # no dotted path: all choices would be read, for each of a thousand runs
        return False
    if module.partition(".")[0] == "niah":
        return f"{module}.".startswith(f"{_BASES[key].__module__}.")
    if module in sys.modules:
        return True
    if origin.file_of(module, [*origin.installed_folders(), *plug_in_folders()]):
        return True
    return any(choice.get("_target_") == path for choice in choices(key))


def classes(group: str) -> list[type]:
    """The classes that a group's choices name, the user's too; those that cannot be imported are left out."""
    if known := {**_CLASSES, **_OPTIONAL}.get(group):
        return [known]
    found = []
    for node in choices(group) if group in PLUG_INS else ():
        if "_target_" in node:
            with suppress(NiahError):  # it is refused where it is chosen
                found.append(plug_in(group, node["_target_"]))
    return list(dict.fromkeys(found))


def fields_named(key: str) -> list[tuple[dataclasses.Field, Any]]:
    """(field, type) in each class of the group that has this one, as in ``task.needle``."""
    group, _, name = key.partition(".")
    return [
        (one, get_type_hints(cls)[name])
        for cls in classes(group) for one in dataclasses.fields(cls) if one.name == name
    ]


def typed(key: str, cls: type, node: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The node as an instance of its own dataclass, and as plain data.

    A field of text holds a string as it is. Strings for other fields, as a command gives them, are read by
    ``niah.values`` (lists, dicts) or by OmegaConf (numbers, switches). Raises NiahError with the full key.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}
    kinds = get_type_hints(cls)
    texts, rest = {}, {}
    for name, given in node.items():
        if f"{key}.{name}" in RETIRED:
            continue
        if name not in fields:
            raise _unknown(f"{key}.{name}", {f"{key}.{field_name}" for field_name in fields})
        if isinstance(given, str) and _kind(kinds[name]) is str:
            texts[name] = given
        else:
            rest[name] = _read(f"{key}.{name}", given, kinds[name], fields[name])
    schema = OmegaConf.structured(cls)
    OmegaConf.set_readonly(schema, False)
    try:
        merged: Any = OmegaConf.merge(schema, values.escaped(rest), dict.fromkeys(texts, ""))  # texts come in below
        plain = {**values.by_name(OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)), **texts}
        parts = {name: merged[name] for name in plain}
        made = {name: OmegaConf.to_object(part) if OmegaConf.is_config(part) else part for name, part in parts.items()}
    except MissingMandatoryValue as error:
        name = f"{key}.{error.full_key}"
        raise NiahError(f"{name}: not given; expected a value; add {name}=... to the command") from error
    except (ValidationError, ConfigKeyError) as error:
        name = re.split(r"[.\[]", str(error.full_key))[0]
        kind = kinds.get(name, "settings of its own kind")  # an item of a list has a number for a name
        expected = str(getattr(kind, "__name__", kind) if get_origin(kind) is None else kind)
        said = first_line(error).rstrip(".")
        raise NiahError(f"{key}.{error.full_key}: {said}; expected {expected}") from error
    return cls(**{**made, **texts}), plain


def _kind(hint: Any) -> Any:
    """The type without ``| None``: list for list[int]."""
    parts = [part for part in get_args(hint) if part is not types.NoneType]
    if get_origin(hint) in (Union, types.UnionType):
        hint = parts[0] if len(parts) == 1 else None
    return get_origin(hint) or hint


def _read(key: str, given: Any, hint: Any, field: dataclasses.Field) -> Any:
    """What a setting that is no text holds, where a command gave it as a string."""
    kind, is_list = _kind(hint), _kind(hint) is list
    if isinstance(given, str) and type(None) in get_args(hint) and given.casefold() == "null":
        return None
    if isinstance(given, str) and kind in (list, dict) and given[:1] == ("[" if is_list else "{"):
        given = values.read(given, key, is_text=hint == list[str])
    elif isinstance(given, str) and hint != list[str] and kind in (list, int, float, bool) and "," in given:
        one = f"[{given}]" if is_list else "one value"
        raise NiahError(f"{key}: got {given!r}; expected {one}, or -m before it for a run of each")
    if is_list and isinstance(given, str | int | float):
        given = [given]  # ctx.lengths=8k is a list of one
    is_zero = (field.metadata.get("zero") or field.default == 0) and given in (0, "0")
    if field.metadata.get("unit") == "tokens" and not is_zero:
        return _lengths(given, key, may_be_zero=bool(field.metadata.get("zero")))
    return given


def scorer_of(resolved: Mapping[str, Any]) -> Scorer:
    """The scorer of a stored run's settings. Raises NiahError where a stored run may not load it."""
    node = dict(resolved.get("scorer") or {})
    path = node.pop("_target_", None)
    scorer, _ = typed("scorer", plug_in("scorer", path, is_stored=True), node)
    return cast(Scorer, scorer)


def _scorer_path(cls: type) -> str:
    """The path that conf/scorer gives for a scorer that a task names; for others the path they are imported by."""
    for path in (node["_target_"] for node in choices("scorer") if "_target_" in node):
        with suppress(NiahError):  # a file of the user's that nothing asked for
            if plug_in("scorer", path) is cls:
                return str(path)
    return f"{cls.__module__}.{cls.__qualname__}"


def _lengths(value: Any, where: str, *, may_be_zero: bool = False) -> Any:
    if isinstance(value, list):
        return [
            0 if may_be_zero and item in (0, "0") else parse_length(item, f"{where}[{number}]")
            for number, item in enumerate(value)
        ]
    return parse_length(value, where)


def _unknown(key: str, known: set[str]) -> NiahError:
    place, dot, last = key.rpartition(".")
    near = _meant(last, [name.rpartition(".")[2] for name in known])
    names = ", ".join(sorted(name.rsplit(".", 1)[-1] for name in known))
    hint = f"; did you mean {place}{dot}{near}?" if near else ""
    return NiahError(f"{key}: unknown key; expected one of {names}{hint}")


def _meant(name: str, known: list[str]) -> str:
    """The setting that another word is meant for; empty where none is."""
    if (other := _ALSO_CALLED.get(name)) in known:
        return str(other)
    near = difflib.get_close_matches(name, known, n=1)
    return near[0] if near else ""

"""run.json: made for a run's settings, written, and read back as one typed record, those of older schemas too."""

import codecs
import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from niah import disk, environment, scorers, values
from niah.config import Run, deciding, flat
from niah.errors import NiahError
from niah.prompts.recipe import Recipe
from niah.records import EngineFacts, Environment, Row, RunRecord, RunSession, Scope, Sources
from niah.runs import identity, shape
from niah.runs.variants import variants

SCHEMA = 2
READABLE = (1, 2)
"""Runs of schema 1 have one variant, which they do not name, and seconds without it."""
_SECONDS = ("trials_seconds", "graded_seconds", "control_seconds")
_GROUPS = ("model", "ctx", "task", "haystack", "reader", "engine", "report", "scorer", "kv", "spec", "hardware")
_MAX_BYTES = 2**26


class UnreadableError(NiahError):
    """A run.json that is empty, cut, of zeros, or otherwise no record."""


def of_run(settings: Run, recipe: Recipe) -> RunRecord:
    """What is known before the first trial."""
    sources = dataclasses.replace(recipe.sources(), model_identity=recipe.files.identity)
    told = {**plain(sources), **({"haystack": _endless(settings)} if settings.haystack.endless else {})}
    known = fingerprint({
        "config": identity.of(settings.content),
        "sources": identity.of_sources(told, is_endless=settings.haystack.endless),
    })
    written = settings.recorded
    inside = flat(written)
    return RunRecord(
        name=_name(settings, known, sources),
        fingerprint=known,
        config=written,
        sources=dataclasses.replace(
            sources, model_licence=settings.model.licence, model_notices=settings.model.notices
        ),
        scope=Scope(
            num_trials=len(recipe.trials), answer_tokens=settings.answer_tokens, has_depth=settings.task.has_depth,
            variants=[variant.name for variant in variants(settings)],
        ),
        environment=environment.describe(),
        engine=EngineFacts({"name": settings.engine.name}),
        scorer_version=scorers.VERSION,
        environment_values={key: one for key, one in values.taken(settings.named).items() if key in inside},
    )


def of_all(fresh: RunRecord, whole: Run, num_trials: int, names: Sequence[str]) -> RunRecord:
    """``fresh``, a command's, as the record of all that its folder was asked: ``whole``, so many trials under each of
    the variants of these ``names``."""
    scope = dataclasses.replace(fresh.scope, num_trials=num_trials, variants=list(names))
    return dataclasses.replace(fresh, config=whole.recorded, scope=scope)


def of_rows(rows: Sequence[Row], name: str) -> RunRecord:
    """What the rows of a run tell of it, whose run.json is lost: enough for tables and pictures."""
    first, depths = rows[0], sorted({row.depth for row in rows})
    served = {row.variant: row.served for row in reversed(rows)}
    return RunRecord(
        name=name,
        config={
            "model": {"name": first.model, "path": first.model},
            "ctx": {"name": "", "lengths": sorted({row.length for row in rows}), "depths": depths},
            "task": {"name": first.task}, "haystack": {"name": first.haystack}, "reader": {"name": first.reader},
            "engine": {"name": first.engine}, "scorer": {"name": ""},
            "kv": {"name": first.variant, "dtype": first.kv_cache_dtype}, "report": {},
        },
        sources=Sources(haystack_sha256=""),
        scope=Scope(
            num_trials=len({row.trial for row in rows}), has_depth=depths != [0],
            variants=list(dict.fromkeys(row.variant for row in rows)),
        ),
        engine=EngineFacts({"name": first.engine, **first.served}),
        engines={variant: EngineFacts(facts) for variant, facts in served.items()},
        is_of_rows=True,
    )


def _endless(settings: Run) -> str:
    """What stands for the text of a haystack without end: all that decides it."""
    return hashlib.sha256(settings.haystack.identity().encode()).hexdigest()


def _name(settings: Run, known: str, sources: Sources) -> str:
    """The folder's name. Earlier versions took the grid into the fingerprint in it, and before that what the
    environment gave: one of theirs that was this very command's is gone on with."""
    name = name_of(settings, known)
    if settings.name:
        return name
    contents = [settings.content, *([deciding(settings.resolved)] if settings.named else [])]
    for content in contents:
        before = earlier_name(settings, fingerprint({"config": content, "sources": plain(sources)}))
        if (Path(settings.outputs) / before / "run.json").is_file():
            return before
    return name


def fingerprint(content: Mapping[str, Any]) -> str:
    """sha256 of what decides the prompts and the answers, as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def name_of(settings: Run, fingerprint: str, written: Callable[[str], str] = str) -> str:
    """The run's folder: its name, or one made of its settings, each as ``written``, where it was given none. Of several
    KV dtypes the first is in it, which others join, and the first speculation if it is one."""
    if settings.name:
        return settings.name
    first = settings.spec.each()[0]
    return _joined(settings, "-".join([settings.kv.name, *([first.name] if first.is_on else [])]), fingerprint, written)


def earlier_name(settings: Run, fingerprint: str, written: Callable[[str], str] = str) -> str:
    """The same as earlier versions made it, of a run without a name: with all of its KV dtypes."""
    return _joined(settings, "+".join(kv.name for kv in settings.kv.each()), fingerprint, written)


def _joined(settings: Run, caches: str, fingerprint: str, written: Callable[[str], str]) -> str:
    parts = (settings.model.name, settings.task.name, settings.haystack.name, settings.reader.name, caches)
    return "-".join((*map(written, parts), fingerprint[:8]))


def read(file: Path) -> RunRecord:
    """The record in ``file``; what an older schema lacks is empty.

    Raises NiahError for what is no run.json, or of a schema that is not known here.
    """
    if file.exists() and not file.is_file():  # a pipe would be waited for, a device read for ever
        raise UnreadableError(f"{file}: unreadable (not a file); expected what niah wrote")
    try:
        with file.open("rb") as content_file:
            data = content_file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES >> 20} MiB")
        if not data.strip(b"\0 \t\r\n"):
            raise ValueError("zeros alone, as a power cut leaves them" if data else "empty")
        content = disk.parsed(data.removeprefix(codecs.BOM_UTF8))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UnreadableError(f"{file}: unreadable ({why}); expected what niah wrote") from error
    if (schema := content.pop("schema", None)) not in READABLE:
        raise NiahError(
            f"{file}: schema {shape.shortened(schema)}; expected {' or '.join(map(str, READABLE))}; "
            "read it with the niah that wrote it (its version is in run.json)"
        )
    if wrong := _wrong(content):
        raise UnreadableError(f"{file}: unreadable ({wrong}); expected what niah wrote")
    if schema == 1:
        _name_the_variant(content)
    return RunRecord(**_fields(RunRecord, content) | {
        "sources": Sources(**_fields(Sources, content.get("sources", {}))),
        "scope": Scope(**_fields(Scope, content.get("plan", {}))),
        "environment": Environment(**_fields(Environment, content.get("environment", {}))),
        "engine": EngineFacts(content.get("engine", {})),
        "engines": {variant: EngineFacts(facts) for variant, facts in content.get("engines", {}).items()},
        "sessions": [RunSession(**_fields(RunSession, session)) for session in content.get("sessions", ())],
    })


def _wrong(content: dict[str, Any]) -> str:
    """What no run.json says: the first part that is missing, or of another type; else empty."""
    parts = {"sources": Sources, "plan": Scope, "environment": Environment}
    if wrong := shape.misfit(RunRecord, content):
        return wrong
    for key, kind in parts.items():
        if wrong := shape.misfit(kind, content.get(key, {})):
            return f"{key}.{wrong}"
    for number, session in enumerate(content.get("sessions", ())):
        if wrong := shape.misfit(RunSession, _by_variant(session)):
            return f"sessions[{number}].{wrong}"
    config = content.get("config", {})
    for key in _GROUPS:
        group = config.get(key, {})
        if not isinstance(group, dict):
            return f"config.{key} is {shape.shortened(group)}, expected an object"
        if wrong := shape.misfit(_Ladder if key == "ctx" else _Named, group):
            return f"config.{key}.{wrong}"
    return ""


@dataclasses.dataclass(frozen=True)
class _Named:
    """What is read of a group of settings without making it."""

    name: str
    label: str | None = None
    path: str | None = None


@dataclasses.dataclass(frozen=True)
class _Ladder(_Named):
    lengths: Sequence[int] = ()
    depths: Sequence[float] = ()
    share: str = ""


def _by_variant(session: dict[str, Any]) -> dict[str, Any]:
    """A session of schema 1 has its seconds without a variant."""
    return {key: value for key, value in session.items() if not (key in _SECONDS and isinstance(value, int | float))}


def text(record: RunRecord) -> str:
    """The record as run.json holds it."""
    return json.dumps({"schema": SCHEMA, **plain(record)}, indent=2, ensure_ascii=False) + "\n"


def plain(part: Any) -> Any:
    """A record or a part of it as plain data, in the order of its fields; what a newer niah wrote comes last."""
    if isinstance(part, EngineFacts):
        return dict(part.facts)
    if dataclasses.is_dataclass(part):
        found = {}
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if field.name != "rest" and not (field.metadata.get("optional") and value == _default(field)):
                found[field.metadata.get("key", field.name)] = plain(value)
        return {**found, **getattr(part, "rest", {})}
    if isinstance(part, Mapping):
        return {key: plain(value) for key, value in part.items()}
    return [plain(value) for value in part] if isinstance(part, list | tuple) else part


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _fields(kind: type, content: Mapping[str, Any]) -> dict[str, Any]:
    """``content`` by the names of a part's fields; keys that are none of them go into ``rest``."""
    fields = [field for field in dataclasses.fields(kind) if field.name != "rest"]
    names = {field.metadata.get("key", field.name): field.name for field in fields}
    known = {names[key]: value for key, value in content.items() if key in names}
    return {**known, "rest": {key: value for key, value in content.items() if key not in names}}


def _name_the_variant(content: dict[str, Any]) -> None:
    """Makes what schema 1 wrote into what schema 2 writes: the seconds of a session are by variant."""
    only = content.get("config", {}).get("kv", {}).get("name", "")
    for session in content.get("sessions", ()):
        session |= {key: {only: session[key]} for key in _SECONDS if key in session}

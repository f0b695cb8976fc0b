"""run.json: made for a run's settings, written, and read back as one typed record, those of older schemas too."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from niah import environment, scorers
from niah.config import Run
from niah.errors import NiahError
from niah.prompts.recipe import Recipe
from niah.records import EngineFacts, Environment, RunRecord, RunSession, Scope, Sources
from niah.runs.variants import variants

SCHEMA = 2
READABLE = (1, 2)
"""Runs of schema 1 have one variant, which they do not name, and seconds without it."""
_SECONDS = ("trials_seconds", "graded_seconds", "control_seconds")


def of_run(settings: Run, recipe: Recipe) -> RunRecord:
    """What is known before the first trial."""
    sources = dataclasses.replace(recipe.sources(), model_identity=recipe.files.identity)
    known = fingerprint({"config": settings.content, "sources": plain(sources)})
    return RunRecord(
        name=name_of(settings, known),
        fingerprint=known,
        config=settings.resolved,
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
    )


def fingerprint(content: Mapping[str, Any]) -> str:
    """sha256 of what decides the prompts and the answers, as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def name_of(settings: Run, fingerprint: str) -> str:
    """The run's folder: its name, or one made of its settings where it was given none."""
    if settings.name:
        return settings.name
    caches = "+".join(kv.name for kv in settings.kv.each())
    parts = (settings.model.name, settings.task.name, settings.haystack.name, settings.reader.name, caches)
    return "-".join((*parts, fingerprint[:8]))


def read(file: Path) -> RunRecord:
    """The record in ``file``; what an older schema lacks is empty.

    Raises NiahError for what is no run.json, or of a schema that is not known here.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__} instead of an object")
    except (OSError, ValueError) as error:
        raise NiahError(f"{file}: unreadable ({error}); expected what niah wrote") from error
    if (schema := content.pop("schema", None)) not in READABLE:
        raise NiahError(
            f"{file}: schema {schema}; expected {' or '.join(map(str, READABLE))}; "
            "read it with the niah that wrote it (its version is in run.json)"
        )
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

"""What makes two commands the same run: its fingerprint, its name, and the refusal to mix it with another."""

from collections.abc import Sequence
from typing import Any

from niah import environment, grid
from niah.config import Run, deciding, flat
from niah.errors import NiahError
from niah.prompts.recipe import Recipe
from niah.records import RETRIED, Row
from niah.runs.store import RunFolder
from niah.runs.variants import variants


def content(settings: Run, recipe: Recipe) -> dict[str, Any]:
    """What run.json holds before the first trial."""
    sources = {**recipe.sources(), "model_identity": recipe.files.identity}
    return {
        "fingerprint": grid.fingerprint({"config": settings.content, "sources": sources}),
        "config": settings.resolved,
        "sources": {**sources, "model_licence": settings.model.licence, "model_notices": settings.model.notices},
        "plan": {
            "num_trials": len(recipe.trials), "answer_tokens": settings.task.answer_tokens,
            "has_depth": settings.task.has_depth, "variants": [variant.name for variant in variants(settings)],
        },
        "environment": environment.describe(),
    }


def name_of(settings: Run, fingerprint: str) -> str:
    """The run's folder: its name, or one made of its settings where it was given none."""
    if settings.name:
        return settings.name
    parts = (settings.model.name, settings.task.name, settings.haystack.name, settings.reader.name, "+".join(kv.name for kv in settings.kv.each()))
    return "-".join((*parts, fingerprint[:8]))


def answered(settings: Run, rows: Sequence[Row]) -> set[tuple[str, int]]:
    """Variant and trial of every row that will not be asked again; rows of schema 1 name no variant and have but one."""
    only = variants(settings)[0].name
    return {(row.variant or only, row.trial) for row in rows if row.outcome not in RETRIED}


def check_same_settings(stored: dict[str, Any], content: dict[str, Any], folder: RunFolder) -> None:
    """Raises NiahError with the keys that differ. Fingerprints of older runs hold more keys: where only those differ it is the same run."""
    if stored["fingerprint"] == content["fingerprint"]:
        return
    old, new = (flat({**deciding(c["config"]), "sources": c["sources"]}) for c in (stored, content))
    differing = [
        f"{key} (there {old.get(key)!r}, now {new.get(key)!r})"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if not differing:
        return
    raise NiahError(
        f"{folder.path}: holds a run with other settings: {', '.join(differing)}; "
        "expected the same command; take another name= for this one"
    )


def check_same_software(stored: dict[str, Any], content: dict[str, Any], folder: RunFolder) -> None:
    """Raises NiahError where packages or GPUs that may change an answer differ."""
    if changed := other_software(stored, content):
        raise NiahError(
            f"{folder.path}: was begun with other software: {', '.join(changed)}; "
            "expected the same, or its answers would be of two engines; take another name="
        )


def other_software(stored: dict[str, Any], content: dict[str, Any]) -> list[str]:
    """The packages and GPUs that differ and may change an answer, with what they were and are."""
    old, new = stored["environment"], content["environment"]
    changed = [
        f"{name} (there {old['packages'].get(name)}, now {new['packages'].get(name)})"
        for name in environment.DECISIVE
        if old["packages"].get(name) != new["packages"].get(name)
    ]
    cards = [[gpu["name"] for gpu in described["gpus"]] for described in (old, new)]
    if cards[0] != cards[1]:
        changed.append(f"GPUs (there {cards[0]}, now {cards[1]})")
    return changed


def check_same_engine(stored: dict[str, Any] | None, served: dict[str, Any], folder: RunFolder) -> None:
    """Raises NiahError where a server at the same address is no longer the one that answered before, or the model is split
    over another number of GPUs (which follows from engine.replicas and the machine where it is not given)."""
    if not stored:
        return
    keys = ("server", "server_model", "prompts", "kv_cache_dtype") if stored.get("server") else {"tensor_parallel_size"} & stored.keys()
    changed = [f"{key} (there {stored.get(key)}, now {served.get(key)})" for key in keys if stored.get(key) != served.get(key)]
    if changed:
        raise NiahError(
            f"{folder.path}: was begun with another {'server' if stored.get('server') else 'engine'}: {', '.join(changed)}; expected the "
            "same, or its answers would be of two engines; take another name="
        )

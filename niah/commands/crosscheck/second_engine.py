"""Of a finished run: the second engine that its trials are put to, and which trials."""

import hashlib
from collections.abc import Sequence
from typing import Any

from niah import choices
from niah import config as configuration
from niah.commands import plan
from niah.config import Run
from niah.errors import NiahError
from niah.records import Row, RunRecord
from niah.runs.variants import variants


def seconds(record: RunRecord, words: Sequence[str]) -> dict[str, Run]:
    """The run as the second engine has it, by the KV dtype of the run's rows; ``words`` pick engine and kv.

    Without kv= each row's own dtype is asked for. Raises NiahError for what the engine does not have.
    """
    chosen, fields = {"engine": "transformers"}, []
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or key.split(".")[0] not in ("engine", "kv"):
            raise NiahError(f"crosscheck: got {word}; expected engine=NAME, engine.key=value, kv=NAME or crosscheck.key=value")
        if "." in key:
            fields.append(word)
        else:
            chosen[key] = value
    nodes = {key: _choice(key, name) for key, name in chosen.items()}
    if chosen["engine"] not in (able := holding_a_model()):
        raise NiahError(f"crosscheck engine={chosen['engine']}: holds no model; expected {' or '.join(able)}")
    for group, changed in choices.plain(fields).items():
        nodes[group] = {**nodes.get(group, {}), **changed}
    first = configuration.from_resolved(record.config)
    arms = {}
    for kv in first.kv.each():
        changed = {**record.config, **nodes, "kv": nodes.get("kv", {"name": kv.name, "dtype": kv.dtype})}
        second = configuration.from_resolved(changed)
        if len(several := variants(second)) > 1:
            raise NiahError(f"crosscheck: got several variants ({', '.join(one.name for one in several)}); expected one engine, as engine.attention=sdpa")
        arms[kv.dtype] = variants(second)[0].of(second)
        try:
            plan.check(arms[kv.dtype])
        except NiahError as error:
            if "kv" in nodes or not str(error).startswith("kv.dtype"):
                raise
            raise NiahError(f"{error}; crosscheck kv=bf16 asks for all answers without quantization") from error
    return arms


def holding_a_model() -> list[str]:
    """Names of the engines that load a model's weights, so that one may check another."""
    engines = {node["name"]: configuration.plug_in("engine", node["_target_"]) for node in choices.choices("engine")}
    return [name for name, engine in engines.items() if engine.holds_a_model]


def _choice(group: str, name: str) -> dict[str, Any]:
    known = {node["name"]: node for node in choices.choices(group)}
    if name not in known:
        raise NiahError(f"{group}={name}: no such choice; expected one of {', '.join(known)}")
    return known[name]


def choose(rows: Sequence[Row], num_trials: int) -> list[tuple[str, list[Row]]]:
    """(why, its rows under all variants) of each trial: all discordant ones, then wrong and right ones in turn.

    Discordant: variants of the run scored differently. Which come first depends on the prompts alone.
    """
    trials: dict[int, list[Row]] = {}
    for row in rows:
        if row.score is not None:
            trials.setdefault(row.trial, []).append(row)
    ordered = sorted(trials.values(), key=lambda group: hashlib.sha256(group[0].prompt_sha256.encode()).digest())
    kinds: dict[str, list[list[Row]]] = {"discordant": [], "wrong": [], "right": []}
    for group in ordered:
        is_discordant = len({row.score for row in group}) > 1
        kinds["discordant" if is_discordant else "wrong" if group[0].score < 1 else "right"].append(group)
    rest = []
    for place in range(max(len(kinds["wrong"]), len(kinds["right"]))):
        rest += [(kind, kinds[kind][place]) for kind in ("wrong", "right") if place < len(kinds[kind])]
    chosen = [("discordant", group) for group in kinds["discordant"]] + rest
    return chosen[:num_trials] if num_trials else chosen

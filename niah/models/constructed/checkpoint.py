"""A constructed model as a folder in Hugging Face format: config, weights, tokenizer; all of it or nothing."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from niah import disk
from niah.errors import NiahError
from niah.models.constructed import tensors, vocabulary
from niah.models.constructed.circuit import Circuit
from niah.models.constructed.design import HEAD, THETA, Design
from niah.tokens.tokenizer import Tokenizer

LAYOUT = "1"
"""Of the weights: another number writes them anew."""
MARK = "calibration.json"
"""Says which design a folder holds."""
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")
_CLASSES = {
    "llama": ("LlamaForCausalLM", "llama"), "mistral": ("MistralForCausalLM", "mistral"),
    "llama4": ("Llama4ForCausalLM", "llama4_text"),
}

Change = Callable[[str, np.ndarray], np.ndarray]


def key(design: Design, tokenizer: Tokenizer) -> str:
    """Names the folder in the cache: other weights or another tokenizer, another key."""
    text = json.dumps([LAYOUT, asdict(design), tokenizer.sha256], sort_keys=True)
    return f"{design.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def circuit(design: Design, tokenizer: Tokenizer, where: str = "model.tokenizer") -> Circuit:
    """The same model in exact arithmetic."""
    known = vocabulary.of(tokenizer, where)
    return Circuit(design, known.size, known.ends, known.stop)


def config(design: Design, num_ids: int, stop: int) -> dict[str, Any]:
    """config.json."""
    architecture, kind = _CLASSES[design.kind]
    made: dict[str, Any] = {
        "architectures": [architecture], "model_type": kind, "vocab_size": num_ids, "hidden_size": design.hidden,
        "intermediate_size": tensors.INNER, "num_hidden_layers": len(design.layers),
        "num_attention_heads": design.heads, "num_key_value_heads": design.heads, "head_dim": HEAD,
        "max_position_embeddings": min(design.max_length, design.table_length),
        "rms_norm_eps": 1e-6, "rope_parameters": {"rope_type": "default", "rope_theta": THETA},
        "tie_word_embeddings": False, "dtype": "bfloat16", "hidden_act": "silu",
        "attention_bias": False, "mlp_bias": False, "bos_token_id": None, "eos_token_id": stop,
    }
    if design.window:
        made["sliding_window"] = design.window
    if design.kind == "llama4":
        made |= {
            "intermediate_size_mlp": tensors.INNER, "num_local_experts": 2, "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 1, "attention_chunk_size": design.chunk,
            "no_rope_layer_interval": design.interval,
            "no_rope_layers": [int(design.is_local(layer)) for layer in range(len(design.layers))],
            "use_qk_norm": False, "attn_temperature_tuning": True, "pad_token_id": None,
        }
    return made


def write(
    design: Design, tokenizer: Tokenizer, source: Path | None, folder: Path, change: Change | None = None
) -> None:
    """Fills an empty folder.

    ``source`` holds the tokenizer's files, where it has any; ``change`` plants a fault in the weights.
    """
    try:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import save_file
    except ImportError as error:
        raise NiahError(
            f"model.path: writing a constructed model needs {error.name}; pip install 'niah[transformers]'"
        ) from error

    known = vocabulary.of(tokenizer, "model.tokenizer")
    made = {}
    for name, weight in tensors.tensors(design, known.size, known.is_end, known.stop):
        weight = change(name, weight) if change else weight
        made[name] = torch.from_numpy(np.ascontiguousarray(weight)).to(torch.bfloat16)
    settings = config(design, known.size, known.stop)
    try:
        save_file(made, folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:  # a full disk, in a type of its own
        raise OSError(str(error)) from error
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": settings["eos_token_id"]}))
    (folder / MARK).write_text(json.dumps(_description(design, tokenizer), indent=1))
    for name in _TOKENIZER_FILES:
        if source and (source / name).is_file():
            shutil.copy(source / name, folder / name)


def _description(design: Design, tokenizer: Tokenizer) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    return {"layout": LAYOUT, **asdict(design), "tokenizer_sha256": tokenizer.sha256}


def _stored(mark: Path) -> dict[str, Any] | None:
    """The description of a checkpoint on disk; None where it is no checkpoint of ours."""
    try:
        found = json.loads(mark.read_text()) if mark.is_file() else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"layout", "name", "tokenizer_sha256"} <= found.keys() else None


def write_to(design: Design, tokenizer: Tokenizer, source: Path | None, place: Path) -> bool:
    """Writes the model to a folder of the user's own; False where it was there already.

    Raises NiahError where the place holds anything else, and leaves nothing behind where it cannot be written.
    """
    if place.exists():
        found = _stored(place / MARK)
        if found == json.loads(json.dumps(_description(design, tokenizer))):
            return False
        what = f"calibration model {found['name']} with other settings" if found else "something else"
        if not found and place.is_dir() and not any(place.iterdir()):
            place.rmdir()
        else:
            raise NiahError(
                f"calibrate out={place}: holds {what}; expected a new folder; name another or delete this one"
            )
    vocabulary.of(tokenizer, "model.tokenizer")  # refused before there is a folder
    try:
        return disk.fill(place, lambda draft: write(design, tokenizer, source, draft))
    except OSError as error:
        raise NiahError(
            f"calibrate out={place}: cannot be written; got {error.strerror or error}; "
            "expected free space and write permission"
        ) from error

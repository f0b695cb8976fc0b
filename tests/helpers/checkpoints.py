"""Small checkpoints in Hugging Face format, and what becomes of them: parts of them gone, cut, pickled, foreign."""

import json
from pathlib import Path

import numpy as np

CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 49152,
    "max_position_embeddings": 2048, "rope_parameters": {"rope_type": "default", "rope_theta": 10000},
    "dtype": "bfloat16", "tie_word_embeddings": True,
}
CODE = """
from pathlib import Path

Path("ran").write_text("this is foreign code")
from transformers import LlamaConfig as Own
"""


def tensors() -> dict[str, np.ndarray]:
    """Random weights of that Llama, float32, by the names of its checkpoints."""
    rng = np.random.default_rng(0)
    shapes = {"model.embed_tokens.weight": (49152, 64), "model.norm.weight": (64,)}
    for layer in range(CONFIG["num_hidden_layers"]):
        own = {
            "self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64),
            "self_attn.o_proj": (64, 64), "mlp.gate_proj": (128, 64), "mlp.up_proj": (128, 64),
            "mlp.down_proj": (64, 128), "input_layernorm": (64,), "post_attention_layernorm": (64,),
        }
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in own.items()}
    return {name: rng.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}


def written(folder: Path, *without: str, config: dict | None = None) -> Path:
    """The checkpoint in a new folder, without the tensors whose names hold one of these."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **(config or {})}))
    kept = {name: value for name, value in tensors().items() if not any(part in name for part in without)}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def foreign(folder: Path) -> Path:
    """One whose configuration is a class of a module that comes with it."""
    written(folder, config={"model_type": "own", "auto_map": {"AutoConfig": "configuration_own.Own"}})
    (folder / "configuration_own.py").write_text(CODE)
    return folder


def pickled(folder: Path) -> Path:
    """One whose weights are a pickle that runs code when it is loaded."""
    written(folder)
    (folder / "model.safetensors").unlink()
    code = b"cposix\nsystem\n(S'echo this is foreign code > ran'\ntR."
    (folder / "pytorch_model.bin").write_bytes(code)
    return folder


def gguf_without(source: Path, file: Path, names: set[str]) -> Path:
    """A GGUF file with all tensors of another but these: its header counts those that are left."""
    from gguf import GGUFReader

    data, reader = source.read_bytes(), GGUFReader(source)
    infos = [one.field for one in reader.tensors]
    begun = infos[0].offset
    kept = b"".join(
        data[one.offset : one.offset + sum(int(part.nbytes) for part in one.parts)]
        for one in infos if one.name not in names
    )
    head = data[:8] + (len(infos) - len(names)).to_bytes(8, "little") + data[16:begun] + kept
    file.write_bytes(head + bytes(-len(head) % reader.alignment) + data[reader.data_offset :])
    return file

"""A small Llama with random weights, on disk as checkpoints are: with scales of its KV cache in it, or without."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

LAYERS, HIDDEN, INNER, HEADS, KV_HEADS, VOCABULARY = 2, 64, 128, 2, 1, 49_152
SCALES = {"k": (0.25, 0.5), "v": (0.125, 2.0)}
"""Of each layer, all of them numbers that every float holds exactly."""


def written(folder: Path, *, has_scales: bool) -> Path:
    """The checkpoint's folder; its vocabulary is SmolLM2's. Scales are stored as llm-compressor stores them."""
    folder.mkdir(parents=True)
    width = HIDDEN // HEADS
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "num_hidden_layers": LAYERS, "head_dim": width,
        "vocab_size": VOCABULARY, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "rope_theta": 1e5, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2,
    }
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        shapes |= {
            f"{name}.input_layernorm.weight": (HIDDEN,), f"{name}.post_attention_layernorm.weight": (HIDDEN,),
            f"{name}.self_attn.q_proj.weight": (HEADS * width, HIDDEN),
            f"{name}.self_attn.k_proj.weight": (KV_HEADS * width, HIDDEN),
            f"{name}.self_attn.v_proj.weight": (KV_HEADS * width, HIDDEN),
            f"{name}.self_attn.o_proj.weight": (HIDDEN, HEADS * width),
            f"{name}.mlp.gate_proj.weight": (INNER, HIDDEN), f"{name}.mlp.up_proj.weight": (INNER, HIDDEN),
            f"{name}.mlp.down_proj.weight": (HIDDEN, INNER),
        }
    torch.manual_seed(0)
    tensors = {name: (0.1 * torch.randn(shape)).to(torch.bfloat16) for name, shape in shapes.items()}
    if has_scales:
        for kind, scales in SCALES.items():
            for layer, scale in enumerate(scales):
                tensors[f"model.layers.{layer}.self_attn.{kind}_scale"] = torch.tensor([scale])
        scheme = {"num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": True, "dynamic": False}
        config["quantization_config"] = {
            "quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {}, "ignore": [],
            "kv_cache_scheme": scheme, "quantization_status": "compressed",
        }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder

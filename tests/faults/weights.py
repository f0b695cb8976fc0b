"""Weights that are cut at a byte or have a bit flipped: a GGUF that is converted, safetensors that an engine loads."""

import json
import random
from importlib import import_module
from pathlib import Path

from tests.faults.ledger import Ledger
from tests.faults.testbed import BASE, Testbed, check_threads, copied, emptied, in_a_fork

_LIBRARIES = (
    "torch", "transformers", "transformers.models.llama.modeling_llama", "transformers.modeling_gguf_pytorch_utils",
    "gguf", "accelerate", "safetensors.torch", "niah.engines.transformers.session", "niah.models.gguf",
)
_SMALL = ("ctx.lengths=[256]", "ctx.depths=[0]", "ctx.repeats=1", "name=w")
_WORDS = {
    "tiny.gguf": ("prepare", *BASE, "model.path=tiny.gguf", *_SMALL),
    "model/model.safetensors": (
        "engine=transformers", *(word for word in BASE if not word.startswith("engine")), *_SMALL,
    ),
}
_LIMIT_SECONDS = 120


class Weights:
    """A step damages one file at one place; a cut one is never measured."""

    def __init__(self, bed: Testbed, ledger: Ledger, rng: random.Random):
        self.bed, self.ledger, self.rng = bed, ledger, rng
        in_a_fork(lambda: make_gguf(bed.work / "model", bed.work / "tiny.gguf"))
        for name in _LIBRARIES:
            import_module(name)
        check_threads()
        for words in _WORDS.values():
            ended = bed.run(*words, limit=_LIMIT_SECONDS)
            if ended.code:
                raise RuntimeError(f"{words} failed undisturbed: {ended.err}")
        emptied(bed.work / "outputs").rmdir()
        self.golden, self.caches = copied(bed.work, bed.work.parent / "golden"), bed.work.parent / "golden-cache"
        copied(bed.cache, self.caches)
        emptied(self.caches / "models")

    def step(self) -> None:
        bed, name = self.bed, self.rng.choice(list(_WORDS))
        copied(self.golden, bed.work)
        copied(self.caches, bed.cache)
        file = bed.work / name
        data = file.read_bytes()
        # the header, where names and shapes stand, is a small part of a file that is mostly numbers
        place = int(len(data) * self.rng.random() ** 2)
        is_cut = self.rng.random() < 0.5
        bit = bytes([data[place] ^ (1 << self.rng.randrange(8))])
        file.write_bytes(data[:place] if is_cut else data[:place] + bit + data[place + 1 :])
        how = "cut" if is_cut else "flip"
        case = f"{how} of {name} at {place} of {len(data)}"
        ended = bed.run(*_WORDS[name], limit=_LIMIT_SECONDS)
        self.ledger.judge(ended, case, bed)
        self.ledger.event(f"{Path(name).suffix[1:]} {how} {'read' if ended.code == 0 else 'refused'}")
        if is_cut and ended.code == 0:
            self.ledger.fault("wrong", case, bed, ended, "a file that lacks a part was taken for a model")
        drafts = [path.name for path in bed.cache.rglob(".*.draft")]
        if drafts:
            self.ledger.fault("left over", case, bed, ended, f"{drafts}")


def make_gguf(model: Path, file: Path) -> None:
    """The testbed's model as one GGUF file of 32-bit numbers."""
    from gguf import GGUFWriter
    from safetensors.numpy import load_file

    config = json.loads((model / "config.json").read_text())
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    writer = GGUFWriter(file, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_vocab_size(config["vocab_size"])
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if word.startswith("<|") else 1 for word in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    names = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }
    for name, values in load_file(model / "model.safetensors").items():
        own = name.removesuffix(".weight").removeprefix("model.layers.0.")
        ours = names[own] if own.startswith("model.") else f"blk.0.{names[own]}"
        writer.add_tensor(f"{ours}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

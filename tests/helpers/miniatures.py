"""Every architecture in miniature: the same class of vLLM, layer pattern and heads, small and with random weights.

``python -m tests.helpers.miniatures`` runs them all and writes the table of docs/miniatures.md;
tests/planner/test_miniatures.py runs the same. What a miniature keeps: class, attention kinds and their order, head
widths, the ratios of query, key-value and state heads, shared caches, experts and their routing. What it makes small:
layers (two periods of the pattern and what is left over), hidden and inner widths, number of experts, windows (so that
layers forget within 2K tokens), and the vocabulary where the tokenizer is not the model's own.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from niah.engines.vllm.process import is_cpu_build
from niah.models.resolve import files_of
from niah.planner import architecture, cpu, memory
from niah.planner.layer import Layer
from tests.helpers.command import REPOSITORY, command, environment_with
from tests.helpers.tokenizers import GEMMA3, SMOLLM2

HIDDEN, INNER, EXPERTS, CHOSEN, WINDOW, CHUNK, POSITIONS = 128, 128, 8, 4, 512, 1024, 131_072
GROUPS = 8
"""Of Mamba's heads in Nemotron, which a miniature has one of."""
CPU_LATENT = 512
"""The one latent width of vLLM's CPU kernel, rotary part left out (v1/attention/backends/mla/cpu_mla.py)."""
CACHE_GIB = 0.125
LENGTHS = (1024, 2048)
KV = ("bf16", "fp8")
ANSWERS = ("correct", "wrong", "refused", "absent-claimed", "truncated")
_INNER_SIZES = (
    "intermediate_size", "intermediate_size_mlp", "moe_intermediate_size", "shared_expert_intermediate_size",
    "moe_shared_expert_intermediate_size",
)
_HEADS = (
    "num_attention_heads", "num_key_value_heads", "num_global_key_value_heads", "linear_num_key_heads",
    "linear_num_value_heads",
)

TOKENIZERS = {
    "llama4_scout": "llama4", "llama4_maverick": "llama4", "deepseek_r1": "deepseek-r1", "glm_5": "glm-4.7-flash",
    "qwen3_235b_a22b": "qwen-3", "qwen3_8b": "qwen-3", "qwen3_32b": "qwen-3", "qwen3_30b_a3b": "qwen-3",
    "deepseek_v3_2": "deepseek-v3.1", "gemma3_270m": "gemma3", "gemma3_4b": "gemma3", "gemma4_31b": "gemma3",
    "gemma4_26b_a4b": "gemma3", "gemma4_e4b": "gemma3", "gemma4_e2b": "gemma3", "smollm2_135m": "smollm2",
    **{f"qwen3_5_{size}": "qwen-3.5" for size in ("0_8b", "4b", "9b", "27b", "35b_a3b", "122b_a10b")},
}
"""Real ones: the model's own, for Gemma 4 that of Gemma 3; others read with SmolLM2's and its vocabulary."""
STANDS_FOR = {
    "qwen3_5_0_8b": ("qwen3_5_2b",), "qwen3_5_122b_a10b": ("qwen3_5_397b_a17b",),
    "command_r_plus": ("command_r_plus_08_2024",), "qwen3_235b_a22b": ("qwen3_235b_2507",),
    "gpt_oss_20b": ("gpt_oss_120b",),
}
"""Architectures whose miniature is the same but for rotary positions and their number: run once."""
HAS_AMX = Path("/proc/cpuinfo").is_file() and "amx_tile" in Path("/proc/cpuinfo").read_text()
"""Then vLLM takes another CPU kernel for latents, which was not at hand to try."""
_UNREAD = "RuntimeError: expected scalar type BFloat16 but found Float8_e4m3fn"
_SPARSE = "NotImplementedError: Sparse Attention is not supported on CPU."
_PLAIN_EXPERTS = "NotImplementedError: is_act_and_mul=False is supported only for CUDA, XPU and ROCm for now"
NOT_ON_CPUS = {
    **{(name, kv): _SPARSE for name in ("glm_5", "glm_5_2", "deepseek_v3_2") for kv in KV},
    **{(name, kv): _PLAIN_EXPERTS for name in (
        "nemotron_3_nano", "nemotron_3_super", "nemotron_3_5_lightning",
    ) for kv in KV},
    ("deepseek_r1", "fp8"): _UNREAD, ("mistral_small_4", "fp8"): _UNREAD,
}
"""What vLLM 0.32 cannot run without a GPU, in its own words; its CPU kernel for latents has no fp8."""
NAMES = sorted(file.stem for file in (REPOSITORY / "niah" / "architectures").glob("*.json"))
MINIATURES = [name for name in NAMES if name not in {other for others in STANDS_FOR.values() for other in others}]


def shrunk(name: str) -> dict[str, Any]:
    """The config.json of the miniature."""
    config: dict[str, Any] = json.loads((REPOSITORY / "niah" / "architectures" / f"{name}.json").read_text())
    config.pop("niah")
    kind = config["model_type"].removesuffix("_text")
    is_latent = "kv_lora_rank" in config
    # where heads must divide the hidden width, it is theirs together
    is_free = is_latent or ("head_dim" in config and kind != "llama")
    width = None if is_free else config["hidden_size"] // config["num_attention_heads"]
    heads = [key for key in _HEADS if key in config]
    factor = config["num_attention_heads"] // 4 if is_latent else math.gcd(*(config[key] for key in heads))
    config.update({key: config[key] // factor for key in heads})
    config["hidden_size"] = width * config["num_attention_heads"] if width else HIDDEN
    for key in _INNER_SIZES:
        if key in config:
            config[key] = INNER
    config.update(_layers(config, kind))
    for key in ("num_local_experts", "n_routed_experts", "num_experts"):
        if key in config:  # a group of experts is chosen by its best two
            config[key] = max(EXPERTS, 2 * config.get("n_group", 1))
    for key in ("num_experts_per_tok", "top_k_experts"):
        if key in config:
            config[key] = min(CHOSEN, config[key])
    if 0 < config.get("sliding_window", 0) < POSITIONS:  # Phi-4-mini's is longer than any prompt
        config["sliding_window"] = WINDOW
    for key in ("mamba_num_heads", "n_groups"):
        if key in config:
            config[key] //= GROUPS
    for key, value in (
        ("attention_chunk_size", CHUNK), ("hidden_size_per_layer_input", 32), ("moe_latent_size", INNER // 2),
    ):
        if config.get(key):
            config[key] = value
    if is_latent and is_cpu_build():
        config["kv_lora_rank"] = CPU_LATENT  # Mistral Small 4 has 256
    config["max_position_embeddings"] = min(config["max_position_embeddings"], POSITIONS)
    if name not in TOKENIZERS:
        config["vocab_size"] = 49_152
    return config


def _layers(config: dict[str, Any], kind: str) -> dict[str, Any]:
    """Two periods of the pattern and what the whole model has left over after its last one."""
    total, types = config["num_hidden_layers"], config.get("layer_types")
    period = {"llama4": 4, "gemma3": 6, "gemma4": 6, "qwen3_5": 4, "qwen3_5_moe": 4}.get(kind, 1)
    period = types.index("full_attention") + 1 if types else period
    made: dict[str, Any] = {"num_hidden_layers": 2 * period + total % period}
    for key, one in (("layers_block_type", "attention"), ("hybrid_override_pattern", "*")):
        if blocks := config.get(key):  # no period: twice what comes up to the first attention and its experts
            stop = 2 * (blocks.index(one) + 2)
            return {key: blocks[:stop], "num_hidden_layers": stop}
    if types:
        made["layer_types"] = types[: made["num_hidden_layers"]]
    if config.get("num_kv_shared_layers"):
        made["num_kv_shared_layers"] = period  # the second period reads the caches of the first
    if config.get("first_k_dense_replace"):
        made["first_k_dense_replace"] = 1
    return made


def written(name: str, place: Path) -> Path:
    """The miniature's folder."""
    folder = place / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(shrunk(name)))
    return folder


def tokenizer(name: str) -> str:
    """What model.tokenizer names."""
    own = TOKENIZERS.get(name, "smollm2")
    packaged = {"smollm2": SMOLLM2, "gemma3": GEMMA3}
    return str(files_of(packaged[own]).folder) if own in packaged else own


@dataclass(frozen=True)
class Result:
    """One run: what the engine says it holds, what the plan says, and the rows."""

    name: str
    dtype: str
    folder: Path
    rows: list[dict[str, Any]]
    engine: dict[str, Any]
    planned: tuple[int, int, int]
    seconds: float

    @property
    def reported(self) -> tuple[int, int, int]:
        """Tokens that fit, blocks, tokens a block; as ``planned``."""
        return (self.engine["kv_cache_size_tokens"], self.engine["num_kv_blocks"], self.engine["block_size"])

    @property
    def outcomes(self) -> str:
        counts = Counter(row["outcome"] for row in self.rows)
        return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))


def start(name: str, kv: str, place: Path, *arguments: str) -> subprocess.CompletedProcess:
    """``python -m niah`` on the miniature, from its config to the heatmap."""
    return subprocess.run(
        command(
            f"model.path={written(name, place)}", f"model.tokenizer={tokenizer(name)}", "model.max_length=16k",
            f"model.label={name} in miniature",
            "engine.load_format=dummy", f"engine.kv_cache_memory_gib={CACHE_GIB}",
            f"ctx.lengths={list(LENGTHS)}".replace(" ", ""), "ctx.depths=[0,100]", "haystack=noise",
            f"kv={kv}", f"name={name}-{kv}", *arguments,
        ),
        cwd=place, env=environment_with(), capture_output=True, text=True, timeout=400, stdin=subprocess.DEVNULL,
    )


def run(name: str, kv: str, place: Path) -> Result:
    """Raises RuntimeError with the command's last line where it fails."""
    started = time.perf_counter()
    done = start(name, kv, place)
    seconds = time.perf_counter() - started
    folder = place / "outputs" / f"{name}-{kv}"
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    engine = json.loads((folder / "run.json").read_text())["engine"]
    found = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    return Result(name, engine["kv_cache_dtype"], folder, found, engine, planned(name, engine), seconds)


def planned(name: str, engine: dict[str, Any]) -> tuple[int, int, int]:
    """Tokens that fit, blocks and tokens a block by the fast plan, for the same bytes."""
    shape = architecture.read(shrunk(name), name)
    base = memory.Setup(cache_dtype=engine["kv_cache_dtype"])
    if is_cpu_build() and not (HAS_AMX and any(layer.latent for layer in shape.layers)):
        setup = cpu.served(shape, base, engine["max_model_len"])
    else:  # blocks and steps are the backend's choice
        setup = replace(
            base, block_size=engine["block_size"], batch=engine["max_num_batched_tokens"],
            steps_in_flight=1 if is_cpu_build() else memory.STEPS_IN_FLIGHT, prefix_caching=engine["prefix_caching"],
        )
    pool, available, length = memory.pool(shape, setup), int(CACHE_GIB * memory.GIB), engine["max_model_len"]
    tokens = pool.num_tokens(available, length, setup.in_flight, prefix_caching=setup.prefix_caching)
    return tokens, pool.num_blocks(available), pool.block_size


def kinds(name: str) -> str:
    """Layers by kind of attention, in the order of first sight: (query heads/key-value heads x width)."""
    counts = Counter(_kind(layer) for layer in architecture.read(shrunk(name), name).layers)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _kind(layer: Layer) -> str:
    if layer.kind == "feed_forward":
        return "of experts alone"
    reach = f"{layer.kind} {layer.window:,}" if 0 < layer.window < POSITIONS else layer.kind
    if layer.latent:
        return f"latent of {layer.latent} ({layer.heads} heads)" + (", indexed" if layer.index_bytes else "")
    heads = f"{reach} ({layer.heads}/{layer.kv_heads} x {layer.key_width})"
    return heads if layer.owns_cache else f"{heads} reading another's cache"


def main(names: list[str]) -> None:
    """Prints the table, a line as soon as it is measured."""
    print(
        "| architecture | class in vLLM | layers | tokenizer | KV cache | tokens: engine | tokens: plan | blocks | "
        "rows | s |"
    )
    print("|---|---|---|---|---|---:|---:|---:|---|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for name, kv in ((name, kv) for name in names for kv in KV):
            files = " = ".join((name, *STANDS_FOR.get(name, ())))
            head = f"| {files} | {shrunk(name)['architectures'][0]} | {kinds(name)} | "
            head += f"{TOKENIZERS.get(name, 'smollm2')} | {kv} | "
            if is_cpu_build() and (name, kv) in NOT_ON_CPUS:
                print(f"{head}not on CPUs: {NOT_ON_CPUS[name, kv]} | | | | |", flush=True)
                continue
            made = run(name, kv, Path(folder))
            ours, theirs = made.planned, made.reported
            other = "" if ours == theirs else f" (plan: {ours[1]:,} of {ours[2]:,})"
            blocks = f"{theirs[1]:,} of {theirs[2]:,}{other}"
            print(f"{head}{theirs[0]:,} | {ours[0]:,} | {blocks} | {made.outcomes} | {made.seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or MINIATURES)

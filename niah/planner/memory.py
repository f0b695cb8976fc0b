"""What fills a GPU: weights, KV cache, position table, activations, the engine's own buffers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil

from niah.planner import kv
from niah.planner.architecture import Architecture
from niah.planner.layer import Layer

GIB = 2**30
WEIGHT_BYTES = {"bf16": 2.0, "fp8": 1.0, "int4": 4.125 / 8, "nvfp4": 4.5 / 8, "mxfp4": 4.25 / 8}
"""Bytes of a quantized weight, scales of groups of 128 (int4), 32 (mxfp4) or 16 (nvfp4) included."""
_OTHER_BYTES = {"mxfp4": 2.0}
"""Formats of experts alone, and the bytes of all other weights."""
_CACHE_BITS = {"float32": 32, "bfloat16": 16, "float16": 16, "fp8_e4m3": 8, "fp8_e5m2": 8, "fp8": 8}
_SCALED_BITS = {"int8_per_token_head": 8, "fp8_per_token_head": 8, "int4_per_token_head": 4}
"""With a float32 scale beside each head's key and each head's value (triton_attn.py, customize_spec)."""
_BLOCK_SCALED = ("nvfp4", "nvfp4_4over6")
"""Four bits a value and one byte a 16 values (torch_utils.py, nvfp4_kv_cache_full_dim)."""
_PACKED_BITS = {
    "turboquant_k8v4": (8, 4), "turboquant_4bit_nc": (4, 4), "turboquant_k3v4_nc": (3, 4), "turboquant_3bit_nc": (3, 3)
}
"""Of a key and a value, in one slot with their scales (quantization/turboquant/config.py, slot_size_aligned)."""
COUNTED_DTYPES = (*_CACHE_BITS, *_SCALED_BITS, *_BLOCK_SCALED, "nvfp4_ds_mla")
"""KV-cache dtypes whose size is known here for any model."""
_FP4_LATENT_BYTES = 352
"""A token of sparse MLA in nvfp4_ds_mla (mla_attention.py, get_kv_cache_spec)."""
_PACKED_LATENT_BYTES = 656
"""A token of sparse MLA in fp8 on Hopper and RTX Blackwell (fp8_ds_mla: scales and a bfloat16 rotary part)."""
ENGINE_BYTES = 2 * GIB
"""CUDA context, communication buffers and captured graphs: assumed, about what an H100 shows."""
BATCH = 8192
"""Tokens of one step (max_num_batched_tokens), on GPUs. vLLM's own default for its Python API is 16,384 on an H100.

Matrix products are as fast with half of that, and each token of a step costs: activations, and cache in all layers
that forget, twice (``STEPS_IN_FLIGHT``). Scout at 10M with an FP8 cache takes 60.4 GiB of an H100 so, 61.1 with vLLM's.
"""
STEPS_IN_FLIGHT = 2
"""Steps scheduled at once: asynchronous scheduling, vLLM's default on GPUs."""


@dataclass(frozen=True)
class Setup:
    """How a model is served: GPUs it is split over, dtypes, and settings of the engine.

    ``tensor_parallel`` splits every layer, ``pipeline_parallel`` the layers; ``hybrid`` is vLLM's hybrid
    KV-cache manager, ``capability`` the GPU's compute capability, ``utilization`` the share of its
    memory that the engine takes (gpu_memory_utilization, at its default). ``enforce_eager`` runs the model as it is
    written, without compilation and CUDA graphs; None leaves that to the engine. ``batch_invariant``: an answer does
    not depend on what is computed beside it. ``cache_bytes`` is the KV cache of one GPU as given, 0 for what is left.
    ``attention`` are the backends that will serve, as far as that is foretold, ``cache_name`` is the cache's dtype as
    vLLM is told it.
    """

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    decode_context_parallel: int = 1
    weights: str = "bf16"
    cache_dtype: str = "bfloat16"
    block_size: int = 16
    hybrid: bool = True
    batch: int = BATCH
    steps_in_flight: int = STEPS_IN_FLIGHT
    max_num_seqs: int = 1
    text_only: bool = True
    prefix_caching: bool = True
    capability: float = 0.0
    utilization: float = 0.92
    enforce_eager: bool | None = None
    batch_invariant: bool = False
    cache_bytes: int = 0
    attention: tuple[str, ...] = ()
    cache_name: str = ""

    @property
    def num_gpus(self) -> int:
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def in_flight(self) -> int:
        return self.batch * self.steps_in_flight


@dataclass(frozen=True)
class Need:
    """Bytes on one GPU, part by part; the largest stage where layers are split."""

    weights: int
    cache: int
    positions: int
    activations: int
    engine: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.positions + self.activations + self.engine

    @property
    def fixed(self) -> int:
        """All but the cache."""
        return self.total - self.cache


def pool(architecture: Architecture, setup: Setup) -> kv.Pool:
    """The KV cache of one GPU, of the stage whose block is largest."""
    cached = [
        [_cached(layer, setup) for layer in stage if layer.owns_cache]
        + [kv.Layers("full", 1, layer.index_bytes) for layer in stage if layer.index_bytes]
        for stage in stages(architecture.layers, setup.pipeline_parallel)
    ]
    pools = [kv.pool(layers, setup.block_size, hybrid=setup.hybrid) for layers in cached if layers]
    return max(pools, key=lambda one: one.block_bytes)


def stages(layers: Sequence[Layer], num: int) -> list[Sequence[Layer]]:
    """The layers of each of ``num`` pipeline stages: as even as they go, what is left over one each from the last but
    one forwards (vLLM's distributed/utils.py, get_pp_indices)."""
    sizes = [len(layers) // num] * num
    for place in range(len(layers) % num):
        sizes[num - 2 - place] += 1
    ends = [*accumulate(sizes)]
    return [layers[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def counts(architecture: Architecture, dtype: str) -> bool:
    """Whether the cache's size is known here. Where no layer keeps a state, TurboQuant leaves the first and the last
    ones as they are, in pages that vLLM pads: ask vLLM (exact=true)."""
    has_states = any(layer.kind == "state" for layer in architecture.layers)
    return dtype in COUNTED_DTYPES or (dtype in _PACKED_BITS and has_states)


def need(architecture: Architecture, setup: Setup, length: int) -> Need:
    """What one request of ``length`` tokens needs of each GPU."""
    cache = pool(architecture, setup).required_bytes(
        length, setup.in_flight, dcp=setup.decode_context_parallel, prefix_caching=setup.prefix_caching
    )
    widest = max(_width(layer, architecture) for layer in architecture.layers)
    blocks = ceil(length / setup.block_size)
    return Need(
        weights=weight_bytes(architecture, setup),
        cache=cache,
        positions=architecture.max_positions * architecture.rotary_width * 2,
        # residual stream, its copies, and the widest inner activations of a step; logits in float32
        activations=int(
            setup.batch * 2 * (6 * architecture.hidden_size + 3 * widest / setup.tensor_parallel)
            + setup.max_num_seqs * architecture.vocabulary * 4 * 2
        ),
        engine=ENGINE_BYTES + 2 * 4 * blocks * setup.max_num_seqs,
    )


def weight_bytes(architecture: Architecture, setup: Setup) -> int:
    """Bytes of the weights on one GPU, of the stage with most, as vLLM's layers split them: embeddings and encoders are
    the first stage's, the head the last one's."""
    padded = ceil(architecture.vocabulary / 64) * 64 / architecture.vocabulary
    split, each = setup.tensor_parallel, stages(architecture.layers, setup.pipeline_parallel)
    totals = [_layer_bytes(stage, setup) for stage in each]
    totals[0] += 2 * (architecture.embedding_parameters * padded + architecture.lookup_parameters) / split
    totals[0] += 0 if setup.text_only else 2 * architecture.other_parameters
    head = architecture.head_parameters
    if not head and len(each) > 1:  # tied to the embedding, which the last stage then has too
        head = architecture.embedding_parameters
    totals[-1] += 2 * head * padded / split + 2 * architecture.hidden_size  # with the last norm
    return int(max(totals))


def _layer_bytes(layers: Sequence[Layer], setup: Setup) -> float:
    split, expert, other = setup.tensor_parallel, WEIGHT_BYTES[setup.weights], _other_bytes(setup.weights)
    total = 0.0
    for layer in layers:
        whole_heads = max(1, ceil(layer.kv_heads / split)) / max(1, layer.kv_heads)  # each GPU holds one at least
        inside = (layer.heads_parameters + layer.mlp_parameters) / split + layer.cache_parameters * whole_heads
        total += other * inside + expert * layer.expert_parameters / split
        total += 2 * (layer.expert_bias_parameters / split + layer.whole_parameters)
    return total


def active_bytes(architecture: Architecture, weights: str) -> float:
    """Bytes of the weights that a token is multiplied with."""
    expert, other = WEIGHT_BYTES.get(weights, 2.0), _other_bytes(weights)
    experts = sum(layer.active_expert_parameters for layer in architecture.layers)
    return expert * experts + other * (architecture.active_parameters - experts)


def splits(architecture: Architecture, num_gpus: int) -> list[int]:
    """Numbers of GPUs up to ``num_gpus`` over which heads divide evenly."""
    heads = {layer.heads for layer in architecture.layers}
    others = {layer.kv_heads for layer in architecture.layers if layer.attends}
    return [
        split for split in range(1, num_gpus + 1)
        if all(count % split == 0 for count in heads)
        and all(count % split == 0 or split % count == 0 for count in others)
    ]


def _other_bytes(weights: str) -> float:
    """Bytes of a weight that is no expert's."""
    return _OTHER_BYTES.get(weights, WEIGHT_BYTES.get(weights, 2.0))


def _cached(layer: Layer, setup: Setup) -> kv.Layers:
    if layer.kind == "state":
        convolution, recurrent = (value // setup.tensor_parallel for value in layer.state_values)
        return kv.Layers("state", 1, state_bytes=2 * convolution + 4 * recurrent, states=layer.states)
    if layer.latent and setup.cache_dtype == "nvfp4_ds_mla":
        return kv.Layers("full", 1, _FP4_LATENT_BYTES)
    if layer.latent:
        is_packed_here = int(setup.capability) in (9, 12) or "FLASHMLA_SPARSE" in setup.attention
        packed = layer.index_bytes and _CACHE_BITS[setup.cache_dtype] == 8 and is_packed_here
        plain = layer.latent * _CACHE_BITS[setup.cache_dtype] // 8
        return kv.Layers("full", 1, _PACKED_LATENT_BYTES if packed else plain)
    heads = max(1, layer.kv_heads // setup.tensor_parallel)
    a_head = _head_bytes(layer, setup.cache_dtype)
    return kv.Layers(layer.kind, 1, heads * a_head, layer.window)


def _head_bytes(layer: Layer, dtype: str) -> int:
    """One head's key and value of one token."""
    if dtype in _PACKED_BITS:
        key_bits, value_bits = _PACKED_BITS[dtype]
        # an FP8 key has no norm beside it; a value has a scale and a zero; the slot is of even size
        key = ceil(layer.key_width * key_bits / 8) + (0 if key_bits == 8 else 2)
        slot = key + ceil(layer.value_width * value_bits / 8) + 4
        return slot + slot % 2
    return _vector_bytes(layer.key_width, dtype) + _vector_bytes(layer.value_width, dtype)


def _vector_bytes(width: int, dtype: str) -> int:
    """One head's key or value of one token."""
    if dtype in _SCALED_BITS:
        return width * _SCALED_BITS[dtype] // 8 + 4
    return width // 2 + width // 16 if dtype in _BLOCK_SCALED else width * _CACHE_BITS[dtype] // 8


def _width(layer: Layer, architecture: Architecture) -> int:
    """Inner width of a layer's feed-forward part, of the experts a token goes to."""
    inner = (layer.mlp_parameters + layer.active_expert_parameters) // (3 * architecture.hidden_size)
    return inner + layer.heads * layer.key_width

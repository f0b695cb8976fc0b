"""Which attention backends of vLLM will serve a model, told before it loads; and what vLLM would refuse, refused here.

The order is that of platforms/cuda.py and platforms/rocm.py (_get_backend_priorities), the version of FlashAttention
that of v1/attention/backends/fa_utils.py (get_flash_attn_version), the exceptions those of the model's own config
(model_executor/models/config.py, Gemma4Config) and of engine/arg_utils.py (TurboQuant); read in vLLM 0.32 and 0.33.
Tests compare it with vLLM's own choice, on its platform classes without a GPU (tests/planner/test_choices.py,
test_amd.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import lcm

from niah.planner import backends
from niah.planner.architecture import Architecture
from niah.planner.backends import BACKENDS, KINDS, Backend, gpu, plain

_NAMED = {backend.name: backend for backend in BACKENDS}
_FEW_HEADS = 16
"""Up to so many heads a GPU, Blackwell's sparse MLA in bfloat16 takes FlashInfer first: FlashMLA would pad them."""
_SKIPPED = 2
"""Layers at each end that TurboQuant leaves in the model's dtype, where no layer keeps a state instead of a cache."""

_MIXED_BLOCK = 32
"""Tokens that vLLM raises blocks to where those layers share the pool (platforms/interface.py, "heterogeneous")."""


@dataclass(frozen=True)
class Asked:
    """What a user named of it; none and 0 leave it to vLLM."""

    backend: str | None = None
    version: int = 0
    block_size: int = 0
    batch_invariant: bool = False


@dataclass(frozen=True)
class Choice:
    """What serves: ``backends`` with the versions of FlashAttention among them, each once; ``block`` is what the number
    of tokens in a block must be a multiple of. ``refusal`` is why nothing does, else empty."""

    backends: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()
    block: int = 16
    refusal: str = ""


@dataclass(frozen=True)
class _Part:
    """Layers that choose alike: ``head`` values of a key (of a latent in MLA), and what they keep."""

    head: int
    dtype: str
    is_windowed: bool = False
    is_chunked: bool = False
    has_sinks: bool = False


@dataclass(frozen=True)
class _Model:
    """All that the choice depends on besides a layer itself."""

    kind: str
    dtype: str
    capability: float
    widest: int
    has_mixed_heads: bool
    plain_width: int  # of MLA: the part of a key without positions
    heads: int  # of one GPU
    asked: Asked

    @property
    def major(self) -> int:
        return int(self.capability)


def spelled(dtype: str, architecture: Architecture | None, capability: float) -> str:
    """The dtype as vLLM is told it. FLASHMLA_SPARSE takes "fp8" alone for what all others call fp8_e4m3 as well
    (flashmla_sparse.py:149); so does the architecture that is not known here (None), which may need it. float32 has no
    name of its own: it is what a model in float32 has by itself."""
    if dtype == "float32":
        return "auto"
    is_told_so = capability and (architecture is None or kind_of(architecture) == "sparse")
    return "fp8" if is_told_so and dtype == "fp8_e4m3" else dtype


def kind_of(architecture: Architecture) -> str:
    """Which backends can serve it: heads, latent or sparse, as ``Backend.serves`` has it."""
    layers = architecture.layers
    if any(layer.index_bytes for layer in layers):
        return "sparse"
    return "latent" if any(layer.latent for layer in layers) else "heads"


def choice(
    architecture: Architecture, dtype: str, capability: float, asked: Asked = Asked(), split: int = 1
) -> Choice:
    """What vLLM serves with on this GPU, the model split over ``split`` of them, and the reason where it cannot."""
    model, parts = _read(architecture, plain(dtype), capability, asked, split)
    order = _order(model)
    if not capability:
        return _alike([found for part in parts for found in _able(part, model, order)[:1]], parts, model)
    if reason := _unserved_version(model):
        return Choice(refusal=reason)
    wanted = asked.backend
    if wanted is None and asked.version and model.kind == "heads" and "turboquant" not in dtype:
        wanted = "FLASH_ATTN"  # whoever names a version means that FlashAttention serves
    if wanted is None and model.has_mixed_heads and not _has_version(4, capability):
        wanted = "TRITON_ATTN"  # Gemma4Config: no other has both head sizes, it says
    found = []
    for part in parts:
        if wanted in _NAMED:
            if reason := _refuses(_NAMED[wanted], part, model):
                forced = "" if asked.backend or asked.version else "vLLM takes TRITON_ATTN for Gemma 4 here, but "
                return Choice(refusal=forced + reason)
            found.append(_NAMED[wanted])
        elif wanted:
            return Choice((wanted,))  # of a special build, or of a newer vLLM
        elif able := _able(part, model, order):
            found.append(able[0])
        else:
            return Choice(refusal=_why_none(part, model))
    return _alike(found, parts, model)


def serving(
    architecture: Architecture, dtype: str, capability: float, asked: Asked = Asked(), split: int = 1
) -> list[str]:
    """Backends that can serve all layers, or TurboQuant's with another for the layers that it leaves; vLLM's own choice
    first."""
    model, parts = _read(architecture, plain(dtype), capability, replace(asked, backend=None), split)
    able = [{one.name for one in _able(part, model, _order(model))} for part in parts]
    if "turboquant" in dtype:  # the layers that it leaves have another
        if choice(architecture, dtype, capability, split=split).refusal:
            return []
        able = [names & {"TURBOQUANT"} for part, names in zip(parts, able, strict=True) if part.dtype == dtype]
    return [name for name in _order(model) if all(name in names for names in able)]


def refusal(
    architecture: Architecture, dtype: str, capability: float, asked: Asked = Asked(), split: int = 1
) -> str:
    """One line where vLLM would refuse this, or would serve with another kernel than was asked for; else empty. Whether
    what serves is batch-invariant is another question (serving.py)."""
    dtype, asked = plain(dtype), replace(asked, batch_invariant=False)
    if backends.LLAMACPP.fullmatch(dtype):
        return (
            f"kv.dtype: {dtype} is llama.cpp's; expected vLLM's own, as bfloat16 or fp8_e4m3; "
            "engine=openai measures a server that has it"
        )
    offered = [name for name in backends.DTYPES if name != "float16"]
    if dtype == "float32" and not capability:
        return ""  # of a model in float32 (cpu.py)
    if dtype in backends.ELSEWHERE_KEPT:
        return f"kv.dtype: {dtype} is a cache of engine=transformers; vLLM keeps one of {', '.join(offered)}"
    if dtype in backends.ELSEWHERE:
        return f"kv.dtype: {dtype} is for {backends.ELSEWHERE[dtype]}; expected one of {', '.join(offered)}"
    if dtype not in backends.DTYPES:
        return ""  # a newer vLLM may know it
    able = serving(architecture, dtype, capability, replace(asked, version=0), split)
    if not able and not _found(architecture, dtype, capability, split):
        others = {name: _found(architecture, name, capability, split) for name in offered}
        ways = [f"{name} ({found})" for name, found in others.items() if found]
        why = choice(architecture, dtype, capability, split=split).refusal
        gpus = [one for one in (8.0, 8.9, 9.0, 10.0, 12.0) if one != capability]
        elsewhere = [gpu(one) for one in gpus if _found(architecture, dtype, one, split)]
        none = f"nor any other: {KINDS[kind_of(architecture)]} does not run there"
        return (
            f"kv.dtype: no attention backend of vLLM keeps a {dtype} cache of this model on {gpu(capability)}"
            + (f" ({why}); " if why else "; ")
            + (f"expected one of {', '.join(ways)}" if ways else none)
            + (f"; {dtype} works on {', '.join(elsewhere)}" if elsewhere else "")
        )
    if not capability and asked.version:
        return f"engine.flash_attn_version={asked.version}: FlashAttention is for GPUs; here: {gpu(0)}; expected none"
    if not capability and (not asked.backend or asked.backend in able):
        return ""
    found = choice(architecture, dtype, capability, asked, split)
    if not capability:
        found = Choice(refusal=f"{asked.backend} does not run on {gpu(0)}")
    if not found.refusal:
        return ""
    where = f"engine.attention={asked.backend}" if asked.backend else "engine.attention"
    offer = "none" if "turboquant" in dtype else f"one of {', '.join(able)}, or none"
    if asked.version:
        where = f"engine.flash_attn_version={asked.version}" + (f" with {where}" if asked.backend else "")
        versions = [
            str(version) for version in (2, 3, 4)
            if not choice(architecture, dtype, capability, Asked(version=version), split).refusal
        ]
        offer = f"one of {', '.join(versions)}, or none" if versions else "none"
    elif asked.block_size and not choice(architecture, dtype, capability, replace(asked, block_size=0)).refusal:
        where = f"engine.args.block_size={asked.block_size}"
    return f"{where}: {found.refusal}; expected {offer}"


def flash_attn_version(head: int, model: _Model) -> int:
    """The version that FlashAttention resolves to for a layer; 0 where it has none (fa_utils.py:65)."""
    version = _version_of_all(model) or {9: 3, 10: 4}.get(model.major, 2)
    if model.major >= 10 and version == 3:
        version = 4 if _has_version(4, model.capability) else 2
    if version == 3 and model.major == 9 and head > 256:
        version = 4
    if version == 4 and model.asked.batch_invariant:
        version = 2
    if version == 4 and model.major >= 10 and head > 128 and (head != 256 or _is_quantized(model.dtype)):
        version = 2
    return version if _has_version(version, model.capability) else 0


def _found(architecture: Architecture, dtype: str, capability: float, split: int) -> str:
    """What serves where nobody asks for anything, or could if it were asked for; empty for nothing."""
    able = serving(architecture, dtype, capability, split=split)
    return "+".join(choice(architecture, dtype, capability, split=split).backends) or next(iter(able), "")


def _why_none(part: _Part, model: _Model) -> str:
    """Of the backends that keep this dtype for such models, why the first does not; empty where none does at all."""
    keep = [one for one in BACKENDS if part.dtype in one.caches and one.serves == model.kind]
    here = [one for one in keep if model.major in one.majors]
    reasons = [_refuses(one, part, model) for one in here or keep]
    return next((reason for reason in reasons if reason), f"no kernel for {KINDS[model.kind]} does")


def _read(
    architecture: Architecture, dtype: str, capability: float, asked: Asked, split: int
) -> tuple[_Model, list[_Part]]:
    layers = [layer for layer in architecture.layers if layer.attends]
    skipped: set[int] = set()
    if "turboquant" in dtype and not any(layer.kind == "state" for layer in architecture.layers):
        num = min(_SKIPPED, len(layers) // 2)
        skipped = {*range(num), *range(len(layers) - num, len(layers))}
    parts = {
        _Part(
            layer.latent or layer.key_width, backends.NATIVE[0] if number in skipped else dtype,
            layer.kind == "sliding", layer.kind == "chunked", layer.has_sinks,
        ): None
        for number, layer in enumerate(layers)
    }
    heads = {layer.latent or layer.key_width for layer in layers}
    first = layers[0]
    model = _Model(
        kind_of(architecture), dtype, capability, max(heads), len(heads) > 1,
        first.key_width - architecture.rotary_width if first.latent else 0, max(1, first.heads // split), asked,
    )
    return model, list(parts)


def _order(model: _Model) -> list[str]:
    """Backends as vLLM tries them."""
    if model.kind == "sparse" and model.major == 10:
        first = ["FLASHINFER_MLA_SPARSE", "FLASHMLA_SPARSE"]
        return first if _is_quantized(model.dtype) or model.heads <= _FEW_HEADS else first[::-1]
    if model.kind == "sparse" and model.major == 9:
        others = ["FLASH_ATTN_MLA_SPARSE", "FLASHMLA_SPARSE"]
        own = ["FLASHINFER_MLA_SPARSE_SM90"]
        return own + others if model.widest == 512 else others + own
    names = [backend.name for backend in BACKENDS]
    if model.kind == "heads" and model.major == 10:
        names.sort(key=lambda name: name != "FLASHINFER")
    return names


def _able(part: _Part, model: _Model, order: Sequence[str]) -> list[Backend]:
    return [_NAMED[name] for name in order if not _refuses(_NAMED[name], part, model)]


def _refuses(backend: Backend, part: _Part, model: _Model) -> str:
    """Why this backend does not serve these layers, empty where it does."""
    if part.is_chunked and part.dtype != model.dtype:
        # chunked_local_attention.py:101 asks for a backend of the whole model's dtype, then has it keep another
        return f"{backend.name} cannot leave the first and last {_SKIPPED} layers alone where they are chunked"
    if "turboquant" in model.dtype and part.dtype != model.dtype and backend.name == "TURBOQUANT":
        return (
            f"{backend.name} leaves the first and last {_SKIPPED} layers of this model in {part.dtype}, which another "
            "backend serves"
        )
    if "turboquant" in model.dtype and part.dtype != model.dtype and backend.name == "ROCM_ATTN":
        return f"{backend.name} has no cache layout in common with TURBOQUANT"  # platforms/rocm.py:534
    if backend.name == "FLASH_ATTN" and part.dtype in backend.caches and model.capability:
        if reason := _flash_attention_refuses(part, model):
            return reason
    elif reason := backend.refuses(
        part.dtype, model.kind, part.head, model.capability, is_windowed=part.is_windowed, has_sinks=part.has_sinks
    ):
        return reason
    if backend.name == "FLASHINFER_MLA" and model.plain_width not in (64, 128, 192):
        return f"{backend.name} has no keys of {model.plain_width} values without positions"
    if model.asked.batch_invariant and backend.name not in backends.BATCH_INVARIANT:
        return f"{backend.name} is not batch-invariant"
    if model.capability and model.asked.block_size % _block(backend, model):
        return f"{backend.name} needs blocks of a multiple of {_block(backend, model)} tokens"
    return ""


def _flash_attention_refuses(part: _Part, model: _Model) -> str:
    """flash_attn.py:423 (supports_head_size), :433 (supports_kv_cache_dtype) and :457 (supports_combination)."""
    if model.kind != "heads" or model.major not in (8, 9, 10, 12):
        return _NAMED["FLASH_ATTN"].refuses(part.dtype, model.kind, part.head, model.capability)
    version = flash_attn_version(part.head, model)
    if part.head % 8 or part.head > (256 if version in (0, 2, 3) else 512):
        return f"FLASH_ATTN has no heads of {part.head}" + (f" in FlashAttention {version}" if version else "")
    if not version:
        return _no_version(model.asked.version, model.capability)
    if part.has_sinks and flash_attn_version(0, model) not in (3, 4):
        return f"FLASH_ATTN has no attention sinks on {gpu(model.capability)}, which FlashAttention 3 and 4 have"
    if not _is_quantized(part.dtype):
        return ""
    if model.major not in (9, 10):
        return f"FLASH_ATTN keeps no {part.dtype} cache on {gpu(model.capability)}"
    general = flash_attn_version(0, model)
    is_able = version == 4 if model.major == 10 else general in (3, 4) and (version == 3 or part.head == 512)
    if is_able and version != 2:
        return ""
    return (
        f"FLASH_ATTN with FlashAttention {version} keeps no {part.dtype} cache of heads of {part.head}: "
        "FP8 KV cache requires FA3 on SM90, FA4 with head_size=512 on SM90, or FA4 on SM100"
    )


def _block(backend: Backend, model: _Model) -> int:
    """What a block's tokens must be a multiple of (flash_attn.py:298 and :325: by the model's widest head)."""
    if backend.name != "FLASH_ATTN" or flash_attn_version(model.widest, model) != 4:
        return backend.block
    if model.major == 9 and model.widest == 512 and model.dtype == "fp8_e4m3":
        return 64
    return 128 if model.major == 10 and model.widest == 256 else backend.block


def _version_of_all(model: _Model) -> int:
    """The version that is set for all layers, by the user or by vLLM; 0 for none."""
    asked = model.asked
    if "turboquant" in model.dtype:
        return 2
    if asked.version or not model.has_mixed_heads or asked.backend not in (None, "FLASH_ATTN"):
        return asked.version
    is_each_own = model.major == 9 and model.dtype.startswith("fp8")
    return 4 if _has_version(4, model.capability) and not is_each_own else 0


def _unserved_version(model: _Model) -> str:
    """Why the version of FlashAttention that was asked for would not serve, empty where it will or none was."""
    asked = model.asked.version
    if not asked:
        return ""
    if not _has_version(asked, model.capability):
        return _no_version(asked, model.capability)
    if model.kind != "heads":
        return f"kernels of {KINDS[model.kind]} have versions of their own"
    if "turboquant" in model.dtype:
        return "" if asked == 2 else f"{model.dtype} is not yet compatible with FlashAttention >= 3, vLLM would take 2"
    if model.asked.backend not in (None, "FLASH_ATTN"):
        return f"{model.asked.backend} is not FlashAttention"
    resolved = flash_attn_version(model.widest, model)
    if resolved == asked:
        return ""
    cache = f" with a {model.dtype} cache" if model.widest == 256 else ""
    return (
        f"FlashAttention {asked} has no heads of {model.widest}{cache} on {gpu(model.capability)}, "
        f"vLLM would take {resolved}"
    )


_OTHERS = 90
"""From here on a capability is no GPU of NVIDIA's (Hardware.capability)."""


def _has_version(version: int, capability: float) -> bool:
    """As vLLM's flash_attn_interface.py has it."""
    major = int(capability)
    return {2: 8 <= major < _OTHERS, 3: major == 9, 4: major in (9, 10, 11)}[version]


def _no_version(version: int, capability: float) -> str:
    where = {2: "8.0 and above", 3: "9.x", 4: "9.x, 10.x and 11.x"}[version]
    return f"FlashAttention {version} is for compute capability {where}; got {gpu(capability)}"


def _is_quantized(dtype: str) -> bool:
    return dtype not in backends.NATIVE


def _alike(found: Sequence[Backend], parts: Sequence[_Part], model: _Model) -> Choice:
    versions = {
        flash_attn_version(part.head, model) for part, one in zip(parts, found, strict=False)
        if one.name in ("FLASH_ATTN", "TURBOQUANT")
    }
    sizes = [_block(one, model) for one in found]
    if any(part.dtype != model.dtype for part in parts):
        sizes.append(_MIXED_BLOCK)
    return Choice(tuple(sorted({one.name for one in found})), tuple(sorted(versions - {0})), lcm(*sizes))

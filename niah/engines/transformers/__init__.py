"""Hugging Face transformers: the second engine, to tell a model's failure from an engine's."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from niah.engines import Job, check_cold_check
from niah.engines.failures import reason
from niah.errors import NiahError
from niah.models.settings import Model
from niah.planner import cpu, transformers
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware

if TYPE_CHECKING:
    from niah.engines.transformers.session import TransformersSession

_GPU_CHUNK = 2048


@dataclass(frozen=True)
class Transformers:
    """``attention`` is transformers' attn_implementation: sdpa, eager or flash_attention_2; several are run one
    after the other.

    ``dtype`` computes in another number format than the model's (float32 is the reference; kv=fp32 keeps the cache in
    it too). ``chunk_tokens`` are read at once; 0 takes 128 on CPUs and 2,048 on GPUs. ``prefix_caching`` keeps the last
    prompt's cache, where every layer can be cut back, and computes what the next one shares with it only once, in whole
    chunks: answers are those of a full computation. ``device`` auto is a GPU where PyTorch has one (several: layers are
    spread over them). ``rounding`` to a cache of fewer bits is to the nearest, or truncate, as vLLM's CPU kernel does.
    ``graded`` forces the right answer after each prompt. ``cold_check`` is the share of the trials
    that are asked again without prefix cache.
    """

    name: str = "transformers"
    prefix_caching: bool = True
    attention: list[str] = field(default_factory=lambda: ["sdpa"])
    dtype: str = ""
    chunk_tokens: int = 0
    device: str = "auto"
    rounding: str = "nearest"
    graded: bool = True
    cold_check: float = 0.02

    def __post_init__(self) -> None:
        expected = {
            "attention": (self.attention, transformers.ATTENTION), "dtype": ([self.dtype], ("", *transformers.DTYPES)),
            "device": ([self.device], ("auto", "cpu", "cuda")), "rounding": ([self.rounding], ("nearest", "truncate")),
        }
        for name, (given, known) in expected.items():
            if unknown := [one for one in given if one not in known]:
                raise NiahError(f"engine.{name}: got {unknown[0]!r}; expected one of {', '.join(filter(None, known))}")
        if not self.attention:
            raise NiahError(f"engine.attention: empty; expected one of {', '.join(transformers.ATTENTION)}")
        if self.chunk_tokens < 0:
            raise NiahError(f"engine.chunk_tokens: got {self.chunk_tokens}; expected a number of tokens, 0 for the default")
        check_cold_check(self.cold_check)

    def fit(self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware) -> Fit:
        """Which lengths have room here. Raises NiahError for a cache or an attention that is not there."""
        return transformers.check(model, lengths, self.holding(model, cache_dtype, hardware), hardware)

    def holding(self, model: Model, cache_dtype: str, hardware: Hardware) -> transformers.Holding:
        """How the model is held, for the plan."""
        dtype = self.dtype or model.dtype
        if dtype not in transformers.DTYPES:
            raise NiahError(f"model.dtype: got {dtype!r}; engine=transformers computes in {', '.join(transformers.DTYPES)}")
        return transformers.Holding(dtype, cache_dtype, self.attention[0], self.chunk(bool(hardware.capability)))

    def chunk(self, on_gpu: bool) -> int:
        """Tokens that are read at once."""
        return self.chunk_tokens or (_GPU_CHUNK if on_gpu and self.device != "cpu" else cpu.CHUNK)

    def open(self, job: Job) -> "TransformersSession":
        try:
            import torch

            from niah.engines.transformers import session
        except ImportError as error:
            raise NiahError(
                f"engine=transformers: cannot be imported ({error}); pip install 'niah[transformers]'"
            ) from error
        if self.device == "cuda" and not torch.cuda.is_available():
            raise NiahError("engine.device=cuda: this PyTorch sees no GPU; expected auto or cpu")
        on_gpu = self.device != "cpu" and torch.cuda.is_available()
        started = time.perf_counter()
        try:
            network = session.load(job, self.dtype or job.dtype, self.attention[0], on_gpu=on_gpu)
        except Exception as error:
            raise NiahError(f"engine=transformers: the model did not load; {reason(error)}") from error
        return session.TransformersSession(network, job, self, self.chunk(on_gpu), time.perf_counter() - started)

    def told(self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware) -> list[str]:
        """What one prompt of each length needs, a line each."""
        from niah.planner import architecture
        from niah.units import format_length

        self.fit(model, lengths, cache_dtype, hardware)
        holding: Any = self.holding(model, cache_dtype, hardware)
        shape = architecture.of(model)
        room = transformers.available_bytes(hardware) / 2**30
        lines = [f"engine=transformers, {holding.attention}: each prompt whole, no blocks; {room:.1f} GiB for it on {hardware.label or hardware}"]
        for length in sorted(set(lengths)):
            parts = transformers.need(shape, holding, length, model.weights, hardware.num_gpus)
            fits = "fits" if sum(parts.values()) <= room * 2**30 else "DOES NOT FIT"
            lines.append(f"{format_length(length):>8} {cache_dtype:>9}  {transformers.told(parts)}: {fits}")
        return lines

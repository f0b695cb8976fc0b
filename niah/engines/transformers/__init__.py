"""Hugging Face transformers: the second engine, to tell a model's failure from an engine's."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from niah.engines import Engine, Job
from niah.errors import NiahError, reason
from niah.limits import limited, one_of
from niah.models.settings import Model
from niah.planner import cpu, transformers
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware

if TYPE_CHECKING:
    from niah.engines.transformers.session import TransformersSession

_GPU_CHUNK = 2048


@dataclass(frozen=True)
class Transformers(Engine):
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
    attention: list[str] = one_of(*transformers.ATTENTION, default=["sdpa"])
    dtype: str = one_of("", *transformers.DTYPES)
    chunk_tokens: int = limited(0, at_least=0)
    device: str = one_of("auto", "cpu", "cuda")
    rounding: str = one_of("nearest", "truncate")
    graded: bool = True
    cold_check: float = limited(0.02, at_least=0, at_most=1)
    holds_a_model = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.attention:
            raise NiahError(f"engine.attention: empty; expected one of {', '.join(transformers.ATTENTION)}")

    def fit(
        self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware, known: Sequence[Hardware] = ()
    ) -> Fit:
        """Raises NiahError for a cache or an attention that transformers does not have here."""
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

    def memory_lines(
        self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware
    ) -> list[str]:
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

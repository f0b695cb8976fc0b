"""What a user may set of engine=transformers, and the memory that follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah import environment
from niah.engines import Engine
from niah.errors import NiahError
from niah.limits import limited, one_of
from niah.models import weights
from niah.models.files import ModelFiles
from niah.models.settings import Model
from niah.models.speculation import NONE, Speculation
from niah.planner import architecture, cpu, transformers
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware
from niah.planner.memory import GIB
from niah.units import format_length

_GPU_CHUNK = 2048


@dataclass(frozen=True)
class TransformersSettings(Engine):
    """``attention`` is transformers' attn_implementation: sdpa, eager or flash_attention_2; several are run one
    after the other.

    ``dtype`` computes in another number format than the model's (float32 is the reference; kv=fp32 keeps the cache in
    it too). ``chunk_tokens`` are read at once; 0 takes 128 on CPUs and 2,048 on GPUs. ``prefix_caching`` keeps the last
    prompt's cache, where every layer can be cut back, and computes what the next one shares with it only once, in whole
    chunks: answers are those of a full computation. ``device`` auto is a GPU where PyTorch has one (several: layers are
    spread over them). ``rounding`` to a cache of fewer bits is to the nearest, or truncate, as vLLM's CPU kernel does.
    ``graded`` forces the right answer after each prompt.
    """

    name: str = "transformers"
    prefix_caching: bool = True
    attention: list[str] = one_of(*transformers.ATTENTION, default=["sdpa"])
    dtype: str = one_of("", *transformers.DTYPES)
    chunk_tokens: int = limited(0, at_least=0)
    device: str = one_of("auto", "cpu", "cuda")
    rounding: str = one_of("nearest", "truncate")
    graded: bool = True
    cold_check: float = limited(0.02, at_least=0, at_most=1, expected="a share from 0 to 1")
    holds_a_model = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.attention:
            raise NiahError(f"engine.attention: empty; expected one of {', '.join(transformers.ATTENTION)}")

    def missing(self) -> Sequence[str]:
        return () if environment.may_import("torch") else ("niah[transformers]",)

    def fit(
        self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware,
        known: Sequence[Hardware] = (), speculation: Speculation = NONE,
    ) -> Fit:
        """Raises NiahError for a cache or an attention that transformers does not have here."""
        return transformers.check(model, lengths, self.holding(model, cache_dtype, hardware), hardware)

    def check(self, files: ModelFiles, model: Model, longest: int) -> None:
        """By the headers of the weights, before they are loaded."""
        weights.check(files, allow_pickle=model.allow_pickle)

    def holding(self, model: Model, cache_dtype: str, hardware: Hardware) -> transformers.Holding:
        """How the model is held, for the plan."""
        dtype = self.dtype or model.dtype
        if dtype not in transformers.DTYPES:
            known = ", ".join(transformers.DTYPES)
            raise NiahError(f"model.dtype: got {dtype!r}; engine=transformers computes in {known}")
        return transformers.Holding(dtype, cache_dtype, self.attention[0], self.chunk(bool(hardware.capability)))

    def chunk(self, on_gpu: bool) -> int:
        """Tokens that are read at once."""
        return self.chunk_tokens or (_GPU_CHUNK if on_gpu and self.device != "cpu" else cpu.CHUNK)

    def memory_lines(
        self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware
    ) -> list[str]:
        """Raises NiahError as ``fit`` does."""
        self.fit(model, lengths, cache_dtype, hardware)
        holding = self.holding(model, cache_dtype, hardware)
        shape = architecture.of(model)
        room = transformers.available_bytes(hardware)
        lines = [
            f"engine=transformers, {holding.attention}: each prompt whole, no blocks; {room / GIB:.1f} GiB for it on "
            f"{hardware.label or hardware}"
        ]
        for length in sorted(set(lengths)):
            parts = transformers.need(shape, holding, length, model.weights, hardware.num_gpus)
            fits = "fits" if sum(parts.values()) <= room else "DOES NOT FIT"
            lines.append(f"{format_length(length):>8} {cache_dtype:>9}  {transformers.phrase(parts)}: {fits}")
        return lines

"""The machine a plan is for: kind of GPU, how many, on how many nodes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from niah import limits
from niah.errors import NiahError
from niah.limits import limited

_CAPABILITY = re.compile(r"\d{1,2}(\.\d)?")
_COUNTED = re.compile(r"(?:(\d+)x)?(\d+)x(\w+)")


@dataclass(frozen=True)
class Hardware:
    """``memory_gib`` is one GPU's (with no GPU: the machine's). ``num_gpus`` is per node.

    ``compute_capability`` is NVIDIA's, as 9.0, or gfx942 or gfx950 of an AMD GPU; empty without a GPU. TFLOPS are
    dense, of tensor cores; ``fp8_tflops`` 0 means no FP8 arithmetic. ``link_gb_s`` is what one GPU sends to others of
    its node (gigabytes a second, one direction); 0 is not known, and no time is counted for it.
    ``memory_tb_s`` is what it reads of its own memory (terabytes a second, data sheet); 0 is not known.
    """

    name: str = "auto"
    label: str = ""
    memory_gib: float = 0.0
    compute_capability: str = ""
    bf16_tflops: float = 0.0
    fp8_tflops: float = 0.0
    link_gb_s: float = 0.0
    memory_tb_s: float = 0.0
    dollars_per_gpu_hour: float = 0.0
    num_gpus: int = limited(1, at_least=1)
    num_nodes: int = limited(1, at_least=1)

    def __post_init__(self) -> None:
        limits.check(self, "hardware")
        if self.compute_capability and not (_CAPABILITY.fullmatch(self.compute_capability) or self._gfx):
            raise NiahError(
                f"hardware.compute_capability: got {self.compute_capability!r}; expected a number as nvidia-smi writes "
                "it, as 9.0, or gfx942 or gfx950 of an AMD GPU"
            )

    @property
    def _gfx(self) -> float:
        return {"gfx942": 94.2, "gfx950": 95.0}.get(self.compute_capability, 0.0)

    @property
    def total_gpus(self) -> int:
        return self.num_gpus * self.num_nodes

    @property
    def capability(self) -> float:
        """Compute capability as a number, 0 without a GPU; an AMD GPU's is far from any of NVIDIA's."""
        return self._gfx or float(self.compute_capability or 0)

    def __str__(self) -> str:
        nodes = f"{self.num_nodes}x" if self.num_nodes > 1 else ""
        gpus = f"{self.num_gpus}x" if self.total_gpus > 1 else ""
        return nodes + gpus + (self.name if self.name != "auto" else self.label)


def counted_machines(known: Sequence[Hardware]) -> list[Hardware]:
    """``known`` machines, one GPU each, in ones, twos, fours and eights, and as two nodes of eight."""
    alone = [replace(one, num_gpus=count) for one in known for count in (1, 2, 4, 8)]
    return [*alone, *(replace(one, num_gpus=8, num_nodes=2) for one in known)]


def counted(word: str) -> tuple[str, int, int] | None:
    """``8xh100`` as (h100, 8, 1), ``2x8xh100`` as (h100, 8, 2); None for a plain name."""
    match = _COUNTED.fullmatch(word)
    return (match[3], int(match[2]), int(match[1] or 1)) if match else None

"""hardware=auto: the machine this runs on."""

from dataclasses import replace

from niah import environment
from niah.errors import NiahError
from niah.planner.hardware import Hardware

_RESERVED_MIB = 550
"""What the driver keeps of the labelled memory, about: PyTorch does not see it."""


def resolve(hardware: Hardware, known: list[Hardware]) -> Hardware:
    """``hardware`` as it is, or for auto this machine's GPUs (with the TFLOPS of a known one), else its processor."""
    if hardware.name != "auto":
        return hardware
    cards = environment.cards()
    if not cards:
        total = environment.memory_bytes() / 2**30
        return Hardware("auto", f"this machine: no NVIDIA GPU, {total:.0f} GiB of memory", round(total, 1))
    card = cards[0]
    if any(other != card for other in cards):
        names = ", ".join(sorted({other.name for other in cards}))
        raise NiahError(f"hardware=auto: GPUs of different kinds here ({names}); name one, as hardware=h100")
    memory, capability = round((card.memory_mib - _RESERVED_MIB) / 1024, 1), card.compute_capability
    alike = [one for one in known if one.compute_capability == capability]
    near = [one for one in alike if abs(one.memory_gib - memory) < 0.1 * memory]
    return replace(
        near[0] if near else Hardware(), name="auto", label=card.name, memory_gib=memory,
        compute_capability=capability, num_gpus=len(cards),
    )

"""hardware=auto: the machine this runs on, as a process started here sees it."""

from dataclasses import replace

from niah import environment
from niah.environment.cards import NOT_INSTALLED, Card, Seen, by_index, seen
from niah.errors import NiahError
from niah.planner.hardware import Hardware


def resolve(hardware: Hardware, known: list[Hardware]) -> Hardware:
    """``hardware`` as it is, or for auto this machine's GPUs (with the TFLOPS of a known one), else its processor.

    Raises NiahError where GPUs here cannot serve one model together, or nvidia-smi does not say what they are.
    """
    if hardware.name != "auto":
        return hardware
    here = seen()
    if not here.cards:
        total = environment.memory_bytes() / 2**30
        why = f" ({here.trouble})" if here.trouble != NOT_INSTALLED else ""
        return Hardware("auto", f"this machine: no NVIDIA GPU{why}, {total:.0f} GiB of memory", round(total, 1))
    card = _alike(here)
    memory, capability = _memory_gib(card), card.compute_capability
    alike = [one for one in known if one.compute_capability == capability]
    near = [one for one in alike if abs(one.memory_gib - memory) < 0.1 * memory]
    return replace(
        near[0] if near else Hardware(), name="auto", label=card.name, memory_gib=memory,
        compute_capability=capability, num_gpus=len(here.cards),
    )


def note() -> str:
    """What one should know of the GPUs here: that fewer are seen than one would expect, and why. Mostly empty."""
    here = seen()
    return f"GPUs: {here.trouble}" if here.cards and here.trouble else ""


def _alike(here: Seen) -> Card:
    """The first card, which stands for all. Raises NiahError where others differ."""
    card = here.cards[0]
    if any(other.kind != card.kind for other in here.cards):
        names = ", ".join(sorted({other.name for other in here.cards}))
        kinds = [[other for other in here.cards if other.kind == kind] for kind in {one.kind for one in here.cards}]
        most = max(kinds, key=lambda same: (len(same), same[0].memory_mib))
        raise NiahError(
            f"hardware=auto: GPUs of different kinds here ({names}); an engine needs equal ones: name them, as "
            f"CUDA_VISIBLE_DEVICES={by_index(most)} ({most[0].name}), or for a plan a kind, as hardware=h100"
        )
    if not card.compute_capability or not (card.memory_mib or card.is_unified):
        what = "memory" if card.compute_capability else "compute capability"
        raise NiahError(
            f"hardware=auto: nvidia-smi does not say the {what} of {card.name}; expected a GPU whose driver works: "
            "nvidia-smi -q says more; for a plan alone name a kind, as hardware=h100"
        )
    return card


def _memory_gib(card: Card) -> float:
    """What PyTorch sees of it; of a GPU without memory of its own the machine's."""
    if card.is_unified:
        return round(environment.memory_bytes() / 2**30, 1)
    return round(card.usable_mib / 1024, 1)

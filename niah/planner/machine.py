"""hardware=auto: the machine this runs on."""

import subprocess
from dataclasses import replace

from niah.errors import NiahError
from niah.planner.hardware import Hardware

_QUERY = ["nvidia-smi", "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits"]
_RESERVED_MIB = 550
"""What the driver keeps of the labelled memory, about: PyTorch does not see it."""


def resolve(hardware: Hardware, known: list[Hardware]) -> Hardware:
    """``hardware`` as it is, or for auto this machine's GPUs (with the TFLOPS of a known one), else its processor."""
    if hardware.name != "auto":
        return hardware
    rows = _gpus()
    if not rows:
        import psutil

        total = psutil.virtual_memory().total / 2**30
        return Hardware("auto", f"this machine: no NVIDIA GPU, {total:.0f} GiB of memory", round(total, 1))
    name, memory_mib, capability = rows[0]
    if any(row != rows[0] for row in rows):
        raise NiahError(f"hardware=auto: GPUs of different kinds here ({', '.join(sorted({r[0] for r in rows}))}); name one, as hardware=h100")
    memory = round((memory_mib - _RESERVED_MIB) / 1024, 1)
    near = [one for one in known if one.compute_capability == capability and abs(one.memory_gib - memory) < 0.1 * memory]
    like = near[0] if near else Hardware()
    return replace(like, name="auto", label=name, memory_gib=memory, compute_capability=capability, num_gpus=len(rows))


def _gpus() -> list[tuple[str, float, str]]:
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode:
        return []
    parts = (line.split(", ") for line in done.stdout.strip().splitlines())
    return [(name, float(memory), capability) for name, memory, capability in parts]

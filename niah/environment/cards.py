"""The GPUs that a process started here will see: what nvidia-smi lists, as CUDA_VISIBLE_DEVICES and MIG leave it.

CUDA counts the GPUs of CUDA_VISIBLE_DEVICES from 0 in the order given there, stops at the first entry that names none,
and sees none at all where one is named twice (CUDA C++ Programming Guide, "CUDA Environment Variables";
torch.cuda._parse_visible_devices reads it so too). Of MIG devices a process sees one, the first, and no whole GPU
beside it (NVIDIA Multi-Instance GPU User Guide, "Device Enumeration"). Indices are nvidia-smi's where CUDA_DEVICE_ORDER
is PCI_BUS_ID, to which niah sets it unless it is set.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from xml.etree import ElementTree

_FIELDS = (
    "index", "uuid", "memory.total", "memory.free", "driver_version", "compute_cap", "mig.mode.current", "name",
)
"""Some drivers lack the last but two: those are left out then. The name comes last: it alone may hold a comma."""
_PLAIN = "--format=csv,noheader,nounits"
_TIMEOUT_SECONDS = 30
_NOT_A_FIELD = re.compile(r'Field "(.+?)" is not a valid field')
_LISTED_GPU = re.compile(r"GPU (\d+): .*\(UUID: (.+?)\)")
_LISTED_MIG = re.compile(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (.+?)\)")
RESERVED_MIB = 550
"""What the driver keeps of the labelled memory, about."""
NOT_INSTALLED = "there is no nvidia-smi"
_UNIFIED = ("N/A", "Not Supported")
"""What nvidia-smi says of the memory of a GPU that has none of its own (GB10 of the DGX Spark, Jetson)."""


@dataclass(frozen=True)
class Card:
    """One NVIDIA GPU, or one MIG device of it, whose ``index`` is its GPU's, as nvidia-smi counts.

    ``memory_mib`` is 0 where nvidia-smi does not tell it; ``is_unified``: since it is the machine's own.
    ``compute_capability`` as nvidia-smi writes it, 9.0 for Hopper; empty where it does not.
    """

    name: str
    memory_mib: float
    compute_capability: str
    index: int = 0
    uuid: str = ""
    driver: str = ""
    free_mib: float | None = None
    is_unified: bool = False
    is_split: bool = False
    """MIG is on: CUDA sees its MIG devices in place of it."""

    @property
    def usable_mib(self) -> float:
        """Memory that PyTorch sees of it, about; 0 where it is not told."""
        return max(0.0, self.memory_mib - RESERVED_MIB)

    @property
    def kind(self) -> tuple[str, float, str]:
        """What must be equal in GPUs that serve one model together."""
        return self.name, self.memory_mib, self.compute_capability


@dataclass(frozen=True)
class Seen:
    """``cards`` as CUDA counts them. ``trouble`` says in one line why there are none, or fewer than one would
    expect."""

    cards: tuple[Card, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class Holder:
    """A process that holds memory of a GPU; ``memory_mib`` is None where nvidia-smi does not tell it."""

    pid: int
    name: str
    memory_mib: float | None


class _FailedError(Exception):
    """nvidia-smi did not do what it was asked; the message is why."""


def seen(variables: Mapping[str, str] = os.environ) -> Seen:
    """What a process with these environment variables will see."""
    if not shutil.which("nvidia-smi"):
        return Seen(trouble=NOT_INSTALLED)
    try:
        cards = _all()
        devices = _devices(cards) if any(card.is_split for card in cards) else []
    except _FailedError as error:
        hidden = variables.get("NVIDIA_VISIBLE_DEVICES", "")
        why = f" (the container has NVIDIA_VISIBLE_DEVICES={hidden})" if hidden in ("none", "void") else ""
        return Seen(trouble=f"nvidia-smi: {error}{why}")
    return _visible(cards, devices, variables)


def holders(card: Card | None = None) -> list[Holder]:
    """Processes that hold memory of the card, else of any, as far as nvidia-smi tells: in a container often none."""
    if not shutil.which("nvidia-smi"):
        return []
    try:
        text = _nvidia_smi("--query-compute-apps=gpu_uuid,pid,used_gpu_memory,process_name", _PLAIN)
    except _FailedError:
        return []
    rows = [[part.strip() for part in line.split(",", 3)] for line in text.splitlines()]
    whole = [row for row in rows if len(row) == 4 and row[1].isdigit() and (card is None or row[0] == card.uuid)]
    return [Holder(int(pid), name, _number(memory)) for _, pid, memory, name in whole]


def numbered(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The same GPUs by number where CUDA_VISIBLE_DEVICES names them by UUID, or the beginning of one, which CUDA reads
    and NVML, and so vLLM, does not; else nothing. MIG devices have no numbers of their own."""
    if not variables.get("CUDA_VISIBLE_DEVICES", "").startswith("GPU-"):
        return {}
    cards = seen(variables).cards
    whole = cards and not any(card.uuid.startswith("MIG-") for card in cards)
    return {"CUDA_VISIBLE_DEVICES": by_index(cards), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if whole else {}


def by_index(cards: Iterable[Card]) -> str:
    """CUDA_VISIBLE_DEVICES that shows just these, in this order, where CUDA_DEVICE_ORDER is PCI_BUS_ID."""
    return ",".join(str(card.index) for card in cards)


def _all() -> list[Card]:
    """Every GPU that nvidia-smi lists."""
    fields = list(_FIELDS)
    while True:
        try:
            text = _nvidia_smi(f"--query-gpu={','.join(fields)}", _PLAIN)
            break
        except _FailedError as error:
            unknown = _NOT_A_FIELD.search(str(error))
            if not unknown or unknown[1] not in fields:
                raise
            fields.remove(unknown[1])
    lines = [line for line in text.splitlines() if line.strip()]
    rows = [[part.strip() for part in line.split(",", len(fields) - 1)] for line in lines]
    if not rows:
        raise _FailedError("No devices were found")
    if wrong := next((line for line, row in zip(lines, rows, strict=True) if not _is_whole(row, fields)), None):
        raise _FailedError(wrong.strip())
    return [_card(dict(zip(fields, row, strict=True))) for row in rows]


def _is_whole(row: Sequence[str], fields: Sequence[str]) -> bool:
    return len(row) == len(fields) and row[0].isdigit()


def _card(told: Mapping[str, str]) -> Card:
    memory = _number(told["memory.total"])
    capability = _number(told.get("compute_cap", ""))
    return Card(
        name=told["name"],
        memory_mib=memory or 0.0,
        compute_capability=told["compute_cap"] if capability else "",
        index=int(told["index"]),
        uuid=told["uuid"],
        driver=told["driver_version"],
        free_mib=_number(told["memory.free"]),
        is_unified=memory is None and told["memory.total"].strip("[]") in _UNIFIED,
        is_split=told.get("mig.mode.current") == "Enabled",
    )


def _devices(cards: Sequence[Card]) -> list[Card]:
    """The MIG devices of all GPUs, in order."""
    memory = _memory_of_devices()
    of_index, found, whole = {card.index: card for card in cards}, [], None
    for line in _nvidia_smi("-L").splitlines():
        if match := _LISTED_GPU.match(line):
            whole = of_index.get(int(match[1]))
        elif whole and (match := _LISTED_MIG.match(line)):
            profile, place, uuid = match.groups()
            size = re.search(r"(\d+)gb", profile)
            nominal = 1024.0 * int(size[1]) if size else 0.0
            total, free = memory.get((whole.uuid, int(place)), (nominal, None))
            name = f"{whole.name} MIG {profile}"
            device = replace(whole, name=name, memory_mib=total, free_mib=free, uuid=uuid)
            found.append(replace(device, is_unified=False, is_split=False))
    return found


def _memory_of_devices() -> dict[tuple[str, int], tuple[float, float | None]]:
    """Total and free MiB of each MIG device, by the UUID of its GPU and its number there."""
    try:
        root = ElementTree.fromstring(_nvidia_smi("-q", "-x"))
    except (_FailedError, ElementTree.ParseError):
        return {}
    found = {}
    for gpu in root.findall("gpu"):
        for device in gpu.findall("mig_devices/mig_device"):
            total = _number(device.findtext("fb_memory_usage/total", "").removesuffix("MiB"))
            free = _number(device.findtext("fb_memory_usage/free", "").removesuffix("MiB"))
            if total and (place := device.findtext("index", "")).isdigit():
                found[gpu.findtext("uuid", ""), int(place)] = (total, free)
    return found


def _visible(cards: Sequence[Card], devices: Sequence[Card], variables: Mapping[str, str]) -> Seen:
    """What of all GPUs and MIG devices CUDA shows."""
    value = variables.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return _without_split(cards, devices)
    told = f"CUDA_VISIBLE_DEVICES={value}"
    names = value.split(",")
    if value.startswith("MIG-"):
        chosen = [device for device in devices if device.uuid.startswith(names[0])]
        if len(chosen) != 1:
            which = ", ".join(device.uuid for device in devices) or "no MIG device"
            return Seen(trouble=f"{told}: names no MIG device here; nvidia-smi lists {which}")
        return Seen(tuple(chosen), f"{told}: a process sees one MIG device, the first" if len(names) > 1 else "")
    order = variables.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if order != "PCI_BUS_ID" and not value.startswith("GPU-") and len({card.kind for card in cards}) > 1:
        return Seen(trouble=(
            f"CUDA_DEVICE_ORDER={order}: numbers GPUs of different kinds otherwise than nvidia-smi; unset it, or name "
            f"them by UUID in CUDA_VISIBLE_DEVICES"
        ))
    picked: list[Card] = []
    for name in names:
        one = _named(name, cards, by_uuid=value.startswith("GPU-"))
        if one in picked:
            return Seen(trouble=f"{told}: names {name.strip()} twice, so that CUDA sees no GPU")
        if one is None:
            trouble = _stopped(told, name, cards, picked)
            break
        picked.append(one)
    else:
        trouble = ""
    left = _without_split(picked, devices)
    return replace(left, trouble=trouble or left.trouble)


def _named(name: str, cards: Sequence[Card], *, by_uuid: bool) -> Card | None:
    """The one card that an entry names, by the digits it begins with or the beginning of a UUID."""
    if by_uuid:
        fitting = [card for card in cards if name.startswith("GPU-") and card.uuid.startswith(name.strip())]
        return fitting[0] if len(fitting) == 1 else None
    number = re.match(r"\s*\+?(\d+)", name)
    return next((card for card in cards if number and card.index == int(number[1])), None)


def _stopped(told: str, name: str, cards: Sequence[Card], picked: Sequence[Card]) -> str:
    listed = f"{len(cards)} GPU{'s' if len(cards) > 1 else ''}"
    if not picked and name.strip() in ("", "-1", "NoDevFiles"):
        return f"{told}: hides {listed}" if len(cards) == 1 else f"{told}: hides all {listed}"
    which = f"{name.strip() or 'an empty entry'} is none of the {listed} that nvidia-smi lists"
    return f"{told}: {which}; CUDA sees {f'only the {len(picked)} before it' if picked else 'none'}"


def _without_split(cards: Sequence[Card], devices: Sequence[Card]) -> Seen:
    """MIG devices take the place of GPUs that are split; CUDA shows one of them, and then nothing else."""
    split = [card for card in cards if card.is_split]
    own = [device for card in split for device in devices if device.index == card.index]
    if own:
        return Seen((own[0],), f"MIG: a process sees one device, the first of {len(own)}" if len(own) > 1 else "")
    whole = tuple(card for card in cards if not card.is_split)
    numbers = by_index(split)
    empty = f"MIG is on and has no devices on GPU {numbers}; nvidia-smi mig -cgi makes some, nvidia-smi -mig 0 ends it"
    return Seen(whole, empty if split else "")


def _number(text: str) -> float | None:
    """None for [N/A], [Not Supported], [Insufficient Permissions] and whatever else stands for no number."""
    try:
        return float(text)
    except ValueError:
        return None


def _nvidia_smi(*arguments: str) -> str:
    """What it prints. Raises _FailedError with its own first line where it fails, or hangs."""
    try:
        process = subprocess.Popen(
            ["nvidia-smi", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace", start_new_session=True,
        )
    except OSError as error:
        raise _FailedError(error.strerror or str(error)) from error
    try:
        out, err = process.communicate(timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:  # one that hangs in the driver cannot be waited for even when killed
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        raise _FailedError(
            f"no answer in {_TIMEOUT_SECONDS} s: the driver hangs, or a GPU has fallen off the bus (see dmesg)"
        ) from error
    if process.returncode:
        said = [line.strip() for line in (out + "\n" + err).splitlines() if line.strip()]
        raise _FailedError(said[0] if said else f"ends with exit code {process.returncode}")
    return out

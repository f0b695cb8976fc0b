"""Whether a GGUF file is whole, by its header: kind, length, tensors of every block. Nothing of it is converted.

Format: ggml's docs/gguf.md. Magic and version; counts of tensors and of metadata; metadata; name, shape, type and place
of each tensor; padding; the tensors.
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from niah import content
from niah.errors import NiahError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Types of metadata that are one number, as struct names them."""
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}
"""Type of a tensor: (values, bytes) of a block of it, as the package gguf 0.19 has them (GGML_QUANT_SIZES)."""
_ATTENTION = ("attn_q", "attn_k", "attn_v", "attn_output")
_FORWARD = ("ffn_gate", "ffn_up", "ffn_down")
_MOST_DIMENSIONS = 8


@dataclass(frozen=True)
class Header:
    """``values``: metadata that are one number or one text. ``tensors``: the names, in the order of the file."""

    values: dict[str, Any]
    tensors: tuple[str, ...]
    end: int
    """The byte at which the last tensor ends; 0 where one has a type that is not known here."""

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))


class _CutError(Exception):
    """The file ends before what it announces."""


def check(file: Path, where: str) -> None:
    """Raises NiahError, which names the setting ``where``, for a file that is no GGUF, was cut, is one of several, or
    lacks tensors that its blocks ought to have."""
    header = read(file, where)
    count = header.values.get("split.count", 0)
    if isinstance(count, int) and count > 1:
        raise NiahError(
            f"{where}: {file} is one of {count} files that hold one model; expected all in one file; "
            "llama-gguf-split --merge FIRST.gguf WHOLE.gguf (of llama.cpp) puts them together"
        )
    size = file.stat().st_size
    if header.end > size:
        raise NiahError(
            f"{where}: {file} was cut: it holds {size:,} bytes, and its tensors end at {header.end:,}; expected all of "
            "it; fetch it again"
        )
    if lost := missing(header):
        raise NiahError(
            f"{where}: {file}: at least {len(lost)} tensors are missing beside {len(header.tensors)} that are there "
            f"({', '.join(lost[:3])}{' ...' if len(lost) > 3 else ''}); expected all of its architecture "
            f"{header.architecture}; fetch the file again"
        )


def read(file: Path, where: str) -> Header:
    """The header of a file. Raises NiahError where it has none, or not all of it."""
    try:
        with file.open("rb") as data:
            if data.read(len(_MAGIC)) != _MAGIC:
                wrong = content.mistaken(file) or "it does not begin with GGUF; name a .gguf file, or a model folder"
                raise NiahError(f"{where}: {file} is no GGUF file: {wrong}")
            with mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                return _header(whole)
    except OSError as error:
        raise NiahError(f"{where}: {file} cannot be read ({error.strerror}); expected GGUF weights") from error
    except _CutError as error:
        raise NiahError(
            f"{where}: {file} was cut, or is damaged ({error}); expected a whole GGUF file; fetch it again"
        ) from error


def missing(header: Header) -> list[str]:
    """Names of tensors that ought to be there beside the others: whole blocks, projections that other blocks have, the
    embedding and the last norm. Not all are found; which an architecture has exactly, its converter knows."""
    names = {name.rpartition(".")[0] for name in header.tensors}
    blocks: dict[int, set[str]] = {}
    for name in names:
        start, _, rest = name.partition(".")
        number, _, part = rest.partition(".")
        if start == "blk" and number.isdecimal() and part:
            blocks.setdefault(int(number), set()).add(part)
    count = header.values.get(f"{header.architecture}.block_count", 0)
    count = count if isinstance(count, int) and 0 <= count <= 10_000 else 0
    lost = [f"blk.{number}.*" for number in range(count) if number not in blocks]
    parts = _FORWARD if _may_lack_attention(header) else (*_FORWARD, *_ATTENTION)
    for group in (_FORWARD, _ATTENTION):
        usual = {part for there in blocks.values() for part in there} & set(parts) & set(group)
        lost += [
            f"blk.{number}.{part}" for number, there in sorted(blocks.items()) if there & usual
            for part in group if part in usual - there
        ]
    if blocks:
        lost += [name for name in ("token_embd", "output_norm") if name not in names]
    return lost


def _may_lack_attention(header: Header) -> bool:
    """Whether blocks may lack keys or values rightly: they share those of others (Gemma 3n, Gemma 4)."""
    return f"{header.architecture}.attention.shared_kv_layers" in header.values or "gemma4" in header.architecture


def _header(data: mmap.mmap) -> Header:
    place = 4
    version, = _unpacked("I", data, place)
    if version not in _VERSIONS:
        raise _CutError(f"version {version}, where {' or '.join(map(str, _VERSIONS))} is known")
    num_tensors, num_values = _unpacked("QQ", data, 8)
    place, values = 24, {}
    for _ in range(num_values):
        key, place = _text(data, place)
        kind, = _unpacked("I", data, place)
        value, place = _value(data, place + 4, kind)
        if value is not None:
            values[key] = value
    names, ends = [], []
    for _ in range(num_tensors):
        name, place = _text(data, place)
        num_dimensions, = _unpacked("I", data, place)
        if num_dimensions > _MOST_DIMENSIONS:
            raise _CutError(f"a tensor of {num_dimensions} dimensions")
        *shape, kind, offset = _unpacked(f"{num_dimensions}QIQ", data, place + 4)
        place += 4 + 8 * num_dimensions + 12
        names.append(name)
        block, size = _BLOCKS.get(kind, (1, 0))
        ends.append(offset + -(-prod(shape) // block) * size if size else -1)
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 2**20:
        raise _CutError(f"an alignment of {alignment!r}")
    start = -(-place // alignment) * alignment
    is_known = bool(ends) and min(ends) >= 0
    return Header(values, tuple(names), start + max(ends) if is_known else 0)


def _value(data: mmap.mmap, place: int, kind: int) -> tuple[Any, int]:
    """A value of metadata, None for a list, and the byte behind it."""
    if kind in _SCALARS:
        size = struct.calcsize(f"<{_SCALARS[kind]}")
        return _unpacked(_SCALARS[kind], data, place)[0], place + size
    if kind == _STRING:
        return _text(data, place)
    if kind != _ARRAY:
        raise _CutError(f"metadata of type {kind}")
    inner, count = _unpacked("IQ", data, place)
    if inner not in _SCALARS and inner != _STRING:
        raise _CutError(f"a list of type {inner}")
    place += 12
    if inner in _SCALARS:
        place += count * struct.calcsize(f"<{_SCALARS[inner]}")
        if place > len(data):
            raise _CutError("it ends within its metadata")
        return None, place
    for _ in range(count):  # texts of a vocabulary, some hundred thousand: stepped over, not read
        place += 8 + int.from_bytes(data[place : place + 8], "little")
        if place > len(data):
            raise _CutError("it ends within its metadata")
    return None, place


def _text(data: mmap.mmap, place: int) -> tuple[str, int]:
    size, = _unpacked("Q", data, place)
    stop = place + 8 + size
    if stop > len(data):
        raise _CutError("it ends within its header")
    return data[place + 8 : stop].decode("utf-8", errors="replace"), stop


def _unpacked(form: str, data: mmap.mmap, place: int) -> tuple[Any, ...]:
    """Little-endian numbers at a place."""
    try:
        return struct.unpack_from(f"<{form}", data, place)
    except struct.error as error:
        raise _CutError("it ends within its header") from error

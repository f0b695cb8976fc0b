"""The records of an offline run of wandb, read with its own protocol buffers: blocks of 32 KiB, as LevelDB's log has
them (wandb's own reader is a program without a Python interface)."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _HEADER = 2**15, 7
_FULL, _LAST = 1, 4


def records(file: Path) -> Iterator[Any]:
    """Every record, in order."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts = file.read_bytes(), _HEADER, []
    assert content[:4] == b":W&B"
    while place < len(content):
        if (left := _BLOCK - place % _BLOCK) < _HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + _HEADER])
        parts.append(content[place + _HEADER : place + _HEADER + length])
        place += _HEADER + length
        if kind in (_FULL, _LAST):
            yield Record.FromString(b"".join(parts))
            parts = []


def plain(items: Any) -> dict[str, Any]:
    """Key and value of a record's items, whose values are JSON."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}

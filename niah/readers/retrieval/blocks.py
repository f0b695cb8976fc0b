"""A tokenised source in blocks, each cut into chunks and indexed once, and kept on disk.

Blocks belong to the source, not to a stretch of it: every repeat, length, depth and later run that reads
some part of a source uses the same ones, and only those that it reads are ever made.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from niah import __version__, disk, terminal
from niah.readers.retrieval.chunks import Cutter
from niah.tokens.tokenizer import Tokenizer

BLOCK = 2**16
"""Tokens of a block: some 250 chunks of the usual size."""
_MARGIN = 2048
"""Tokens around a block that its borders may depend on."""
_LAYOUT = "1"  # of the stored files: another number makes them anew

Arrays = dict[str, np.ndarray]


class Blocks:
    """``ids``: the source, int32 (tokens,), none where there is no source. What was opened stays open as long as this
    lives."""

    def __init__(self, ids: np.ndarray, tokenizer: Tokenizer):
        self.ids = ids
        self._tokenizer = tokenizer
        self._opened: dict[tuple, Arrays] = {}
        self._identities: dict[int, str] = {}
        self._is_announced = False

    def chunks(self, number: int, cutter: Cutter) -> tuple[np.ndarray, np.ndarray]:
        """Starts and stops of the chunks of a block, int64 (chunks,), in tokens of the source.

        They overlap within a block, not between two: where needles stand, chunks are cut anew (collection.py).
        """
        key = (number, cutter.label)
        if key not in self._opened:

            def cut() -> Arrays:
                begun, ended = self._edge(number, cutter), self._edge(number + 1, cutter)
                found = np.array(cutter.cut(self.ids, begun, ended), dtype=np.int64).reshape(-1, 2)
                return {"starts": found[:, 0] - number * BLOCK, "stops": found[:, 1] - number * BLOCK}

            held = stored("chunks", f"{cutter.label} {self.identity(number)}", cut)
            self._opened[key] = {name: held[name] + number * BLOCK for name in ("starts", "stops")}
        held = self._opened[key]
        return held["starts"], held["stops"]

    def made(self, number: int, cutter: Cutter, label: str, make: Callable[[list[str]], Arrays]) -> Arrays:
        """What ``make`` gives for the texts of a block's chunks; ``label`` holds all else that it depends on."""
        key = (number, cutter.label, label)
        if key not in self._opened:

            def index() -> Arrays:
                if not self._is_announced:
                    terminal.note("haystack index: made once for this reader")
                    self._is_announced = True
                starts, stops = self.chunks(number, cutter)
                return make([
                    self._tokenizer.decode(self.ids[start:stop]) for start, stop in zip(starts, stops, strict=True)
                ])

            self._opened[key] = stored("indexes", f"{label} {cutter.label} {self.identity(number)}", index)
        return self._opened[key]

    def identity(self, number: int) -> str:
        """sha256 of the block's tokens and of those beside it."""
        if number not in self._identities:
            near = self.ids[max(0, number * BLOCK - _MARGIN) : (number + 1) * BLOCK + _MARGIN]
            self._identities[number] = hashlib.sha256(np.ascontiguousarray(near).data).hexdigest()
        return self._identities[number]

    def _edge(self, number: int, cutter: Cutter) -> int:
        place = number * BLOCK
        if place <= 0 or place >= len(self.ids):
            return max(0, min(place, len(self.ids)))
        return cutter.border(self.ids, place - cutter.size, place)


def stored(kind: str, label: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays of a label, mapped from the cache or made now.

    A folder that says another label, or cannot be read, is not used: it is made anew.
    """
    label = f"{_LAYOUT} {__version__} {label}"
    key = hashlib.sha256(label.encode()).hexdigest()[:32]

    def write(folder: Path) -> None:
        arrays = make()
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        (folder / "meta.json").write_text(json.dumps({"label": label, "arrays": list(arrays)}), encoding="utf-8")

    place = disk.folder(kind, key, write)
    try:
        return _opened(place, label)
    except (OSError, ValueError, KeyError):
        shutil.rmtree(place, ignore_errors=True)
        return _opened(disk.folder(kind, key, write), label)


def _opened(place: Path, label: str) -> Arrays:
    meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
    if meta["label"] != label:
        raise ValueError(f"{place}: made for {meta['label']!r}")
    return {name: _mapped(place / f"{name}.npy") for name in meta["arrays"]}


def _mapped(path: Path) -> np.ndarray:
    """The array, as a plain view of the file (cheaper to slice); an empty one cannot be mapped."""
    try:
        array = np.load(path, mmap_mode="r")
    except ValueError:
        array = np.load(path)
    return np.asarray(array)

"""Where the documents of a tokenised haystack stand in its text, by name: one of them can be read, or left out."""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from niah.errors import NiahError
from niah.haystacks import NamedText
from niah.tokens.tokenizer import Encoding, Tokenizer

_CHECKED = 8
"""Ids beside a place that must be those of the source, or the place is not used."""
_MOST_SHOWN = 5


class Written:
    """What is noted of a text while it is written: the bytes of its documents and of the chunks it is tokenised in."""

    def __init__(self, joint: str):
        self._joint = len(joint.encode())
        self._names: list[str] = []
        self._places: list[list[int]] = []
        self._chunks = [0]
        self._size = 0

    def passed(self, documents: Iterable[str]) -> Iterator[str]:
        """The documents; parts of one are one place."""
        for document in documents:
            name = document.name if isinstance(document, NamedText) else ""
            start, self._size = self._size, self._size + len(document.encode())
            if name and self._names and self._names[-1] == name:
                self._places[-1][1] = self._size
            else:
                self._names.append(name)
                self._places.append([start, self._size])
            self._size += self._joint
            yield document

    def add_chunk(self, num_bytes: int) -> None:
        self._chunks.append(self._chunks[-1] + num_bytes)

    def save(self, folder: Path, kept: Sequence[tuple[int, int, int] | None]) -> None:
        """``kept`` says of each chunk which of its own ids stand in the whole, and where (tokens.splice.Spliced)."""
        places = np.array(self._places, dtype=np.int64).reshape(-1, 2)
        num = int(np.searchsorted(places[:, 1], self._chunks[-1], side="right"))  # what was not written is none
        np.save(folder / "documents.npy", places[:num])
        names = self._names[:num] if any(self._names) else []
        (folder / "names.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")
        rows = [(start, *(where or (0, 0, 0))) for start, where in zip(self._chunks, kept, strict=False)]
        np.save(folder / "chunks.npy", np.array(rows, dtype=np.int64).reshape(-1, 4))


@dataclass(frozen=True, eq=False)
class Documents:
    """``places`` int64 (documents, 2): the bytes [start, stop) of each in the text. ``chunks`` int64 (chunks, 4): the
    byte at which each begins, the first and last (not included) of its own ids that stand in the whole, and where the
    first of them does. ``haystack`` is its name, for messages."""

    names: Sequence[str] = field(repr=False)
    places: np.ndarray = field(repr=False)
    chunks: np.ndarray = field(repr=False)
    text_path: Path
    ids: np.ndarray = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)
    haystack: str

    @classmethod
    def read(cls, text_path: Path, ids: np.ndarray, tokenizer: Tokenizer, haystack: str) -> "Documents":
        """Of a folder that ``Written`` saved to. Raises NiahError for one that was damaged."""
        folder = text_path.parent
        try:
            names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
            places, chunks = (np.load(folder / f"{name}.npy") for name in ("documents", "chunks"))
        except (OSError, ValueError) as error:
            raise NiahError(f"cache folder {folder}: damaged ({error}); delete it and run again") from error
        return cls(names, places, chunks, text_path, ids, tokenizer, haystack)

    def __len__(self) -> int:
        return len(self.places)

    def named(self) -> Iterator[tuple[str, str]]:
        """Name and text of each, in their order."""
        for number in range(len(self)):
            yield self.name(number), self.text(number)

    def name(self, number: int) -> str:
        return self.names[number] if self.names and self.names[number] else str(number + 1)

    def text(self, number: int) -> str:
        """Raises NiahError where the cache is gone."""
        start, stop = map(int, self.places[number])
        return self._read(start, stop)

    def find(self, name: str) -> int:
        """The number of the document of that name. Raises NiahError where there is none, or several."""
        return find([self.name(number) for number in range(len(self))], name, f"haystack={self.haystack}")

    def around(self, number: int) -> tuple[int, str, int]:
        """What is left without a document: ids of the source up to a token, a text between, ids from a token on.

        The text is what stands beside the document in tokens that it shares, or that a seam between chunks made.
        """
        start = int(self.places[number][0])
        is_last = number + 1 == len(self)
        stop = self.text_path.stat().st_size if is_last else int(self.places[number + 1][0])
        before, first = self._last_before(start)
        after, last = self._first_behind(stop)
        return before, self._read(first, start) + self._read(stop, last), after

    def _last_before(self, place: int) -> tuple[int, int]:
        """A token of the source and the byte of the text at which both begin, not behind byte ``place``."""
        for chunk in range(self._chunk_of(place), -1, -1):
            text, encoding = self._encoded(chunk)
            begun, first, last, whole = map(int, self.chunks[chunk])
            limit = len(text.encode()[: max(0, place - begun)].decode(errors="ignore"))
            cut = min(last, int(np.searchsorted(encoding.stops, limit, side="right")))
            while cut > first:
                if _is_clean(encoding, cut) and self._is_same(encoding, cut - _CHECKED, cut, first, whole):
                    return whole + cut - first, begun + len(text[: encoding.stops[cut - 1]].encode())
                cut -= 1
        return 0, 0

    def _first_behind(self, place: int) -> tuple[int, int]:
        """The same, not before byte ``place``."""
        for chunk in range(self._chunk_of(place), len(self.chunks)):
            text, encoding = self._encoded(chunk)
            begun, first, last, whole = map(int, self.chunks[chunk])
            limit = len(text.encode()[: max(0, place - begun)].decode(errors="ignore"))
            cut = max(first, int(np.searchsorted(encoding.starts, limit, side="left")))
            while cut < last:
                if _is_clean(encoding, cut) and self._is_same(encoding, cut, cut + _CHECKED, first, whole):
                    return whole + cut - first, begun + len(text[: encoding.starts[cut]].encode())
                cut += 1
        return len(self.ids), self.text_path.stat().st_size

    def _is_same(self, encoding: Encoding, start: int, stop: int, first: int, whole: int) -> bool:
        """Whether the chunk's own ids [start, stop), as far as it has them, stand in the whole."""
        start, stop = max(first, start), min(stop, len(encoding.ids))
        there = self.ids[whole + start - first : whole + stop - first]
        return np.array_equal(encoding.ids[start:stop][: len(there)], there)

    def _chunk_of(self, place: int) -> int:
        return max(0, int(np.searchsorted(self.chunks[:, 0], place, side="right")) - 1)

    def _encoded(self, chunk: int) -> tuple[str, Encoding]:
        start = int(self.chunks[chunk][0])
        is_last = chunk + 1 == len(self.chunks)
        text = self._read(start, self.text_path.stat().st_size if is_last else int(self.chunks[chunk + 1][0]))
        return text, self.tokenizer.encode(text)

    def _read(self, start: int, stop: int) -> str:
        try:
            with self.text_path.open("rb") as file:
                file.seek(start)
                return file.read(max(0, stop - start)).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise NiahError(
                f"{self.text_path}: cannot be read ({error}); expected the cache to stay while a command runs; the "
                "same command continues"
            ) from error


def find(names: Sequence[str], name: str, where: str) -> int:
    """The place among ``names`` of a document that is named as it is, or by the end of its path; letters with accents
    may be composed in one and not in the other (macOS writes names so).

    Raises NiahError, which begins with ``where``, for one that there is not, and for an end of several.
    """
    wanted = _composed(name.strip().removeprefix("./").replace("\\", "/"))
    composed = [_composed(own) for own in names]
    found = [number for number, own in enumerate(composed) if own.removeprefix("./") == wanted]
    found = found or [number for number, own in enumerate(composed) if own.endswith(f"/{wanted}")]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(names[number] for number in found[:_MOST_SHOWN])
        raise NiahError(
            f"{where}: {name!r} may be any of {len(found)} documents ({several}); expected the name of one; write more "
            "of its path"
        )
    if all(map(str.isdecimal, names)):
        raise NiahError(
            f"{where}: has no document {name!r}, as its texts have no names; expected haystack=files "
            "haystack.path=FOLDER, whose files are documents"
        )
    shown = ", ".join(names[:_MOST_SHOWN]) + (", ..." if len(names) > _MOST_SHOWN else "")
    raise NiahError(
        f"{where}: has no document {name!r}; expected one of its {len(names):,} ({shown}); mend the name, or put the "
        "document into the folder"
    )


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _is_clean(encoding: Encoding, cut: int) -> bool:
    """Whether no character lies on both sides of the token ``cut``."""
    return not 0 < cut < len(encoding.ids) or bool(encoding.stops[cut - 1] <= encoding.starts[cut])

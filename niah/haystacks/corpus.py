"""A haystack tokenised once per tokenizer, kept as memory-mapped ids with its sentence ends."""

import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import regex

from niah import cache
from niah.errors import NiahError
from niah.haystacks import Haystack
from niah.records import Stretch
from niah.splice import splice
from niah.tokens import Encoding, Tokenizer

SEPARATOR = "\n\n"
_LONG_SENTENCE = 1500  # characters
_CHUNK = 100_000  # characters tokenised in one call; tiktoken fails on very long texts
_LAYOUT = "2"  # of the cached files: another number makes them anew

# A sentence has ended after a terminal mark and what closes it, if white space, the end or (in
# scripts written without spaces) anything follows; or where a line ends.
_SENTENCE_END = regex.compile(
    r"""(?:[.!?…]+["'\p{Pe}\p{Pf}]*(?=\s+[^\p{Ll}\s]|\s*\Z)
        |(?:(?![.!?])\p{Sentence_Terminal})+["'\p{Pe}\p{Pf}]*
        |(?<=\S)(?=\s*\n)
        |(?<=\n)(?=\S))""",
    regex.VERBOSE,
)


@dataclass(frozen=True)
class Corpus:
    """``ids`` int32 (tokens,); ``boundaries`` and ``starts`` int64, ascending token positions.

    ``boundaries`` are sentence ends, ``starts`` the places where a paragraph begins (0 included).
    ``sha256`` is that of the text.
    """

    name: str
    licence: str
    sha256: str
    ids: np.ndarray
    boundaries: np.ndarray
    starts: np.ndarray
    text_path: Path

    @property
    def num_tokens(self) -> int:
        return len(self.ids)

    @cached_property
    def _folded(self) -> str:
        return self.text_path.read_text(encoding="utf-8").casefold()

    def holds(self, text: str) -> bool:
        """Whether ``text`` occurs anywhere in the source, letter case apart."""
        return text.casefold() in self._folded

    def stretch(self, num_tokens: int, rng: np.random.Generator, tokenizer: Tokenizer) -> Stretch:
        """At least ``num_tokens`` ids from a random paragraph on, going round at the end.

        The start does not depend on ``num_tokens``: a shorter stretch is a prefix of a longer one.
        """
        start = int(rng.choice(self.starts))
        ids, boundaries = self.ids[start:], self.boundaries[self.boundaries >= start] - start
        while len(ids) < num_tokens:
            joined = splice(tokenizer, [ids, self.ids])
            _, _, first = joined.kept[1] or (0, 0, len(joined.ids))
            skipped = joined.kept[1][0] if joined.kept[1] else 0
            whole = joined.kept[0][1] if joined.kept[0] else 0
            later = self.boundaries[self.boundaries >= skipped] - skipped + first
            ids, boundaries = joined.ids, np.concatenate((boundaries[boundaries <= whole], later))
        repeated = max(0, num_tokens - self.num_tokens) / num_tokens
        return Stretch(ids, np.union1d([0], boundaries), self.name, start, repeated)


def load(haystack: Haystack, tokenizer: Tokenizer) -> Corpus:
    """The haystack's corpus, from the cache or tokenised now. Raises NiahError if it is empty."""
    documents = [unicodedata.normalize("NFC", text).strip() for text in haystack.documents()]
    text = SEPARATOR.join(document for document in documents if document)
    if not text:
        raise NiahError(f"haystack={haystack.name}: holds no text; expected at least one sentence")
    text += SEPARATOR
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    key = hashlib.sha256(f"{_LAYOUT} {sha256} {tokenizer.sha256}".encode()).hexdigest()[:32]
    place = cache.folder("corpora", key, _writer(text, sha256, tokenizer))
    try:
        ids, boundaries, starts = (
            np.load(place / f"{part}.npy", mmap_mode="r") for part in ("ids", "boundaries", "starts")
        )
    except (OSError, ValueError) as error:
        raise NiahError(f"cache folder {place}: unreadable ({error}); delete it and run again") from error
    return Corpus(
        haystack.name, haystack.licence, sha256, ids, boundaries, starts, place / "text.txt"
    )


def _writer(text: str, sha256: str, tokenizer: Tokenizer) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        ids, boundaries, starts = tokenise(text, tokenizer)
        for name, array in (("ids", ids), ("boundaries", boundaries), ("starts", starts)):
            np.save(folder / f"{name}.npy", array)
        (folder / "text.txt").write_text(text, encoding="utf-8")
        (folder / "meta.json").write_text(json.dumps({"text_sha256": sha256, "num_tokens": len(ids)}))

    return write


def tokenise(text: str, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids, sentence ends and paragraph starts of a text, as token arrays."""
    chunks = list(_chunks(text))
    encodings = tokenizer.encode_batch(chunks)
    joined = splice(tokenizer, [encoding.ids for encoding in encodings])
    boundaries, starts = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
    for chunk, encoding, kept in zip(chunks, encodings, joined.kept, strict=True):
        if kept is None:  # shorter than the seams around it: cut sentences elsewhere
            continue
        first, stop, place = kept
        ends = [match.end() for match in _SENTENCE_END.finditer(chunk)]
        begins = [match.end() for match in regex.finditer(r"\n\s*\n(?=\S)", chunk)]
        for found, into in ((_without_gaps(ends, chunk), boundaries), (begins, starts)):
            tokens = _aligned(encoding, np.asarray(found, dtype=np.int64))
            tokens = tokens[(tokens > first) & (tokens < stop)]
            into.append(tokens - first + place)
    return joined.ids, np.unique(np.concatenate(boundaries)), np.unique(np.concatenate(starts))


def _without_gaps(ends: list[int], text: str) -> list[int]:
    """The sentence ends, and in longer stretches without any (code, Thai) the spaces between words.

    A stretch without spaces either may be cut anywhere.
    """
    filled = []
    for start, stop in pairwise([0, *ends, len(text)]):
        if stop - start > _LONG_SENTENCE:
            spaces = [match.start() for match in regex.finditer(r"(?<=\S)\s", text, pos=start, endpos=stop)]
            filled.extend(spaces or range(start + 1, stop))
        filled.append(stop)
    return filled


def _aligned(encoding: Encoding, characters: np.ndarray) -> np.ndarray:
    """The tokens that begin exactly at these characters; a character inside a token has none."""
    tokens = np.searchsorted(encoding.starts, characters)
    inside = tokens < len(encoding.ids)
    tokens, characters = tokens[inside], characters[inside]
    before = np.maximum(tokens - 1, 0)
    exact = (encoding.starts[tokens] == characters) & (
        (tokens == 0) | (encoding.stops[before] <= characters)
    )
    return tokens[exact]


def _chunks(text: str) -> Iterator[str]:
    """The text in parts that end after a paragraph, where there is one."""
    start = 0
    while start < len(text):
        stop = min(start + _CHUNK, len(text))
        if stop < len(text):
            paragraph = text.rfind("\n\n", start, stop)
            stop = paragraph + 2 if paragraph > start else stop
        yield text[start:stop]
        start = stop

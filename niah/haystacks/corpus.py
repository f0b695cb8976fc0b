"""A haystack tokenised once per tokenizer, kept as a memory-mapped array of ids beside its text."""

import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from niah import __version__, disk, terminal
from niah.errors import NiahError, lacking
from niah.haystacks import Haystack, NamedText
from niah.haystacks.documents import Documents, Written
from niah.haystacks.order import shuffled
from niah.records import Stretch
from niah.tokens import boundaries
from niah.tokens.splice import Spliced, SpliceError, splice
from niah.tokens.tokenizer import Tokenizer
from niah.tokens.turns import NEXT

CHUNK = 300_000
"""Characters tokenised in one call: tiktoken's recursion fails on very long texts."""
_BATCH = 32
"""Chunks handed to the tokenizer's threads at a time: bounds what is held in memory."""
_STEP = 2**21
"""Endless sources are made in multiples of this many tokens."""
REGION = 2**20
"""Stretches of an endless source begin in its first tokens, so that their place does not depend on how
much of it was made."""
_MOST_ROUNDS = 64
"""A short source goes round no more often for a context: several of its rounds are joined to one before."""
_BEGINNING = 2**16
"""Bytes that tell a text's language."""
_BLOCK = 8 << 20  # bytes of text searched at a time
_LAYOUT = "5"  # of the cached files: another number makes them anew


@dataclass(frozen=True)
class Corpus:
    """``ids`` int32 (tokens,), mapped from the cache. ``sha256`` is that of the text.

    ``unique_tokens`` is how many of them are not a repeat by definition (of a repetitive source).
    ``skipped`` has one line for each document that was left out. ``tokenizer`` made the ids.
    """

    haystack: Haystack
    sha256: str
    ids: np.ndarray
    unique_tokens: int
    num_documents: int
    skipped: tuple[str, ...]
    text_path: Path
    tokenizer: Tokenizer

    @property
    def num_tokens(self) -> int:
        return len(self.ids)

    @property
    def language(self) -> str:
        return self.haystack.language

    def holding(self, texts: Sequence[str]) -> set[str]:
        """Those of the texts that occur anywhere in the source, letter case apart; read in one go.

        Raises NiahError where the cache is gone.
        """
        exact = {text: text.encode() for text in texts if text.lower() == text.upper()}
        folded = {text: text.casefold() for text in texts if text not in exact}
        overlap = 8 + 4 * max(map(len, texts), default=0)  # bytes, enough for a match cut in two by a block's end
        found: set[str] = set()
        tail = b""
        try:
            with self.text_path.open("rb") as file:
                while len(found) < len(exact) + len(folded) and (block := file.read(_BLOCK)):
                    window = tail + block
                    found |= {text for text, data in exact.items() if text not in found and data in window}
                    if folded.keys() - found:
                        lower = window.decode("utf-8", "ignore").casefold()
                        found |= {text for text, fold in folded.items() if text not in found and fold in lower}
                    tail = window[-overlap:]
        except OSError as error:
            raise NiahError(
                f"{self.text_path}: cannot be read ({error.strerror}); expected the cache to stay while a command "
                "runs; the same command continues"
            ) from error
        return found

    def beginning(self) -> str:
        """Some of the text, empty where the cache is gone."""
        with suppress(OSError), self.text_path.open("rb") as file:
            return file.read(_BEGINNING).decode("utf-8", "ignore")
        return ""

    def num_tokens_of(self, text: str) -> int:
        return len(self.tokenizer.encode(text).ids)

    @cached_property
    def documents(self) -> Documents:
        """Those that the text is made of, in their order; where sentences are shuffled, blocks of them."""
        return Documents.read(self.text_path, self.ids, self.tokenizer, self.haystack.name)

    def repeated_share(self, num_tokens: int, num_left_out: int = 0) -> float:
        """The share of a stretch of this length that has to be given twice, ``num_left_out`` tokens left out."""
        return max(0, num_tokens - self.unique_tokens + num_left_out) / num_tokens

    def stretch(
        self, num_tokens: int, rng: np.random.Generator, tokenizer: Tokenizer, *, by_sentence: bool = False,
        without: str = "",
    ) -> Stretch:
        """At least ``num_tokens`` ids from a random paragraph on, or a sentence (``by_sentence``), going round at the
        end. ``without`` names a document that is left out.

        The start does not depend on ``num_tokens``: a shorter stretch is a prefix of a longer one. Raises NiahError
        where the document is the only one, or there is none of that name.
        """
        whole = self._without(without) if without else _Round.of(self.ids, 0, self.num_tokens)
        drawn = int(rng.integers(REGION if self.haystack.endless else len(whole.ids)))
        unit = "line" if self.haystack.by_line else "sentence"
        if self.haystack.is_conversation:
            start = boundaries.next_paragraph(tokenizer, whole.ids, drawn, unit, boundaries.EXCHANGE)
            if start and not tokenizer.decode(whole.ids[max(0, start - 16) : start]).endswith(NEXT):
                start = 0  # no turn begins within reach
        elif by_sentence:
            start = boundaries.nearest(tokenizer, whole.ids, drawn, len(whole.ids) - 1, unit)
        else:
            start = boundaries.next_paragraph(tokenizer, whole.ids, drawn, unit)
        share = self.repeated_share(num_tokens, self.num_tokens - len(whole.ids))
        made = whole.part(start, start + num_tokens)
        if len(made.ids) < num_tokens:
            while len(whole.ids) < num_tokens // _MOST_ROUNDS:
                whole = whole.followed_by(whole, tokenizer)
            while len(made.ids) < num_tokens:
                made = made.followed_by(whole.until(num_tokens - len(made.ids) + 256), tokenizer)
        return Stretch(
            made.ids, self.haystack.name, start, share, by_line=self.haystack.by_line, segments=made.segments
        )

    def _without(self, name: str) -> "_Round":
        """All of the source but a document."""
        before, between, after = self.documents.around(self.documents.find(name))
        if not before and not between and after == self.num_tokens:
            raise NiahError(
                f"haystack={self.haystack.name}: {name} is its only document, so nothing is left to put it into; "
                "expected more documents"
            )
        joined = splice(self.tokenizer, (self.ids[:before], between, self.ids[after:]))
        kept = ((joined.kept[0], 0, before), (joined.kept[2], after, self.num_tokens))
        return _Round(joined.ids, tuple(
            segment for where, start, stop in kept if where
            for segment in _clipped(_Round.of(self.ids, start, stop - start).segments, *where)
        ))


@dataclass(frozen=True)
class _Round:
    """Ids with their ``segments`` of the source, as a ``Stretch`` has them."""

    ids: np.ndarray
    segments: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, source: np.ndarray, start: int, num_tokens: int) -> "_Round":
        """Some of the source's ids."""
        ids = source[start : start + num_tokens]
        return cls(ids, ((start, start + len(ids), 0),))

    def part(self, start: int, stop: int) -> "_Round":
        """The ids [start, stop)."""
        return _Round(self.ids[start:stop], tuple(_clipped(self.segments, start, stop, 0)))

    def until(self, stop: int) -> "_Round":
        """The first ``stop`` ids."""
        return self.part(0, stop)

    def followed_by(self, other: "_Round", tokenizer: Tokenizer) -> "_Round":
        """Both as one text; what their seam may have changed is no segment."""
        joined = splice(tokenizer, [self.ids, other.ids])
        kept = zip(joined.kept, (self, other), strict=True)
        return _Round(
            joined.ids, tuple(one for where, part in kept if where for one in _clipped(part.segments, *where))
        )


def _clipped(
    segments: Iterable[tuple[int, int, int]], start: int, stop: int, at: int
) -> Iterator[tuple[int, int, int]]:
    """What lies in the ids [start, stop), which now begin at ``at``."""
    for first, last, begun in segments:
        low, high = max(start, begun), min(stop, begun + last - first)
        if low < high:
            yield first + low - begun, first + high - begun, at + low - start


def load(haystack: Haystack, tokenizer: Tokenizer, num_tokens: int = 1) -> Corpus:
    """The haystack's corpus, from the cache or tokenised now; endless ones for ``num_tokens`` and more.

    Raises NiahError if it is empty, or too short where ``haystack.repeat=forbid``.
    """
    size = -(-(num_tokens + REGION) // _STEP) * _STEP if haystack.endless else 0
    settings = f"{haystack.identity()} {haystack.order} {haystack.joint!r}"
    label = f"{__version__} {_LAYOUT} {settings} {size} {tokenizer.sha256}"
    key = hashlib.sha256(label.encode()).hexdigest()[:32]
    place = disk.folder("corpora", key, _writer(haystack, tokenizer, size))
    try:
        ids = np.load(place / "ids.npy", mmap_mode="r")
        meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
        if len(ids) != meta["num_tokens"] or not (place / "text.txt").is_file():
            raise ValueError(f"{len(ids)} ids instead of {meta['num_tokens']}")
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and lacking(error):
            raise
        raise NiahError(f"cache folder {place}: damaged ({error}); delete it and run again") from error
    corpus = Corpus(
        haystack, meta["text_sha256"], ids, meta["unique_tokens"], meta["num_documents"], tuple(meta["skipped"]),
        place / "text.txt", tokenizer,
    )
    if haystack.repeat == "forbid" and corpus.repeated_share(num_tokens):
        raise NiahError(
            f"haystack={haystack.name}: {corpus.unique_tokens:,} tokens of unique text for a context of "
            f"{num_tokens:,}; haystack.repeat=forbid; take shorter lengths, haystack=mixed or haystack=generated, or "
            "repeat=allow"
        )
    return corpus


def _writer(haystack: Haystack, tokenizer: Tokenizer, size: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        terminal.note(f"haystack {haystack.name}: reading and tokenising, once")
        skipped: list[str] = []
        documents = _Counted(clean(haystack.documents(skipped.append), haystack.name))
        ordered = shuffled(documents, by_line=haystack.by_line) if haystack.order == "shuffled" else documents
        digest = hashlib.sha256()
        written = Written(haystack.joint)
        with (folder / "text.txt").open("wb") as file:

            def keep(chunk: str) -> None:
                data = chunk.encode()
                digest.update(data)
                file.write(data)
                written.add_chunk(len(data))

            try:
                joined = _joined(chunks(written.passed(ordered), haystack.joint), tokenizer, size, keep)
                parts = joined.parts
            except SpliceError as error:
                raise NiahError(
                    f"haystack={haystack.name}: has too long a run of characters without a break: {error}; expected "
                    "words and lines; break that line, or leave it out"
                ) from error
        if not any(map(len, parts)):
            left_out = f"; left out: {skipped[0]}" if skipped else ""
            raise NiahError(f"haystack={haystack.name}: holds no text; expected at least one sentence{left_out}")
        num_tokens = _save(folder / "ids.npy", parts)
        written.save(folder, joined.kept)
        once = len(tokenizer.encode(documents.first).ids) if haystack.repetitive else num_tokens
        meta = {
            "name": haystack.name, "num_tokens": num_tokens, "unique_tokens": once, "num_documents": documents.count,
            "text_sha256": digest.hexdigest(), "skipped": skipped,
        }
        (folder / "meta.json").write_text(json.dumps(meta, ensure_ascii=False), encoding="utf-8")

    return write


def _save(path: Path, parts: tuple[np.ndarray, ...]) -> int:
    """Writes the parts as one .npy array, without a copy of the whole in memory."""
    num_tokens = sum(map(len, parts))
    header = {"descr": "<i4", "fortran_order": False, "shape": (num_tokens,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype="<i4").data)
    return num_tokens


class _Counted:
    """An iterable that counts what it gave, and keeps the first."""

    def __init__(self, documents: Iterable[str]):
        self._documents = documents
        self.count = 0
        self.first = ""

    def __iter__(self) -> Iterator[str]:
        for document in self._documents:
            self.count += 1
            self.first = self.first or document
            yield document


def clean(documents: Iterable[str], name: str) -> Iterator[str]:
    """Documents of the haystack ``name`` in Unicode's composed form (NFC), without white space around; empty ones left
    out. Raises NiahError for what a class of the user's own may give and is no text."""
    if not isinstance(documents, Iterable):
        raise NiahError(f"haystack={name}: documents(skip) of its class returned {documents!r:.100}; expected texts")
    for document in documents:
        if not isinstance(document, str):
            raise NiahError(f"haystack={name}: documents(skip) of its class gave {document!r:.100}; expected texts")
        if text := unicodedata.normalize("NFC", document).strip():
            yield NamedText(text, document.name) if isinstance(document, NamedText) else text


def tokenise(texts: Iterable[str], tokenizer: Tokenizer) -> tuple[np.ndarray, ...]:
    """Ids of the joined texts in parts, tokenised as one text."""
    return _joined(texts, tokenizer).parts


def _joined(
    texts: Iterable[str], tokenizer: Tokenizer, size: int = 0, keep: Callable[[str], None] = lambda chunk: None
) -> Spliced:
    """The same, until ``size`` tokens if that is not 0; ``keep`` is given each text."""
    arrays: list[np.ndarray] = []
    source, num_tokens = iter(texts), 0
    while batch := list(islice(source, _BATCH)):
        for chunk in batch:
            keep(chunk)
        arrays.extend(encoded := tokenizer.encode_ids(batch))
        num_tokens += sum(map(len, encoded))
        if size and num_tokens >= size:
            break
    return splice(tokenizer, arrays)


def chunks(documents: Iterable[str], separator: str) -> Iterator[str]:
    """The documents, each followed by the separator, in parts of about CHUNK characters."""
    held: list[str] = []
    num_held = 0
    for document in documents:
        text = document + separator
        if held and num_held + len(text) > CHUNK:
            yield "".join(held)
            held, num_held = [], 0
        while len(text) > CHUNK:
            cut = _cut(text)
            yield text[:cut]
            text = text[cut:]
        held.append(text)
        num_held += len(text)
    if rest := "".join(held):
        yield rest


def _cut(text: str) -> int:
    """Where the first part of a long text ends: after a paragraph, after a line, before a space, anywhere."""
    for mark, width in (("\n\n", 2), ("\n", 1), (" ", 0)):
        if (place := text.rfind(mark, CHUNK // 2, CHUNK)) >= 0:
            return place + width
    return CHUNK

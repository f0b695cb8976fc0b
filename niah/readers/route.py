"""Retrieved chunks first; the whole context where the model says that they do not hold the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from niah.errors import NiahError
from niah.limits import free_text, one_of
from niah.readers import Material, Reader, bm25
from niah.readers.bm25 import bm25_index
from niah.readers.dense import dense_index
from niah.readers.full import Full
from niah.readers.hybrid import hybrid_index
from niah.readers.retrieval import embedders
from niah.readers.retrieval.base import Retriever
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import Collection
from niah.readers.retrieval.ranking import Ask
from niah.readers.retrieval.served import label
from niah.readers.retrieval.settings import EmbeddingSettings
from niah.records import Context, Problem, View
from niah.scorers.claims_absence import claims_absence
from niah.scorers.thinking import cut


@dataclass(frozen=True, kw_only=True)
class Route(EmbeddingSettings, Retriever):
    """Self-Route (Li et al. 2024, arXiv:2407.16833). ``first`` is the retriever of the first step.

    The model may answer that the question cannot be answered: the ``instruction`` says how, and any other words that
    claim absence count as well. Then it is asked again with the whole context, so that has to fit.
    """

    name: str = "route"
    first: str = one_of("bm25", "dense", "hybrid")
    instruction: str = free_text("Write unanswerable if the question cannot be answered from the text above.")
    marker: str = free_text("unanswerable")
    language: str = "auto"

    reads_all = True
    may_read_twice = True
    reserved_tokens = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_server()
        if not self.marker.strip():
            raise NiahError("reader.marker: empty; expected the word that the instruction asks for")

    @property
    def asks_a_server(self) -> bool:
        return (self.url is not None and self.first != "bm25") or super().asks_a_server

    def identity(self) -> str:
        if self.first == "bm25":
            return super().identity()
        return f"{label(self)} {super().identity()}".strip()

    def missing(self) -> Sequence[str]:
        words = [] if self.first == "bm25" else [*embedders.missing(self.model, self.url)]
        return [*words, *(() if self.first == "dense" else bm25.missing()), *super().missing()]

    def index(self, collection: Collection, cutter: Cutter, material: Material) -> Ask:
        if self.first == "bm25":
            return bm25_index("lucene", 1.5, 0.75, self.language, collection, cutter, material)
        if self.first == "dense":
            return dense_index(self, collection, cutter, material)
        return hybrid_index(self, self.language, 60, collection, cutter, material)

    def read(self, context: Context, problem: Problem, material: Material) -> View:
        return replace(super().read(context, problem, material), instruction=self.instruction)

    def read_again(self, chunks: Sequence[Sequence[float]], material: Material) -> View:
        return replace(super().read_again(chunks, material), instruction=self.instruction)

    def then(self, response: str, question: str = "") -> Reader | None:
        answer = cut(response).answer
        return Full() if self.marker.casefold() in answer.casefold() or claims_absence(answer, question) else None

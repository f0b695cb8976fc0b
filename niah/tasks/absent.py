"""A question whose answer is not in the text: the right answer is to say so.

The counterpart of ``single``: a model that always answers something finds every needle. False alarms
are answers all the same. Michelangelo (Vodrahalli et al. 2024, arXiv:2409.12640) calls it "IDK".
"""

from dataclasses import dataclass

import numpy as np

from niah.limits import free_text, limited
from niah.records import Problem
from niah.scorers.claims_absence import ClaimsAbsence
from niah.tasks import Surroundings, draws
from niah.tasks.keyed import Keyed

_WIDE_MARKS = "？。！"
"""Chinese and Japanese put no space after them."""


@dataclass(frozen=True, kw_only=True)
class Absent(Keyed):
    """Nothing is planted, and a repeat has one trial a length. With ``num_decoys`` facts about other
    keys are planted, the first at the cell's depth.

    ``claim`` (empty: the language's) is what the question asks for where nothing is said.
    """

    name: str = "absent"
    num_decoys: int = limited(0, at_least=0, at_most=100_000)
    claim: str = free_text("")

    unshared = "what it asks for stands nowhere"
    all_targets = False
    scorer = ClaimsAbsence()

    @property
    def has_depth(self) -> bool:
        return self.num_decoys > 0

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        phrases = self.phrases(haystack)
        keys = self.keys(rng, phrases, haystack, 1 + self.num_decoys)
        values = draws.distinct(lambda: draws.value(rng, self.answer, phrases["words"]), self.num_decoys, "task.answer")
        asked = self.worded(phrases, keys, ["", *values], [], values)
        claim = self.claim or phrases["absent"]["claim"]
        separator = "" if asked.question[-1] in _WIDE_MARKS else " "
        return Problem(
            needles=asked.needles[1:],
            question=asked.question + separator + draws.filled(phrases["absent"]["instruction"], claim=claim),
            targets=(claim, *phrases["absent"]["phrases"]),
            answer_prefix=asked.answer_prefix,
            distractors=tuple(values),
            num_needed=0,
        )

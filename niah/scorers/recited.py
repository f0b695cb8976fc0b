"""A text is repeated behind a prefix: MRCR's rule, and which of the texts that it might be it is nearest to.

OpenAI's MRCR (the card of the data set openai/mrcr, after Vodrahalli et al. 2024, arXiv:2409.12640): 0 for an answer
that does not begin with the prefix; else the ratio of ``difflib.SequenceMatcher`` between what follows it and the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from niah.limits import limited
from niah.records import Score
from niah.scorers import Scorer

_LONGEST = 20_000
"""Characters of an answer that are matched; of a longer one the others count as wrong."""


@dataclass(frozen=True)
class Recited(Scorer):
    """The first ``prefix_length`` characters of the target are the prefix, ``distractors`` the other texts, without it.

    ``Score.value`` is MRCR's ratio. Beside it, 1 or 0: ``has_prefix``, and ``identified``, whether what follows the
    prefix, or all of an answer without it, is nearer to the right text than to any other. Deviates from MRCR: white
    space around an answer and its thinking are cut off before.
    """

    name: str = "recited"
    prefix_length: int = limited(10, at_least=0, at_most=1000)

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        answer, target = response.strip(), targets[0]
        prefix, text = target[: self.prefix_length], target[self.prefix_length :]
        has_prefix, said = answer.startswith(prefix), answer.removeprefix(prefix)
        ratio = _ratio(said, text)
        is_nearest = ratio > max((_ratio(said, other) for other in distractors), default=0.0)
        beside = {"has_prefix": float(has_prefix), "identified": float(is_nearest)}
        return Score(ratio if has_prefix else 0.0, answer, beside)


def _ratio(said: str, text: str) -> float:
    """In [0, 1], the order of the arguments as in MRCR."""
    matcher = SequenceMatcher(None, said[:_LONGEST], text)
    if len(said) <= _LONGEST:
        return matcher.ratio()
    return 2 * sum(block.size for block in matcher.get_matching_blocks()) / (len(said) + len(text))

"""The F1 of two sets of names: those in the answer's list and those that are right.

GraphWalks' rule (OpenAI 2025, the card of the data set openai/graphwalks): precision and recall over sets, and their
harmonic mean as score.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Score
from niah.scorers import Scorer

_LIST = re.compile(r"\[([^\[\]]*)(?:\]|\Z)")
_APART = re.compile(r"[\s,;、，،]+")
_AROUND = "\"'`*.。()[]"
_FINAL = re.compile(r"Final Answer: ?\[")


@dataclass(frozen=True)
class NodeSet(Scorer):
    """The list is what the last square brackets hold, else the last line after its colon, else all of it; letter case,
    marks and doubles do not count. With ``published`` it is GraphWalks' own rule to the letter: the last line has to
    hold "Final Answer: [a, b]", else nothing is named.

    ``Score.value`` is the F1, so that a right answer has all names and no other. Beside it ``exact`` (1 or 0),
    ``precision`` and ``recall``.
    """

    name: str = "node_set"
    published: bool = False

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        answer = _published(response) if self.published else _listed(response)
        split = answer.split(",") if self.published else _APART.split(answer.casefold())
        named = {name for one in split if (name := one.strip() if self.published else one.strip(_AROUND))}
        right = set(targets) if self.published else {target.casefold() for target in targets}
        num_both = len(named & right)
        precision, recall = num_both / len(named) if named else 0.0, num_both / len(right)
        value = 2 * precision * recall / (precision + recall) if num_both else 0.0
        return Score(value, answer, {"exact": float(named == right), "precision": precision, "recall": recall})


def _published(response: str) -> str:
    line = response.split("\n")[-1]
    found, stop = _FINAL.search(line), line.rfind("]")
    return line[found.end() : stop].strip("[]") if found and stop >= found.end() else ""


def _listed(response: str) -> str:
    if found := list(_LIST.finditer(response)):
        return found[-1][1].strip()
    lines = response.strip().splitlines()
    return re.split("[:：]", lines[-1])[-1].strip() if lines else ""

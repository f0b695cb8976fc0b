"""The share of targets named in their right order: the longest run of them that ascends in the response."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.match import place
from niah.scorers.normal_form import normal, readings


@dataclass(frozen=True)
class Ordered(Scorer):
    name: str = "ordered"

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        sought = [normal(target) for target in targets]
        longest = max(_longest_run([place(said, text) for text in sought]) for said in readings(response))
        return Score(longest / len(targets), response.strip())


def _longest_run(places: Sequence[int | None]) -> int:
    """How many of the places ascend, at most, in their order; None is nowhere."""
    ends: list[int] = []  # ends[n]: smallest last place of an ascending run of n + 1
    for found in places:
        if found is not None:
            rank = bisect_left(ends, found)
            ends[rank : rank + 1] = [found]
    return len(ends)

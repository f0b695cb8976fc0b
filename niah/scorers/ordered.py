"""The share of targets named in their right order: the longest run of them that ascends in the response."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.match import place


@dataclass(frozen=True)
class Ordered(Scorer):
    name: str = "ordered"

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        ends: list[int] = []  # ends[n]: smallest last place of an ascending run of n + 1 targets
        for target in targets:
            if (found := place(response, target)) is not None:
                rank = bisect_left(ends, found)
                ends[rank : rank + 1] = [found]
        return Score(len(ends) / len(targets), response.strip())

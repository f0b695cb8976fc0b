"""The response's first line is the target in normal form, marks around it apart (SQuAD's EM)."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.records import Score
from niah.scorers import Scorer
from niah.scorers.normal_form import normal

_AROUND = " \"'()[].,:;!?-。、！？؟،؛¿¡$"


@dataclass(frozen=True)
class Exact(Scorer):
    name: str = "exact"

    def score(self, response: str, targets: Sequence[str], distractors: Sequence[str] = ()) -> Score:
        lines = response.strip().splitlines()
        answer = lines[0] if lines else ""
        hit = any(_bare(answer) == _bare(target) for target in targets)
        return Score(float(hit), answer)


def _bare(text: str) -> str:
    whole = normal(text)
    return whole.strip(_AROUND) or whole

"""From a response to a typed outcome: thinking cut first, then the scorer, then what a miss was."""

import re
from collections.abc import Sequence

from niah.errors import NiahError
from niah.records import Outcome, Problem, Score
from niah.scorers import Scorer
from niah.scorers.normal_form import normal
from niah.scorers.speech import Speech
from niah.scorers.thinking import cut

_BEGINNING = 3
"""Characters of a target that are no chance: more where they are letters alone, as those of "the"."""
_ABOUT_TO = re.compile(r"(?:\b(?:is|are|was|ist|sind|lautet|lauten|es|son|هو|هي)|[:是为為は])\Z")


def judge(
    response: str, problem: Problem, scorer: Scorer, finish_reason: str, *, in_thinking: bool = False
) -> tuple[Score, Outcome]:
    """Score and outcome of one response.

    A right answer is right whatever is said around it; then comes a claim of absence, then a refusal, both only where
    no value is named as the answer. Truncated means that the token budget ended before an answer was finished, not that
    an answer was long: nothing had begun (``in_thinking``: within the thinking that was cut off before), or it ends
    with the beginning of a target. What a filter ended is a refusal, whatever it had written.
    """
    found = cut(response)  # rows of older versions hold their thinking
    answer = found.answer.strip()
    if finish_reason == "content_filter":
        return Score(0.0, answer), Outcome.REFUSED
    score = _checked(scorer.score_problem(answer, problem), scorer)
    if score.value >= 1:
        return score, Outcome.CORRECT
    if finish_reason == "length" and (in_thinking or found.is_open or not answer or is_cut(answer, problem.targets)):
        return score, Outcome.TRUNCATED
    speech = Speech(answer, problem.question, problem.distractors)
    if speech.claims_absence:
        return score, Outcome.ABSENT_CLAIMED
    if speech.refuses:
        return score, Outcome.REFUSED
    return score, Outcome.WRONG


def _checked(score: object, scorer: Scorer) -> Score:
    """Raises NiahError for what a scorer of the user's own may return and no row can hold."""
    if isinstance(score, Score) and isinstance(score.answer, str) and 0 <= score.value <= 1:
        return score
    kind = type(scorer)
    raise NiahError(
        f"scorer={scorer.name}: {kind.__module__}.{kind.__name__} returned {score!r:.100}; expected "
        "niah.records.Score(value, answer), a value from 0 to 1 and a text"
    )


def hangs_on_question(response: str, problem: Problem, scorer: Scorer) -> bool:
    """Whether the outcome is another one where another thing was asked for: absence is claimed beside a value."""
    answer = cut(response).answer
    claims = problem.targets if scorer.targets_deny else ()
    return Speech(answer, problem.question, problem.distractors, claims).hangs_on_question


def is_cut(answer: str, targets: Sequence[str]) -> bool:
    """Whether a response that its budget ended stops within a target, or where its introduction does."""
    end = normal(answer[-400:])
    if any(_begins(end, normal(target)) for target in targets):
        return True
    return len(answer) < 400 and _ABOUT_TO.search(end) is not None and not Speech(answer).answer


def _begins(end: str, target: str) -> bool:
    for size in range(min(len(target) - 1, len(end)), 0, -1):
        if end.endswith(target[:size]):
            start = end[: len(end) - size]
            is_border = not start or not (start[-1].isalnum() and start[-1].isascii())
            return is_border and size >= _BEGINNING + target[:size].isalpha()
    return False

"""From a response to a typed outcome: thinking cut first, then the scorer, then what a miss was."""

import regex

from niah.records import Outcome, Problem, Score
from niah.scorers import Scorer
from niah.scorers.claims_absence import claims_absence
from niah.scorers.thinking import cut

_REFUSAL = regex.compile(
    r"\b(?:I(?:'m| am) (?:sorry|unable|not able)|I (?:can(?:no|')t|won't|will not) (?:help|assist|provide|share|"
    r"answer|do|disclose|comply))|抱歉|我无法|我無法",
    regex.IGNORECASE,
)


def judge(
    response: str, problem: Problem, scorer: Scorer, finish_reason: str, *, in_thinking: bool = False
) -> tuple[Score, Outcome]:
    """Score and outcome of one response.

    Truncated means that the token budget ended before any answer began (``in_thinking``: within the thinking that was
    cut off before), not that an answer was long. What a filter ended is a refusal, whatever it had written.
    """
    found = cut(response)  # rows of older versions hold their thinking
    answer = found.answer.strip()
    if finish_reason == "content_filter":
        return Score(0.0, answer), Outcome.REFUSED
    score = scorer.score(answer, problem.targets, problem.distractors)
    if score.value >= 1:
        return score, Outcome.CORRECT
    if finish_reason == "length" and (in_thinking or found.is_open or not answer):
        return score, Outcome.TRUNCATED
    if claims_absence(answer):
        return score, Outcome.ABSENT_CLAIMED
    if _REFUSAL.search(answer):
        return score, Outcome.REFUSED
    return score, Outcome.WRONG

"""From a response to a typed outcome: thinking cut first, then the scorer, then what a miss was."""

import regex

from niah.records import Outcome, Problem, Score
from niah.scorers import Scorer
from niah.scorers.claims_absence import claims_absence

_THINKING = regex.compile(r"<think>.*?</think>|<\|channel\|>analysis.*?<\|end\|>", regex.DOTALL)
_OPEN_THINKING = regex.compile(r"<think>.*\Z", regex.DOTALL)
_REFUSAL = regex.compile(
    r"\b(?:I(?:'m| am) (?:sorry|unable|not able)|I (?:can(?:no|')t|won't|will not) (?:help|assist|provide|share|"
    r"answer|do|disclose|comply))|抱歉|我无法|我無法",
    regex.IGNORECASE,
)


def without_thinking(response: str) -> tuple[str, bool]:
    """The response without its reasoning, and whether a reasoning section was left open.

    A template may open the section in the prompt: then only its end is in the response.
    """
    if "</think>" in response and "<think>" not in response.split("</think>")[0]:
        response = response.split("</think>", 1)[1]
    response = _THINKING.sub("", response)
    is_open = _OPEN_THINKING.search(response) is not None
    return _OPEN_THINKING.sub("", response).strip(), is_open


def judge(response: str, problem: Problem, scorer: Scorer, finish_reason: str) -> tuple[Score, Outcome]:
    """Score and outcome of one response.

    Truncated means that the token budget ended before any answer began, not that an answer was long.
    """
    answer, thinking_open = without_thinking(response)
    score = scorer.score(answer, problem.targets, problem.distractors)
    if score.value >= 1:
        return score, Outcome.CORRECT
    if finish_reason == "length" and (thinking_open or not answer):
        return score, Outcome.TRUNCATED
    if claims_absence(answer):
        return score, Outcome.ABSENT_CLAIMED
    if _REFUSAL.search(answer):
        return score, Outcome.REFUSED
    return score, Outcome.WRONG

"""The graded signal: which ids to force after a prompt to see how strongly a model held the right answer.

Teacher forcing of the first target, which is the one of the needle at the cell's depth: the log-probability of its
tokens given the prompt and the beginning of the answer, as perplexity-based evaluation has it (lm-evaluation-harness,
loglikelihood). It falls long before the greedy answer flips.
"""

import numpy as np

from niah.records import Forced, Problem
from niah.tokens.boundaries import is_open
from niah.tokens.tokenizer import Tokenizer


def forced(tokenizer: Tokenizer, problem: Problem, *, begun: bool, max_tokens: int) -> Forced | None:
    """The beginning of the answer and the first target; None for a task without one.

    ``begun``: the prompt holds the beginning of the answer already. ``max_tokens`` is the room after the prompt, of
    which an engine writes one token itself: where the beginning does not fit, the target goes alone, and where that
    does not fit either it is None.
    """
    if not problem.targets:
        return None
    prefix = problem.answer_prefix.strip()
    space = "" if not prefix or is_open(prefix[-1]) else " "
    lead = "" if begun else prefix
    ids, start = _after(tokenizer, lead, space + problem.targets[0])
    if lead and len(ids) >= max_tokens:
        lead = ""
        ids, start = _after(tokenizer, lead, space + problem.targets[0])
    if len(ids) >= max_tokens:
        return None
    rivals = set()
    for text in problem.distractors:
        other, _ = _after(tokenizer, lead, space + text)
        places = np.flatnonzero(ids[: len(other)] != other[: len(ids)])
        if len(places):  # else one is the beginning of the other: nothing to weigh
            rivals.add((int(places[0]), int(other[places[0]])))
    return Forced(ids, start, tuple(sorted(rivals)))


def _after(tokenizer: Tokenizer, lead: str, text: str) -> tuple[np.ndarray, int]:
    """Ids of both, and the first of them that holds a character of ``text``."""
    encoding = tokenizer.encode(lead + text)
    start = int(np.searchsorted(encoding.stops, len(lead), side="right"))
    return np.asarray(encoding.ids, dtype=np.int32), start

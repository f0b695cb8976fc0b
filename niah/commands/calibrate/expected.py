"""What a calibration model must answer in each trial, and in which trials more than one answer is right: pure functions
of ids."""

from dataclasses import dataclass

import numpy as np

from niah.models.constructed.circuit import Circuit


@dataclass(frozen=True)
class ExpectedAnswer:
    """``ids`` is the exact answer, its stop token included. ``source`` is where the first token of the answer stands
    in the prompt, in tokens, None where nothing there continues the question. ``ambiguous`` says why more than one
    answer is right, so that the trial proves nothing; it is empty for a good trial.
    """

    ids: tuple[int, ...]
    source: int | None
    ambiguous: str = ""


def expected_answer(circuit: Circuit, ids: np.ndarray, max_tokens: int) -> ExpectedAnswer:
    """The exact answer to a prompt (int ids, (tokens,)), and whether its n-grams name one place each."""
    ids = np.asarray(ids, dtype=np.int64)
    answer = circuit.answer(ids, max_tokens)
    source, ambiguous = trace(ids, answer, circuit.design.ngram, circuit.ends)
    return ExpectedAnswer(tuple(answer), source, ambiguous)


def trace(ids: np.ndarray, answer: list[int], ngram: int, ends: frozenset[int] = frozenset()) -> tuple[int | None, str]:
    """Where the first token of an answer is copied from, and why the answer is ambiguous.

    It is where the last ``ngram`` tokens stand twice in the text with different tokens after them. What follows the
    end of a sentence does not count: there the model stops.
    """
    whole = np.concatenate([ids, answer]).astype(np.int64)
    source = None
    for stop in range(len(ids), len(whole)):
        if int(whole[stop - 1]) in ends:
            break
        places = occurrences(whole[: stop - 1], whole[stop - ngram : stop]) + ngram
        if stop == len(ids):
            source = int(places[-1]) if len(places) else None
        following = whole[places[places < stop]]
        if len(set(following.tolist())) > 1:
            shown = ", ".join(f"{place:,}" for place in places[:3])
            return source, (
                f"the {ngram} tokens before answer token {stop - len(ids)} stand {len(places)} times in the text "
                f"(before {shown}), followed by different ones"
            )
    return source, ""


def occurrences(ids: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Where ``pattern`` begins in ``ids``, int64 ascending."""
    stop = len(ids) - len(pattern) + 1
    if stop < 1:
        return np.zeros(0, dtype=np.int64)
    places = np.flatnonzero(ids[:stop] == pattern[0])  # the rarest would be faster; this is one pass
    for offset in range(1, len(pattern)):
        places = places[ids[places + offset] == pattern[offset]]
    return places

"""What one stage hands to the next: read this first.

Positions and lengths are tokens of the model's own tokenizer, ``start``/``stop`` are half-open,
depths are percent of the context (0 = first, 100 = last), id arrays are int32 of shape (tokens,).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np


class Outcome(StrEnum):
    """How a trial ended. Only the first five are answers; the rest are never scored."""

    CORRECT = "correct"
    WRONG = "wrong"
    REFUSED = "refused"
    ABSENT_CLAIMED = "absent-claimed"
    TRUNCATED = "truncated"
    DOES_NOT_FIT = "does-not-fit"
    OUT_OF_MEMORY = "out-of-memory"
    ENGINE_ERROR = "engine-error"

    @property
    def is_answer(self) -> bool:
        return self in _ANSWERS


_ANSWERS = frozenset(
    (Outcome.CORRECT, Outcome.WRONG, Outcome.REFUSED, Outcome.ABSENT_CLAIMED, Outcome.TRUNCATED)
)
RETRIED = frozenset((Outcome.OUT_OF_MEMORY, Outcome.ENGINE_ERROR))
"""Outcomes that the next run of the same command tries again."""


@dataclass(frozen=True)
class Trial:
    """One (length, depth, repeat). ``index`` is its number in this run's plan, for people."""

    index: int
    length: int
    depth: float
    repeat: int


@dataclass(frozen=True)
class Problem:
    """What is planted, what is asked and what a right answer holds.

    The first needle goes to the cell's depth. ``answer_prefix`` is the beginning of the answer, used
    where the model is given one. ``distractors`` are wrong answers that the text offers too.
    ``in_order``: needles stand in the text in the order given here. ``as_paragraphs``: they stand
    between paragraphs, not sentences. An answer takes the first ``num_needed`` needles (None: all), others are there to
    mislead. ``text`` replaces the haystack, ``instruction`` fills the
    template's {instruction}, ``preamble`` stands before all of it (a solved example).
    """

    needles: tuple[str, ...]
    question: str
    targets: tuple[str, ...]
    answer_prefix: str = ""
    distractors: tuple[str, ...] = ()
    in_order: bool = False
    as_paragraphs: bool = False
    num_needed: int | None = None
    text: str | None = None
    instruction: str = ""
    preamble: str = ""


@dataclass(frozen=True)
class Stretch:
    """Filler cut from a haystack for one repeat; a shorter length uses a prefix of it.

    ``repeated_share`` is the share of ``ids`` that the haystack had to give twice. ``by_line``:
    needles stand as lines of their own, not between sentences. ``segments`` say which of ``ids`` are the source's
    own: (start in the source, stop in the source, start in ``ids``), ascending; empty where there is no source.
    """

    ids: np.ndarray
    source: str
    start: int
    repeated_share: float = 0.0
    by_line: bool = False
    segments: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Context:
    """The haystack with its needles, as pieces of one text in reading order.

    ``pieces`` holds id arrays (haystack, unchanged) and strings (needles with the white space around
    them); ``needles`` are the places of the needles in ``pieces``; ``depths`` is where each begins.
    """

    pieces: tuple[np.ndarray | str, ...]
    needles: tuple[int, ...]
    depths: tuple[float, ...]
    num_tokens: int


@dataclass(frozen=True)
class Retrieval:
    """What a retriever returned. ``chunks`` are (start, stop, score), tokens of the context, best first.

    ``needles[i]`` says whether needle i is in what was returned: whole, split or missed.
    """

    chunks: tuple[tuple[int, int, float], ...]
    needles: tuple[str, ...]
    index_seconds: float
    seconds: float


@dataclass(frozen=True)
class View:
    """The part of a context that the model gets to see. ``kept[i]``: needle i is in it, whole.

    ``needles[i]`` is its place in ``pieces``, None where it is not kept. ``instruction`` is asked after the question.
    """

    pieces: tuple[np.ndarray | str, ...]
    kept: tuple[bool, ...]
    needles: tuple[int | None, ...]
    retrieval: Retrieval | None = None
    instruction: str = ""


@dataclass(frozen=True)
class Forced:
    """The right answer as ids (int32) to put after a prompt; the target's own tokens are ``ids[start:]``.

    ``rivals`` are the distractors: (place in ``ids``, token) where each parts from the target.
    """

    ids: np.ndarray
    start: int
    rivals: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Grade:
    """How strongly a model held the right answer: ``logprob`` (nats) sums its tokens, ``worst_rank`` is the lowest
    place of one of them (1 is first), ``margin`` (nats) the lead over the best distractor where the two part."""

    logprob: float
    num_tokens: int
    worst_rank: int
    margin: float | None
    seconds: float


@dataclass(frozen=True)
class Message:
    """The user's message of a chat, for a server that takes text and applies the chat template itself: ``before``, the view's ``pieces`` (ids or text) and ``after``, in reading order.

    ``system`` and ``template_arguments`` are what the chat template was given beside it.
    """

    before: str
    pieces: tuple[np.ndarray | str, ...]
    after: str
    system: str | None
    template_arguments: dict[str, Any]

    def text(self, decode: Callable[[np.ndarray], str]) -> str:
        """``decode`` is the tokenizer's."""
        inside = (piece if isinstance(piece, str) else decode(piece) for piece in self.pieces)
        return "".join((self.before, *inside, self.after))


@dataclass(frozen=True)
class Prompt:
    """Exactly what is sent. ``spans`` are the (start, stop) in ``ids`` of the needles that are in it. Prompts of a
    ``repeat`` begin alike; ``salt`` keeps one from the prefix cache. ``message`` is it as a chat, None where it is none.
    ``targets`` and ``num_missing``, the needles left out, are for ``engine=fake`` alone.
    """

    ids: np.ndarray
    spans: tuple[tuple[int, int], ...]
    max_tokens: int
    sha256: str
    targets: tuple[str, ...] = ()
    num_missing: int = 0
    forced: Forced | None = None
    salt: str = ""
    message: Message | None = None
    repeat: int = 0


@dataclass(frozen=True)
class Completion:
    """What an engine returned for one prompt. Seconds are wall-clock, from sending to the end."""

    text: str
    num_tokens: int
    num_prompt_tokens: int
    num_cached_tokens: int | None
    finish_reason: str
    seconds: float
    first_token_seconds: float | None
    grade: Grade | None = None


@dataclass(frozen=True)
class Failure:
    """An engine's failure on one prompt: an outcome, never an answer."""

    outcome: Outcome
    message: str
    seconds: float


@dataclass(frozen=True)
class Score:
    """``value`` in [0, 1]; ``answer`` is the part of the response that was judged."""

    value: float
    answer: str


@dataclass(frozen=True)
class Row:
    """One line of rows.jsonl. Holds the recipe of the prompt (with run.json), never the prompt.

    ``variant`` names the engine settings (fp8, fp8 TRITON_ATTN); with ``trial`` it is the row's key. ``logprob`` to
    ``margin`` are the Grade of the first target, that of the needle at this depth; None where not measured. ``served``
    is what decided the number: KV dtype, backend, versions.

    Of readers that retrieve: ``retrieved`` chunks as [start, stop, score] in context tokens, ``needles_retrieved`` as
    whole, split or missed, ``route`` rag or long where the reader chooses; tokens and seconds then count both steps.
    ``context_sha256`` is that of the whole context and its question, whatever the reader showed of it.
    """

    trial: int
    length: int
    depth: float
    repeat: int
    outcome: str
    score: float | None
    response: str
    answer: str
    targets: list[str]
    prompt_sha256: str
    num_prompt_tokens: int
    num_cached_tokens: int | None
    num_completion_tokens: int
    finish_reason: str
    needle_spans: list[list[int]]
    needle_depths: list[float]
    needles_kept: list[bool]
    repeated_share: float
    seconds: float
    first_token_seconds: float | None
    model: str
    task: str
    haystack: str
    reader: str
    engine: str
    kv_cache_dtype: str
    error: str = ""
    distractors: list[str] = field(default_factory=list)
    variant: str = ""
    logprob: float | None = None
    num_target_tokens: int = 0
    worst_rank: int | None = None
    margin: float | None = None
    served: dict[str, Any] = field(default_factory=dict)
    retrieved: list[list[float]] = field(default_factory=list)
    needles_retrieved: list[str] = field(default_factory=list)
    index_seconds: float = 0.0
    retrieval_seconds: float = 0.0
    route: str = ""
    num_needed: int | None = None
    context_sha256: str = ""

"""What one stage hands to the next: read this first.

Positions and lengths are tokens of the model's own tokenizer, ``start``/``stop`` are half-open,
depths are percent of the context (0 = first, 100 = last), id arrays are int32 of shape (tokens,).
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from niah.errors import NiahError
from niah.units import format_count


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
_Integer = Annotated[int, Meta(gt=-(2**63), lt=2**63 - 1)]
_Number = _Integer | Annotated[float, Meta(gt=-1e300, lt=1e300)]
_Index = Annotated[int, Meta(ge=0, lt=2**63 - 1)]
_Share = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1)]
"""What the JSON of a row may hold; numbers stay the integers or floats that they were written as."""
OPTIONAL = {"optional": True}
"""Marks fields of run.json and of rows that are left out where they hold nothing."""


@dataclass(frozen=True)
class Trial:
    """One (length, depth, repeat). ``index`` is its number among this run's trials, for people."""

    index: int
    length: int
    depth: float
    repeat: int


@dataclass(frozen=True)
class Problem:
    """What is planted, what is asked and what a right answer holds.

    The first needle goes to the cell's depth. ``answer_prefix`` is the beginning of the answer, used
    where the model is given one. ``distractors`` are wrong answers that the text offers too.
    ``in_order``: needles stand in the text in the order of their depths, those of one place too; they are given here in
    that order, where the task does not arrange them itself (``Task.arranged``). ``as_paragraphs``: they stand between
    paragraphs, not sentences. An answer takes the first ``num_needed`` needles (None: all), others are there to
    mislead. ``carries_space``: needles hold the white space around them; none is put there. ``text`` replaces the
    haystack, and so do ``documents``, more than a context has room for: they stand in this order with the needles among
    them, ``between`` any two, each below ``heading`` with its {number}. ``instruction`` fills the template's
    {instruction}, ``preamble`` stands before all of it (a solved example).

    ``left_out`` names a document of the haystack that is planted instead of standing in it, ``together`` the needles
    that are its parts, in reading order. ``question_id`` and ``scorer`` are those of a question in the user's own file.
    """

    needles: tuple[str, ...]
    question: str
    targets: tuple[str, ...]
    answer_prefix: str = ""
    distractors: tuple[str, ...] = ()
    in_order: bool = False
    as_paragraphs: bool = False
    num_needed: int | None = None
    carries_space: bool = False
    text: str | None = None
    documents: tuple[str, ...] = ()
    heading: str = ""
    between: str = "\n\n"
    instruction: str = ""
    preamble: str = ""
    left_out: str = ""
    together: tuple[int, ...] = ()
    question_id: str = ""
    scorer: str = ""


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
class Passage:
    """A text that a retriever elsewhere returned, with its own score and name for the document, if it gives them.
    ``place`` are its characters [start, stop) in the context's text, None where it does not stand there."""

    text: str
    score: float | None = None
    document: str = ""
    place: tuple[int, int] | None = None


@dataclass(frozen=True)
class Retrieval:
    """What a retriever returned. ``chunks`` are (start, stop, score), tokens of the context, best first.

    ``needles[i]`` says whether needle i is in what was returned: whole, split or missed. ``ids`` are the tokens of each
    chunk, int32. ``passages`` are the texts that one elsewhere returned; a chunk that stands nowhere is -1 to -1.
    """

    chunks: tuple[tuple[int, int, float], ...]
    needles: tuple[str, ...]
    index_seconds: float
    seconds: float
    ids: tuple[np.ndarray, ...] = field(default=(), repr=False, compare=False)
    passages: tuple[Passage, ...] = ()


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
class Drafts:
    """Of one answer: ``num_steps`` in which the model checked a draft, ``num_tokens`` that were proposed in them and
    ``num_accepted`` of these. vLLM's names: num_drafts, num_draft_tokens, num_accepted_tokens."""

    num_steps: int
    num_tokens: int
    num_accepted: int

    def plus(self, other: "Drafts") -> "Drafts":
        """Those of two answers together."""
        return Drafts(
            self.num_steps + other.num_steps, self.num_tokens + other.num_tokens,
            self.num_accepted + other.num_accepted,
        )

    def minus(self, other: "Drafts") -> "Drafts":
        """Those that came after ``other``."""
        return Drafts(
            self.num_steps - other.num_steps, self.num_tokens - other.num_tokens,
            self.num_accepted - other.num_accepted,
        )


@dataclass(frozen=True)
class Message:
    """The user's message of a chat, for a server that takes text and applies the chat template itself.

    It is ``before``, the view's ``pieces`` (ids or text) and ``after``, in reading order. ``system`` and
    ``template_arguments`` are what the chat template was given beside it.
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
    """Exactly what is sent. ``spans`` are the (start, stop) in ``ids`` of the needles that are in it.

    Prompts of a ``repeat`` begin alike; ``salt`` keeps one from the prefix cache. ``message`` is it as a chat, None
    where it is none. ``num_needed`` says how many of ``spans``, the first, the answer is taken from. ``targets`` and
    ``num_missing``, those needles that were left out, are for ``engine=fake`` alone. ``context`` are the (start, stop)
    of all that stands between the template's own words.
    """

    ids: np.ndarray
    spans: tuple[tuple[int, int], ...]
    max_tokens: int
    sha256: str
    targets: tuple[str, ...] = ()
    num_needed: int = 0
    num_missing: int = 0
    forced: Forced | None = None
    salt: str = ""
    message: Message | None = None
    repeat: int = 0
    context: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Completion:
    """What an engine returned for one prompt. Seconds are wall-clock, from sending to the end.

    ``not_graded`` says why there is no ``grade`` where there ought to be one.
    ``ids`` are what it wrote, without those that end an answer, where it tells them. ``thinking`` is what a server kept
    apart from ``text`` itself. Behind the door (engines/reply.py) ``text`` is the answer alone and ``finish_reason``
    stop, length or content_filter; ``num_thinking_tokens`` count ``thinking``, and ``ended_in_thinking`` says that the
    budget ended before an answer began. ``drafts`` are those of speculative decoding, None without it or where the
    engine does not tell. ``is_thinking_cut``: the end of its thinking was forced (engines/thinking.py).
    """

    text: str
    num_tokens: int
    num_prompt_tokens: int
    num_cached_tokens: int | None
    finish_reason: str
    seconds: float
    first_token_seconds: float | None
    grade: Grade | None = None
    ids: tuple[int, ...] = ()
    thinking: str = ""
    num_thinking_tokens: int = 0
    ended_in_thinking: bool = False
    not_graded: str = ""
    drafts: Drafts | None = None
    is_thinking_cut: bool = False


@dataclass(frozen=True)
class Failure:
    """An engine's failure on one prompt: an outcome, never an answer."""

    outcome: Outcome
    message: str
    seconds: float
    finish_reason: str = "error"


@dataclass(frozen=True)
class Score:
    """``value`` in [0, 1]; ``answer`` is the part of the response that was judged.

    ``beside`` are further measures of it by name (``identified``, ``edit_distance``), which decide no outcome.
    """

    value: float
    answer: str
    beside: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of rows.jsonl. Holds the recipe of the prompt (with run.json), never the prompt.

    ``variant`` names the engine settings (fp8, fp8 TRITON_ATTN); with ``trial`` it is the row's key. ``logprob`` to
    ``margin`` are the Grade of the first target, that of the needle at this depth; None where not measured, and where
    that was not meant to be ``not_graded`` says why. ``served`` is what decided the number: KV dtype, backend,
    versions.

    Of readers that retrieve: ``retrieved`` chunks as [start, stop, score] in context tokens, ``needles_retrieved`` as
    whole, split or missed, ``route`` rag or long where the reader chooses; tokens and seconds then count both steps.
    ``passages`` came from a retriever elsewhere: ``at`` characters of the context's text, or a ``text`` of their own.
    ``context_sha256`` is that of the whole context and its question, whatever the reader showed of it.

    ``thinking`` was cut from ``response``, where rows of older versions still have it, and is ``num_thinking_tokens``
    of ``num_completion_tokens``. A truncated answer ended in its thinking or in the answer: ``ended_in``.

    ``question`` is kept where the outcome hangs on it: absence is claimed beside a value. ``scored_before`` are score,
    outcome and answer as the rules of an earlier ``version`` had them, where ``rescore`` found otherwise.

    ``share`` is ``ctx.share``, empty where the trial had a context of its own.

    ``spec`` names the speculation, empty without one; ``num_drafts``, ``num_draft_tokens`` and ``num_accepted_tokens``
    are the Drafts of the answer, None where the engine does not tell those of a request.

    ``beside`` are further measures of the answer by name, where its scorer has any (``Score.beside``).

    ``thinking_budget`` are the tokens that it might think, None where none were set; ``is_thinking_cut``: that was less
    than it wanted, and the end of its thinking was forced.

    ``question_id`` is that of the question in the user's own file, ``scorer`` the name of the one it asks for.
    """

    trial: _Index
    length: _Index
    depth: _Number
    repeat: _Index
    outcome: str
    score: _Share | None
    response: str
    answer: str
    targets: list[str]
    prompt_sha256: str
    num_prompt_tokens: _Integer
    num_cached_tokens: _Integer | None
    num_completion_tokens: _Integer
    finish_reason: str
    needle_spans: list[list[_Integer]]
    needle_depths: list[_Number]
    needles_kept: list[bool]
    repeated_share: _Number
    seconds: _Number
    first_token_seconds: _Number | None
    model: str
    task: str
    haystack: str
    reader: str
    engine: str
    kv_cache_dtype: str
    error: str = ""
    distractors: list[str] = field(default_factory=list)
    variant: str = ""
    logprob: _Number | None = None
    num_target_tokens: _Integer = 0
    worst_rank: _Integer | None = None
    margin: _Number | None = None
    served: dict[str, Any] = field(default_factory=dict)
    retrieved: list[list[_Number]] = field(default_factory=list)
    needles_retrieved: list[str] = field(default_factory=list)
    index_seconds: _Number = 0.0
    retrieval_seconds: _Number = 0.0
    route: str = ""
    num_needed: _Integer | None = None
    context_sha256: str = ""
    thinking: str = field(default="", metadata=OPTIONAL)
    num_thinking_tokens: _Integer = field(default=0, metadata=OPTIONAL)
    ended_in: str = field(default="", metadata=OPTIONAL)
    not_graded: str = field(default="", metadata=OPTIONAL)
    question: str = field(default="", metadata=OPTIONAL)
    scored_before: dict[str, Any] | None = field(default=None, metadata=OPTIONAL)
    share: str = field(default="", metadata=OPTIONAL)
    spec: str = field(default="", metadata=OPTIONAL)
    num_drafts: _Integer | None = field(default=None, metadata=OPTIONAL)
    num_draft_tokens: _Integer | None = field(default=None, metadata=OPTIONAL)
    num_accepted_tokens: _Integer | None = field(default=None, metadata=OPTIONAL)
    beside: dict[str, _Number] = field(default_factory=dict, metadata=OPTIONAL)
    passages: list[dict[str, Any]] = field(default_factory=list, metadata=OPTIONAL)
    thinking_budget: _Integer | None = field(default=None, metadata=OPTIONAL)
    is_thinking_cut: bool = field(default=False, metadata=OPTIONAL)
    question_id: str = field(default="", metadata=OPTIONAL)
    scorer: str = field(default="", metadata=OPTIONAL)

    @property
    def is_answered(self) -> bool:
        return self.outcome in _ANSWERS


@dataclass(frozen=True)
class Sources:
    """Where a run's text and tokens came from. ``haystack_sha256`` is None where the task writes the text itself;
    ``haystack_skipped`` are documents that were left out, each with the reason; ``reader`` names what retrieved,
    ``task_sha256`` is that of the user's file of questions."""

    tokenizer_sha256: str = ""
    haystack_sha256: str | None = None
    reader: str = field(default="", metadata=OPTIONAL)
    haystack_tokens: int | None = field(default=None, metadata=OPTIONAL)
    haystack_documents: int | None = field(default=None, metadata=OPTIONAL)
    haystack_skipped: Sequence[str] | None = field(default=None, metadata=OPTIONAL)
    haystack_licence: str | None = field(default=None, metadata=OPTIONAL)
    model_identity: str = field(default="", metadata=OPTIONAL)
    model_licence: str | None = field(default=None, metadata=OPTIONAL)
    model_notices: Sequence[str] | None = field(default=None, metadata=OPTIONAL)
    task_sha256: str = field(default="", metadata=OPTIONAL)
    rest: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scope:
    """What a run has to answer: ``num_trials`` under each of ``variants``; the key "plan" of run.json.

    ``answer_tokens`` are the most that an answer may have. Without depth nothing is planted, and a length has one cell.
    """

    num_trials: int = 0
    answer_tokens: int = 0
    has_depth: bool = True
    variants: Sequence[str] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Environment:
    """The software and the machine that a run was begun on.

    ``gpus`` have name, memory and driver; ``git_commit`` is None where niah was installed.
    """

    niah: str = ""
    git_commit: str | None = None
    python: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    cpu: str = ""
    num_cores: int | None = None
    memory_gib: float = 0.0
    gpus: Sequence[Mapping[str, str]] = ()
    rest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gpu_names(self) -> list[str]:
        return [gpu["name"] for gpu in self.gpus]

    @property
    def hardware(self) -> str:
        """One line for titles: the GPUs, else the processor."""
        if names := self.gpu_names:
            return f"{len(names)} x {names[0]}"
        if not self.cpu:
            return "hardware that is not known"
        return f"{self.cpu}, {format_count(self.num_cores, 'core')}" if self.num_cores else self.cpu


@dataclass(frozen=True)
class EngineFacts:
    """What an engine said of itself: ``facts`` by its own names (``Session.facts``).

    Each property is None where it said nothing of the kind.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def vllm(self) -> str | None:
        """Version of vLLM."""
        return self.facts.get("vllm")

    @property
    def server(self) -> str | None:
        """Software and version of a server that answered; its hardware is not known."""
        return self.facts.get("server")

    @property
    def server_model(self) -> str | None:
        return self.facts.get("server_model")

    @property
    def prompts(self) -> str | None:
        """What a server was sent: ids, text or chat."""
        return self.facts.get("prompts")

    @property
    def is_kv_cache_dtype_assumed(self) -> bool:
        """The KV cache's type is what the command said, for nobody could be asked."""
        return self.facts.get("kv_cache_dtype_told_by") == "command"

    @property
    def block_size(self) -> int | None:
        """Tokens of a block of its KV cache. A server gives it as text, and may say anything."""
        found = str(self.facts.get("block_size", ""))
        return int(found) or None if len(found) < 7 and found.isascii() and found.isdigit() else None

    @property
    def kv_cache_tokens(self) -> int | None:
        """Tokens that its KV cache has room for."""
        found = self.facts.get("kv_cache_size_tokens")
        return found if isinstance(found, int) and found > 0 else None

    @property
    def max_num_batched_tokens(self) -> int | None:
        """Tokens that the engine reads in one step."""
        return self.facts.get("max_num_batched_tokens")


@dataclass(frozen=True)
class RunSession:
    """One call of the command, from ``started`` to ``finished`` (UTC; empty while it goes on, or where it was killed).

    Seconds and counts of retries, by reason, are by variant; graded seconds are within those of the trials. ``asked``
    are the lengths, depths, repeats and variants of the command; earlier versions kept none.
    ``memory_gib`` is the most of the machine's memory that this process and those of its engine held until the
    variant's trials were over. ``tokens`` of prompts are by variant too: sent, computed, and needed at least
    (runs/beginnings.py), where the engine tells what it had cached.
    """

    started: str = ""
    trials_before: int = 0
    retried: Mapping[str, Mapping[str, int]] = field(default_factory=dict, metadata=OPTIONAL)
    trials_seconds: Mapping[str, float] = field(default_factory=dict, metadata=OPTIONAL)
    graded_seconds: Mapping[str, float] = field(default_factory=dict, metadata=OPTIONAL)
    control_seconds: Mapping[str, float] = field(default_factory=dict, metadata=OPTIONAL)
    memory_gib: Mapping[str, float] = field(default_factory=dict, metadata=OPTIONAL)
    tokens: Mapping[str, Mapping[str, int]] = field(default_factory=dict, metadata=OPTIONAL)
    finished: str = field(default="", metadata=OPTIONAL)
    asked: Mapping[str, Any] = field(default_factory=dict, metadata=OPTIONAL)
    rest: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """run.json: what was run, on what, by which engine. ``rest`` has what a newer niah wrote, here and in the parts.

    ``config`` are the resolved settings as plain data, a mapping a group; the properties read what reports need of it.
    ``engines`` has an engine's facts by variant, ``engine`` those of the first; ``control_due`` are variants whose
    control sample is not finished. ``scorer_version`` is that of the rules (scorers.VERSION) that judged its rows, the
    lowest of them. ``environment_values`` are the settings that took something from the environment, which ``config``
    holds as ``${oc.env:NAME}``: by full key a digest for each variable. ``is_of_rows``: run.json is lost, and this is
    what the rows tell. ``calibration`` is what a constructed model showed of the same engine before (calibrate=true).
    ``expected`` is what the plan said of each variant before it began (runs/expectation.py).
    """

    name: str = ""
    fingerprint: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    sources: Sources = field(default_factory=Sources)
    scope: Scope = field(default_factory=Scope, metadata={"key": "plan"})
    environment: Environment = field(default_factory=Environment)
    engine: EngineFacts = field(default_factory=EngineFacts)
    engines: Mapping[str, EngineFacts] = field(default_factory=dict)
    sessions: Sequence[RunSession] = ()
    control_due: Sequence[str] = ()
    scorer_version: int = field(default=1, metadata=OPTIONAL)
    environment_values: Mapping[str, Mapping[str, str]] = field(default_factory=dict, metadata=OPTIONAL)
    is_of_rows: bool = field(default=False, metadata=OPTIONAL)
    calibration: Sequence[str] = field(default=(), metadata=OPTIONAL)
    expected: Mapping[str, Mapping[str, float]] = field(default_factory=dict, metadata=OPTIONAL)
    rest: Mapping[str, Any] = field(default_factory=dict)

    def groups(self, *names: str) -> dict[str, Any]:
        """The settings of these groups alone (model, task, ...), as plain data."""
        return {name: self._of(name) for name in names}

    def _of(self, group: str) -> dict[str, Any]:
        """The settings of a group. Raises NiahError where run.json has none, as none of niah's has."""
        try:
            return dict(self.config[group])
        except KeyError as error:
            raise NiahError(
                f"run.json of {self.name or 'a run'}: holds no settings of {group}; expected what niah wrote"
            ) from error

    def without(self, names: Container[str]) -> dict[str, Any]:
        """The settings without these groups and keys, as plain data."""
        return {name: value for name, value in self.config.items() if name not in names}

    @property
    def lengths(self) -> list[int]:
        return list(self._of("ctx").get("lengths", ()))

    @property
    def depths(self) -> list[float]:
        """Percent; 0 alone where the task has no depth."""
        return list(self._of("ctx").get("depths", ())) if self.scope.has_depth else [0.0]

    @property
    def share(self) -> str:
        """``ctx.share``; empty where each trial has a context of its own."""
        found = str(self._of("ctx").get("share") or "none")
        return "" if found == "none" else found

    @property
    def task_title(self) -> str:
        """What titles call the task, with the protocol where trials share contexts: "single (share=depths)"."""
        return f"{self.task} (share={self.share})" if self.share else self.task

    @property
    def model_title(self) -> str:
        """What titles call the model: its label, or its path where it has none."""
        model = self._of("model")
        return str(model.get("label") or model.get("path") or "")

    @property
    def model_label(self) -> str:
        """The model's label; empty where it was given none."""
        return str(self.config.get("model", {}).get("label") or "")

    @property
    def model_settings(self) -> dict[str, Any]:
        return dict(self._of("model"))

    @property
    def task(self) -> str:
        return str(self._of("task").get("name") or "")

    @property
    def answer_kind(self) -> str:
        """What the task hides: number, word, ...; empty where it has but one kind."""
        return str(self._of("task").get("answer") or "")

    @property
    def haystack(self) -> str:
        """Its name; "none" where the task writes the text itself."""
        return "none" if self.sources.haystack_sha256 is None else str(self._of("haystack").get("name") or "")

    @property
    def haystack_details(self) -> list[str]:
        """Its language and order, where they are not English and coherent."""
        own = self._of("haystack")
        return [own[key] for key in ("language", "order") if own.get(key) not in (None, "en", "coherent")]

    @property
    def reader(self) -> str:
        return str(self._of("reader").get("name") or "")

    @property
    def reader_settings(self) -> dict[str, Any]:
        return dict(self._of("reader"))

    @property
    def scorer(self) -> str:
        return str(self._of("scorer").get("name") or "")

    @property
    def kv_dtype(self) -> str:
        """That of the first variant."""
        return str(self.config.get("kv", {}).get("dtype", "bfloat16"))

    @property
    def engine_name(self) -> str:
        return str(self._of("engine").get("name") or "")

    @property
    def report_settings(self) -> dict[str, Any]:
        return dict(self._of("report"))

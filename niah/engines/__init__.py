"""What answers prompts: the whole contract of an engine, its settings, and of a session, an open engine.

An engine of one's own is a frozen dataclass that inherits ``Engine`` and has ``name`` and ``open``; all else has a
default here.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from niah import limits
from niah.errors import NiahError
from niah.models.files import ModelFiles
from niah.models.settings import Model
from niah.models.speculation import NONE, Speculation
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware
from niah.planner.memory import Setup
from niah.planner.serving import Wish
from niah.records import Completion, Failure, Prompt
from niah.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class KVCache:
    """``dtype`` as vLLM names it. Never "auto": a checkpoint may turn that into fp8 unseen.

    ``also`` holds further {name, dtype}: the same prompts are run under each (``kv=[bf16,fp8]``).
    """

    name: str = "bf16"
    dtype: str = "bfloat16"
    also: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.dtype == "auto":
            raise NiahError('kv.dtype: "auto" lets the checkpoint decide; expected an explicit type as bfloat16')
        names = [one.name for one in self.each()]
        if twice := {name for name in names if names.count(name) > 1}:
            raise NiahError(f"kv: {', '.join(sorted(twice))} is named twice; expected each once, as kv=[bf16,fp8]")

    def each(self) -> list["KVCache"]:
        """This one and those of ``also``, each alone. Raises NiahError for an entry without name and dtype."""
        alone = KVCache(self.name, self.dtype) if self.also else self
        for one in self.also:
            if set(one) != {"name", "dtype"}:
                raise NiahError(f"kv.also: got {dict(one)}; expected name and dtype, as {{name: fp8, dtype: fp8_e4m3}}")
        return [alone, *(KVCache(one["name"], one["dtype"]) for one in self.also)]


@dataclass(frozen=True)
class Job:
    """What an engine is opened for. ``max_length`` is the longest trial, prompt and answer.

    ``trust_remote_code`` and ``allow_pickle`` are the model's. ``serving`` are engine arguments that follow from the
    plan, ``arguments`` and ``environment`` what the model itself asks of the engine at that length; all by vLLM's
    names. ``log`` is where the engine writes, ``memory_share`` the part of a machine's memory that is this engine's
    where several share it. ``draft_files`` are those of the model that drafts, if ``speculation`` has one.
    """

    files: ModelFiles
    tokenizer: Tokenizer
    dtype: str
    kv_cache_dtype: str
    max_length: int
    seed: int
    trust_remote_code: bool = False
    allow_pickle: bool = False
    serving: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    memory_share: float = 1.0
    speculation: Speculation = NONE
    draft_files: ModelFiles | None = None


@dataclass(frozen=True)
class Case:
    """What a script that needs no niah asks an engine, in this order: ``asked`` are (file of ids, most tokens of the
    answer, cache salt, empty for none). ``title``, ``expected`` and ``found`` are for who reads it; ``scored`` (with
    ids of the right answer, the first of them that count) wants the log-probability of that after the last prompt.
    ``served`` is what the session said of itself, ``visible`` the places where needles begin in the last prompt, for
    ``engine=fake`` alone."""

    title: str
    asked: tuple[tuple[str, int, str], ...]
    expected: str
    found: str
    served: Mapping[str, Any]
    scored: tuple[tuple[int, ...], int] | None = None
    visible: tuple[int, ...] = ()


@dataclass(frozen=True)
class Traced(Completion):
    """A completion with what the engine weighed: for each token written (the one that stopped it too) the chosen one,
    then its nearest rivals, with log-probabilities (nats)."""

    steps: tuple[dict[int, float], ...] = ()


@dataclass(frozen=True)
class Load:
    """What an engine is to be put under: ``at_once`` prompts in work, of which it shares its steps evenly where it can,
    and a KV pool of ``num_blocks`` blocks (0: its own). ``is_small``: too few for all of them, so that prompts that
    have been begun are put off and computed again. ``offload_gib`` of memory take what the pool has no room for."""

    at_once: int = 1
    num_blocks: int = 0
    is_small: bool = False
    offload_gib: float = 0.0


class Session(ABC):
    """An open engine: prompts in, completions out, until it is closed."""

    served: dict[str, Any]
    """What decided the answers (software, backend, KV cache); kept in each row."""
    counts_exactly: bool = True
    """Whether it reads the ids that were sent and no others. One that tokenises text itself may count others."""
    can_skip_cache: bool = True
    """Whether a prompt with a ``salt`` of its own is read without prefix cache."""
    retried: Counter[str] | None = None
    """How often a request was sent again, by its reason, so far. None: it never tries again."""

    @abstractmethod
    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        """Yields each prompt's result with its key as soon as it is there, in any order. Answers are greedy.

        ``prompts`` are (key, prompt); no more of them are taken than can be worked on, since each is built when taken.
        """

    def stop_grading(self) -> None:
        """Answers go without a grade from now on: grading has ended the engine more than once. Nothing for one that
        never grades."""
        return

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What decided the numbers: versions, backend, cache size, counts; kept in run.json."""

    def counters(self) -> dict[str, int]:
        """What it counted since it was opened, by vLLM's names without "vllm:": ``num_preemptions``,
        ``prefix_cache_hits``, ... Empty for one that does not tell."""
        return {}

    def reading(self) -> tuple[int, int] | None:
        """Of the prompts under way: about how many tokens are read by now, and how many there are; None for one that
        does not tell. Asked from another thread, while ``generate`` waits for the engine."""
        return None

    def close(self) -> None:
        """Frees what it holds, so that another engine can start in this process; nothing, unless a subclass does."""
        return


def noted(prompts: Iterable[tuple[int, Prompt]], taken: dict[int, Prompt]) -> Iterator[tuple[int, Prompt]]:
    """The same (key, prompt), each in ``taken`` from when it is given out: what a session has, for what wraps it."""
    for key, prompt in prompts:
        taken[key] = prompt
        yield key, prompt


class Engine(ABC):
    """The settings of an engine. A subclass is a frozen dataclass: its fields are its settings, and stand in run.json.

    What follows is what the rest of niah asks of any engine; a subclass makes a field of what its user may set.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    name: str
    """Labels rows and picks the engine in a command (engine=NAME)."""
    prefix_caching: bool = True
    """Whether a beginning that prompts share is computed once."""
    cold_check: float = 0.0
    """Share of the trials that are asked again without prefix cache at the end: 0 for none, else one at least."""
    replicas: int = 1
    """So many engines share the trials of a run."""
    tensor_parallel_size: int = 0
    """GPUs that one engine splits the model over; 0 leaves it to the plan."""
    max_num_seqs: int = 1
    """Prompts that it has in work at the same time; 0 leaves it to the plan."""
    attention: Sequence[str] = ()
    """Names of attention backends. Several are variants of the run, one after the other. None: the engine chooses."""
    flash_attn_version: Sequence[int] = ()
    """Versions of FlashAttention; several are variants of the run."""
    args: Mapping[str, Any] = MappingProxyType({})
    """Arguments of the engine by its own names, which win over all that the plan gives it."""
    holds_a_model: bool = False
    """Whether it loads the weights of ``model.path``: then memory is planned, and another engine may check answers."""
    sets_kv_dtype: bool = True
    """Whether its KV cache has the dtype that the command asks for; a server's had its own before."""

    def __post_init__(self) -> None:
        """Raises NiahError for a field outside its limits."""
        limits.check(self, "engine")

    @abstractmethod
    def open(self, job: Job) -> Session:
        """Raises NiahError where the engine is missing or does not start."""

    def missing(self) -> Sequence[str]:
        """Packages without which it does not open and that are not installed, as words for pip install: vllm, or an
        extra as niah[cpu]."""
        return ()

    def check_speculation(self, speculation: Speculation, model: Model) -> None:
        """Raises NiahError, before anything is loaded, where this engine does not draft so for this model; for any
        drafts, by default."""
        if speculation.is_on:
            raise NiahError(f"spec={speculation.name}: engine={self.name} drafts no tokens; expected spec=none")

    def fit(
        self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware, known: Sequence[Hardware],
        speculation: Speculation = NONE,
    ) -> Fit:
        """Which of these lengths (prompt and answer, tokens) have room on ``hardware``, before anything is loaded.

        ``known`` are the machines to name where none has. ``speculation`` is given where there is any. Raises NiahError
        for what this engine would refuse. An engine that holds no model needs no room.
        """
        return Fit(Setup(), {})

    def check(self, files: ModelFiles, model: Model, longest: int) -> None:
        """Raises NiahError where the model's own files rule out prompts of ``longest`` tokens, are cut or not all
        there, or would run code that nobody asked for; nothing, by default."""
        return

    def wish(self) -> Wish | None:
        """What its user left to the plan and what not; None for an engine that takes no arguments from the plan."""
        return None

    def under(self, load: Load, batch: int) -> "Engine":
        """This engine with so many prompts at once and such a pool; ``batch`` are the tokens that it reads in one step.

        Raises NiahError where it cannot be put under that. One prompt and a pool of its own is every engine's.
        """
        if load == Load():
            return self
        raise NiahError(f"engine={self.name} has no setting for it")

    def settled(self, chosen: Mapping[str, Any]) -> "Engine":
        """This engine with what the plan chose (by the names of its settings, others are passed over) in place of what
        its user left to the plan: so a run goes on as it began. Itself, unless a subclass leaves something to the plan.
        """
        return self

    def notes(self) -> list[str]:
        """What its user should know before the first prompt, a line each: a version that was never tried, say."""
        return []

    def script(self, job: Job, case: Case) -> str:
        """A Python script that asks this engine without niah and prints one line of JSON at its end: ``ids`` or
        ``texts``, an answer for each of ``case.asked``, and ``logprob`` where that is wanted. It lies beside the files.
        Empty where the engine cannot be asked so."""
        return ""

    def memory_lines(
        self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware
    ) -> list[str]:
        """What one prompt of each length needs, a line each, for the verb ``plan``; empty where vLLM's plan holds."""
        return []

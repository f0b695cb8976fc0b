"""What answers prompts. An engine's settings are its dataclass; an open engine is a session."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from niah.errors import NiahError
from niah.models.files import ModelFiles
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

    ``serving`` are engine arguments that follow from the plan, ``arguments`` and ``environment`` what the
    model itself asks of the engine at that length; all by vLLM's names. ``log`` is where the engine writes,
    ``memory_share`` the part of a machine's memory that is this engine's where several share it.
    """

    files: ModelFiles
    tokenizer: Tokenizer
    dtype: str
    kv_cache_dtype: str
    max_length: int
    seed: int
    serving: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    memory_share: float = 1.0


@dataclass(frozen=True)
class Traced(Completion):
    """A completion with what the engine weighed: for each token written (the one that stopped it too) the chosen one,
    then its nearest rivals, with log-probabilities (nats)."""

    steps: tuple[dict[int, float], ...] = ()


class Session(Protocol):
    """An open engine. ``generate`` takes (key, prompt) pairs lazily and yields each result with its
    key as soon as it is there, in any order; answers are greedy. One that tokenises text itself has
    ``counts_exactly`` false: its count of a prompt may differ from ours. One that cannot be asked to read a prompt
    anew has ``can_skip_cache`` false; one that tries again counts that in ``retried``."""

    def generate(
        self, prompts: Iterable[tuple[int, Prompt]]
    ) -> Iterator[tuple[int, Completion | Failure]]: ...

    served: dict[str, Any]
    """What decided the answers, kept in each row."""

    def facts(self) -> dict[str, Any]:
        """What decided the numbers: versions, backend, cache size; kept in run.json."""
        ...

    def close(self) -> None: ...


def check_cold_check(share: float) -> None:
    """Raises NiahError for what is no share of the trials to ask again without prefix cache."""
    if not 0 <= share <= 1:
        raise NiahError(f"engine.cold_check: got {share:g}; expected a share from 0 to 1")


class Engine(Protocol):
    """``name`` labels rows; ``prefix_caching`` says whether shared beginnings are read once."""

    name: str
    prefix_caching: bool

    def open(self, job: Job) -> Session:
        """Raises NiahError where the engine is missing or does not start."""
        ...


def check_replicas(number: int) -> None:
    if number < 1:
        raise NiahError(f"engine.replicas: got {number}; expected at least 1")

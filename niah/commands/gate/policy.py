"""A policy: a YAML file with the bounds that a run has to keep."""

import json
import re
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from niah import config
from niah.choices import unreadable
from niah.commands.compare.pairs import CompareSettings
from niah.errors import NiahError
from niah.limits import check, free_text, limited, one_of
from niah.stats.effective_length import RULER
from niah.units import parse_length

REQUIRED, ADVISORY = "required", "advisory"
ACCURACY, EFFECTIVE_LENGTH, LOSS = "min_accuracy", "min_effective_length", "max_loss"
FAILURES, CALIBRATION, PROMPTS = "max_failures", "calibration", "prompts_sha256"
KINDS = (ACCURACY, EFFECTIVE_LENGTH, LOSS, FAILURES, CALIBRATION, PROMPTS)
EACH = "each"
_BY_LENGTH = (ACCURACY, LOSS, FAILURES)
"""Kinds that may be asked of some lengths."""
_MAX_BYTES = 2**20
_SHARE = "a share of right answers between 0 and 1"


@dataclass(frozen=True)
class _Head:
    """What a policy says of all its bounds."""

    name: str = free_text("")
    confidence: float = limited(0.95, at_least=0.5, below=1, example="0.95")
    baseline: str = free_text("")

    def __post_init__(self) -> None:
        check(self, "policy")


@dataclass(frozen=True)
class _Entry:
    """One entry of ``bounds``: where (task, variant, lengths), how strictly (tier), and one bound or more."""

    task: list[str] = field(default_factory=list)
    variant: str = free_text("")
    lengths: list[str] = field(default_factory=list)
    tier: str = one_of(REQUIRED, ADVISORY)
    min_accuracy: float | None = limited(None, above=0, below=1, expected=_SHARE, example="0.9 for 90%")
    min_effective_length: int | None = limited(None, unit="tokens")
    threshold: float | None = limited(None, above=0, below=1, expected=_SHARE, example="0.85")
    max_loss: float | None = limited(None, above=0, below=1, expected=_SHARE, example="0.02 for 2 points")
    max_failures: float | None = limited(
        None, at_least=0, below=1, expected="a share of trials from 0 to below 1", example="0.01 for 1%"
    )
    calibration: str | None = one_of("verified", default=None)
    prompts_sha256: str | None = free_text(None)

    def __post_init__(self) -> None:
        check(self, "bounds")
        if self.prompts_sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", str(self.prompts_sha256)):
            raise NiahError(
                f"bounds.prompts_sha256: got {self.prompts_sha256!r}; expected 64 hex digits, as gate prints them"
            )


@dataclass(frozen=True)
class Bound:
    """One thing that has to hold: ``limit`` is an accuracy, tokens, a share or a text, by ``kind``.

    ``task`` are names of tasks or of RULER's settings, empty for all; ``lengths`` in tokens, empty for all together,
    with ``is_each`` every one that was measured by itself. ``line`` is that of its entry, 0 where the policy does not
    have it.
    """

    kind: str
    limit: Any
    tier: str = REQUIRED
    task: tuple[str, ...] = ()
    variant: str = ""
    lengths: tuple[int, ...] = ()
    is_each: bool = False
    threshold: float = RULER
    line: int = 0


@dataclass(frozen=True)
class Policy:
    """``confidence`` is that of two-sided intervals, ``baseline`` the variant that others are compared with; empty:
    that of the same name. ``sha256`` is the file's."""

    file: str
    name: str
    confidence: float
    baseline: str
    bounds: tuple[Bound, ...]
    sha256: str

    @property
    def compare(self) -> CompareSettings:
        return CompareSettings(confidence=self.confidence)

    def first(self, kind: str) -> Bound | None:
        """The first bound of this kind, if there is one."""
        return next((one for one in self.bounds if one.kind == kind), None)

    def where(self, bound: Bound) -> str:
        """File and line of a bound, for a message."""
        return f"{self.file}:{bound.line}"


def read(file: str) -> Policy:
    """The policy in a file. Raises NiahError with its line and key where it is none."""
    try:
        content = Path(file).read_bytes()
        if len(content) > _MAX_BYTES:
            raise NiahError(f"{file}: {len(content):,} bytes; expected a policy, of at most {_MAX_BYTES:,}")
        node = yaml.compose(content, yaml.SafeLoader)
        data = yaml.load(content, yaml.SafeLoader)
        json.dumps(data, default=str)  # ValueError for an anchor that holds itself
    except (OSError, yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        if isinstance(error, FileNotFoundError):
            raise NiahError(f"{file}: no such policy; expected a file with bounds, as docs/ci.md has") from None
        raise unreadable(error, file) from error
    lines = dict(_lines(file, node))
    if not isinstance(data, dict) or not isinstance(data.get("bounds"), list) or not data["bounds"]:
        got = reprlib.repr(data.get("bounds") if isinstance(data, dict) else data)
        raise NiahError(f"{file}:{lines.get('bounds', 1)}: bounds: got {got}; expected a list, as - min_accuracy: 0.9")
    head = _typed(file, lines, "policy", _Head, {key: data[key] for key in data if key != "bounds"})
    bounds = [one for number, entry in enumerate(data["bounds"]) for one in _bounds(file, lines, number, entry)]
    name = head.name or Path(file).stem
    digest = sha256(content).hexdigest()
    return Policy(file, name, head.confidence, head.baseline, _with_failures(bounds), digest)


def _with_failures(bounds: Sequence[Bound]) -> tuple[Bound, ...]:
    """With a bound on failures where the policy has none: a trial that the engine lost is no right answer."""
    has_one = any(one.kind == FAILURES for one in bounds)
    return (*bounds, *(() if has_one else (Bound(FAILURES, 0.0),)))


def _lines(file: str, node: Any) -> Iterator[tuple[str, int]]:
    """The line (from 1) of each key of a policy, by the key as messages name it. Raises NiahError where one stands
    twice."""
    for name, key, value in _items(file, node, ""):
        yield name, key.start_mark.line + 1
        if name == "bounds" and isinstance(value, yaml.SequenceNode):
            for number, entry in enumerate(value.value):
                place = f"bounds[{number}]"
                yield place, entry.start_mark.line + 1
                yield from ((full, inner.start_mark.line + 1) for full, inner, _ in _items(file, entry, f"{place}."))
        else:
            yield f"policy.{name}", key.start_mark.line + 1


def _items(file: str, node: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    seen: set[str] = set()
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        name = f"{prefix}{key.value if isinstance(key, yaml.ScalarNode) else '?'}"
        if name in seen:
            raise NiahError(f"{file}:{key.start_mark.line + 1}: {name}: stands there twice; expected each key once")
        seen.add(name)
        yield name, key, value


def _typed(file: str, lines: dict[str, int], key: str, kind: type, node: Any) -> Any:
    """The node as an instance of its class. Raises NiahError with file, line and key."""
    if not isinstance(node, dict):
        got = reprlib.repr(node)
        raise NiahError(f"{file}:{lines.get(key, 1)}: {key}: got {got}; expected keys, as min_accuracy: 0.9")
    try:
        return config.typed(key, kind, {str(name): value for name, value in node.items()})[0]
    except NiahError as error:
        raise _placed(file, lines, key, str(error)) from error


def _placed(file: str, lines: dict[str, int], key: str, message: str) -> NiahError:
    """The error with file and line before it; what a class says of its own fields with the entry's number."""
    full = re.sub(r"^(bounds|policy)\.", f"{key}.", message)
    name = re.split(r"[:\s]", full, maxsplit=1)[0]
    line = lines.get(name) or lines.get(re.sub(r"\[\d+\]$", "", name)) or lines.get(key, 1)
    return NiahError(f"{file}:{line}: {full.replace('policy.', '')}")


def _bounds(file: str, lines: dict[str, int], number: int, node: Any) -> Iterator[Bound]:
    """The bounds of one entry, a kind each."""
    key = f"bounds[{number}]"
    entry: _Entry = _typed(file, lines, key, _Entry, node)
    given: dict[str, Any] = {
        ACCURACY: entry.min_accuracy, EFFECTIVE_LENGTH: entry.min_effective_length, LOSS: entry.max_loss,
        FAILURES: entry.max_failures, CALIBRATION: entry.calibration, PROMPTS: entry.prompts_sha256,
    }
    kinds = [kind for kind in KINDS if given[kind] is not None]
    if not kinds:
        raise _placed(file, lines, key, f"{key}: bounds nothing; expected one or more of {', '.join(KINDS)}")
    if entry.threshold is not None and EFFECTIVE_LENGTH not in kinds:
        raise _placed(
            file, lines, key, f"{key}.threshold: is that of min_effective_length, which this entry lacks; leave it out"
        )
    is_each = entry.lengths == [EACH]
    if wrong := [kind for kind in kinds if entry.lengths and kind not in _BY_LENGTH]:
        raise _placed(
            file, lines, key,
            f"{key}.lengths: {wrong[0]} is asked of no single length; expected an entry of its own, without lengths",
        )
    try:
        lengths = () if is_each else tuple(parse_length(one, f"{key}.lengths") for one in entry.lengths)
    except NiahError as error:
        raise _placed(file, lines, key, f"{error}, or {EACH} for every one") from error
    for kind in kinds:
        yield Bound(
            kind, given[kind], entry.tier, tuple(entry.task), entry.variant, lengths, is_each,
            RULER if entry.threshold is None else entry.threshold, lines[key],
        )

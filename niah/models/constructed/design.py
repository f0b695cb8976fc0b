"""What a constructed model is made of, in numbers: its layers, its reach and its scores."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from niah.errors import NiahError
from niah.models.constructed import SCHEME

CODE = 64
"""Signs in the code of a token and of an n-gram."""
HEAD = 128
"""Width of a head: 64 rotary pairs. Pair j turns by 2**-j a token: exact in float32 at every position to 2**24."""
THETA = 2.0**64
FAST = 24
"""Pairs that keep positions apart, up to 2**24 tokens; pairs from ``CODE // 2`` on stand still and carry codes."""
WEIGHTS = np.array([4.0] + [1.0] * (FAST - 1))
"""Weight of each fast pair in a position score: the first parts a token from its neighbours, each further one from
what is twice as far away."""
POSITION_NATS = 12.0
"""Nats of a position score per unit of ``WEIGHTS``."""
_KINDS = ("llama", "mistral", "llama4")


@dataclass(frozen=True)
class Design:
    """One model. ``kind`` is the architecture; ``steps`` how far back each hashing layer looks, in tokens, so that
    an n-gram has ``1 + sum(steps)``.

    ``window`` is the sliding window of all layers, ``chunk`` the local chunk of all but the last of each
    ``interval`` layers (Llama 4), both in tokens, 0 for none. ``bits`` of the hash count, each ``CODE // bits`` times;
    ``nats`` is the score of a matching n-gram, that of any other is spread around 0 with a standard deviation of
    ``nats / sqrt(bits)``. ``carrier`` is the size, relative to the signal, of what every key holds and the query
    cancels exactly: it makes rounding visible. ``heads`` is how many do the same work, each with keys and values of
    its own: what tensor parallelism divides. ``max_length`` is in tokens, and so is ``table_length``, what config.json
    says: an engine makes its table of rotary positions that long, 2.5 GiB for 10M.
    """

    name: str
    kind: str = "llama"
    steps: tuple[int, ...] = (1, 2, 2)
    window: int = 0
    chunk: int = 0
    interval: int = 0
    bits: int = CODE
    nats: float = 128.0
    carrier: float = 0.0
    max_length: int = 10_485_760
    table_length: int = 262_144
    heads: int = 1
    seed: int = 20_260_801

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise NiahError(
                f"calibration: unknown architecture; got {self.kind!r}; expected one of {', '.join(_KINDS)}"
            )
        if self.heads < 1:
            raise NiahError(f"calibration heads: got {self.heads}; expected at least 1")
        if self.nats <= 0:
            raise NiahError(f"calibration nats: got {self.nats:g}; expected a score above 0")

    @property
    def ngram(self) -> int:
        """Tokens that have to agree."""
        return 1 + sum(self.steps)

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return 288 if self.carrier else 256

    @property
    def layers(self) -> tuple[str | int, ...]:
        """What each layer does: a number of tokens to look back and hash, ``idle``, ``shift`` or ``copy``."""
        if not self.interval:
            return (*self.steps, "shift", "copy")
        room = self.interval - 1  # local layers before a global one
        first: list[str | int] = [*self.steps[:room]]
        rest: list[str | int] = [*self.steps[room:], "shift"]
        return (*first, *["idle"] * (room - len(first)), "idle", *rest, *["idle"] * (room - len(rest)), "copy")

    def is_local(self, layer: int) -> bool:
        """Whether a layer of a chunked model sees its own chunk alone."""
        return bool(self.interval) and (layer + 1) % self.interval != 0


def position_scores(distances: np.ndarray, step: int) -> np.ndarray:
    """Score in nats, float64, of a key ``distances`` tokens back for a head that looks ``step`` back."""
    turns = 2.0 ** -np.arange(FAST)
    scores: np.ndarray = POSITION_NATS * (np.cos((distances[:, None] - step) * turns) @ WEIGHTS)
    return scores


DESIGNS = {
    one.name: one
    for one in (
        Design("full"),
        Design("window_4k", kind="mistral", window=4096, max_length=262_144),
        Design("scout", kind="llama4", chunk=8192, interval=4),
        Design("margin", bits=CODE // 2, nats=24.0, carrier=12.0, max_length=1_048_576),
    )
}


def positions_at(path: str, length: int, longest: int) -> dict[str, Any]:
    """Engine arguments that give a constructed model ``longest`` rotary positions, up to its own limit, where
    ``length`` tokens are more than its config.json says; none for any other model's path."""
    wanted = design(path.removeprefix(SCHEME)) if path.startswith(SCHEME) else None
    if wanted is None or length <= wanted.table_length:
        return {}
    return {"hf_overrides": {"max_position_embeddings": min(wanted.max_length, longest)}}


def design(name: str) -> Design:
    """``full``, or with other settings ``margin@nats:12.5`` and ``margin@nats:12.5@carrier:8``."""
    base, _, words = name.partition("@")
    if base not in DESIGNS:
        raise NiahError(f"calibration:{base}: no such model; expected one of {', '.join(DESIGNS)}")
    changes: dict[str, Any] = {}
    for word in filter(None, words.split("@")):
        key, _, value = word.partition(":")
        if key not in ("nats", "carrier", "heads", "seed"):
            raise NiahError(f"calibration:{name}: unknown setting {key!r}; expected nats, carrier, heads or seed")
        try:
            changes[key] = int(value) if key in ("heads", "seed") else float(value)
        except ValueError as error:
            raise NiahError(f"calibration:{name}: {key} got {value!r}; expected a number") from error
    return replace(DESIGNS[base], **changes)

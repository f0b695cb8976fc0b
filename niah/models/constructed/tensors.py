"""The weights of a constructed model, float32, as its circuit wants them; no engine, no files.

The residual stream holds a token's code (TOKEN), the hash of the n-gram that ends with it (HASH), what a head has
just fetched (FETCHED), the copied code (COPIED), a constant and whether the token ends a sentence (END).
"""

from collections.abc import Iterator

import numpy as np

from niah.models.constructed import codes
from niah.models.constructed.design import CODE, FAST, HEAD, POSITION_NATS, WEIGHTS, Design

TOKEN, HASH, FETCHED = slice(0, 64), slice(64, 128), slice(128, 192)
COPIED, CONSTANT, END, CARRIER = slice(192, 254), 254, 255, slice(256, 288)
INNER = 3 * CODE
_LEVEL = 8.0  # of the constant and of END
_KEY = 8.0  # of a position key: keeps queries far below the 448 of an e4m3 query
_GATE = 16.0  # SiLU is the identity above and 0 below
_COPY = 4.0
_LOGIT, _STOP = 1.0, 64.0
_EXPERTS = 2

Weights = dict[str, np.ndarray]


def tensors(design: Design, vocabulary: int, is_end: np.ndarray, stop: int) -> Iterator[tuple[str, np.ndarray]]:
    """(name, weight) in Hugging Face's names. ``is_end``: bool (vocabulary,), tokens after which the model stops."""
    yield "model.embed_tokens.weight", embeddings(design, vocabulary, is_end)
    hashing = iter(codes.orders(design))
    for number, role in enumerate(design.layers):
        order = next(hashing) if isinstance(role, int) else np.arange(CODE)
        for name, weight in layer(design, role, order).items():
            yield f"model.layers.{number}.{name}", weight
    yield "model.norm.weight", np.ones(design.hidden, np.float32)
    head = np.zeros((vocabulary, design.hidden), np.float32)
    head[:, COPIED] = _LOGIT * codes.token_codes(vocabulary, design.seed)[:, : CODE - 2]
    head[stop] = 0
    head[stop, END] = _STOP
    yield "lm_head.weight", head


def embeddings(design: Design, vocabulary: int, is_end: np.ndarray) -> np.ndarray:
    """float32 (vocabulary, hidden); all rows have the same length."""
    made = np.zeros((vocabulary, design.hidden), np.float32)
    made[:, TOKEN] = made[:, HASH] = codes.token_codes(vocabulary, design.seed)
    made[:, CONSTANT] = _LEVEL
    made[:, END] = np.where(is_end, _LEVEL, -_LEVEL)
    if design.carrier:
        made[:, CARRIER] = codes.carriers(vocabulary, design.seed)
    return made


def layer(design: Design, role: str | int, order: np.ndarray) -> Weights:
    """One layer's weights; all zero where it is idle."""
    hidden = design.hidden
    made = {
        "input_layernorm.weight": np.ones(hidden, np.float32),
        "post_attention_layernorm.weight": np.ones(hidden, np.float32),
        "self_attn.q_proj.weight": np.zeros((HEAD, hidden), np.float32),
        "self_attn.k_proj.weight": np.zeros((HEAD, hidden), np.float32),
        "self_attn.v_proj.weight": np.zeros((HEAD, hidden), np.float32),
        "self_attn.o_proj.weight": np.zeros((hidden, HEAD), np.float32),
    }
    gate, up = np.zeros((2, INNER, hidden), np.float32)
    feed = gate, up, np.zeros((hidden, INNER), np.float32)
    if role == "copy":
        _copying(design, made, _norm(design, fetched=True))
    elif role != "idle":
        _looking_back(made, 1 if role == "shift" else int(role), order, _norm(design, fetched=False))
        if role != "shift":
            feed = _product(design, _norm(design, fetched=True))
    made.update(_experts(feed) if design.kind == "llama4" else dict(zip(_DENSE, feed, strict=True)))
    if design.kind == "llama4":
        for name in ("self_attn.q_proj.weight", "self_attn.k_proj.weight"):  # its files interleave rotary pairs
            made[name] = made[name].reshape(2, HEAD // 2, hidden).transpose(1, 0, 2).reshape(HEAD, hidden)
    for name in "qkv":
        made[f"self_attn.{name}_proj.weight"] = np.tile(made[f"self_attn.{name}_proj.weight"], (design.heads, 1))
    output = np.tile(made["self_attn.o_proj.weight"], (1, design.heads))
    made["self_attn.o_proj.weight"] = output / np.float32(design.heads)
    return made


_DENSE = ("mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight")


def _norm(design: Design, *, fetched: bool) -> float:
    """What RMSNorm multiplies with: the stream's length is the same at all tokens."""
    squares = (3 if fetched else 2) * CODE + 2 * _LEVEL**2 + (CODE // 2 if design.carrier else 0)
    return float(np.sqrt(design.hidden / squares))


def _looking_back(made: Weights, step: int, order: np.ndarray, norm: float) -> None:
    """Fetches HASH from ``step`` tokens back.

    The score sums weights * cos((distance - step) * turn) over the fast pairs.
    """
    turns = 2.0 ** -np.arange(FAST)
    query = POSITION_NATS * np.sqrt(HEAD) / _KEY * WEIGHTS
    q, k, v, o = (made[f"self_attn.{name}_proj.weight"] for name in "qkvo")
    q[:FAST, CONSTANT] = query * np.cos(step * turns) / (_LEVEL * norm)
    q[HEAD // 2 : HEAD // 2 + FAST, CONSTANT] = -query * np.sin(step * turns) / (_LEVEL * norm)
    k[:FAST, CONSTANT] = _KEY / (_LEVEL * norm)
    signs = np.arange(CODE)
    v[signs, HASH.start + signs] = 1 / norm
    o[FETCHED.start + signs, order] = 1.0


def _product(design: Design, norm: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HASH becomes HASH * FETCHED, sign by sign, and FETCHED 0: a*b = 2 relu(a) b - b for signs."""
    gate, up = np.zeros((2, INNER, design.hidden), np.float32)
    down = np.zeros((design.hidden, INNER), np.float32)
    signs = np.arange(CODE)
    gate[signs, HASH.start + signs] = _GATE / norm
    gate[CODE:, CONSTANT] = _GATE / (_LEVEL * norm)
    up[signs, FETCHED.start + signs] = up[CODE + signs, FETCHED.start + signs] = 1 / norm
    up[2 * CODE + signs, HASH.start + signs] = 1 / norm
    down[HASH.start + signs, signs] = 2 / _GATE
    down[HASH.start + signs, CODE + signs] = down[HASH.start + signs, 2 * CODE + signs] = -1 / _GATE
    down[FETCHED.start + signs, CODE + signs] = -1 / _GATE
    return gate, up, down


def _copying(design: Design, made: Weights, norm: float) -> None:
    """Matches the n-gram that ends here with those that ended before each token, and copies that token's code."""
    q, k, v, o = (made[f"self_attn.{name}_proj.weight"] for name in "qkvo")
    bit = np.arange(CODE) % design.bits
    still = np.concatenate([np.arange(CODE // 2) + CODE // 2, np.arange(CODE // 2) + HEAD - CODE // 2])
    q[still, HASH.start + bit] = design.nats / CODE * np.sqrt(HEAD) / norm
    k[still, FETCHED.start + bit] = 1 / norm
    if design.carrier:
        half = np.arange(CODE // 2)
        k[still[: CODE // 2], CARRIER.start + half] = design.carrier / norm
        k[still[CODE // 2 :], CARRIER.start + half] = -design.carrier / norm
    signs = np.arange(CODE - 2)
    v[signs, TOKEN.start + signs] = 1 / norm
    o[COPIED.start + signs, signs] = _COPY


def _experts(feed: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Weights:
    """The same work by whichever expert the first sign of the token's code picks; the shared one does nothing."""
    gate, up, down = feed
    hidden = gate.shape[1]
    router = np.zeros((_EXPERTS, hidden), np.float32)
    router[:, TOKEN.start] = (64.0, -64.0)
    return {
        "feed_forward.router.weight": router,
        "feed_forward.experts.gate_up_proj": np.repeat(np.concatenate([gate, up]).T[None], _EXPERTS, axis=0),
        "feed_forward.experts.down_proj": np.repeat(down.T[None], _EXPERTS, axis=0),
        "feed_forward.shared_expert.gate_proj.weight": np.zeros_like(gate),
        "feed_forward.shared_expert.up_proj.weight": np.zeros_like(up),
        "feed_forward.shared_expert.down_proj.weight": np.zeros_like(down),
    }

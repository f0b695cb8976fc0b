"""A constructed model's weights through ordinary float64 attention: what its circuit is checked against."""

import numpy as np

from niah.models.constructed import tensors
from niah.models.constructed.circuit import Circuit
from niah.models.constructed.design import HEAD, THETA


def forward(circuit: Circuit, is_end: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Residual stream after the last layer and logits, float64 (tokens, ...)."""
    design = circuit.design
    named = tensors.tensors(design, circuit.vocabulary, is_end, circuit.stop)
    weights = {name: made.astype(np.float64) for name, made in named}
    stream = weights["model.embed_tokens.weight"][ids]
    place = np.arange(len(ids))
    for number in range(len(design.layers)):
        prefix = f"model.layers.{number}."
        own = {name.removeprefix(prefix): made for name, made in weights.items() if name.startswith(prefix)}
        is_global = bool(design.interval) and not design.is_local(number)
        stream = stream + attention(design, own, norm(stream), place, is_global=is_global)
        stream = stream + feed_forward(own, norm(stream))
    return stream, norm(stream) @ weights["lm_head.weight"].T


def norm(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-6)


def attention(design, own, x, place, *, is_global: bool) -> np.ndarray:
    q, k, v = (x @ own[f"self_attn.{name}_proj.weight"].T for name in "qkv")
    parts = [part.reshape(len(x), design.heads, HEAD) for part in (q, k, v)]
    heads = [
        head(design, *(part[:, number] for part in parts), place, is_global=is_global) for number in range(design.heads)
    ]
    return np.concatenate(heads, axis=1) @ own["self_attn.o_proj.weight"].T


def head(design, q, k, v, place, *, is_global: bool) -> np.ndarray:
    if design.kind == "llama4":  # vLLM puts its files' interleaved rotary pairs side by side
        q, k = (part.reshape(-1, HEAD // 2, 2).transpose(0, 2, 1).reshape(-1, HEAD) for part in (q, k))
    if not is_global:
        q, k = rotated(q, place), rotated(k, place)
    else:
        q = q * (1 + 0.1 * np.log(np.floor((place + 1) / 8192) + 1))[:, None]
    scores = q @ k.T / np.sqrt(HEAD)
    visible = place[None] <= place[:, None]
    if design.window:
        visible &= place[:, None] - place[None] < design.window
    if design.chunk and not is_global:
        visible &= place[:, None] // design.chunk == place[None] // design.chunk
    scores = np.where(visible, scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True) @ v


def rotated(x: np.ndarray, place: np.ndarray) -> np.ndarray:
    turn = place[:, None] * THETA ** (-2 * np.arange(HEAD // 2) / HEAD)
    one, two = x[:, : HEAD // 2], x[:, HEAD // 2 :]
    return np.concatenate([one * np.cos(turn) - two * np.sin(turn), two * np.cos(turn) + one * np.sin(turn)], axis=1)


def feed_forward(own, x: np.ndarray) -> np.ndarray:
    if "mlp.gate_proj.weight" in own:
        return mlp(x, own["mlp.gate_proj.weight"].T, own["mlp.up_proj.weight"].T, own["mlp.down_proj.weight"].T)
    routed = x @ own["feed_forward.router.weight"].T
    made = np.zeros_like(x)
    for token, expert in enumerate(routed.argmax(axis=1)):
        gate, up = np.split(own["feed_forward.experts.gate_up_proj"][expert], 2, axis=1)
        share = 1 / (1 + np.exp(-routed[token, expert]))
        made[token] = mlp(share * x[token : token + 1], gate, up, own["feed_forward.experts.down_proj"][expert])[0]
    return made


def mlp(x: np.ndarray, gate: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
    z = x @ gate
    return (z / (1 + np.exp(-np.clip(z, -700, 700))) * (x @ up)) @ down

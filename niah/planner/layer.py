"""One layer of a model in numbers: what it keeps of a token, and its parameters by kind."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One layer. ``kind`` is full, sliding, chunked, state (linear attention) or feed_forward (no attention at all);
    ``window`` its tokens. ``has_sinks``: its softmax counts a learned weight for each head beside the tokens.

    With ``index_heads`` of ``index_width`` an indexer reads all tokens, and attention the ``selected`` ones alone.

    ``latent`` values a token are cached instead of heads (MLA); ``owns_cache`` is false where the layer
    reads another one's. Counts of parameters: ``heads_parameters`` are split by query heads,
    ``cache_parameters`` by key-value heads, ``whole_parameters`` are on every GPU. ``expert_bias_parameters`` are those
    of experts that no format quantizes.
    """

    kind: str
    heads: int
    kv_heads: int
    key_width: int
    value_width: int
    window: int = 0
    latent: int = 0
    index_bytes: int = 0
    index_heads: int = 0
    index_width: int = 0
    selected: int = 0
    state_values: tuple[int, int] = (0, 0)  # convolution (model dtype), recurrent state (float32)
    states: int = 2  # that a request keeps where prefixes are cached (kv.Layers)
    owns_cache: bool = True
    has_sinks: bool = False
    heads_parameters: int = 0
    cache_parameters: int = 0
    whole_parameters: int = 0
    mlp_parameters: int = 0
    expert_parameters: int = 0
    expert_bias_parameters: int = 0
    active_expert_parameters: int = 0

    @property
    def attends(self) -> bool:
        """Whether it looks back at tokens, each with keys and values of its own."""
        return self.kind not in ("state", "feed_forward")

    @property
    def num_parts(self) -> int:
        """Attention (or a state), and what each token passes alone: GPUs that share a layer talk after each."""
        return (self.kind != "feed_forward") + bool(self.mlp_parameters or self.expert_parameters)

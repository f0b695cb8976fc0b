"""Whether what serves is what was asked for: vLLM may take another kernel with no more than a warning."""

from collections.abc import Mapping
from typing import Any

from niah.planner.serving import Wish

_BESIDE = "INDEXER"
"""Layers that choose what sparse MLA reads have a kernel of their own beside the one that was named."""


def difference(wish: Wish, served: Mapping[str, Any]) -> str:
    """One line where attention backend or version of FlashAttention are not those of ``wish``; empty where they are,
    or where the workers could not be asked (then rows say "unknown")."""
    names, version = served.get("attention_backend"), served.get("flash_attn_version")
    found = {name for name in str(names or "unknown").split("+") if _BESIDE not in name}
    if wish.backend and "unknown" not in found and found != {wish.backend}:
        return f"engine.attention={wish.backend}: vLLM serves with {'+'.join(sorted(found))}; {_AT_ALL}"
    if wish.flash_attn_version and version != "unknown" and version != wish.flash_attn_version:
        serves = f"FlashAttention {version}" if version else f"{names}, without FlashAttention"
        return f"engine.flash_attn_version={wish.flash_attn_version}: vLLM serves with {serves}; {_AT_ALL}"
    return ""


_AT_ALL = "nothing is measured under a name that is not its own: take what serves, or none for vLLM's own choice"

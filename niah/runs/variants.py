"""The engine settings that one run compares: the same prompts under each KV dtype, attention backend and version."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from niah.config import Run
from niah.engines import Engine, KVCache


@dataclass(frozen=True)
class Variant:
    """``name`` labels rows: the KV cache's, and the attention's where there are several."""

    name: str
    kv: KVCache
    engine: Engine

    def of(self, run: Run) -> Run:
        """The run with this variant alone."""
        return replace(run, kv=self.kv, engine=self.engine)


def variants(run: Run) -> list[Variant]:
    """In the order in which they run: the first is what the others are compared with."""
    backends: Sequence[str | None] = run.engine.attention or [None]
    versions: Sequence[int | None] = run.engine.flash_attn_version or [None]
    found = []
    for kv, backend, version in product(run.kv.each(), backends, versions):
        changed: dict[str, list[Any]] = {}
        parts = [kv.name]
        if backend:
            changed["attention"] = [backend]
            parts += [backend] if len(backends) > 1 else []
        if version:
            changed["flash_attn_version"] = [version]
            parts += [f"FA{version}"] if len(versions) > 1 else []
        found.append(Variant(" ".join(parts), kv, replace(run.engine, **changed) if changed else run.engine))
    return found

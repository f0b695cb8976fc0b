"""The engine settings that one run compares: the same prompts under each KV dtype, speculation, attention backend."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from niah.config import Run
from niah.engines import Engine, KVCache
from niah.models.speculation import Speculation


@dataclass(frozen=True)
class Variant:
    """``name`` labels rows: the KV cache's, what drafts tokens, and the attention's where there are several."""

    name: str
    kv: KVCache
    spec: Speculation
    engine: Engine

    def of(self, run: Run) -> Run:
        """The run with this variant alone."""
        return replace(run, kv=self.kv, spec=self.spec, engine=self.engine)


def variants(run: Run) -> list[Variant]:
    """In the order in which they run: the first is what the others are compared with."""
    backends: Sequence[str | None] = run.engine.attention or [None]
    versions: Sequence[int | None] = run.engine.flash_attn_version or [None]
    found = []
    for kv, spec, backend, version in product(run.kv.each(), run.spec.each(), backends, versions):
        changed: dict[str, list[Any]] = {}
        parts = [kv.name, *([spec.name] if spec.is_on else [])]
        if backend:
            changed["attention"] = [backend]
            parts += [backend] if len(backends) > 1 else []
        if version:
            changed["flash_attn_version"] = [version]
            parts += [f"FA{version}"] if len(versions) > 1 else []
        found.append(Variant(" ".join(parts), kv, spec, replace(run.engine, **changed) if changed else run.engine))
    return found

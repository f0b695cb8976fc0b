"""What one run compares: the same prompts under each KV dtype, speculation, attention backend, budget of thinking."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from niah.config import Run
from niah.engines import Engine, KVCache
from niah.models.speculation import Speculation
from niah.units import format_length


@dataclass(frozen=True)
class Variant:
    """``name`` labels rows: the KV cache's, what drafts tokens, the attention's where there are several, and the tokens
    of thinking where there are budgets."""

    name: str
    kv: KVCache
    spec: Speculation
    engine: Engine
    thinking_budget: int | None = None

    def of(self, run: Run) -> Run:
        """The run with this variant alone; prompts keep the room for the largest budget of thinking."""
        model = run.model
        if self.thinking_budget is not None:
            model = replace(model, thinking_budget=model.thinking_room, thinking_budgets=[self.thinking_budget])
        return replace(run, model=model, kv=self.kv, spec=self.spec, engine=self.engine)


def variants(run: Run) -> list[Variant]:
    """In the order in which they run: the first is what the others are compared with."""
    backends: Sequence[str | None] = run.engine.attention or [None]
    versions: Sequence[int | None] = run.engine.flash_attn_version or [None]
    found = []
    budgets: Sequence[int | None] = run.model.thinking_budgets or [None]
    each = product(run.kv.each(), run.spec.each(), backends, versions, budgets)
    for kv, spec, backend, version, budget in each:
        changed: dict[str, list[Any]] = {}
        parts = [kv.name, *([spec.name] if spec.is_on else [])]
        if backend:
            changed["attention"] = [backend]
            parts += [backend] if len(backends) > 1 else []
        if version:
            changed["flash_attn_version"] = [version]
            parts += [f"FA{version}"] if len(versions) > 1 else []
        if budget is not None:
            parts.append(f"think {format_length(budget)}")
        engine = replace(run.engine, **changed) if changed else run.engine
        found.append(Variant(" ".join(parts), kv, spec, engine, budget))
    return found

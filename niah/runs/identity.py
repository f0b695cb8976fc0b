"""What makes two commands the same run: all that decides a prompt and its answer, and not how many are asked."""

from collections.abc import Mapping
from typing import Any

from niah import config
from niah.grid import APART, GROWING, Ladder
from niah.limits import identity
from niah.models.speculation import Speculation

_OF_THE_TEXT = ("haystack_sha256", "haystack_tokens", "haystack_documents", "haystack_skipped")
_OF_THE_LICENCE = ("haystack_licence", "model_licence", "model_notices")


def of(content: Mapping[str, Any]) -> dict[str, Any]:
    """``content``, settings as ``config.deciding`` has them, without lengths, depths, repeats, KV dtypes and
    speculation, which join a run (where contexts are shared, those of them that do not decide what stands in one:
    grid.GROWING). What an engine is told for long prompts alone, for every prompt, stays: such a ladder is another
    run's."""
    kept = {key: value for key, value in content.items() if key not in ("ctx", "kv", "spec")}
    ladder, model = content.get("ctx", {}), content.get("model", {})
    growing = GROWING.get(ladder.get("share", APART), ())
    if own := {key: value for key, value in identity(Ladder, ladder).items() if key not in growing}:
        kept["ctx"] = own
    if model.get("extended_args") or model.get("extended_environment"):
        longest, limit = max(ladder.get("lengths") or [0]), model.get("max_length", 0)
        kept["ctx"] = {**kept.get("ctx", {}), "is_above_max_length": longest > limit}
    return kept


def caches(kv: Mapping[str, Any]) -> dict[str, Any]:
    """The type of each KV cache by its name: a run has one of a name."""
    each = [kv, *(kv.get("also") or ())]
    return {f"kv.{one.get('name')}": one.get("dtype") for one in each}


def speculations(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of each speculation by its name: a run has one of a name."""
    return {f"spec.{one.name}": one.plain() for one in config.typed("spec", Speculation, dict(spec))[0].each()}


def labelled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's settings give each name that labels its rows."""
    return {**caches(settings.get("kv", {})), **speculations(settings.get("spec", {}))}


def of_sources(sources: Mapping[str, Any], *, is_endless: bool) -> dict[str, Any]:
    """Digests of what prompts are made from, without what is said of licences. Of an ``is_endless`` haystack as much is
    made as the longest length needs, so that its text is no part."""
    left_out = (*_OF_THE_LICENCE, *(_OF_THE_TEXT if is_endless else ()))
    return {key: value for key, value in sources.items() if key not in left_out}

"""The trials of a page, column by column, deflated in blocks that the page opens when they are asked for."""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from niah.records import Row
from niah.report.page.numbers import Shown, of_json

COLUMNS = (
    "trial", "length", "depth", "repeat", "outcome", "score", "response", "answer", "targets", "error", "logprob",
    "worst_rank", "margin", "num_prompt_tokens", "num_cached_tokens", "num_completion_tokens", "seconds",
    "first_token_seconds", "finish_reason", "needle_spans", "needles_retrieved", "retrieved", "route", "thinking",
    "num_thinking_tokens", "ended_in", "not_graded", "prompt_sha256",
)
"""Of a row, those that the page shows."""
MAX_TEXT = 20_000
"""Characters of a response or a thought on the page; rows.jsonl has all of it."""
MAX_CHUNKS = 100
"""Retrieved chunks of a trial on the page."""
_TEXTS = ("response", "answer", "error", "thinking", "not_graded")


def blocks(shown: Sequence[Shown], excerpts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Deflated JSON as base64 by the block's name: ``t-RUN-LENGTH`` the trials of a run (its place on the page) at a
    length, ``x-LENGTH`` what was written of their prompts, by sha256, once for all that share a prompt."""
    found: dict[str, str] = {}
    seen: dict[int, dict[str, Mapping[str, Any]]] = {}
    for number, one in enumerate(shown):
        for length, rows in _by_length(one.rows).items():
            found[f"t-{number}-{length}"] = deflated(_columns(rows))
            own = seen.setdefault(length, {})
            own |= {row.prompt_sha256: excerpts[row.prompt_sha256] for row in rows if row.prompt_sha256 in excerpts}
    return found | {f"x-{length}": deflated(own) for length, own in seen.items() if own}


def deflated(content: Any) -> str:
    """JSON, raw deflate (RFC 1951), base64: what a browser's DecompressionStream opens."""
    text = json.dumps(of_json(content), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = packer.compress(text.encode("utf-8", "surrogatepass")) + packer.flush()
    return base64.b64encode(data).decode("ascii")


def _by_length(rows: Iterable[Row]) -> dict[int, list[Row]]:
    parts: dict[int, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.length, []).append(row)
    return dict(sorted(parts.items()))


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """One list a column, in the order of trials; what all rows have empty is left out."""
    ordered = sorted((_shown(row) for row in rows), key=lambda row: row["trial"])
    columns = {name: [row[name] for row in ordered] for name in COLUMNS}
    always = ("trial", "length", "depth", "repeat", "outcome", "score", "response", "targets")
    return {name: values for name, values in columns.items() if name in always or any(values)}


def _shown(row: Row) -> dict[str, Any]:
    """The row's fields that the page shows, long texts cut."""
    values = vars(row)
    shown = {name: values[name] for name in COLUMNS}
    for name in _TEXTS:
        shown[name] = _text(shown[name])
    shown["targets"] = [_text(target) for target in row.targets]
    shown["retrieved"] = row.retrieved[:MAX_CHUNKS]
    return shown


def _text(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} … and {len(text) - MAX_TEXT:,} characters more"

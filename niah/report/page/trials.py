"""The trials of a page, column by column, deflated in blocks that the page opens when they are asked for."""

import base64
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from niah.records import Row
from niah.report.page.numbers import Shown

COLUMNS = (
    "trial", "length", "depth", "repeat", "outcome", "score", "response", "answer", "targets", "error", "logprob",
    "worst_rank", "margin", "num_prompt_tokens", "num_cached_tokens", "num_completion_tokens", "seconds",
    "needle_spans", "needles_kept", "needles_retrieved", "retrieved", "route", "thinking", "num_thinking_tokens",
    "ended_in", "not_graded", "num_drafts", "num_draft_tokens", "num_accepted_tokens", "beside",
    "prompt_sha256",
)
"""Of a row, those that the page shows."""
_VALUES = attrgetter(*COLUMNS)
MAX_TEXT = 20_000
"""Characters of a response or a thought on the page; rows.jsonl has all of it."""
_SHA = 16
"""Hexadecimal digits of a prompt's sha256 that tell the prompts of a page apart."""
MAX_CHUNKS = 100
"""Retrieved chunks of a trial on the page."""
_WITHOUT_SHA = re.compile(r'\{"prompt_sha256":"[0-9a-f]{64}",')
_LEVEL, _FAST, _MANY = 6, 1, 20_000
"""zlib's levels, and the trials from which a page is packed fast instead of small."""
_TEXTS = ("response", "answer", "error", "thinking", "not_graded")


def blocks(shown: Sequence[Shown], excerpts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Deflated JSON as base64 with the block's name: ``t-RUN-LENGTH`` the trials of a run (its place on the page) at a
    length, ``x-LENGTH`` what was written of their prompts, by sha256, once for all that share a prompt.

    ``excerpts`` are lines of JSON, put into the page as they are and looked at there.
    """
    level = _LEVEL if sum(len(one.rows) for one in shown) <= _MANY else _FAST
    seen: dict[int, dict[str, str]] = {}
    for number, one in enumerate(shown):
        for length, rows in _by_length(one.rows).items():
            yield f"t-{number}-{length}", deflated(_columns(rows), level)
            own = seen.setdefault(length, {})
            for row in rows:
                if (text := excerpts.get(row.prompt_sha256)) is not None:
                    own[row.prompt_sha256[:_SHA]] = _WITHOUT_SHA.sub("{", text, count=1)
    for length, own in seen.items():
        if own:
            yield f"x-{length}", deflated(own, level)


def deflated(content: Any, level: int = _LEVEL) -> str:
    """JSON, raw deflate (RFC 1951), base64: what a browser's DecompressionStream opens."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
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
    shown: dict[str, Any] = dict(zip(COLUMNS, _VALUES(row), strict=True))
    for name in _TEXTS:
        shown[name] = _text(shown[name])
    shown["targets"] = [_text(target) for target in row.targets]
    shown["retrieved"] = row.retrieved[:MAX_CHUNKS]
    shown["prompt_sha256"] = row.prompt_sha256[:_SHA]
    return shown


def _text(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} … and {len(text) - MAX_TEXT:,} characters more"

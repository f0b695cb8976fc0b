"""What an answer costs: tokens read, seconds, dollars."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from niah.records import Row

Price = Callable[[int], float]
"""Dollars of reading one cold prompt of that many tokens."""


@dataclass(frozen=True)
class Cost:
    """Per answer, over ``n`` of them; NaN where nothing was measured.

    ``tokens`` is the mean number read in all steps, ``share`` the same of what the whole contexts have, ``cached``
    the share of it that came from the prefix cache, of the answers of which that is known. ``first_token_seconds``
    is the median of retrieval and engine together. ``index_once_seconds`` is the longest time a context's index
    took (made or loaded), ``index_seconds`` the median. ``dollars`` are for cold prompts.
    """

    n: int
    tokens: float
    share: float
    cached: float
    first_token_seconds: float
    retrieval_seconds: float
    index_once_seconds: float
    index_seconds: float
    dollars: float


def cost(rows: Sequence[Row], answer_tokens: int, price: Price | None) -> Cost:
    """Answered trials alone."""
    found = [row for row in rows if row.is_answered]
    if not found:
        return Cost(0, *[math.nan] * 8)
    read = sum(row.num_prompt_tokens for row in found)
    told = [(row.num_cached_tokens, row.num_prompt_tokens) for row in found if row.num_cached_tokens is not None]
    begun = [row.retrieval_seconds + row.first_token_seconds for row in found if row.first_token_seconds is not None]
    indexed = [row.index_seconds for row in found]
    dollars = sum(price(num) for row in found for num in _prompts(row, answer_tokens)) if price else math.nan
    return Cost(
        n=len(found),
        tokens=read / len(found),
        share=read / sum(row.length - answer_tokens for row in found),
        cached=sum(num for num, _ in told) / sum(whole for _, whole in told) if told else math.nan,
        first_token_seconds=float(np.median(begun)) if begun else math.nan,
        retrieval_seconds=float(np.median([row.retrieval_seconds for row in found])),
        index_once_seconds=max(indexed),
        index_seconds=float(np.median(indexed)),
        dollars=dollars / len(found),
    )


def _prompts(row: Row, answer_tokens: int) -> list[int]:
    """Tokens of each prompt of a trial: a reader that went on to the whole context sent two."""
    if row.route != "long":
        return [row.num_prompt_tokens]
    whole = row.length - answer_tokens
    return [row.num_prompt_tokens - whole, whole] if row.num_prompt_tokens > whole else [row.num_prompt_tokens]

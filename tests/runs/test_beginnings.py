"""Tokens that need computing, against a trie of blocks made in the plainest way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from niah.records import EngineFacts, RunSession
from niah.runs.beginnings import Beginnings
from niah.stats.computed_tokens import Tokens, of_sessions

BLOCK = 4


def of_a_trie(prompts: list[list[int]]) -> int:
    """Tokens of all different beginnings of whole blocks, and of what stands behind a prompt's last one. A prompt that
    ends with a block computes that one again: its last token has to be."""
    seen: set[tuple[int, ...]] = set()
    total = 0
    for ids in prompts:
        usable = (len(ids) - 1) // BLOCK
        starts = [tuple(ids[: BLOCK * (number + 1)]) for number in range(len(ids) // BLOCK)]
        held = next((number for number, start in enumerate(starts) if start not in seen), len(starts))
        total += len(ids) - BLOCK * min(held, usable)
        seen.update(starts)
    return total


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=18), min_size=1, max_size=8))
def test_as_a_trie_of_blocks(prompts):
    made = Beginnings(BLOCK)
    assert sum(made.needed(0, np.array(ids, dtype=np.int32)) for ids in prompts) == of_a_trie(prompts)


def test_repeats_are_apart_and_the_oldest_goes():
    made, ids = Beginnings(BLOCK, num_repeats=2), np.arange(9, dtype=np.int32)
    assert [made.needed(repeat, ids) for repeat in (0, 1, 0, 1, 2, 0)] == [9, 9, 1, 1, 9, 9]


def test_sums_over_sessions_and_what_is_said():
    sessions = [
        RunSession(tokens={"bf16": {"sent": 100, "computed": 40, "needed": 40}}),
        RunSession(), RunSession(tokens={"bf16": {"sent": 50, "computed": 60, "needed": 40}, "fp8": {"sent": 0}}),
    ]
    found = of_sessions(sessions)
    assert found["bf16"] == Tokens(150, 100, 80) and found["bf16"].ratio == 1.25
    assert "1.25 of the 80" in found["bf16"].sentence() and "which cost 20 tokens" in found["bf16"].sentence()
    assert not found["fp8"].sentence() and "cost" not in Tokens(10, 8, 8).sentence()


@pytest.mark.parametrize(
    ("told", "size"),
    [
        (16, 16), ("16", 16), ("128", 128), (0, None), ("-16", None), ("16.0", None), (None, None), ("9" * 5000, None),
        ("²", None),
    ],
)
def test_a_block_size_from_elsewhere_is_a_number_or_none(told, size):
    assert EngineFacts({"block_size": told}).block_size == size
    assert EngineFacts({}).block_size is None

"""The search that makes a failing trial smaller: known faults, exact ends, few questions."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from niah.commands.shrink.reduction import Reduction, Spent
from niah.commands.shrink.shape import Shape

START = Shape((5000, 3000), 24, 40, 32, earlier=(6000, 7000, 8000))


def total(shape: Shape) -> int:
    return shape.head + sum(shape.gaps) + 20 + shape.tail


def reduced(fails, **more) -> Reduction:
    found = Reduction(START, lambda shape, words: fails(shape))
    found.run(**more)
    return found


def needs_frame(shape: Shape) -> bool:
    return shape.head >= 3 and shape.tail >= 9 and shape.max_tokens >= 5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 5000))
def test_borders_are_found_to_the_token_with_few_questions(after, before):
    found = reduced(lambda shape: shape.gaps[1] >= after and shape.gaps[0] >= before and needs_frame(shape))
    assert found.best == Shape((before, after), 3, 9, 5, bool(before or after), (0, 0, 0)) and found.is_finished
    assert len(found.known) < 260


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 16), st.integers(0, 6000))
def test_a_period_of_the_length_is_kept_and_named(period, least):
    residue = total(START) % period
    found = reduced(lambda shape: total(shape) % period == residue and total(shape) >= least)
    assert total(found.best) < max(least, 21) + period  # the shortest one of its residue
    around = dict(found.around())
    for more in (1, 2, 3, 4):
        assert around[more] is (more % period == 0)
    assert len(found.known) < 500


@pytest.mark.parametrize(("fails", "expected"), [
    (lambda shape: True, Shape((0, 0), 0, 1, 1, False, (0, 0, 0))),
    (lambda shape: shape.earlier[1] >= 640, Shape((0, 0), 0, 1, 1, False, (0, 640, 0))),
    (lambda shape: sum(shape.gaps) >= 700, Shape((0, 700), 0, 1, 1, True, (0, 0, 0))),
    (lambda shape: not shape.is_plain and shape.gaps[0] >= 1, Shape((1, 0), 0, 1, 1, False, (0, 0, 0))),
])
def test_what_a_fault_does_not_need_goes(fails, expected):
    assert reduced(fails).best == expected


def test_without_a_control_question_and_answer_stay():
    found = reduced(lambda shape: shape.gaps[1] >= 10, has_control=False).best
    assert found == Shape((0, 10), 24, 40, 32, True, (0, 0, 0))


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 200))
def test_whatever_fails_it_ends_small_failing_and_the_same(random, most):
    chances: dict[Shape, bool] = {}

    def fails(shape: Shape) -> bool:
        return chances.setdefault(shape, random.random() < 0.4)

    def run() -> Reduction:
        found = Reduction(START, lambda shape, words: fails(shape), most=most)
        try:
            found.run()
        except Spent:
            assert not found.is_finished
        return found

    first, second = run(), run()
    assert first.best == second.best and first.known == second.known and len(first.known) <= most + 1
    assert first.best == START or chances[first.best]
    assert first.best.max_tokens <= 32 and first.best.head <= 24


def test_a_stop_leaves_the_best_so_far():
    asked = []

    def fails(shape: Shape, words: str) -> bool:
        asked.append(shape)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return shape.gaps[1] >= 100 and shape.num_earlier == 0

    found = Reduction(START, fails)
    with pytest.raises(KeyboardInterrupt):
        found.run()
    assert found.best == replace(START, earlier=(0, 0, 0)) or found.best.num_earlier == 0
    assert not found.is_finished

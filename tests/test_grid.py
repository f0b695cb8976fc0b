import numpy as np
import pytest

from niah import grid
from niah.errors import NiahError
from niah.grid import Ladder


def test_grid_is_numbered_for_people():
    trials = grid.trials(Ladder(lengths=[2048, 1024], depths=[100.0, 0.0], repeats=2))
    assert [(t.index, t.repeat, t.length, t.depth) for t in trials[:5]] == [
        (0, 0, 1024, 0), (1, 0, 1024, 100), (2, 0, 2048, 0), (3, 0, 2048, 100), (4, 1, 1024, 0),
    ]


def test_without_depth_a_repeat_has_one_trial_a_length():
    trials = grid.trials(Ladder(lengths=[1024, 2048], depths=[0.0, 50.0], repeats=3), has_depth=False)
    assert [(t.repeat, t.length) for t in trials] == [(r, n) for r in range(3) for n in (1024, 2048)]


@pytest.mark.parametrize("placement", grid.PLACEMENTS)
def test_first_needle_is_at_the_depth_and_the_others_stay(placement):
    one, other = (grid.needle_depths(depth, 4, placement, grid.generator(0, 1, "depths")) for depth in (30.0, 70.0))
    assert one[0] == 30 and other[0] == 70 and len(one) == 4 and all(0 <= depth <= 100 for depth in one)
    assert (one[1:] == other[1:]) == (placement != "clustered")
    assert grid.needle_depths(50.0, 0, placement, grid.generator(0, 0, "x")) == []


def test_even_means_even():
    assert grid.needle_depths(10.0, 5, "even", grid.generator(0, 0, "x")) == [10, 12.5, 37.5, 62.5, 87.5]


def test_order_shares_prefixes_deepest_first():
    ordered = grid.in_running_order(grid.trials(Ladder(lengths=[1024, 2048], depths=[0.0, 50.0, 100.0], repeats=2)))
    assert [t.repeat for t in ordered] == [0] * 6 + [1] * 6
    places = [t.depth / 100 * t.length for t in ordered[:6]]
    assert places == sorted(places, reverse=True)
    assert [(t.length, t.depth) for t in ordered[1:3]] == [(2048, 50), (1024, 100)]  # one place, longer first


def test_expected_work_counts_what_no_cache_holds():
    ordered = grid.in_running_order(grid.trials(Ladder(lengths=[1000], depths=[0.0, 50.0, 100.0])))
    assert grid.expected_work(ordered, 0, True) == [1000, 500, 1000]
    assert grid.expected_work(ordered, 0, False) == [1000, 1000, 1000]


def test_random_numbers_depend_on_the_repeat_alone():
    draw = lambda *key: grid.generator(*key).integers(0, 2**60)  # noqa: E731
    assert draw(0, 3, "stretch") == draw(0, 3, "stretch")
    assert len({draw(0, 3, "stretch"), draw(0, 3, "problem"), draw(0, 4, "stretch"), draw(1, 3, "stretch")}) == 4
    assert isinstance(grid.generator(0, 0, "x"), np.random.Generator)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depths": [50.0, 101.0]}, r"ctx\.depths\[1\]: got 101; expected 0 to 100"),
        ({"depths": [-1.0]}, r"ctx\.depths: got -1; expected 0 to 100"),
        ({"lengths": []}, "ctx.lengths: empty"), ({"depths": []}, "ctx.depths: empty"), ({"repeats": 0}, "ctx.repeats"),
    ],
)
def test_impossible_grids(settings, message):
    with pytest.raises(NiahError, match=message):
        Ladder(**settings)


def test_lengths_above_the_limit_have_a_reason_and_alone_are_refused():
    reason = "ctx.lengths[1]: above the limit of m; got 16,384; expected at most 8,192 (model.max_length)"
    assert grid.above_limit(Ladder(lengths=[8192, 16384]), 8192, "m") == {16384: reason}
    with pytest.raises(NiahError, match=r"ctx\.lengths\[0\]: above the limit of m; got 16,384; expected at most 8,192"):
        grid.above_limit(Ladder(lengths=[16384]), 8192, "m")


def test_repeats_of_several_engines_stand_side_by_side():
    ordered = grid.in_running_order(grid.trials(Ladder(lengths=[1024], depths=[0.0, 100.0], repeats=3)))
    assert grid.side_by_side(ordered, 1) == ordered
    in_turn = [(trial.repeat, trial.depth) for trial in grid.side_by_side(ordered, 2)]
    assert in_turn == [(0, 100), (1, 100), (0, 0), (1, 0), (2, 100), (2, 0)]

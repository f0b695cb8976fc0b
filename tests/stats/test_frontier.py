"""The interval of `frontier` on simulated models (benchmarks/frontier.py has the table), and what its chooser does."""

import numpy as np
import pytest
from scipy.special import expit

from niah.stats.frontier import Frontier
from niah.stats.psychometric import Surface

LENGTHS, DEPTHS = (1024, 2048, 4096, 8192), (0.0, 50.0, 100.0)


def searched(cells: np.ndarray, most: int = 100, seed: int = 0, alike: bool = False) -> Frontier:
    """The search on models of these accuracies (models, lengths, depths). ``alike``: all depths of a repeat, at all
    lengths, come out by one draw."""
    rng = np.random.default_rng(seed)
    drawn = rng.random((len(cells), most, 1 if alike else len(DEPTHS)))
    frontier = Frontier(Surface(LENGTHS, DEPTHS, 0.85), [float(one) for one in LENGTHS], 0.95, most, len(cells))
    going = np.arange(len(cells))
    while len(going):
        places = frontier.next(going)
        going, places = going[places >= 0], places[places >= 0]
        if len(going):
            repeats = frontier.counts[going, places]
            frontier.tell(going, places, (drawn[going, repeats] < cells[going, places]).astype(float))
    return frontier


@pytest.mark.parametrize("alike", [False, True])
def test_the_interval_holds_the_truth(alike):
    rng = np.random.default_rng(1)
    at = rng.uniform(9, 14, 200)[:, None, None]
    cells = np.broadcast_to(
        0.97 * expit(4 * (at - np.log2(LENGTHS)[None, :, None])), (200, len(LENGTHS), len(DEPTHS))
    )
    frontier = searched(cells, alike=alike)
    low, high = frontier.interval()
    truth = np.logical_and.accumulate(cells.mean(-1) >= 0.85, axis=-1).sum(-1)
    assert ((low <= truth) & (truth <= high)).mean() >= 0.95


@pytest.mark.parametrize("reached", range(5))
def test_a_staircase_is_found(reached):
    cells = np.where(np.arange(4)[None, :, None] < reached, 1.0, 0.3) * np.ones((1, 1, 3))
    low, high = searched(cells).interval()
    assert low[0] == high[0] == reached


def test_a_length_that_fails_between_others_ends_it():
    """No accuracy has to fall with length for the claim to hold."""
    cells = np.array([1.0, 0.4, 1.0, 1.0])[None, :, None] * np.ones((30, 1, 3))
    low, high = searched(cells).interval()
    assert (low <= 1).all() and (high >= 1).all() and ((low == 1) & (high == 1)).mean() > 0.8


def test_what_cannot_be_proven_is_not_tried_to_the_end():
    cells = np.full((1, 4, 3), 0.86)
    frontier = searched(cells, most=150)
    assert frontier.counts.max() < 150


def test_lengths_that_are_shut_are_not_asked():
    frontier = Frontier(Surface(LENGTHS, DEPTHS, 0.85), [1.0] * 4, 0.95, 100)
    frontier.shut[:, 2:] = True
    for _ in range(300):
        place = int(frontier.next(np.array([0]))[0])
        if place < 0:
            break
        frontier.tell(np.array([0]), np.array([place]), np.ones((1, 3)))
    assert frontier.counts[0, 2:].sum() == 0 and frontier.interval()[0][0] == 2 and frontier.interval()[1][0] == 4


def test_one_depth_tells_of_the_surface_too():
    surface = Surface(LENGTHS, DEPTHS, 0.85)
    one = surface.log_likelihood(np.array([1]), np.array([[np.nan, 1.0, np.nan]]))
    assert np.allclose(one[0], np.log(surface.cells[:, 1, 1]))

"""What ``power`` promises is what ``compare`` then finds."""

import dataclasses
import re

import numpy as np
import pytest

from niah.commands.power import lines
from niah.errors import NiahError
from niah.grid import Ladder
from niah.stats import power, simulation
from niah.stats.comparison import Answers, comparisons
from niah.stats.margins import Margins, logprob
from tests.helpers.runs import grid, rows, run


@pytest.mark.parametrize(("repeats", "loss", "correlation"), [
    (4, 0.4, 0.3), (8, 0.15, 0.3), (20, 0.06, 0.0), (30, 0.06, 0.6),
])
def test_predicted_power_is_that_of_the_verdict(repeats, loss, correlation):
    assumed = power.Assumptions(discordant=0.04, correlation=correlation)
    trials, runs = 12, 150
    predicted = power.power(loss, repeats, trials, assumed, 0.05)
    shift = simulation.differences(
        np.random.default_rng(7), runs, repeats, trials, lost=0.02 + loss, gained=0.02, correlation=correlation
    )
    depth, repeat = np.tile(np.arange(12.0), repeats), np.repeat(np.arange(repeats), 12)
    length, nothing = np.full(len(depth), 8192), np.full(len(depth), np.nan)
    found = 0
    for one in shift.reshape(runs, -1):
        scores = (one <= 0) * 1.0, (one >= 0) * 1.0
        base, other = (Answers(length, depth, repeat, score, nothing) for score in scores)
        (result,) = comparisons([(base, other, True)], 0.95)
        found += result.overall.p <= 0.05 and result.overall.difference < 0
    assert found / runs == pytest.approx(predicted, abs=3.5 * (0.25 / runs) ** 0.5)


def test_smallest_loss_and_repeats_agree_with_power():
    assumed = power.Assumptions(0.02, 0.3)
    loss = power.detectable(20, 33, assumed, 0.05, 0.8)
    assert power.power(loss, 20, 33, assumed, 0.05) >= 0.8 > power.power(loss - 0.01, 20, 33, assumed, 0.05)
    repeats = power.repeats_for(loss, 33, assumed, 0.05, 0.8)
    assert abs(repeats - 20) <= 2


def test_without_a_difference_power_is_the_level():
    assert power.power(0.0, 30, 44, power.Assumptions(0.1, 0.3), 0.05) < 0.035  # one side of 5%


@pytest.mark.parametrize("correlation", [0.1, 0.3, 0.7])
def test_a_pilot_gives_its_correlation_back(correlation):
    rng = np.random.default_rng(1)
    (shift,) = simulation.differences(rng, 1, 6000, 11, lost=0.12, gained=0.04, correlation=correlation)
    pairs = (shift.sum(-1) ** 2 - (shift**2).sum(-1)).mean() / 110 - shift.mean() ** 2
    assert power.latent_correlation(0.12, 0.04, pairs / shift.var()) == pytest.approx(correlation, abs=0.06)


def test_text_names_what_is_assumed():
    text = "\n".join(lines(Ladder(lengths=[8192, 16384], repeats=10), ["power.difference=0.1"]))
    assert "2 lengths x 11 depths x 10 repeats = 220 pairs" in text and "2.0% of pairs differ by chance" in text
    assert "to find a loss of 10.0 points with 80%, all lengths together: ctx.repeats=" in text
    assert "Holm over 2" in text
    assert "to find a loss of 10.0 points with 80%, log-probability, all lengths together: ctx.repeats=" in text


def test_the_log_probability_needs_fewer_repeats():
    words = ["power.difference=0.1", "power.baseline=0.63", "power.discordant=0.06"]
    found = lines(Ladder(lengths=[1024, 2048, 4096, 8192], depths=[25, 75], repeats=12), words)
    by_score, by_grade = (
        int(next(line for line in found if f"80%, {name}: " in line).split("ctx.repeats=")[1])
        for name in ("all lengths together", "log-probability, all lengths together")
    )
    assert by_grade <= 12 < by_score


def test_from_a_pilot(tmp_path):
    trials = grid(12)
    a = run(tmp_path / "a", rows(trials, lambda t: True))
    b = run(tmp_path / "b", rows(trials, lambda t: t.repeat not in (1, 5, 8) or t.length < 30000))
    text = "\n".join(lines(Ladder(repeats=10), [f"power.from={a},{b}"]))
    assert "108 pairs, 8.3% lost and 0.0% gained" in text and "correlation 0." in text
    assert "log-probability: the pilot says nothing of it; expected it measured in both runs" in text


def test_from_a_pilot_with_log_probabilities(tmp_path):
    trials, rng = grid(12), np.random.default_rng(0)
    base, other = (side.ravel() for side in Margins(0.7, 0.1, 0.3).sides(rng, 1, 12, 9, 0.1))
    sides = []
    for name, margin in (("a", base), ("b", other)):
        made = [
            dataclasses.replace(row, logprob=float(value))
            for row, value in zip(rows(trials, lambda t, m=margin: m[t.index] > 0), logprob(margin), strict=True)
        ]
        sides.append(run(tmp_path / name, made))
    text = "\n".join(lines(Ladder(repeats=10), [f"power.from={sides[0]},{sides[1]}", "power.difference=0.1"]))
    found = re.search(r"a loss of 10 points is a fall of (0\.\d\d) nats at the baseline's margins", text)
    assert 0.1 < float(found[1]) < 0.5 and "log-probability, all lengths together: ctx.repeats=" in text


@pytest.mark.parametrize(("word", "message"), [
    ("power.alpha=2", "power.alpha: got 2; expected a share"),
    ("power.discordant=0.5", "only 0.1 is wrong in the baseline"),
    ("power.correlation=1", "power.correlation: got 1"),
    ("power.difference=0.95", "power.difference: got 0.95"),
    ("power.foo=1", "power.foo: unknown key"),
])
def test_bad_settings_are_one_line(word, message):
    with pytest.raises(NiahError, match=message):
        lines(Ladder(), [word])


def test_on_the_command_line(niah):
    done = niah("power", "ctx.lengths=[8k,16k]", "ctx.depths=[0,50,100]", "ctx.repeats=8")
    assert done.returncode == 0 and "48 pairs" in done.stdout and "found at 80%" in done.stdout

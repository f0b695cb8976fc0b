"""``experiment=ruler_quick``: repeats by the difference asked for, and what it says before it runs."""

import re

import numpy as np
import pytest
from scipy import stats

from niah.commands.ruler.quick import expanded
from niah.errors import NiahError
from niah.stats import suite_comparison, suite_power
from niah.stats.comparison import Answers
from niah.stats.power import Assumptions

WORDS = ("experiment=ruler_quick", "ctx.lengths=[1k,2k]")


def test_the_words_and_what_is_said():
    words, lines = expanded([*WORDS, "engine=fake"])
    (repeats,) = [int(word.split("=")[1]) for word in words if word.startswith("ctx.repeats=")]
    assert words[0] == "experiment=ruler" and "ctx.depths=[10,50,90]" in words
    assert f"2 lengths x 3 depths x {repeats} repeats: {3 * repeats} samples" in lines[0]
    assert "RULER has 500" in lines[0]
    assert re.search(r"a loss of 10 points in every setting is found with (8|9)\d% over all lengths", lines[1])
    num_trials = repeats * 2 * (11 * 3 + 2)
    assert f"cost: {num_trials:,} trials of {num_trials // 2 * 3072:,} tokens" in lines[2]
    assert lines[-1] == f"the same as: python -m niah {' '.join(words)}"


def test_a_smaller_difference_or_a_single_length_takes_more():
    def repeats(*words):
        return int(expanded([*WORDS, *words])[0][-1].split("=")[1])

    usual = repeats()
    assert 6 <= usual < repeats("quick.at=length") and usual < repeats("quick.difference=5")


def test_what_is_given_stays():
    words, lines = expanded([*WORDS, "ctx.repeats=4", "ctx.depths=[0,100]"])
    assert words == ["experiment=ruler", WORDS[1], "ctx.repeats=4", "ctx.depths=[0,100]"]
    assert "not promised to be found below 6 repeats" in lines[1]
    assert expanded(["task=multikey"]) == (["task=multikey"], [])


def test_a_gpu_has_an_estimate():
    lines = expanded(["experiment=ruler_quick", "ctx=32k", "model=gemma3_4b", "hardware=h100", "kv=[bf16,fp8]"])[1]
    assert re.search(r"; about \d+ .* by plan's estimate", lines[2])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("quick.difference=0", "quick.difference: got 0; expected points above 0, up to 90, as 10"),
        ("quick.difference=0.2", "quick.difference: 0.2 points take more than 640 repeats; expected a larger"),
        ("quick.at=8k", "quick.at: got '8k'; expected all or length"),
    ],
)
def test_refused(word, said):
    with pytest.raises(NiahError) as refusal:
        expanded([*WORDS, word])
    assert str(refusal.value).startswith(said)


def test_what_is_promised_is_what_compare_finds():
    """The test that compare makes finds the loss as often as was predicted."""
    trials, repeats, loss, found = [3] * 11 + [1] * 2, 8, 0.1, 0
    predicted = suite_power.power(loss, repeats, trials, Assumptions(0.05, 0.3), 0.05)
    rng = np.random.default_rng(2)
    for _ in range(200):
        shared, sides = rng.standard_normal((1, repeats)), []
        own = np.sqrt(0.1) * shared + np.sqrt(0.2) * rng.standard_normal((len(trials), repeats))
        for num, row in zip(trials, own, strict=True):
            drawn = (row[:, None] + np.sqrt(0.7) * rng.standard_normal((repeats, num))).ravel()
            shift = (drawn > stats.norm.isf(0.025)).astype(float) - (drawn < stats.norm.ppf(0.025 + loss))
            repeat, depth = np.repeat(np.arange(repeats), num), np.tile(np.arange(float(num)), repeats)
            base = np.where(shift > 0, 0.0, 1.0)
            length, none = np.full(len(base), 1024), np.full(len(base), np.nan)
            sides.append(tuple(Answers(length, depth, repeat, one, none) for one in (base, base + shift)))
        one = suite_comparison.pooled(sides, (), 0.95)
        found += one.p <= 0.05 and one.difference < 0
    assert found / 200 == pytest.approx(predicted, abs=0.1) and 0.4 < predicted < 0.95


def test_plan_says_it_and_runs_nothing(niah, tmp_path):
    done = niah("plan", *WORDS, "engine=fake")
    assert done.returncode == 0 and done.stdout.startswith("ruler_quick: 13 settings") and "cost: " in done.stdout
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_it_runs_as_experiment_ruler_does(niah, tmp_path):
    done = niah("experiment=ruler_quick", "engine=fake", "ctx.lengths=[2k]", "ctx.repeats=1", "ctx.depths=[50]",
                "report.formats=[]", "outputs=q", timeout=900)
    assert done.stdout.startswith("ruler_quick: 13 settings"), done.stderr
    assert len(list((tmp_path / "q").glob("*/run.json"))) == 13

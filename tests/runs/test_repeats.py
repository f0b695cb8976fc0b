"""budget=: whole repeats, the next one where it would end in time, the same for every variant."""

import json
from dataclasses import dataclass

import pytest

from niah import grid
from niah.records import Row, Trial
from niah.runs.repeats import WholeRepeats
from tests.helpers.command import is_one_line
from tests.helpers.runs import rows


@dataclass
class Clock:
    """A budget of which every answer takes the same share."""

    a_trial: float
    spent: float = 0.0

    def share(self) -> float:
        return self.spent

    def add(self, tokens: int) -> None:
        self.spent += self.a_trial


TRIALS = grid.trials(grid.Ladder(lengths=[1024, 2048], depths=[0.0, 100.0], repeats=20))


def answered(chosen: list[Trial]) -> list[Row]:
    return rows(chosen, lambda trial: True)


def ask(chooser: WholeRepeats) -> list[int]:
    """All that it chooses, each answered before the next."""
    asked = []
    while due := chooser.next():
        asked += [trial.repeat for trial in due]
        for row in answered(due):
            chooser.tell(row)
    return asked


@pytest.mark.parametrize(
    ("a_trial", "limit", "num"), [(0.01, 1.0, 20), (0.049, 1.0, 5), (0.06, 1.0, 4), (0.05, 0.5, 2), (0.9, 1.0, 1)]
)
def test_as_many_whole_repeats_as_it_allows(a_trial, limit, num):
    asked = ask(WholeRepeats(TRIALS, grid.APART, Clock(a_trial), limit))
    assert asked == [repeat for repeat in range(num) for _ in range(4)]


def test_the_next_variant_asks_the_same_and_a_later_command_goes_on():
    clock = Clock(0.1)
    first = WholeRepeats(TRIALS, grid.APART, clock, 0.85)
    assert set(ask(first)) == {0, 1}
    second = WholeRepeats(TRIALS, grid.APART, clock, 0.85, first)
    assert set(ask(second)) == {0, 1} and clock.spent > 0.85
    later = WholeRepeats(TRIALS, grid.APART, Clock(0.1), 0.85)
    later.resume(answered([trial for trial in TRIALS if trial.repeat < 2][:7]))  # the last of them was not answered
    assert ask(later) == [1, *([2] * 4)] and later.asked == [0, 1, 2]


def test_a_length_without_room_is_not_asked():
    chooser = WholeRepeats(TRIALS, grid.BY_REPEAT, Clock(0.0), 1.0)
    chooser.leave_out([2048])
    assert {trial.length for trial in chooser.next()} == {1024}


@pytest.mark.slow
def test_on_the_command_line(niah, tmp_path):
    words = ("engine=fake", "ctx.lengths=[1k]", "ctx.depths=[0,100]", "outputs=o", "name=x", "report.formats=[]")
    done = niah(*words, "budget=1e6 tokens", "ctx.repeats=3")
    assert done.returncode == 0 and "budget=1e6 tokens: 3 repeats" in done.stdout and "6 trials in" in done.stdout
    record = json.loads((tmp_path / "o" / "x" / "run.json").read_text())
    assert record["plan"]["num_trials"] == 6
    done = niah(*words, "budget=8000 tokens")
    assert "budget=8000 tokens: 7 repeats" in done.stdout and "8 trials in" in done.stdout, done.stdout
    for wrong in ("budget=5", "budget=$3", "budget=soon"):
        refused = niah(*words, wrong)
        assert refused.returncode and is_one_line(refused) and "niah: budget: got" in refused.stderr
    refused = niah(*words, "budget=5m", "reader=route")
    assert refused.returncode and "reader=route: asks a second time" in refused.stderr


def test_repeats_of_before_that_are_no_longer_asked_are_passed_over():
    few = [trial for trial in TRIALS if trial.repeat < 3]
    first = WholeRepeats(few, grid.APART, Clock(0.01), 1.0)
    first.resume(answered([trial for trial in TRIALS if trial.repeat < 5]))
    assert first.asked == [0, 1, 2] and ask(first) == []
    assert set(ask(WholeRepeats(few, grid.APART, Clock(0.01), 1.0, first))) == {0, 1, 2}

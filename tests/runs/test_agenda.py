"""Trials of a repeat get an order of their own as it begins; those that failed before, or are put off, keep theirs."""

from niah.grid import Ladder, in_running_order, side_by_side, trials
from niah.records import Trial
from niah.runs.agenda import Agenda

LADDER = Ladder(lengths=[8, 16], depths=[0, 50], repeats=2)


def given(kept: tuple[int, ...] = (), replicas: int = 1) -> list[Trial]:
    ordered = side_by_side(in_running_order(trials(LADDER)), replicas)
    return [*Agenda(ordered, int, {}, arranged=lambda some: sorted(some, key=lambda one: one.index), kept=kept)]


def test_each_repeat_is_arranged_where_its_trials_are():
    assert [one.index for one in given()] == [*range(8)]
    both = given(replicas=2)
    assert [one.repeat for one in both] == [0, 1] * 4
    assert [one.index for one in both if one.repeat == 1] == [4, 5, 6, 7]


def test_those_that_failed_stay():
    ordered = [one.index for one in in_running_order(trials(LADDER))]
    found = [one.index for one in given(kept=(ordered[3],))]
    assert found[3] == ordered[3] and found[:3] == sorted(ordered[:3])


def test_nothing_is_arranged_after_trials_were_put_off():
    agenda = Agenda(in_running_order(trials(LADDER)), int, {}, arranged=lambda some: some[::-1])
    found = []
    for trial in agenda:
        found.append(trial)
        if len(found) == 1:
            agenda.put_off(Trial(0, 16, 0.0, 0))
    assert [one.length for one in found[1:]].count(8) == 4 - (found[0].length == 8)
    assert [one.length for one in found[1:]] == sorted(one.length for one in found[1:])

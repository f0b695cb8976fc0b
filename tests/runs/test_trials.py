"""What is said of answers that lack the grade they were to have."""

from dataclasses import replace

from niah.runs import trials
from tests.helpers.runs import ROW


def test_more_than_one_in_a_hundred_answers_without_a_grade_are_told():
    rows = [replace(ROW, trial=number) for number in range(200)]
    lost = [replace(row, variant="fp8", not_graded=f"why {row.trial}") for row in rows[7:10]]
    assert trials.ungraded([]) == trials.ungraded(rows) == ""
    assert trials.ungraded([*lost[:2], *rows[2:]]) == ""  # one in a hundred
    assert trials.ungraded([*lost, *rows[3:]]) == (
        "graded signal: missing in 3 of 200 answers; the first, fp8 trial 7: why 7"
    )
    failed = [replace(row, score=None) for row in rows[:150]]
    assert trials.ungraded([*failed, *lost[:1], *rows[151:]]).startswith("graded signal: missing in 1 of 50 answers")

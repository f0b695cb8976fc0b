"""Logs, orders and tables: no two records alike, and their sums are right."""

import json
import re

import pytest

from niah.errors import NiahError
from niah.haystacks.records import Records
from tests.helpers.sources import UUID, days

SEVEN_DIGITS = re.compile(r"(?<!\d)\d{7}(?!\d)")


@pytest.mark.parametrize("form", ["log", "jsonl", "table"])
def test_records_never_repeat_and_hold_nothing_like_an_answer(form):
    documents = days(60, form=form)
    text = "\n".join(documents)
    assert not SEVEN_DIGITS.search(text) and not UUID.search(text)
    headers = 4 if form == "table" else 1
    assert all(300 <= len(document.splitlines()) <= 810 for document in documents)
    lines = [line for document in documents for line in document.splitlines()[headers:]]
    assert len(lines) == len(set(lines))
    assert documents == days(60, form=form) != days(60, form=form, seed=1)
    assert Records(form=form).identity() != Records(form=form, seed=1).identity()


def test_sessions_of_a_log_open_and_close_with_their_true_count():
    for document in days(5):
        lines = document.splitlines()[1:]
        times = [line.split()[0] for line in lines]
        assert times == sorted(times)
        for session in set(re.findall(r"session=(\w+)", document)):
            own = [line for line in lines if f"session={session} " in line]
            assert " open user=" in own[0] and " close user=" in own[-1]
            assert int(re.search(r"requests=(\d+)", own[-1])[1]) == len(own) - 2
            assert len(set(re.findall(r"user=(\S+)", own[0] + own[-1]))) == 1


def test_totals_of_orders_are_the_sums_of_their_items():
    for document in days(5, form="jsonl"):
        head, *orders = map(json.loads, document.splitlines())
        assert head["orders"] == len(orders)
        assert [order["placed"] for order in orders] == sorted(order["placed"] for order in orders)
        for order in orders:
            items = sum(item["price"] * item["quantity"] for item in order["items"])
            assert items + order["shipping"] == pytest.approx(order["total"])


def test_needles_in_records():
    needle = 'The "magic" | number\nis 7.'
    assert Records().planted("It is 7.") == 'NOTE remark="It is 7."'
    assert json.loads(Records(form="jsonl").planted(needle)) == {"remark": needle}
    row, table = Records(form="table").planted(needle), days(1, form="table")[0].splitlines()
    assert row.startswith("| remark |") and "\n" not in row
    assert len(re.findall(r"(?<!\\)\|", row)) == table[2].count("|") == table[-1].count("|")
    for wrong in ({"form": "xml"}, {"seed": -1}):
        with pytest.raises(NiahError, match=next(iter(wrong))):
            Records(**wrong)

"""Which replica gets which prompt: pure, without Ray."""

import numpy as np
import pytest

from niah.engines.replicas.dealer import Dealer
from niah.records import Prompt


def prompt(repeat: int, length: int, shared: int, number: int, salt: str = "") -> Prompt:
    """``length`` ids of which the first ``shared`` are the repeat's own; the rest are this prompt's."""
    ids = np.concatenate([np.full(shared, repeat), 1000 + number + np.zeros(length - shared)]).astype(np.int32)
    return Prompt(ids, (), 8, str(number), repeat=repeat, salt=salt)


def prompts(repeats: int, each: int, length: int = 100, shared: int = 90) -> list[tuple[int, Prompt]]:
    return [(r * each + n, prompt(r, length, shared, r * each + n)) for r in range(repeats) for n in range(each)]


def alternately(dealer: Dealer, num_replicas: int) -> list[list[int]]:
    """Each replica asks in turn until none gets anything."""
    got: list[list[int]] = [[] for _ in range(num_replicas)]
    while True:
        dealt = [dealer.deal(replica) for replica in range(num_replicas)]
        for replica, one in enumerate(dealt):
            if one:
                got[replica].append(one.key)
        if not any(dealt):
            return got


def test_a_repeat_stays_on_one_replica_in_its_order():
    assert alternately(Dealer(prompts(2, 5), 2, {}), 2) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


@pytest.mark.parametrize(("repeats", "each", "replicas"), [(1, 1, 2), (1, 11, 2), (3, 11, 2), (5, 4, 4), (2, 7, 5)])
def test_everything_is_dealt_once(repeats, each, replicas):
    got = alternately(Dealer(prompts(repeats, each), replicas, {}), replicas)
    assert sorted(key for part in got for key in part) == list(range(repeats * each))


def test_one_repeat_is_cut_where_both_ends_come_soonest():
    # alone: 100 + 32 to begin with, then 10 + 32 each; a thief begins cold
    got = alternately(Dealer(prompts(1, 20), 2, {}), 2)
    cost = [132 + 42 * (len(part) - 1) for part in got]
    assert max(cost) - min(cost) <= 2 * 42 and got[1] == sorted(got[1])


def test_nothing_is_taken_that_its_owner_reads_sooner():
    dealer = Dealer(prompts(1, 3, length=10_000, shared=9_999), 2, {})
    assert [dealer.deal(0).key, dealer.deal(1)] == [0, None]
    assert [dealer.deal(0).key, dealer.deal(0).key, dealer.deal(0)] == [1, 2, None]


def test_prompts_are_taken_from_the_source_only_as_needed():
    taken = []

    def source():
        for key, one in prompts(3, 4):
            taken.append(key)
            yield key, one

    dealer = Dealer(source(), 2, {})
    dealer.deal(0)
    assert taken == [0]
    dealer.deal(1)
    assert taken == [0, 1, 2, 3, 4]
    dealer.deal(0), dealer.deal(1)
    assert taken == [0, 1, 2, 3, 4, 5]


def test_a_dead_replicas_prompts_go_to_the_others():
    dealer = Dealer(prompts(2, 3), 2, {})
    first = dealer.deal(0)
    assert dealer.deal(1).key == 3
    dealer.give_back(0, [first])
    dealer.set_away(0, True)
    rest = [dealer.deal(1).key for _ in range(5)]
    assert sorted(rest) == [0, 1, 2, 4, 5] and dealer.deal(1) is None and not dealer.has_more


def test_it_goes_on_when_it_is_back():
    owners: dict[int, int] = {}
    dealer = Dealer(prompts(1, 8), 2, owners)
    first = dealer.deal(0)
    dealer.give_back(0, [first])
    dealer.set_away(0, True)
    dealer.set_away(0, False)
    assert dealer.deal(0).key == 0 and dealer.has_more


def test_a_salted_prompt_shares_nothing():
    plain, salted = prompts(1, 2), [(n, prompt(0, 100, 90, n, salt=f"s{n}")) for n in range(2)]
    costs = []
    for source in (plain, salted):
        dealer = Dealer(source, 1, {})
        costs.append([dealer.deal(0).cost, dealer.deal(0).cost])
    assert costs == [[132, 42], [132, 132]]


def test_repeats_that_come_side_by_side_stay_apart_though_one_replica_is_faster():
    one_after_the_other = prompts(4, 3)
    side_by_side = [one_after_the_other[n] for n in (0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11)]
    dealer = Dealer(side_by_side, 2, {})
    faster = [dealer.deal(0).key, dealer.deal(0).key, dealer.deal(1).key, dealer.deal(0).key]
    assert faster == [0, 1, 3, 2]
    # repeat 3 would lie between the prompts of repeat 2, each with nothing of the one before it
    assert [dealer.deal(0).key for _ in range(3)] == [6, 7, 8]
    assert [dealer.deal(1).key for _ in range(5)] == [4, 5, 9, 10, 11]

"""An engine that ends on the way: what is asked again, what is passed over, and where it stops."""

from collections import Counter

import pytest

from tests.helpers import mortal
from tests.helpers.command import rows

RUN = (
    "--config-dir", "own", "engine=mortal", "engine.window=100k", "haystack=noise", "ctx.lengths=[512,1k,2k]",
    "ctx.depths=[0,50,100]", "name=a",
)


@pytest.fixture
def run(niah, tmp_path):
    mortal.write(tmp_path / "own")
    return lambda *words: niah(*RUN, *words)


@pytest.fixture
def left(tmp_path):
    """(length, outcome) of the rows that there are, each counted; the openings of the engine."""
    folder = tmp_path / "outputs" / "a"

    def found() -> tuple[Counter, int]:
        of_run = rows(folder) if (folder / "rows.jsonl").exists() else []
        assert len({(row["variant"], row["trial"]) for row in of_run}) == len(of_run)
        return (
            Counter((row["variant"], row["length"], row["outcome"]) for row in of_run),
            len((tmp_path / "openings.txt").read_text().splitlines()),
        )

    return found


def test_out_of_memory_costs_two_engines_and_no_other_length_or_variant(run, left):
    done = run("engine.memory=1500", "kv=[bf16,fp8]")
    assert done.returncode == 5 and "Traceback" not in done.stderr
    found, openings = left()
    assert found == {
        (variant, *key): num for variant in ("bf16", "fp8") for key, num in {
            (512, "correct"): 3, (1024, "correct"): 3, (2048, "out-of-memory"): 2, (2048, "does-not-fit"): 1,
        }.items()
    }
    assert openings == 4  # each variant's, and one more after the first; after the second there is nothing to ask
    assert "OutOfMemoryError: CUDA out of memory" in done.stderr
    assert "bf16: trials of 2K not sent: two trials" in done.stderr


@pytest.mark.slow
def test_what_ran_out_of_memory_twice_is_passed_over_until_asked_for(run, left):
    run("engine.memory=1500")
    again = run("engine.memory=1500")  # once more: it may have been another process's memory
    assert again.returncode == 5 and "retry=true" in again.stderr
    found, openings = left()
    assert found[("bf16", 2048, "out-of-memory")] == 2 and openings == 4
    third = run("engine.memory=1500")
    assert third.returncode == 5 and left()[1] == 4, third.stderr  # nothing was opened
    assert "retry=true asks these too" in third.stderr.splitlines()[-1]
    assert run("engine.memory=1500", "retry=true").returncode == 5 and left()[1] > 4
    assert sum(left()[0].values()) == 9


@pytest.mark.slow
def test_a_prompt_that_ends_the_engine_twice_is_a_row_and_the_others_run(run, left):
    done = run("engine.strength=1500", "ctx.depths=[50]")
    assert done.returncode == 5 and "ended 2 engines; RuntimeError: an illegal memory access" in done.stderr
    found, openings = left()
    assert found == {
        ("bf16", 512, "correct"): 1, ("bf16", 1024, "correct"): 1, ("bf16", 2048, "engine-error"): 1,
    }
    assert openings == 3
    assert run("engine.strength=1500", "ctx.depths=[50]").returncode == 5 and left()[1] == 3  # not a third engine


def test_an_engine_that_ends_again_and_again_is_given_up_and_the_next_variant_runs(run, left):
    done = run("engine.strength=100", "kv=[bf16,fp8]")
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith("niah: bf16, fp8: the engine ended or failed 3 times in a row; ")
    assert left()[1] == 6


def test_one_that_ended_once_costs_nothing(run, left):
    done = run("engine.once=there")
    assert done.returncode == 0, done.stderr
    assert left()[1] == 2 and sum(num for key, num in left()[0].items() if key[2] == "correct") == 9


def test_of_several_under_way_the_guilty_one_is_found(run, left):
    done = run("engine.strength=1500", "engine.max_num_seqs=8", "ctx.lengths=[512,2k]", "ctx.depths=[0,100]")
    assert done.returncode == 5
    assert left()[0] == {("bf16", 512, "correct"): 2, ("bf16", 2048, "engine-error"): 2}


@pytest.mark.slow
def test_lengths_for_which_the_engine_has_no_room_do_not_fit_and_the_others_run(run, left, tmp_path):
    done = run("engine.room=1100")
    assert done.returncode == 0, done.stderr
    assert left()[0] == {("bf16", 512, "correct"): 3, ("bf16", 1024, "correct"): 3, ("bf16", 2048, "does-not-fit"): 3}
    assert (tmp_path / "openings.txt").read_text().split() == ["2048", "1024"]
    again = run("engine.room=1100")
    assert again.returncode == 0 and left()[1] == 2, again.stderr  # it said so already
    assert {row["error"] for row in rows(tmp_path / "outputs" / "a") if row["length"] == 2048} == {
        "the engine has room for 1,100 tokens; ValueError: the cache is small"
    }


def test_a_variant_whose_engine_does_not_start_stops_no_other(run, left):
    done = run("kv=[bf16,fp8,fp8_e5m2]", "engine.refuses=fp8_e4m3", "ctx.depths=[50]")
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith("niah: fp8: engine=mortal: did not start; ValueError: no kernel; ")
    assert left()[0] == {(kv, length, "correct"): 1 for kv in ("bf16", "fp8_e5m2") for length in (512, 1024, 2048)}


def test_where_no_length_has_room_the_command_fails(run, left):
    done = run("engine.room=100", "ctx.depths=[50]")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "no length of this run fits; the engine has room for 100 tokens" in done.stderr.strip().splitlines()[-1]
    assert left()[0] == {("bf16", length, "does-not-fit"): 1 for length in (512, 1024, 2048)}

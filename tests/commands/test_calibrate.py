"""Calibration models through real vLLM: every cell as predicted, and every planted fault caught and named."""

import json
import subprocess

import pytest

from niah.commands.calibrate import diagnose
from niah.engines.vllm.process import is_cpu_build
from niah.stats.noise_margin import Share, thresholds
from tests.helpers.command import REPOSITORY, command, environment_with, rows
from tests.helpers.engines import KV, VARIANTS, needs_fp8

pytestmark = pytest.mark.engine
in_this_process = pytest.mark.skipif(
    not is_cpu_build(), reason="faults are planted in vLLM's CPU engine, which runs in this process"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("calibration")


def run(place, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments), cwd=place, env=environment_with(), capture_output=True, text=True, timeout=500
    )


def checked(place, name: str, *arguments: str) -> tuple[list[dict], str]:
    """The rows of a run, and what calibrate says of it."""
    done = run(place, f"name={name}", *arguments)
    assert done.returncode == 0, done.stderr
    check = run(place, "calibrate", f"outputs/{name}")
    assert check.returncode == 0, check.stderr
    return rows(place / "outputs" / name), check.stdout


@pytest.mark.parametrize("task", [
    pytest.param(("task=single",), marks=pytest.mark.slow), ("task=single", "task.answer=uuid"),
    pytest.param(("task=multikey", "task.num_keys=16"), marks=pytest.mark.slow),
], ids=["number", "uuid", "multikey"])
def test_full_finds_every_needle(place, task):
    found, report = checked(
        place, f"full-{len(task)}-{task[0].removeprefix('task=')}", "model=calibration/full", *task,
        "ctx.lengths=[1k,4k]", "ctx.depths=[0,50,100]", KV,
    )
    assert [row["score"] for row in found] == [1.0] * 6 * len(VARIANTS)
    assert all(row["finish_reason"] == "stop" for row in found)  # it stops by itself
    assert report.count("6 of 6 trials as predicted") == len(VARIANTS)


@pytest.mark.slow
@needs_fp8
def test_window_ends_where_predicted(place):
    found, report = checked(place, "window", "model=calibration/window_4k", "ctx.lengths=[4k,8k]", "kv=fp8")
    assert "22 of 22 trials as predicted" in report
    scores = {row["depth"]: row["score"] for row in found if row["length"] == 8192}
    assert scores[0.0] == 0 and scores[100.0] == 1 and [*scores.values()].count(1.0) in range(4, 7)


@pytest.mark.slow
def test_scout_finds_across_its_chunks(place):
    found, report = checked(
        place, "scout", "model=calibration/scout", "ctx.lengths=[8k,16k]", "ctx.depths=[0,25,50,75,100]",
        KV,
    )
    assert report.count("10 of 10 trials as predicted") == len(VARIANTS)
    assert [row["score"] for row in found] == [1.0] * 10 * len(VARIANTS)


@pytest.mark.slow
def test_run_verifies_its_engine_first(place):
    done = run(
        place, "model=calibration/full", "calibrate=true", "ctx.lengths=[512,1k]", "ctx.depths=[0,25,50,75,100]",
        "name=verified", KV,
    )
    assert done.returncode == 0, done.stderr
    assert "".join(f"engine verified at 1K, {kv}, CPU_ATTN: 65/65\n" for kv in VARIANTS) in done.stdout
    assert [folder.name for folder in (place / "outputs").iterdir() if "calibration" in folder.name] == []
    content = json.loads((place / "outputs" / "verified" / "run.json").read_text())
    assert content["config"]["model"]["name"] == "calibration_full"


@in_this_process
@pytest.mark.slow
@pytest.mark.parametrize(("fault", "kv", "name", "evidence"), [
    ("block", "bf16", diagnose.BLOCK, "trials), those at"),
    ("positions", "bf16", diagnose.POSITIONS, "every answer begins right and then strays"),
    (
        "prefill_positions", "bf16", diagnose.POSITIONS,
        "all that is lost lies across the border of two steps of 128 tokens",
    ),
    pytest.param(
        "scale", "fp8", diagnose.SCALE, "under fp8_e4m3 from their first token on, none of", marks=needs_fp8
    ),
])
def test_a_planted_fault_is_caught_and_named(place, fault, kv, name, evidence):
    done = run(
        place, "model=calibration/full", "calibrate=true", "ctx.lengths=[4k]", f"name=faulty-{fault}", f"kv={kv}",
        "engine._target_=tests.helpers.faulty.Faulty", f"engine.fault={fault}",
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1, done.stderr
    assert f"; {name}: " in last and evidence in last and "nothing was measured" in last, done.stderr
    assert not (place / "outputs" / f"faulty-{fault}").exists()


@pytest.mark.slow
@in_this_process
def test_a_block_is_lost_where_it_was_overwritten(place):
    done = run(
        place, "model=calibration/full", "ctx.lengths=[4k]", "name=block", "ctx.depths=[0,20,40,50,52,54,56,60,80,100]",
        "engine._target_=tests.helpers.faulty.Faulty", "engine.fault=block", "engine.block=16",
    )
    assert done.returncode == 0, done.stderr
    lost = [row["needle_spans"][0] for row in rows(place / "outputs" / "block") if not row["score"]]
    assert lost and all(start < 17 * 128 and stop > 16 * 128 for start, stop in lost)  # block 16: tokens 2,048 to 2,175
    check = run(place, "calibrate", "--config-dir", str(REPOSITORY), "outputs/block")  # where the faulty engine lies
    assert check.returncode == 1 and f"niah: calibrate outputs/block: bf16: {diagnose.BLOCK}: " in check.stderr


@pytest.mark.slow
@needs_fp8
def test_noise_margin_orders_the_dtypes(place):
    done = run(
        place, "calibrate", "kv=[bf16,fp8_e4m3,fp8_e5m2]", "ctx.lengths=[1k,2k]", "ctx.depths=[0,25,50,75,100]",
        "out=margin",
    )
    assert done.returncode == 0, done.stderr
    shares = [Share(**one) for one in json.loads((place / "margin" / "margin.json").read_text())["shares"]]
    found = {(one.dtype, one.length): one.all for one in thresholds(shares)}
    for length in (1024, 2048):
        assert abs(found["bf16", length] - found["exact", length]) <= 0.5
        assert found["bf16", length] <= found["fp8", length] < found["fp8_e5m2", length]
    assert (place / "margin" / "margin.png").stat().st_size > 10_000

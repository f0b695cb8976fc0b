"""What plan says: no above a model's limit, estimates as ranges, several machines in one table."""

import json
import re
from dataclasses import replace

import pytest

from niah import planner
from niah.planner import defaults, estimate, table
from niah.planner.memory import GIB, Setup
from niah.units import format_range
from tests.helpers.command import said
from tests.helpers.configs import built
from tests.helpers.machines import KNOWN, eight, shape


def test_no_machine_helps_above_the_model_s_limit():
    run = built("model=smollm2_135m", "ctx.lengths=[8k,128k]")
    made = planner.make(run.model, run.ctx, eight("h200"), KNOWN)
    assert [(cell.length, cell.fits) for cell in made.cells[::2]] == [(8192, True), (131_072, False)]
    above = made.cells[-1]
    assert above.need.total < above.available and above.is_above_limit and not above.least
    lines = table.lines(made)
    assert " limit " in lines[4] and "yes" in lines[1]
    assert any(line.startswith("limit: 128K is above what the model reads, 8,192 tokens") for line in lines)


def test_the_engine_is_not_asked_for_more_than_the_model_reads(capfd):
    text = said(capfd, "plan", "model=smollm2_135m", "ctx.lengths=[8k,128k]", "hardware=h100")
    assert "under $0.01; 9" in text and "e-0" not in text
    assert "max_model_len=8192" in text and "estimates, each within a factor of 1.5" in text


def test_the_whole_run_is_told_as_a_range_too(capfd):
    text = said(capfd, "plan", "model=scout", "ctx.lengths=[8k,1m]", "hardware=8xh200")
    (line,) = (line for line in text.splitlines() if line.startswith("the whole run takes "))
    assert line.count(" to ") == 5 and "reading" in line and "an estimate" in line
    assert "about" not in line and re.search(r"and save [\d.]+ to [\d.]+ (s|min)\)", text)


def test_without_a_gpu_nothing_is_told_of_one(capfd, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    lines = said(capfd, "plan", "model=smollm2_135m", "ctx.lengths=[8k,16k,32k]").splitlines()
    assert lines[0].endswith("GiB for the engine") and "GPU" not in lines[1]
    assert any(line.startswith("limit: 16K, 32K are above what the model reads") for line in lines)
    assert any(line.startswith("no GPU: seconds are not estimated") for line in lines)


def test_seconds_and_dollars_are_ranges():
    assert estimate.seconds_span(3600) == "40 to 90 min" and estimate.seconds_span(1) == "0.67 to 1.5 s"
    assert estimate.seconds_span(0.03) == "20 to 45 ms"
    assert format_range(5400, 9000, "s") == "1.5 to 2.5 h" and format_range(16.2, 36.4) == "16 to 36"
    run = built("model=scout", "ctx.lengths=[10m]")
    lines = table.lines(planner.make(run.model, run.ctx, eight("h200"), KNOWN))
    assert lines[1].count(" to ") == 3  # first token, tokens a second, dollars


def test_several_machines_stand_in_one_table(capfd):
    words = ("plan", "model=scout", "ctx.lengths=[10m]", "hardware=[8xh100,8xH200,2x8xb200]")
    lines = said(capfd, *words).splitlines()
    rows = {(line.split()[1], line.split()[2]): line.split()[3] for line in lines[2:8]}
    assert rows["bfloat16", "8xh100"] == "no" and rows["fp8_e4m3", "8xh100"] == "yes"
    assert rows["bfloat16", "8xh200"] == rows["bfloat16", "2x8xb200"] == "yes"
    plans = json.loads(said(capfd, *words, "format=json"))["plans"]
    assert [plan["hardware"]["name"] for plan in plans] == ["h100", "h200", "b200"]


@pytest.mark.parametrize(("words", "message"), [
    (("hardware=[h100,h900]",), "hardware=h900: no such choice"),
    (("hardware=[h100,h200]", "out=made"), "plan hardware: got 2 machines with out=; expected one"),
    (("hardware=[h100,h200]", "engine=fake"), "plan engine=fake: plans one machine"),
    (("hardware=[]",), "plan hardware: got []; expected one machine at least"),
    (("hardware=[ , ]",), "plan hardware: got [ , ]; expected one machine at least"),
    (("hardware=[8xh200,8xH200]",), "plan hardware: got 8xh200 twice; expected each once"),
    (("hardware=[h200,1xh200]",), "plan hardware: got h200 twice; expected each once"),
    (("hardware=[h100,h200]", "hardware.num_gpus=8"), "plan hardware.num_gpus=8: got beside hardware=[h100,h200]"),
    (("hardware=h100", "hardware=[h100,h200]"), "plan hardware=h100: got beside hardware=[h100,h200]"),
    (("hardware=[h100,h200]", "exact=true"), "plan hardware: got 2 machines with exact=true; expected one"),
    (("exact=true", "budget=6h"), "plan exact=true: tells what vLLM's classes say of memory, as text; got budget=6h"),
    (("exact=true", "format=json"), "as text; got format=json with it"),
    (("exact=true", "out=made"), "as text; got out= with it"),
    (("exact=maybe",), "plan exact: got 'maybe'; expected true or false"),
    (("format=json", "budget=6h"), "plan budget: is told in a line of text; got budget=6h with format=json"),
    (("experiment=ruler_quick", "budget=2h"), "says itself how many repeats a difference takes"),
    (("experiment=ruler_quick", "format=json"), "got format=json with it; leave that out"),
    (("experiment=ruler_quick", "hardware=[h100,h200]"), "got hardware=[...] with it; leave that out"),
    (("model=deepseek_v3_2",), "this machine has no GPU: name one to plan for, as hardware=8xh200"),
])
def test_a_wrong_list_of_machines_is_one_line(capfd, words, message):
    model = () if any(word.startswith("model=") for word in words) else ("model=scout",)
    text = said(capfd, "plan", *model, *words, code=1)
    assert message in text and len(text.strip().splitlines()) == 1


def test_a_budget_is_told_for_each_machine(capfd):
    text = said(capfd, "plan", "model=scout", "ctx=128k", "hardware=[8xh100,8xh200]", "budget=6h")
    lines = [line for line in text.splitlines() if "budget=" in line]
    assert [line.split(":")[0] for line in lines] == ["8xh100", "8xh200"]
    assert all(line.endswith("repeats of these lengths and depths (an estimate)") for line in lines)


def test_a_token_takes_as_long_as_weights_and_cache_are_read():
    made, setup = shape("llama4_scout"), Setup(tensor_parallel=8)
    short, long = (defaults.token_seconds(made, eight("h100"), setup, cache) for cache in (0, 30 * GIB))
    assert long - short == pytest.approx(30 * GIB / 3.35e12, rel=0.3)  # the short one may wait for launches
    assert defaults.token_seconds(made, eight("b200"), setup, 30 * GIB) < long
    assert defaults.token_seconds(made, replace(eight("h100"), compute_capability=""), setup, 0) == 0


def test_requests_at_once_are_those_that_the_cache_holds():
    made, setup = shape("qwen3_5_27b"), Setup(tensor_parallel=8)
    cells = [estimate.cell(made, eight("h100"), setup, length, 262_144) for length in (32_768, 262_144)]
    assert cells[0].at_once > cells[1].at_once >= 1
    for cell in cells:
        room = cell.available - cell.need.fixed
        assert cell.at_once * cell.need.cache <= room * 1.05

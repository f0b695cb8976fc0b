"""Pages of verbs that have tables of their own, and what stands at the top of every page: numbers are those printed."""

import dataclasses
import json
import re
from pathlib import Path

import pandas
import pytest

from niah import cli
from niah.commands.compare.compare import compare
from niah.commands.page import shown_of
from niah.commands.rag.rag import rag
from niah.commands.ruler.ruler import ruler
from niah.records import EngineFacts, RunSession
from niah.report.page.numbers import content
from niah.report.page.plan import FIGURES, beside_measured
from niah.runs import capacity, checks, expectation, resume, store
from niah.units import format_length
from tests.helpers.browser import chromium, tab_of
from tests.helpers.command import ran_here
from tests.helpers.configs import built
from tests.helpers.ruler_sweeps import sweep
from tests.helpers.runs import grid, rows, run

CALIBRATED = (
    "engine=fake", "model=calibration/full", "task=single", "haystack=generated", "ctx.lengths=[512,1k]",
    "ctx.depths=[0,50,100]", "ctx.repeats=1", "report.formats=[svg]", "report.excerpts=false",
)
FP8 = {"kv": {"name": "fp8", "dtype": "fp8_e4m3"}}


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> Path:
    """Runs of a calibration model: one whose engine finds all, one whose engine loses what is far."""
    place = tmp_path_factory.mktemp("calibrated")
    ran_here(place, (*CALIBRATED, "engine.window=9000", "name=good"), (*CALIBRATED, "engine.window=600", "name=bad"))
    return place / "outputs"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def numbers(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def frame(table: dict) -> pandas.DataFrame:
    return pandas.DataFrame(table["rows"], columns=[column["name"] for column in table["columns"]])


def test_calibrate_writes_its_page(calibrated, monkeypatch, capsys):
    monkeypatch.chdir(calibrated)
    assert cli.main(["calibrate", "good"]) == 0
    printed = capsys.readouterr().out
    found = numbers(calibrated / "good")
    (table,), (one,) = found["tables"], found["runs"]
    assert one["calibrated"] == "verified" and found["sentences"][0].startswith("engine verified at 512/1K, bf16")
    shown = frame(table)
    assert f"{shown['as predicted'].sum()} of {shown['trials'].sum()} trials as predicted" in printed
    for line in shown.itertuples(index=False):
        assert f"predicted {line.predicted}  seen {line.seen}" in printed
    assert printed.splitlines()[-1] == "page: good/report.html"
    monkeypatch.chdir(calibrated.parent)  # a report that comes later still knows it
    assert cli.main(["report", "outputs/good"]) == 0
    assert numbers(calibrated / "good")["runs"][0]["calibrated"] == "verified"


@pytest.mark.slow
def test_a_failed_calibration_is_said_at_the_top(calibrated, browser, monkeypatch, capsys):
    monkeypatch.chdir(calibrated)
    assert cli.main(["calibrate", "bad"]) == 1
    fault = capsys.readouterr().err
    found = numbers(calibrated / "bad")
    assert found["runs"][0]["calibrated"] == "failed" and found["sentences"][0].startswith("The engine fails: bf16: ")
    assert found["sentences"][0].removeprefix("The engine fails: ").rstrip(".") in fault
    with tab_of(browser) as tab:
        tab.open(calibrated / "bad/report.html")
        assert "calibration: failed" in tab.text("header") and "1K" in tab.text("main") and not tab.complaints
        assert len(tab.requests) == 1


def test_ruler_writes_its_page(tmp_path, browser):
    folder = sweep(tmp_path / "s", lambda setting, trial: 1.0 if trial.length < 4096 else 0.5, repeats=2)
    lines = ruler([folder], [f"out={tmp_path}/out"])
    found = numbers(tmp_path / "out")
    (table,) = found["ruler"]
    printed = next(line for line in lines if line.startswith("vt "))
    vt = next(line for line in table["lines"] if line["name"] == "vt")
    assert printed.split()[1:4] == [f"{score['mean']:.1f}" for score in vt["scores"]] and len(found["runs"]) == 13
    with tab_of(browser) as tab:
        tab.open(tmp_path / "out/report.html")
        assert "RULER" in tab.text("main") and not tab.complaints and len(tab.requests) == 1


def test_two_sweeps_have_a_page(tmp_path, browser):
    def worse(setting, trial):
        return 0.0 if setting == "vt" else 1.0

    a = sweep(tmp_path / "bf16", lambda setting, trial: 1.0, ("vt", "cwe", "niah_single_1"))
    b = sweep(tmp_path / "fp8", worse, ("vt", "cwe", "niah_single_1"), **FP8)
    lines, _ = compare([a, b], [f"compare.out={tmp_path}/out", "report.formats=[]"])
    found = numbers(tmp_path / "out")
    assert set(found["sentences"]) < set(lines) and lines[-1] == f"page: {tmp_path}/out/report.html"
    by_setting, mean = map(frame, found["tables"])
    for line in by_setting.itertuples(index=False):
        printed = next(text for text in lines if text.startswith(f"{line.setting} "))
        assert f"{100 * line.difference:+.1f} [{100 * line.low:+.1f}, {100 * line.high:+.1f}]" in printed
        assert printed.endswith(line.verdict) and f" {line.lost} " in printed
    assert mean["length"].tolist()[:3] == [1024, 2048, 4096] and mean["difference"].iloc[-1] == pytest.approx(-1 / 3)
    pairs = [(found["runs"][one["base"]], found["runs"][one["other"]]) for one in found["comparisons"]]
    assert [(base["ruler_setting"], base["sweep"], other["sweep"]) for base, other in pairs] == [
        (name, "bf16", "fp8") for name in by_setting["setting"]
    ]
    assert all(base["ruler_setting"] == other["ruler_setting"] for base, other in pairs)
    with tab_of(browser) as tab:
        tab.open(tmp_path / "out/report.html")
        tab.page.select_option("label:has-text('sweep') select", "fp8")
        tab.page.select_option("label:has-text('compare to') select", index=1)
        assert "against" in tab.text("main") and not tab.complaints
        tab.page.select_option("label:has-text('setting') select", "vt")
        tab.until("document.querySelector('main').textContent.includes('-100')")  # its own baseline came with it
        assert len(tab.requests) == 1 and not tab.complaints


def test_compare_prints_the_numbers_of_its_page(tmp_path):
    a = run(tmp_path / "a", rows(grid(6), lambda trial: True))
    b = run(tmp_path / "b", rows(grid(6), lambda trial: trial.length < 32768 or trial.repeat > 3))
    lines, _ = compare([a, b], [f"compare.out={tmp_path}/out", "report.formats=[]"])
    (one,) = numbers(tmp_path / "out")["comparisons"]
    assert one["sentence"] in lines
    for found in (*one["lengths"], one["overall"]):
        span = "{difference:+.1f} [{low:+.1f}, {high:+.1f}]".format(
            **{name: 100 * found[name] for name in ("difference", "low", "high")}
        )
        name = "all" if found is one["overall"] else format_length(found["lengths"][0])
        line = next(text for text in lines if text.split() and text.split()[0] == name)
        for text in (span, f"{found['base']:.3f}", f"{found['other']:.3f}", f" {found['lost']} ", f"{found['p']:.4f}"):
            assert text in line, (text, line)


def test_rag_prints_the_numbers_of_its_page(tmp_path):
    paths = []
    for name, few in (("full", 1), ("bm25", 3)):
        reader = {"name": name, **({"chunk_tokens": 128, "budget": 512, "top_k": 8} if name == "bm25" else {})}
        found = rows(grid(8), lambda trial, few=few: trial.repeat % (few + 1) > 0, reader=name)
        found = [dataclasses.replace(row, context_sha256=row.prompt_sha256, prompt_sha256=f"{name}{row.trial}",
                                     retrieved=[[0, 128, 1.0]] if name == "bm25" else []) for row in found]
        paths.append(run(tmp_path / name, found, reader=reader))
    lines = rag(paths, [f"rag.out={tmp_path}/out", "rag.hardware=null", "report.formats=[]"])
    found = numbers(tmp_path / "out")
    assert found["sentences"] and set(found["sentences"]) <= set(lines)
    printed = "\n".join(lines)
    for one in found["runs"]:
        for cell in one["lengths"]:
            assert f"{cell['accuracy']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]" in printed
    (pair,) = found["comparisons"]
    overall = pair["overall"]
    assert f"{100 * overall['difference']:+.1f} [{100 * overall['low']:+.1f}, {100 * overall['high']:+.1f}]" in printed
    cells = pandas.json_normalize(found["runs"], "cells", ["label"])
    assert cells.groupby("label").accuracy.mean().to_dict() == pytest.approx({
        one["label"]: one["overall"]["accuracy"] for one in found["runs"]
    }, abs=1e-5)


def test_a_margin_has_a_page_without_runs(tmp_path, browser):
    from niah.commands import page
    from niah.commands.calibrate.findings import margins
    from niah.report.settings import ReportSettings
    from niah.stats.noise_margin import Threshold

    found = [Threshold("exact", 4096, 9.0, 9.5), Threshold("fp8", 4096, 9.25, None)]
    page.write_page((), tmp_path, ReportSettings(), title="Noise margin", tables=[margins(found)])
    with tab_of(browser) as tab:
        tab.open(tmp_path / "report.html")
        assert "9.25" in tab.text("main") and "fp8" in tab.text("main") and not tab.complaints


def test_each_run_of_a_sweep_is_compared_with_the_one_that_was_asked_the_same(tmp_path):
    shown = []
    for number in range(5):
        for kind in ("bf16", "fp8"):
            found = rows(grid(4), lambda trial, kind=kind: kind == "bf16", salt=f"s{number}")
            path = run(tmp_path / f"{number}{kind}", found)
            _, record, read = store.open_for_reading(path)
            shown += shown_of(path, f"{number}{kind}", record, read)
    from niah.commands.page import compare as compared

    pairs = {(one.base, one.other) for one in compared(shown)}
    assert pairs == {pair for n in range(0, 10, 2) for pair in ((n, n + 1), (n + 1, n))}


def test_the_plan_stands_beside_what_was_measured(tmp_path, browser):
    path = run(tmp_path / "a", rows(grid(2), lambda trial: True))
    _, record, _ = store.open_for_reading(path)
    planned = {
        "start_seconds": 30.0, "trials_seconds": 60.0, "control_seconds": 10.0, "seconds": 100.0, "memory_gib": 12.5,
        "available_gib": 70.0, "kv_cache_tokens": 1000000, "num_gpus": 2, "dollars_per_gpu_hour": 3.6, "dollars": 0.2,
    }
    sessions = [
        RunSession("2026-01-01T00:00:00+00:00", 0, trials_seconds={"": 40.0}, memory_gib={"": 3.0}),
        RunSession("2026-01-01T01:00:00+00:00", 9, trials_seconds={"": 30.0}, control_seconds={"": 5.0}),
    ]
    config = {**record.config, "engine": {"name": "vllm"}}
    facts = EngineFacts({"start_seconds": 25.0, "kv_cache_size_tokens": 990000})
    record = dataclasses.replace(record, expected={"": planned}, sessions=sessions, engine=facts, config=config)
    both = beside_measured(record, "")
    assert both["planned"]["seconds"] == 100 and both["measured"] == {
        "start_seconds": 25.0, "trials_seconds": 70.0, "control_seconds": 5.0, "seconds": 100.0, "memory_gib": 3.0,
        "kv_cache_tokens": 990000, "dollars": 0.2,
    }
    store.RunFolder(Path(path)).write_record(record)
    _, again, _ = store.open_for_reading(path)
    assert again.expected == {"": planned} and again.sessions[0].memory_gib == {"": 3.0}
    assert resume.continued(again, dataclasses.replace(record, expected={}), ()).expected == {"": planned}
    assert cli.main(["report", path, "report.formats=[]"]) == 0
    with tab_of(browser) as tab:
        tab.open(tmp_path / "a/report.html")
        table = tab.text("header details")
        for value in ("100 s", "70 s", "12.5 GiB", "1,000,000", "990,000", "$0.20"):
            assert value in table, table
        assert not tab.complaints


def test_the_plan_says_what_it_said_on_the_terminal():
    settings = built("model=qwen3_5_4b", "ctx=64k", "kv=[bf16,fp8]")
    h100 = next(one for one in capacity.known_hardware() if one.name == "h100")
    fits = capacity.check(settings, h100)
    told = " ".join(capacity.choice_lines(settings, fits, h100))
    found = expectation.expected(settings, fits, h100)
    assert [*found] == ["bf16", "fp8"] and {*found["fp8"]} >= {*FIGURES}
    (low, high) = re.search(r"start (\d+) to (\d+) s, reading", told).groups()
    assert int(low) <= found["bf16"]["start_seconds"] <= int(high)
    assert found["fp8"]["kv_cache_tokens"] > 1.8 * found["bf16"]["kv_cache_tokens"]
    assert found["bf16"]["dollars"] == pytest.approx(found["bf16"]["seconds"] * h100.dollars_per_gpu_hour / 3600, 0.01)
    assert expectation.expected(built("engine=fake"), capacity.check(built("engine=fake"))) == {}


@pytest.mark.parametrize(
    "text", ("", "[]", "{", '{"variants": 3, "faults": []}', '{"variants": [3], "faults": [1]}', "\0")
)
def test_checks_that_cannot_be_read_are_said(tmp_path, text):
    path = run(tmp_path / "a", rows(grid(1), lambda trial: True))
    for name in (checks.CALIBRATION, checks.CROSSCHECK):
        (tmp_path / "a" / name).write_text(text)
    _, record, found = store.open_for_reading(path)
    (one,) = content(shown_of(path, "", record, found))["runs"]
    assert one["calibrated"] == "not run" and re.search(r"^calibration.json: cannot be read", one["calibration"][0])
    assert one["crosscheck"].startswith("crosscheck.json: cannot be read")


def test_a_variant_that_was_not_begun_is_said(tmp_path):
    path = run(tmp_path / "a", rows(grid(2), lambda trial: True, variant="bf16"))
    _, record, found = store.open_for_reading(path)
    scope = dataclasses.replace(record.scope, variants=["bf16", "fp8"], num_trials=len(found))
    warnings = content(shown_of(path, "", dataclasses.replace(record, scope=scope), found))["warnings"]
    assert [text for text in warnings if "so far" in text] == ["fp8: 0 of 18 trials so far"]


def test_a_crosscheck_is_at_the_top(tmp_path, browser):
    verdicts = {"both right": 30, "both fail": 7, "only the first fails": 2, "only the second fails": 1}
    one = {"n": 40, "same": 38, "low": 0.8, "high": 1.0, "verdicts": verdicts}
    path = run(tmp_path / "a", rows(grid(1), lambda trial: True))
    second = {"bfloat16": {"engine": {"name": "transformers"}, "kv": "bfloat16"}}
    (tmp_path / "a/crosscheck.json").write_text(json.dumps({"schema": 1, "second": second, "variants": {"": one}}))
    assert cli.main(["report", path, "report.formats=[]"]) == 0
    with tab_of(browser) as tab:
        tab.open(tmp_path / "a/report.html")
        said = "crosscheck by transformers: 38 of 40 answers the same, word for word; 30 both right, 7 both fail"
        assert said in tab.text("header") and not tab.complaints

"""The page in a real browser: what it shows is what the rows say, and nothing in it runs or leaves the machine."""

import io
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas
import pytest

from niah import cli
from niah.report.accuracy import accuracy_by_length
from niah.report.page import document
from niah.runs import store
from tests.helpers.browser import chromium, tab_of
from tests.helpers.command import command, environment_with, ran_here
from tests.helpers.configs import built

GRID = (
    "engine=fake", "model=smollm2_135m", "task=multikey", "haystack=noise", "engine.window=1500", "kv=[bf16,fp8]",
    "ctx.lengths=[512,1k,2k]", "ctx.depths=[0,50,100]", "ctx.repeats=2", "name=a",
)
EVIL = (
    "</script><script>window.ran = 1</script>", "<img src=x onerror='window.ran = 2'>", "\u2028\u2029window.ran = 3",
    "\u202eabc\u2066", "\x00\x1b[2J", "\ud800", "<!--<script>", "]]>", "${window.ran = 4}", "javascript:window.ran=5",
    "' onload='window.ran = 6", "&lt;b&gt;", "\U000e0041",
)
MAX_SHELL, MAX_10K = 120_000, 3_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run of two variants, whose fp8 rows at 1K are made to differ."""
    place = tmp_path_factory.mktemp("page")
    ran_here(place, GRID)
    run = place / "outputs/a"
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        if row["variant"] == "fp8" and row["length"] == 1024:
            row |= {"score": 0.0, "outcome": "wrong", "response": "4711", "answer": "4711"}
    (run / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran_here(place, ("report", str(run)))
    return run


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser):
    with tab_of(browser) as tab:
        yield tab


def numbers(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def test_it_asks_for_nothing_and_complains_of_nothing(tab, folder):
    tab.open(folder / "report.html")
    assert [address for address in tab.requests if not address.startswith("file:")] == []
    assert len(tab.requests) == 1 and not tab.complaints
    assert "engine=fake: no model was asked" in tab.text("header")


def test_from_a_cell_to_a_trial_to_another_variant_by_mouse(tab, folder):
    tab.open(folder / "report.html")
    tab.page.click('rect.cell[data-place="1024|50"]')
    tab.page.wait_for_selector("h2:has-text('Trial')>>text=1K, depth 50%")
    assert tab.page.locator("tr[data-trial]").count() == 2
    sides = tab.page.locator(".side")
    assert sides.count() == 2 and "4711" in sides.nth(1).inner_text() and "4711" not in sides.nth(0).inner_text()
    assert "mark" in tab.page.inner_html("main") and "Question" in tab.text("main")
    sides.nth(1).get_by_role("button", name="look at this one").click()
    tab.page.wait_for_selector(".side.own >> text=4711")
    assert "KV cache fp8_e4m3" in tab.text("header")


def test_the_same_by_keyboard(tab, folder):
    tab.open(folder / "report.html")
    tab.page.locator('rect.cell[tabindex="0"]').focus()
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        tab.page.keyboard.press(key)
    tab.until("document.activeElement.matches('tr[data-trial]')")
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("Enter")
    tab.until("document.activeElement.matches('h2')")
    assert "1K, depth 50%, repeat 1" in tab.page.evaluate("document.activeElement.textContent")
    assert tab.page.locator("tr[data-trial][tabindex='0']").count() == 1  # Tab leaves a long list at once
    tab.page.locator(".side button").focus()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector(".side.own >> text=4711")


def test_a_difference_names_what_was_lost(tab, folder):
    tab.open(folder / "report.html", "run=1&base=0&colour=difference")
    found = next(one for one in numbers(folder)["comparisons"] if (one["base"], one["other"]) == (0, 1))
    assert found["sentence"] in tab.text("main") and found["overall"]["lost"] == 6
    cell = tab.page.locator('rect.cell[data-place="1024|0"]')
    assert "-100.0 points against bf16, 2 lost, 0 gained" in cell.get_attribute("aria-label")


def test_the_address_keeps_what_is_looked_at(tab, folder):
    tab.open(folder / "report.html")
    tab.page.click('rect.cell[data-place="2048|100"]')
    tab.page.wait_for_selector("h2:has-text('Trial')>>text=2K, depth 100%")
    address = tab.page.url
    tab.page.goto("about:blank")
    tab.page.goto(address)
    tab.ready()
    assert "2K, depth 100%" in tab.text("main")


def test_trials_are_found_by_their_text_and_outcome(tab, folder):
    tab.open(folder / "report.html", "run=1")
    tab.page.fill("input[type=search]", "4711")
    tab.until("document.querySelectorAll('tr[data-trial]').length == 6")
    tab.page.fill("input[type=search]", "")
    tab.page.select_option("label:has-text('outcome') select", "wrong")
    rows = "[...document.querySelectorAll('tr[data-trial]')]"
    tab.until(f"{rows}.length && {rows}.every(row => row.textContent.includes('wrong'))")


def test_tables_are_saved_as_csv_and_latex(tab, folder, tmp_path):
    tab.open(folder / "report.html")
    for name, file in (("CSV", tmp_path / "table.csv"), ("LaTeX", tmp_path / "table.tex")):
        with tab.page.expect_download() as download:
            tab.page.get_by_role("button", name=name).first.click()
        download.value.save_as(file)
    table = pandas.read_csv(tmp_path / "table.csv")
    assert table["accuracy"].tolist()[:3] == [one["accuracy"] for one in numbers(folder)["runs"][0]["lengths"]]
    with tab.page.expect_download() as download:
        tab.page.locator("section").last.get_by_role("button", name="CSV").click()
    trials = pandas.read_csv(download.value.path())
    assert len(trials) == 18 and set(trials["outcome"]) <= set(numbers(folder)["runs"][0]["outcomes"])
    assert "\\toprule" in (tmp_path / "table.tex").read_text() and not tab.complaints


@pytest.mark.parametrize("scheme", ("light", "dark"))
@pytest.mark.parametrize("width", (1400, 420))
def test_dark_narrow_and_print(browser, folder, scheme, width):
    with tab_of(browser, color_scheme=scheme, viewport={"width": width, "height": 900}) as tab:
        tab.open(folder / "report.html", "length=1024&depth=50&trial=4")
        background = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background))) < 200) == (scheme == "dark")
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        widths = tab.page.evaluate("[...document.querySelectorAll('td.text')].map(cell => cell.clientWidth)")
        assert widths and min(widths) > 80  # no word stands letter below letter
        tab.page.emulate_media(media="print")
        assert tab.page.locator("nav").is_hidden() and tab.page.locator("svg[role=grid]").is_visible()
        assert not tab.complaints


def test_without_scripts_there_are_sentences_and_pictures(browser, folder):
    with tab_of(browser, java_script_enabled=False) as tab:
        tab.page.goto((folder / "report.html").as_uri())
        assert numbers(folder)["sentences"][0] in tab.text()
        assert tab.page.locator("img").count() == 2


def test_hostile_text_is_text(tab, folder, tmp_path, monkeypatch):
    run = tmp_path / "evil"
    run.mkdir()
    record = json.loads((folder / "run.json").read_text())
    record["config"]["model"]["label"] = EVIL[0] + EVIL[1] + EVIL[3]
    for group in ("task", "haystack", "reader"):
        record["config"][group]["name"] += EVIL[1] + EVIL[0]
    record["environment"] |= {"cpu": EVIL[1], "packages": {EVIL[0]: EVIL[1]}}
    (run / "run.json").write_text(json.dumps(record))
    lines, kept = [], []
    for number, line in enumerate((folder / "rows.jsonl").read_text().splitlines()):
        row, evil = json.loads(line), EVIL[number % len(EVIL)]
        row |= {"response": evil * 3, "answer": evil, "targets": [evil], "thinking": evil, "num_thinking_tokens": 1}
        if number == 0:
            row["response"] = "A" * 5_000_000
        lines.append(row)
        kept.append({
            "prompt_sha256": row["prompt_sha256"], "question": evil, "beginning": evil, "end": evil, "num_needed": 1,
            "needles": [[evil, evil, evil]], "chunks": [evil],
        })
    (run / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (run / "excerpts.jsonl").write_text("{not json\n[]\n" + "".join(json.dumps(one) + "\n" for one in kept))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "evil"]) == 0
    tab.open(run / "report.html")
    for row in lines[: len(EVIL)]:
        tab.open(run / "report.html", f"trial={row['trial']}&length={row['length']}&depth={row['depth']}")
        tab.page.wait_for_selector("h2:has-text('Trial ')")
    assert tab.page.evaluate("window.ran") is None and not tab.complaints
    shown = tab.page.content()
    assert "\u202e" not in shown and "\x1b" not in shown and "\u2028" not in shown
    assert len(tab.requests) == 1 and (run / "report.html").stat().st_size < 1_000_000


def test_the_index_leads_to_each_page_and_shows_text_as_text(tab, folder, tmp_path, monkeypatch):
    outputs = tmp_path / "outputs"
    for name in ("a", "b"):
        shutil.copytree(folder, outputs / name)
    record = json.loads((folder / "run.json").read_text())
    record["config"]["model"]["label"] = EVIL[1] + EVIL[3] + EVIL[4]
    (outputs / "b/run.json").write_text(json.dumps(record))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "outputs"]) == 0
    tab.open(outputs / "index.html")
    assert tab.page.locator("tbody tr").count() == 2 and len(tab.requests) == 1
    assert "<img src=x onerror='window.ran = 2'>\\u202eabc\\u2066\\x00\\x1b[2J" in tab.text("tbody")
    assert "\u202e" not in tab.page.content() and tab.page.evaluate("window.ran") is None and not tab.complaints
    with tab.page.expect_download() as download:
        tab.page.get_by_role("button", name="CSV").click()
    table = pandas.read_csv(download.value.path())
    assert sorted(table["name"]) == ["a", "b"] and set(table["num_answers"]) == {36} and not tab.complaints
    tab.page.get_by_role("button", name="run").click()
    tab.page.get_by_role("link", name="a", exact=True).click()
    tab.ready()
    assert "KV cache" in tab.text("header")


def test_controls_that_cannot_be_read_are_said_on_the_page(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "a")
    (tmp_path / "a/controls.jsonl").write_text('{"trial": "x"}\n')
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "a"]) == 0
    for run in numbers(tmp_path / "a")["runs"]:
        assert run["control"].startswith("control without prefix cache: cannot be read (a/controls.jsonl: control 1 ")


def test_a_stopped_run_leaves_the_page_of_what_is_there(tmp_path):
    grid = ("ctx.lengths=[512,1k]", "ctx.depths=[0,50,100]", "ctx.repeats=2000", "name=a", "outputs=.")
    process = subprocess.Popen(
        command("engine=fake", "haystack=noise", *grid), cwd=tmp_path, env=environment_with(), stderr=subprocess.PIPE
    )
    rows = tmp_path / "a/rows.jsonl"
    while process.poll() is None and (not rows.exists() or rows.stat().st_size < 20_000):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=200)
    assert process.returncode == 130, said
    num = len(rows.read_text().splitlines())
    assert f"{num:,} of 12,000 trials so far" in numbers(tmp_path / "a")["warnings"]
    assert (tmp_path / "a/report.html").stat().st_size > 40_000


def test_a_run_that_goes_on_has_a_page_where_it_is_asked_for(folder, tmp_path):
    from niah.commands.run import _Live

    shutil.copytree(folder, tmp_path / "a")
    store_of, record, _ = store.open_for_reading(str(tmp_path / "a"))
    for is_live in (False, True):
        (tmp_path / "a/report.html").unlink(missing_ok=True)
        settings = built("engine=fake", f"report.live={is_live}")
        _Live(settings, every_seconds=0).row(record, store_of)
        assert (tmp_path / "a/report.html").is_file() == is_live
        _Live(settings, every_seconds=3600).row(record, store_of)
        assert (tmp_path / "a/report.html").is_file() == is_live


def test_a_page_that_cannot_be_written_is_one_line_and_costs_nothing(folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(folder, tmp_path / "a")
    before = (tmp_path / "a/rows.jsonl").read_bytes()
    (tmp_path / "a/report.html").unlink()
    (tmp_path / "a/report.html").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "a"]) == 1
    assert "report.html: cannot be written" in capsys.readouterr().err
    assert (tmp_path / "a/rows.jsonl").read_bytes() == before and not list((tmp_path / "a").glob(".report*"))


def test_without_excerpts_a_page_names_the_command(tab, folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "a")
    (tmp_path / "a/excerpts.jsonl").write_text('{"prompt_sha256":"torn\n\x00\n')
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "a"]) == 0
    tab.open(tmp_path / "a/report.html", "length=1024&depth=50&trial=4")
    assert "was not kept" in tab.text("main") and "show a --trial 4" in tab.text("main")


def test_a_needle_that_the_reader_left_out_is_none_of_those_shown(tab, folder, tmp_path, monkeypatch):
    run = tmp_path / "a"
    shutil.copytree(folder, run)
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    row = next(row for row in rows if row["needles_kept"] == [True] * 4)
    for one in rows:  # of four needles the first is asked for
        if one["prompt_sha256"] == row["prompt_sha256"]:
            one |= {"needles_kept": [False, True, True, True], "needle_spans": one["needle_spans"][1:]}
            one |= {"needles_retrieved": ["missed", "whole", "whole", "whole"]}
    (run / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    kept = [json.loads(line) for line in (run / "excerpts.jsonl").read_text().splitlines()]
    for one in kept:
        if one["prompt_sha256"] == row["prompt_sha256"]:
            one["needles"] = one["needles"][1:]
    lines = (json.dumps(one, separators=(",", ":")) + "\n" for one in kept)
    (run / "excerpts.jsonl").write_text("".join(lines))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", "a"]) == 0
    tab.open(run / "report.html", f"length={row['length']}&depth={row['depth']:g}&trial={row['trial']}")
    text = tab.text("main")
    assert "Needle, not in what the model saw, retrieved: missed" in text and "3 that look like it" in text
    assert "Needle, tokens" not in text and not tab.complaints


def test_report_json_has_the_numbers_that_are_printed(folder):
    content = numbers(folder)
    _, record, rows = store.open_for_reading(str(folder))
    printed = accuracy_by_length(record, rows)
    for run in content["runs"]:
        for one in run["lengths"]:
            assert f"{one['accuracy']:.2f}" in printed and f"{one['low']:.2f} to {one['high']:.2f}" in printed
        for one in run["effective_lengths"]:
            assert f"effective length ({one['name']}): {one['text']}" in printed
    cells = pandas.json_normalize(content["runs"], "cells", ["label", "task"])
    means = cells.groupby("label").accuracy.mean()
    assert len(cells) == 2 * 9 and means["bf16"] > means["fp8"]


def test_the_numbers_alone_as_csv_json_and_latex(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder.parent)
    content, before = numbers(folder), {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert cli.main(["report", "a", "format=csv"]) == 0
    table = pandas.read_csv(io.StringIO(capsys.readouterr().out))
    ours = [one["accuracy"] for run in content["runs"] for one in (*run["lengths"], run["overall"])]
    assert table["accuracy"].tolist() == ours and table["length"].tolist()[:4] == ["512", "1024", "2048", "all"]
    assert cli.main(["report", "a", "format=csv", "table=cells"]) == 0
    assert len(pandas.read_csv(io.StringIO(capsys.readouterr().out))) == 18
    assert cli.main(["report", "a", "format=csv", "table=effective_lengths"]) == 0
    table = pandas.read_csv(io.StringIO(capsys.readouterr().out))
    assert table["length"].tolist() == [one["length"] for run in content["runs"] for one in run["effective_lengths"]]
    assert cli.main(["report", "a", "format=csv", "table=plan"]) == 0
    table = pandas.read_csv(io.StringIO(capsys.readouterr().out))
    seconds = [run["plan"]["measured"]["seconds"] for run in content["runs"]]
    assert table["seconds"].tolist()[1::2] == seconds and table["which"].tolist()[::2] == ["planned"] * 2
    assert cli.main(["report", "a", "format=json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {**printed, "runs": 0} == {**content, "runs": 0} and len(printed["runs"]) == 2
    assert cli.main(["report", "a", "format=latex", "table=differences"]) == 0
    text = capsys.readouterr().out
    assert text.count("\\\\") == 1 + 2 * 4 and "holm\\_p" in text and "-1.000" in text
    assert before == {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    for words, expected in (
        (["table=x"], "expected one of lengths, cells, differences, effective_lengths, plan, ruler"),
        (["table=cells"], "format=csv or format=latex"),
        (["format=csv", "out=b"], "writes no file"), (["format=json", "table=cells"], "format=csv or format=latex"),
    ):
        assert cli.main(["report", "a", *words]) == 1 and expected in capsys.readouterr().err


def test_the_page_is_small(folder):
    content = numbers(folder)
    shell = document.document({**content, "runs": [], "comparisons": []})
    assert len(shell.encode()) < MAX_SHELL
    assert len((folder / "report.html").read_bytes()) < MAX_10K

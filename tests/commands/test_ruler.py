"""The verb ``ruler``: which runs make a table, what it says of them, and its formats."""

import csv
import io
import json
import re
import shutil

import pytest

from niah.commands.report import report
from niah.commands.ruler.ruler import ruler, tables
from niah.errors import NiahError
from niah.runs.ruler import setting_of
from niah.tasks.ruler import SETTINGS
from tests.helpers.ruler_sweeps import config_of, sweep
from tests.helpers.runs import grid, rows, run


def falling(setting, trial):
    return 1.0 if trial.length < 4096 else 0.25 * (SETTINGS.index(setting) % 5)


@pytest.mark.slow
def test_the_table_of_a_whole_sweep(tmp_path):
    lines = ruler([sweep(tmp_path / "s", falling)], ["ruler.threshold=30"])
    assert [line.split()[0] for line in lines[2:15]] == list(SETTINGS)
    (mean,) = [line for line in lines if line.startswith("mean of 13")]
    third = 100 * sum(0.25 * (k % 5) for k in range(13)) / 13
    assert mean.split()[3:6] == ["100.0", "100.0", f"{third:.1f}"]
    text = "\n".join(lines)
    rising, falls = (sum(w * s for w, s in zip(weights, (100, 100, third), strict=True)) / 6
                     for weights in ((1, 2, 3), (3, 2, 1)))
    assert f"wAvg. (inc) of 13: {rising:.1f} [" in text and f"wAvg. (dec) of 13: {falls:.1f} [" in text
    assert "effective length of the mean of 13 (RULER, 85.6): 2K [" in text
    assert "(your 30): at least 4K [" in text
    assert "500 of each setting and length, as RULER has, would give ±" in text
    assert "unequal samples a length: 6 of cwe, fwe, 18 of the others" in text
    assert "missing" not in text and "none is RULER's" not in text


def test_part_credit_counts(tmp_path):
    (one,) = tables([sweep(tmp_path / "s", lambda setting, trial: 0.25)])
    assert all(score.mean == pytest.approx(25) for line in one.lines for score in line.scores)


def test_missing_settings_leave_no_mean_of_rulers_name(tmp_path):
    folder = sweep(tmp_path / "s", falling, SETTINGS[:11])
    text = "\n".join(ruler([folder], []))
    assert "mean of 11" in text and "of 13:" not in text and "note: missing: qa_1, qa_2" in text
    assert "the means are of these 11, none is RULER's" in text


def test_a_setting_without_answers_at_a_length_is_in_no_mean(tmp_path):
    def right(setting, trial):
        return None if setting == "vt" and trial.length == 1024 else 1.0

    (one,) = tables([sweep(tmp_path / "s", right)])
    assert one.mean.name == "mean of 12" and "vt" not in one.counted
    assert any("vt has no answer at 1K, so no mean counts it" in note for note in one.notes)
    assert any("left out: 18 trials that ended as engine-error (vt 18)" in note for note in one.notes)


def test_each_variant_has_a_table(tmp_path):
    for kv in ("bf16", "fp8"):
        sweep(tmp_path / "s", falling, name=kv, kv={"name": kv}, fields={"variant": kv})
    found = tables([str(tmp_path / "s")])
    assert [one.title.rsplit(", ", 1)[1] for one in found] == ["bf16", "fp8"]
    assert all(one.mean.name == "mean of 13" for one in found)


def test_two_versions_of_ruler_are_said(tmp_path):
    folder = sweep(tmp_path / "s", falling, SETTINGS[:12])
    sweep(tmp_path / "s", falling, SETTINGS[12:], ruler={"setting": "qa_2", "version": "head"})
    (one,) = tables([folder])
    assert one.mean.name == "mean of 13"
    assert any(note.startswith("two versions of RULER in one table (package: ") for note in one.notes)


def test_a_changed_setting_is_said(tmp_path):
    folder = sweep(tmp_path / "s", falling, SETTINGS[:12])
    sweep(tmp_path / "s", falling, ["niah_multikey_1"], task={"num_keys": 9}, name="more-")
    shutil.rmtree(tmp_path / "s" / "s-niah_multikey_1")
    (one,) = tables([folder])
    assert any("niah_multikey_1 is not as RULER has it: task.num_keys 9, not 4" in note for note in one.notes)


def test_a_run_of_another_model_is_in_a_table_of_its_own(tmp_path):
    folder = sweep(tmp_path / "s", falling, SETTINGS[:12])
    sweep(tmp_path / "s", falling, SETTINGS[12:], model={"tokenizer": "other", "label": "Other"})
    first, second = tables([folder])
    assert (first.mean.name, second.mean.name) == ("mean of 12", "mean of 1")
    assert any("qa_2 in a table of their own" in note for note in first.notes)


def test_one_setting_twice_and_other_runs_are_said(tmp_path):
    folder = sweep(tmp_path / "s", falling)
    sweep(tmp_path / "s", falling, ["vt"], repeats=2, name="short-")
    run(tmp_path / "s" / "x", rows(grid(1), lambda trial: True))
    (one,) = tables([folder])
    assert any("vt is there twice: " in note and "(18 trials) is left out" in note for note in one.notes)
    assert any("none of RULER's settings, left out: " in note for note in one.notes)


@pytest.mark.slow
def test_older_runs_are_told_by_what_they_set(tmp_path):
    for setting in SETTINGS:
        old = {key: value for key, value in config_of(setting).items() if key != "ruler"}
        assert setting_of(old) == (setting, "")
        assert setting_of(config_of(setting)) == (setting, "package")
    assert setting_of({**config_of("vt"), "ruler": None, "task": {**config_of("vt")["task"], "num_hops": 2}}) is None
    assert all(setting_of({"ruler": odd, "task": 3, "model": []}) is None for odd in ("vt", {"setting": "x"}, [1]))
    other = {**config_of("qa_2"), "ruler": None, "haystack": {"name": "wikipedia", "half": "even"}}
    assert setting_of(other) == ("qa_2", "")
    (one,) = tables([sweep(tmp_path / "s", falling, ruler=None)])
    assert one.mean.name == "mean of 13" and any("older than the key ruler.version" in note for note in one.notes)


def test_it_is_on_the_page_of_the_sweep(tmp_path):
    folder = sweep(tmp_path / "s", falling)
    lines = report([folder], ["report.formats=[]"])
    (one,) = tables([folder])
    content = json.loads((tmp_path / "s" / "report.json").read_text())
    (shown,) = content["ruler"]
    assert [line["name"] for line in shown["lines"]] == list(SETTINGS) and shown["mean"]["name"] == "mean of 13"
    for line, found in zip(one.lines, [*shown["lines"], shown["mean"]], strict=True):
        means = [score.mean for score in line.scores]
        assert [score["mean"] for score in found["scores"]] == pytest.approx(means, abs=1e-6)
    assert {run["label"] for run in content["runs"]} == {*SETTINGS} and lines[-1].startswith("index: ")


def test_a_setting_whose_settings_are_lost_does_not_cost_the_report(tmp_path):
    folder = sweep(tmp_path / "s", falling, SETTINGS[:3])
    for file in (tmp_path / "s" / f"s-{SETTINGS[2]}").glob("*run.json*"):
        file.unlink()
    report([folder], ["report.formats=[]"])
    content = json.loads((tmp_path / "s" / "report.json").read_text())
    assert len(content["runs"]) == 3 and content["ruler"][0]["mean"]["name"] == "mean of 2"


def test_no_run_of_ruler_is_refused(tmp_path):
    run(tmp_path / "s" / "x", rows(grid(1), lambda trial: True))
    with pytest.raises(NiahError, match=r"ruler: none of RULER's settings in .*; expected runs of experiment=ruler"):
        ruler([str(tmp_path / "s")], [])


def test_formats(tmp_path):
    folder = sweep(tmp_path / "s", falling)
    lines = ruler([folder], [f"out={tmp_path}/out"])
    tables_of_all, pages = {"ruler.txt", "ruler.json", "ruler.csv", "ruler.tex"}, {"report.html", "report.json"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == tables_of_all | pages
    assert lines[-2].startswith("tables: ") and lines[-1].startswith("page: ")
    content = json.loads("\n".join(ruler([folder], ["ruler.format=json"])))
    assert content == json.loads((tmp_path / "out" / "ruler.json").read_text())
    (one,) = content["tables"]
    assert len(one["settings"]) == 13 and one["mean"]["scores"][0]["mean"] == pytest.approx(100)
    table = list(csv.DictReader(io.StringIO("\n".join(ruler([folder], ["ruler.format=csv"])))))
    assert [row["line"] for row in table if row["length"] == "4096"][:13] == list(SETTINGS)
    last = one["mean"]["scores"][-1]
    (mean,) = [row for row in table if row["line"] == "mean of 13" and row["length"] == "4096"]
    assert float(mean["score"]) == pytest.approx(last["mean"], abs=1e-3)
    assert float(mean["low"]) < float(mean["score"]) < float(mean["high"])


def test_latex_is_balanced_and_escaped(tmp_path):
    folder = sweep(tmp_path / "s", falling, model={"label": r"A_B & 100% #1 \x {y}"})
    tex = "\n".join(ruler([folder], ["ruler.format=latex"]))
    assert r"A\_B \& 100\% \#1 \textbackslash{}x \{y\}" in tex
    body = [line for line in tex.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {4}
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 1
    plain = re.sub(r"\\[{}]", "", tex)
    assert plain.count("{") == plain.count("}")
    assert not re.search(r"(?<!\\)[_#]", tex.split("\n", 1)[1]) and r"niah\_single\_1" in tex


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ruler.format=html"], "ruler.format: got 'html'; expected one of text, json, csv, latex"),
        (["ruler.threshold=0"], "ruler.threshold: got 0; expected points from 0 to 100, as 90"),
        (["format=csv"], "ruler: got format=csv; expected ruler.key=value or report.key=value"),
    ],
)
def test_words_that_are_refused(tmp_path, words, said):
    with pytest.raises(NiahError) as refusal:
        ruler([str(tmp_path)], words)
    assert str(refusal.value) == said


@pytest.mark.slow
def test_a_real_sweep(niah, tmp_path):
    words = ("engine=fake", "ctx.lengths=[2k]", "ctx.depths=[0,50]", "ctx.repeats=2", "report.formats=[]")
    done = niah("-m", "experiment=ruler/niah_single_1,ruler/vt", *words, "kv=[bf16,fp8]", "outputs=o")
    assert done.returncode == 0, done.stderr
    shown = niah("ruler", "o")
    assert shown.returncode == 0 and shown.stdout.count("mean of 2 ") == 2, shown.stdout + shown.stderr
    assert "FAKE" in shown.stdout and "bf16" in shown.stdout and "fp8" in shown.stdout

"""One run folder whose texts are made to steer a terminal, break a picture or take another line: every verb that reads
it shows them as text."""

import json
import os
import re
import xml.etree.ElementTree
from pathlib import Path

import pytest

from niah import cli, terminal
from niah.errors import NiahError
from tests.helpers.command import FAKE, ran_here

EVIL = "\x1b[2J\x1b]0;owned\x07\r\x08\x9b31m\u202egnp.exe\u2028\x00$\\frac{x$_^{\\ <&>\ufffe\U000e0041"
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufffe]")
TYPED = EVIL.replace("\x00", "")
"""No word of a command holds a zero."""
GRID = (
    *FAKE[:2], "ctx.lengths=[512,1k]", "ctx.depths=[0,100]", "engine.window=700", "report.formats=[svg,png]", "name=a",
)


def test_visible_keeps_text_and_shows_what_would_not_be_seen():
    kept = "Größe 灯塔 🧪 \t 1\n2 ∞ $x$ a\u200db"
    assert terminal.visible(kept) == kept
    assert terminal.visible("\x1b[2J\r\x9b\u202e\U000e0041") == "\\x1b[2J\\x0d\\x9b\\u202e\\U000e0041"
    assert terminal.line("a\r\nb\nc") == "a b c" and not STEERS.search(terminal.visible(EVIL))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """outputs/a and outputs/b, with such text in every field of their rows, settings and facts that may hold any."""
    place = tmp_path_factory.mktemp("hostile")
    ran_here(place, GRID)
    record = json.loads((place / "outputs/a/run.json").read_text())
    record["config"]["model"]["label"] = EVIL
    for group in ("task", "haystack", "reader", "engine", "kv", "ctx"):
        record["config"][group]["name"] += EVIL
    record["engine"] |= {"vllm": EVIL}
    record["environment"] |= {"cpu": EVIL, "packages": {EVIL: EVIL}}
    rows = [json.loads(line) for line in (place / "outputs/a/rows.jsonl").read_text().splitlines()]
    for row in rows:
        texts = {name: EVIL for name, value in row.items() if isinstance(value, str)}
        kept = {name: row[name] for name in ("outcome", "prompt_sha256", "kv_cache_dtype")}
        row |= {**texts, **kept, "targets": [EVIL], "distractors": [EVIL], "needles_retrieved": [EVIL]}
        row |= {"retrieved": [[0, 1, 0.5]], "thinking": EVIL, "num_thinking_tokens": 1, "not_graded": EVIL}
    for name in ("a", "b"):
        run = place / "outputs" / name
        run.mkdir(exist_ok=True)
        (run / "run.json").write_text(json.dumps(record))
        rows[0]["score"], rows[0]["outcome"] = (1.0, "correct") if name == "a" else (0.0, "wrong")
        (run / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


VERBS = (
    ("show", "outputs/a"), ("report", "outputs/a"), ("report", "outputs/a", "outputs/b"), ("report", "outputs"),
    ("compare", "outputs/a", "outputs/b"), ("rag", "outputs/a", "outputs/b"), ("crosscheck", "outputs/a"),
    ("calibrate", "outputs/a"), ("rescore", "outputs/a"), ("power", *GRID, "power.from=outputs/a,outputs/b"), GRID,
    ("show", "outputs/a", "--trial", "2"), ("show", TYPED), ("report", f"out={TYPED}"), (f"task={TYPED}",), (TYPED,),
    ("show", "outputs/a", "--whole"), ("build", "out=made", *GRID[:-1], f"task.question={TYPED}"),
    ("plan", f"model.label={TYPED}", "ctx=8k", "out=planned", "hardware=h100", "model=qwen3_5_4b"),
)


@pytest.mark.parametrize("words", VERBS, ids=lambda words: "-".join(words[:3])[:40].encode("ascii", "replace").decode())
def test_no_verb_lets_it_out(folder, monkeypatch, capfd, words):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NIAH_RESTARTED", "1")
    monkeypatch.setenv("NIAH_DEBUG", "1")  # a traceback's words too
    cli.main(list(words))
    out, err = capfd.readouterr()
    err = re.sub(r"\r *\d+/\d+ trials[^\n]*", "", err)  # the bar, which is drawn over itself
    assert not STEERS.search(out) and not STEERS.search(err), (out, err)
    assert "; a bug at" not in err, err


def test_pictures_are_well_formed_and_hold_labels_as_they_are(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NIAH_RESTARTED", "1")
    for words in VERBS[1:5]:
        assert cli.main([*words, "report.formats=[svg,png]"]) == 0
    drawn = [Path(place) / name for place, _, names in os.walk("outputs") for name in names if name.endswith(".svg")]
    assert len(drawn) >= 5
    for file in drawn:
        text = "".join(xml.etree.ElementTree.parse(file).getroot().itertext())
        assert not STEERS.search(text.replace("\r", "")), file
    assert "$\\frac{x$_^{\\ <&>" in "".join(xml.etree.ElementTree.parse("outputs/a/heatmap.svg").getroot().itertext())


def test_a_label_that_begins_with_an_underscore_is_in_the_legend(tmp_path):
    from niah.report import curve
    from niah.report.panel import Panel
    from niah.report.settings import ReportSettings
    from niah.runs import store
    from tests.helpers.runs import grid, rows, run

    _, record, content = store.open_for_reading(run(tmp_path / "_a", rows(grid(2), lambda trial: True)))
    curve.draw([Panel("_a", record, content)], tmp_path, ReportSettings(formats=["svg"]))
    assert "_a: effective length" in (tmp_path / "curve.svg").read_text()


def test_an_error_is_one_line_whatever_it_quotes(capsys):
    from niah.commands import fault

    fault.show(NiahError(f"where: got {EVIL}\nand more"))
    assert len(capsys.readouterr().err.splitlines()) == 1

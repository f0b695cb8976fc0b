"""The figure says what the rows say."""

import dataclasses
import re

import pytest

from niah.commands.report import report
from niah.errors import NiahError
from niah.records import EngineFacts, Environment, RunRecord, Scope, Sources
from niah.report import curve, heatmap, style
from niah.report.accuracy import accuracy_by_length
from niah.report.panel import Panel, panels
from niah.report.settings import ReportSettings
from tests.helpers.runs import grid, made, run
from tests.helpers.runs import rows as generated


def record(lengths, depths, *, has_depth=True, **config):
    return RunRecord(
        config={
            "model": {"label": "Test Model", "path": "x/y"}, "ctx": {"lengths": lengths, "depths": depths},
            "task": {"name": "single", "answer": "uuid"}, "haystack": {"name": "essays"}, "reader": {"name": "full"},
            "kv": {"dtype": "fp8_e4m3"}, "engine": {"name": "vllm"}, "scorer": {"name": "contains"}, **config,
        },
        scope=Scope(num_trials=4, has_depth=has_depth), sources=Sources(haystack_sha256="0" * 64),
        engine=EngineFacts({"vllm": "vllm 0.32.0"}),
        environment=Environment(gpus=[{"name": "NVIDIA H100"}] * 2, num_cores=1),
    )


ROWS = [
    made(0, 8192, 0.0, "correct", 1.0), made(1, 8192, 0.0, "wrong", 0.0), made(2, 8192, 50.0, "correct", 1.0),
    made(3, 131072, 0.0, "out-of-memory", None),
]


@pytest.fixture
def drawn(tmp_path):
    shown = panels(record([8192, 131072], [0.0, 50.0]), ROWS)
    heatmap.draw(shown, tmp_path, ReportSettings(formats=["svg", "png", "pdf"]))
    return tmp_path


def test_titles_labels_and_numbers(drawn):
    svg = (drawn / "heatmap.svg").read_text()
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    for text in ("Test Model", "8K", "128K", "0%", "50%", "0.50", "n=2", "1.00", "n=1", "out of memory", "accuracy"):
        assert text in shown, (text, shown)
    details = " ".join(shown)
    for text in (
        "task single (uuid)", "haystack essays", "KV cache fp8_e4m3", "vllm 0.32.0 on 2 x NVIDIA H100", "3 of 4 trials",
    ):
        assert text in details


def test_cells_without_an_answer_are_hatched_not_coloured(drawn):
    svg = (drawn / "heatmap.svg").read_text()
    assert svg.count("url(#h") == 3  # two cells and the legend


def test_all_formats_are_written(drawn):
    assert {f.name for f in drawn.iterdir()} == {"heatmap.svg", "heatmap.png", "heatmap.pdf"}


def test_colours_are_readable_and_fixed():
    from matplotlib import colormaps

    colours = colormaps[style.COLOURS]
    luminances = [style.luminance(colours(i / 20)) for i in range(21)]
    assert luminances == sorted(luminances)  # a scale that prints in grey


def test_table_has_interval_and_reasons():
    text = accuracy_by_length(record([8192], [0.0]), ROWS)
    assert re.search(r"8K\s+0\.67\s+0\.21 to 0\.94\s+3\s+2 correct, 1 wrong", text)
    assert re.search(r"128K\s+-\s+-\s+0\s+1 out-of-memory", text)


def test_several_runs_say_once_that_no_model_was_asked(tmp_path):
    names, told = [], "no model was asked"
    for engine in ("fake", "vllm"):
        rows = generated(grid(2), lambda trial: True, engine=engine)
        names += [run(tmp_path / f"{engine}{n}", rows, engine={"name": engine}) for n in (1, 2)]
    words = ["report.formats=[]", "report.page=false", f"out={tmp_path}/out"]
    assert report(names[:2], words)[0] == "engine=fake: no model was asked, these answers are made up"
    assert report(names, words)[0].startswith(f"engine=fake ({names[0]}, {names[1]}): {told}")
    assert "\n".join(report(names[:2], words)).count(told) == 1 and told not in "\n".join(report(names[2:], words))
    assert report(names[:1], ["format=csv"])[0].startswith("label,")


def test_unwritable_place_is_one_line(tmp_path):
    with pytest.raises(NiahError, match=r"heatmap\.png: cannot be written"):
        heatmap.draw(panels(record([8192], [0.0]), ROWS[:1]), tmp_path / "gone", ReportSettings())


def test_false_alarms_are_their_own_figure(tmp_path):
    run = record([8192], [0.0, 50.0], has_depth=False, scorer={"name": "claims_absence"}, task={"name": "absent"})
    rows = [made(number, 8192, 0.0, outcome, value) for number, (outcome, value) in enumerate(
        [("correct", 1.0), ("wrong", 0.0), ("wrong", 0.0), ("refused", 0.0)]
    )]
    assert "false alarms (a value named that is not there): 0.50 of 4, 0.15 to 0.85" in accuracy_by_length(run, rows)
    heatmap.draw(panels(run, rows), tmp_path, ReportSettings(formats=["svg"]))
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "heatmap.svg").read_text())
    assert "50%" not in shown and "0.25" in shown
    assert any("right is to say that nothing is there" in text for text in shown)


def test_shuffled_and_foreign_haystacks_are_named(tmp_path):
    run = record([8192], [0.0], haystack={"name": "generated", "language": "zh-Hans", "order": "shuffled"})
    heatmap.draw(panels(run, ROWS[:1]), tmp_path, ReportSettings(formats=["svg"]))
    assert "haystack generated (zh-Hans, shuffled)" in (tmp_path / "heatmap.svg").read_text()


def test_a_text_that_the_task_writes_is_no_haystacks(tmp_path):
    run = dataclasses.replace(record([8192, 131072], [0.0, 50.0]), sources=Sources(haystack_sha256=None))
    shown = panels(run, [*ROWS[:3], made(3, 131072, 0.0, "correct", 1.0)])
    for chart in (heatmap, curve):
        chart.draw(shown, tmp_path, ReportSettings(formats=["svg"]))
    assert "haystack none: the task writes the text" in (tmp_path / "heatmap.svg").read_text()
    assert "task single, haystack none" in (tmp_path / "curve.svg").read_text()


def test_one_core_is_one():
    assert [Environment(cpu="x", num_cores=num).hardware for num in (1, 2)] == ["x, 1 core", "x, 2 cores"]


def shown_in(file):
    return re.findall(r"<text[^>]*>([^<]*)</text>", file.read_text())


@pytest.mark.parametrize(("cell", "texts"), [
    ("interval", ("0.50", "0.09 to 0.91", "accuracy")), ("n", ("2", "1", "answered trials")),
    ("logprob", ("-1.50", "log-probability of the answer (nats)", "not measured")),
])
def test_cells_show_what_is_asked(tmp_path, cell, texts):
    rows = [dataclasses.replace(row, logprob=-1.0 - row.trial if row.depth == 0 else None) for row in ROWS]
    shown = panels(record([8192, 131072], [0.0, 50.0]), rows)
    heatmap.draw(shown, tmp_path, ReportSettings(formats=["svg"], cell=cell))
    for text in texts:
        assert text in shown_in(tmp_path / "heatmap.svg"), text


def test_variants_have_a_panel_a_line_and_a_table_each(tmp_path):
    run = record([8192, 131072], [0.0, 50.0])
    places = [(8192, 0.0), (8192, 50.0), (131072, 0.0)]
    rows = [made(number, length, depth, "correct", 1.0) for number, (length, depth) in enumerate(places)]
    rows = [dataclasses.replace(row, variant=variant) for variant in ("bf16", "fp8") for row in rows]
    shown = panels(run, rows)
    heatmap.draw(shown, tmp_path, ReportSettings(formats=["svg"]))
    curve.draw(shown, tmp_path, ReportSettings(formats=["svg"]))
    assert {"bf16  (3 answers)", "fp8  (3 answers)"} <= {*shown_in(tmp_path / "heatmap.svg")}
    lines = {"bf16: effective length at least 128K", "fp8: effective length at least 128K"}
    assert lines <= {*shown_in(tmp_path / "curve.svg")}
    text = accuracy_by_length(run, rows)
    assert text.startswith("bf16\n") and "\nfp8\n" in text


def test_settings_of_figures_are_checked():
    for settings, message in (
        ({"cell": "x"}, "report.cell: got 'x'"), ({"threshold": 90.0}, "report.threshold: got 90"),
    ):
        with pytest.raises(NiahError, match=message):
            ReportSettings(**settings)


def test_several_runs_side_by_side(tmp_path):
    a = run(tmp_path / "a", generated(grid(3), lambda t: True))
    paths = [a, run(tmp_path / "b", generated(grid(3), lambda t: t.repeat < 1))]
    text = "\n".join(report(paths, ["report.formats=[png]", "report.threshold=0.9"]))
    written = {"heatmap.png", "curve.png", "report.html", "report.json"}
    assert {f.name for f in (tmp_path / "report-a-b").iterdir()} == written
    assert "effective length (your 90.0%): at least 32K" in text and "effective length (your 90.0%): below 8K" in text
    report(paths, ["report.formats=[svg]", f"out={tmp_path}/both"])
    assert {"a  (27 answers)", "b  (27 answers)"} <= {*shown_in(tmp_path / "both" / "heatmap.svg")}
    with pytest.raises(NiahError, match=r"got name=x; expected report\.key=value"):
        report(paths, ["name=x"])


@pytest.mark.parametrize("rows", [[], [dataclasses.replace(row, outcome="does-not-fit", score=None) for row in ROWS]])
def test_a_panel_without_answers_has_no_line_and_the_others_keep_their_colours(tmp_path, rows):
    run = record([8192, 131072], [0.0, 50.0])
    full = [made(number, length, 0.0, "correct", 1.0) for number, length in enumerate((8192, 131072))]
    shown = [Panel("bf16", run, rows), Panel("fp8", run, full)]
    heatmap.draw(shown, tmp_path, ReportSettings(formats=["svg"]))
    curve.draw(shown, tmp_path, ReportSettings(formats=["svg"]))
    assert {"bf16  (0 answers)", "fp8  (2 answers)"} <= {*shown_in(tmp_path / "heatmap.svg")}
    svg = (tmp_path / "curve.svg").read_text()
    lines = [text for text in shown_in(tmp_path / "curve.svg") if "effective length" in text]
    assert lines == ["fp8: effective length at least 128K"]
    assert style.LINES[1] in svg and style.LINES[0] not in svg


@pytest.mark.parametrize("names", ["a", "ab"])
def test_a_run_whose_engine_never_started_is_reported(tmp_path, names):
    run(tmp_path / "sweep" / "a", [], ctx={"lengths": [8192, 16384], "depths": [0.0, 50.0]}, seed=1)
    if "b" in names:
        run(tmp_path / "sweep" / "b", generated(grid(3), lambda t: True), seed=2)
    text = "\n".join(report([str(tmp_path / "sweep")], ["report.formats=[svg]"]))
    assert ("curve: " in text) == ("b" in names) and (tmp_path / "sweep" / "heatmap.svg").is_file()


def of_many(num, **config):
    rows = [made(k, length, 0.0, "correct", 1.0) for k, length in enumerate((8192, 16384))]
    return [Panel(f"run {k}", record([8192, 16384], [0.0], **config), rows) for k in range(num)]


def test_many_runs_are_small_multiples(tmp_path):
    (file,) = curve.draw(of_many(9), tmp_path, ReportSettings(formats=["svg"]))
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", file.read_text())
    assert {f"run {k}" for k in range(9)} <= set(shown) and shown.count("effective length at least 16K") == 9
    heatmap.draw(of_many(24), tmp_path, ReportSettings(formats=["png"], dpi=50))
    width, height = (int.from_bytes((tmp_path / "heatmap.png").read_bytes()[at : at + 4], "big") for at in (16, 20))
    assert width < 50 * 18 and height < 50 * 20


def test_a_task_about_the_whole_context_has_no_depths_beside_others_that_have(tmp_path):
    whole = record([8192, 16384], [0.0])
    whole = dataclasses.replace(whole, scope=dataclasses.replace(whole.scope, has_depth=False))
    rows = [made(k, length, 0.0, "correct", 1.0) for k, length in enumerate((8192, 16384))]
    grid = [
        made(k, length, depth, "correct", 1.0)
        for k, (length, depth) in enumerate((a, b) for a in (8192, 16384) for b in (0.0, 50.0, 100.0))
    ]
    panels = [Panel("whole", whole, rows), Panel("grid", record([8192, 16384], [0.0, 50.0, 100.0]), grid)]
    (file,) = heatmap.draw(panels, tmp_path, ReportSettings(formats=["svg"]))
    shown = re.findall(r">([^<>]+)</(?:text|tspan)>", file.read_text())
    assert shown.count("1.00") == 2 + 6 and shown.count("50%") == 1 and "whole" in shown
    assert not any("no answer" in text for text in shown)


def test_a_long_ladder_stays_legible(tmp_path):
    lengths = [1024 * k for k in range(1, 36)]
    rows = [made(k, length, 0.0, "correct", 1.0) for k, length in enumerate(lengths)]
    heatmap.draw([Panel("", record(lengths, [0.0]), rows)], tmp_path, ReportSettings(formats=["svg", "png"], dpi=50))
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "heatmap.svg").read_text())
    assert "1K" in shown and "35K" in shown and "2K" not in shown and "1.00" not in shown
    assert int.from_bytes((tmp_path / "heatmap.png").read_bytes()[16:20], "big") < 50 * 15


@pytest.mark.parametrize("engine", ("fake", "vllm"))
def test_made_up_answers_are_called_so_in_each_picture(tmp_path, engine):
    for num in (1, 9):
        panels = of_many(num, engine={"name": engine})
        files = [draw(panels, tmp_path, ReportSettings(formats=["svg"]))[0] for draw in (heatmap.draw, curve.draw)]
        assert all(("no model was asked" in file.read_text()) == (engine == "fake") for file in files)


def test_text_in_a_pdf_is_text(tmp_path):
    (file,) = curve.draw(of_many(1), tmp_path, ReportSettings(formats=["pdf"]))
    assert b"/CIDFontType2" in file.read_bytes() and b"/Type3" not in file.read_bytes()

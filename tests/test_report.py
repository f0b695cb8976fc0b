"""The figure says what the rows say."""

import re

import pytest
from test_stats import made

from niah.errors import NiahError
from niah.report import heatmap, style, table
from niah.report.settings import ReportSettings


def run_json(lengths, depths):
    return {
        "config": {
            "model": {"label": "Test Model", "path": "x/y"}, "ctx": {"lengths": lengths, "depths": depths},
            "task": {"name": "single", "answer": "uuid"}, "haystack": {"name": "essays"}, "reader": {"name": "full"},
            "kv": {"dtype": "fp8_e4m3"}, "engine": {"name": "vllm"}, "scorer": {"name": "contains"},
        },
        "plan": {"num_trials": 4}, "sources": {"haystack_sha256": "0" * 64}, "engine": {"vllm": "vllm 0.32.0"},
        "environment": {"gpus": [{"name": "NVIDIA H100"}] * 2, "cpu": "", "num_cores": 1},
    }


ROWS = [
    made(0, 8192, 0.0, "correct", 1.0), made(1, 8192, 0.0, "wrong", 0.0), made(2, 8192, 50.0, "correct", 1.0),
    made(3, 131072, 0.0, "out-of-memory", None),
]


@pytest.fixture
def drawn(tmp_path):
    heatmap.draw(run_json([8192, 131072], [0.0, 50.0]), ROWS, tmp_path, ReportSettings(formats=["svg", "png", "pdf"]))
    return tmp_path


def test_titles_labels_and_numbers(drawn):
    svg = (drawn / "heatmap.svg").read_text()
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    for text in ("Test Model", "8K", "128K", "0%", "50%", "0.50", "n=2", "1.00", "n=1", "out of memory", "accuracy"):
        assert text in shown, (text, shown)
    details = " ".join(shown)
    for text in ("task single (uuid)", "haystack essays", "KV cache fp8_e4m3", "vllm 0.32.0 on 2 x NVIDIA H100", "3 of 4 trials"):
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
    text = table.accuracy_by_length(run_json([8192], [0.0]), ROWS)
    assert re.search(r"8K\s+0\.67\s+0\.21 to 0\.94\s+3\s+2 correct, 1 wrong", text)
    assert re.search(r"128K\s+-\s+-\s+0\s+1 out-of-memory", text)


def test_unwritable_place_is_one_line(tmp_path):
    with pytest.raises(NiahError, match=r"heatmap\.png: cannot be written"):
        heatmap.draw(run_json([8192], [0.0]), ROWS[:1], tmp_path / "gone", ReportSettings())


def test_false_alarms_are_their_own_figure(tmp_path):
    run = run_json([8192], [0.0, 50.0])
    run["plan"]["has_depth"] = False
    run["config"] |= {"scorer": {"name": "claims_absence"}, "task": {"name": "absent"}}
    rows = [made(number, 8192, 0.0, outcome, value) for number, (outcome, value) in enumerate(
        [("correct", 1.0), ("wrong", 0.0), ("wrong", 0.0), ("refused", 0.0)]
    )]
    assert "false alarms (a value named that is not there): 0.50 of 4, 0.15 to 0.85" in table.accuracy_by_length(run, rows)
    heatmap.draw(run, rows, tmp_path, ReportSettings(formats=["svg"]))
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "heatmap.svg").read_text())
    assert "50%" not in shown and "0.25" in shown and any("right is to say that nothing is there" in text for text in shown)


def test_shuffled_and_foreign_haystacks_are_named(tmp_path):
    run = run_json([8192], [0.0])
    run["config"]["haystack"] = {"name": "generated", "language": "zh-Hans", "order": "shuffled"}
    heatmap.draw(run, ROWS[:1], tmp_path, ReportSettings(formats=["svg"]))
    assert "haystack generated (zh-Hans, shuffled)" in (tmp_path / "heatmap.svg").read_text()

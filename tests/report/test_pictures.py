"""Pictures for papers: as wide as a column, with texts that can be read in fonts that a journal takes; one scale."""

import itertools
import re
import struct
from pathlib import Path

import matplotlib
import pytest

from niah import cli
from niah.commands.compare.compare import compare
from niah.commands.page import shown_of, write_page
from niah.report import column_width, margin_chart, rag_curve, rag_pareto, style
from niah.report.rag_pareto import Point
from niah.report.settings import ReportSettings
from niah.runs import store
from niah.stats.cells import CellStats
from niah.stats.noise_margin import Threshold
from tests.helpers.browser import chromium, tab_of
from tests.helpers.runs import grid, rows, run

CJK = "模型 灯塔 テスト 한국"
LENGTHS = tuple(1024 * n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024))


def size_of(file: Path) -> tuple[int, int]:
    """Pixels of a PNG."""
    return struct.unpack(">II", file.read_bytes()[16:24])


def text_sizes(file: Path) -> list[float]:
    """Of all texts of an SVG, in points."""
    return [float(size) for size in re.findall(r"(?:font|font-size): (?:[a-z0-9]+ )*([\d.]+)px", file.read_text())]


def report(path: str, *words: str) -> Path:
    assert cli.main(["report", path, "report.page=false", *words]) == 0
    return Path(path)


@pytest.mark.slow
@pytest.mark.parametrize("width", ("single", "double"))
def test_figures_are_as_wide_as_a_column(tmp_path, width):
    inches = column_width.INCHES[width]
    path = run(tmp_path / "a", rows(grid(2, LENGTHS, tuple(map(float, range(0, 103, 3)))), lambda trial: trial.repeat))
    out = report(path, f"report.width={width}", "report.dpi=100", "report.formats=[png,svg,pdf]")
    for name in ("heatmap", "curve"):
        assert size_of(out / f"{name}.png")[0] == int(inches * 100)
        assert min(text_sizes(out / f"{name}.svg")) >= column_width._LEAST_IN_CELL
        (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ", (out / f"{name}.pdf").read_bytes())
        assert float(box) == pytest.approx(72 * inches, abs=0.1)
        assert b"/FontFile2" in (out / f"{name}.pdf").read_bytes()  # TrueType, Type 42
        assert b"/Type3" not in (out / f"{name}.pdf").read_bytes()


@pytest.mark.slow
def test_many_runs_and_a_comparison_are_too(tmp_path):
    paths = [run(tmp_path / f"m{n}", rows(grid(4), lambda trial, n=n: (trial.repeat + n) % 3 > 0)) for n in range(8)]
    assert cli.main(["report", *paths, f"out={tmp_path}/r", "report.width=single", "report.dpi=100"]) == 0
    compare(paths[:3], [f"compare.out={tmp_path}/c", "report.width=double", "report.dpi=100", "report.formats=[png]"])
    assert {size_of(tmp_path / f"r/{name}.png")[0] for name in ("heatmap", "curve")} == {350}
    assert size_of(tmp_path / "c/difference.png")[0] == 716


def test_letters_that_no_font_has_are_one_line(tmp_path, capfd):
    path = run(tmp_path / "a", rows(grid(1), lambda trial: True), model={"name": "m", "label": CJK, "path": "x"})
    report(path)
    said = capfd.readouterr()
    assert said.err == "" and "Glyph" not in said.out
    notes = [line for line in said.out.splitlines() if line.startswith("note: no font here draws")]
    wanted = set(CJK) - {" "}
    drawn = set().union(*(map(chr, style._characters(family)) for family in style.families_of("")))
    assert len(notes) == bool(wanted - drawn) and all("report.font=NAME" in note for note in notes)


def test_a_named_font_draws_them(tmp_path, capfd):
    """matplotlib's own: a font file that has letters which DejaVu Sans lacks."""
    own = Path(matplotlib.get_data_path()) / "fonts/ttf/STIXGeneral.ttf"
    lacking = set(map(chr, style._characters("DejaVu Sans")))
    letters = "".join(sorted(set(map(chr, style._characters(style._named(str(own))))) - lacking)[-3:])
    path = run(tmp_path / "a", rows(grid(1), lambda trial: True), model={"name": "m", "label": letters, "path": "x"})
    report(path, f"report.font={own}")
    assert "no font here draws" not in capfd.readouterr().out
    assert cli.main(["report", path, "report.font=Nowhere Sans"]) == 1
    assert "report.font: got Nowhere Sans, no such font or file here; expected the name" in capfd.readouterr().err
    (tmp_path / "odd.ttf").write_text("no font")
    assert cli.main(["report", path, f"report.font={tmp_path}/odd.ttf"]) == 1
    assert "cannot be read" in capfd.readouterr().err


LONG = "A model whose name is long, task questions, haystack " + "documents of my own " * 5


def within(figure) -> list[str]:
    """Texts of the figure's titles that reach out of it, or into the line that says that no model was asked."""
    figure.canvas.draw()
    titles = [text for text in (*figure.texts, *(axes._left_title for axes in figure.axes)) if text.get_text()]
    boxes = {text: text.get_window_extent() for text in titles}
    (banner,) = [box for text, box in boxes.items() if text.get_gid() == column_width.BANNER]
    out = [text for text, box in boxes.items() if box.x0 < 0 or box.x1 > figure.bbox.x1 + 1]
    met = [text for text, box in boxes.items() if box is not banner and box.overlaps(banner)]
    return [text.get_text() for text in (*out, *met)]


@pytest.mark.parametrize("title", ("short", LONG))
@pytest.mark.parametrize("is_of_axes", (False, True))
def test_a_title_stays_within_its_picture(title, is_of_axes):
    with style.figure_style():
        figure, axes = style.subplots(figsize=(6, 3))
        if is_of_axes:
            axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        else:
            style.title(figure, title)
        style.made_up(figure, ["fake"])
        style.finish(figure, 100)
        assert within(figure) == []


def test_titles_of_small_grids_stay_in_their_columns():
    with style.figure_style():
        figure, axes = style.subplots(1, 3, figsize=(7.5, 3))
        for one in axes:
            one.set_title("multivalue, essays, fp8_e5m2  (1,760 answers)", loc="left", fontsize=8.5)
        style.title(figure, "Model")
        style.made_up(figure, ["fake"])
        style.finish(figure, 100)
        assert within(figure) == []
        boxes = [one._left_title.get_window_extent() for one in axes]
        assert all(first.x1 < second.x0 for first, second in itertools.pairwise(boxes))


@pytest.mark.parametrize("engine", ("fake", "vllm"))
def test_pictures_of_readers_and_margins_say_that_no_model_was_asked(tmp_path, engine):
    settings = ReportSettings(formats=["svg"])
    cell = CellStats(1024, None, 0.5, 0.3, 0.7, 10, 0)
    files = [
        *rag_curve.draw("t", [rag_curve.Line("full", "full", [cell])], [1024], (), engine, "c", tmp_path, settings),
        *rag_pareto.draw("t", [("1K", [Point("full", "full", 992, cell)])], "tokens", engine, "p", tmp_path, settings),
        *margin_chart.draw([Threshold("bfloat16", 1024, 3.0, 5.0)], engine, tmp_path, settings),
    ]
    assert [("no model was asked" in file.read_text()) for file in files] == [engine == "fake"] * 3


@pytest.mark.slow
def test_a_difference_has_one_colour_in_every_figure_and_on_the_page(tmp_path):
    colours = {}
    for share in (0.25, 1.0):
        a = run(tmp_path / f"a{share}", rows(grid(4), lambda trial: True))
        b = run(tmp_path / f"b{share}", rows(grid(4), lambda trial, s=share: trial.repeat >= 4 * s))
        compare([a, b], [f"compare.out={tmp_path}/{share}", "report.formats=[svg]", "report.page=false"])
        svg = (tmp_path / f"{share}/difference.svg").read_text()
        colours[share] = {colour for colour in re.findall(r"fill: (#[0-9a-f]{6})", svg)}
        assert matplotlib.colors.to_hex(style.differences().to_rgba(-share)) in colours[share]
        shown = []
        for path in (a, b):
            _, record, found = store.open_for_reading(path)
            shown += shown_of(path, Path(path).name, record, found)
        write_page(shown, tmp_path / f"{share}", ReportSettings())
        with chromium() as browser, tab_of(browser) as tab:
            tab.open(tmp_path / f"{share}/report.html", "run=1&base=0&colour=difference")
            fill = tab.page.locator("rect.cell").first.get_attribute("fill")
        expected = [255 * part for part in style.differences().to_rgba(-share)[:3]]
        assert [*map(int, re.findall(r"\d+", fill))] == pytest.approx(expected, abs=8)
    assert matplotlib.colors.to_hex(style.differences().to_rgba(-1.0)) not in colours[0.25]

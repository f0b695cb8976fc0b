"""niah.load and niah.compare: numbers as the report has them, pictures beside a notebook's own, text of a trial."""

import json
import pickle
import subprocess
import sys

import pytest
from matplotlib.figure import Figure

import niah
from niah.commands.compare.compare import compare
from niah.commands.report import report
from tests.helpers import runs
from tests.helpers.command import REPOSITORY, environment_with

TRIALS = runs.grid(repeats=8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    all_right = runs.run(place / "base", runs.rows(TRIALS, lambda trial: None if trial.index == 0 else 1.0))
    some = runs.run(place / "other", runs.rows(TRIALS, lambda trial: float(trial.length < 32768 or trial.repeat < 2)))
    return all_right, some


def test_accuracy_is_the_report_s(folders):
    found = json.loads(report([folders[0]], ["format=json"])[0])["runs"][0]
    run = niah.load(folders[0])
    by_length, cells = run.accuracy(), run.accuracy(by="cell")
    for key, other in (("accuracy", "accuracy"), ("low", "low"), ("high", "high"), ("answers", "n")):
        assert by_length[key].tolist() == pytest.approx([one[other] for one in found["lengths"]])
    assert len(cells) == 9 and by_length["failures"].sum() == 1 == cells["failures"].sum()
    assert run.accuracy("run")["answers"].tolist() == [len(TRIALS) - 1]
    assert str(run) == "\n".join(report([folders[0]], ["report.formats=[]", "report.page=false"])[:2])
    with pytest.raises(niah.NiahError, match="expected one of length, cell, run"):
        run.accuracy("depth")  # type: ignore[arg-type]


def test_pictures_leave_a_notebook_s_backend_alone(folders):
    program = (
        "import sys, matplotlib, niah\nmatplotlib.use('svg')\n"
        f"run = niah.load({folders[0]!r})\nfigure = run.heatmap(cell='interval')\n"
        "assert figure._repr_png_()[:4] == b'\\x89PNG' and run.curve()._repr_png_() and 'data:image/png' in "
        "run._repr_html_()\nassert 'matplotlib.pyplot' not in sys.modules\nprint(matplotlib.get_backend())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment_with()
    )
    assert done.stdout.split() == ["svg"]


def test_settings_of_a_picture_are_checked(folders):
    run = niah.load(folders[0])
    assert isinstance(run.heatmap(), Figure)
    with pytest.raises(niah.NiahError, match=r"report\.cell: got 'mean'"):
        run.heatmap(cell="mean")
    with pytest.raises(niah.NiahError, match="no run here"):
        niah.load("outputs/nothing")


def test_a_comparison_says_what_the_command_says(folders, tmp_path):
    found = niah.compare(niah.load(folders[0]), folders[1], margin=0.05)
    lines, _ = compare(folders, ["compare.margin=0.05", f"compare.out={tmp_path}", "report.formats=[]"])
    assert str(found).splitlines() == "\n".join(lines).splitlines()[: len(str(found).splitlines())]
    assert found.sentences[0] in lines
    written = json.loads((tmp_path / "compare.json").read_text())
    assert json.loads(json.dumps(found.content))["comparisons"] == written["comparisons"]
    table = found.table
    assert table["length"].isna().tolist() == [True, False, False, False]
    assert table["difference"].tolist()[0] == pytest.approx(written["comparisons"][0]["overall"]["difference"])
    assert isinstance(found.heatmap(), Figure) and "data:image/png" in found._repr_html_()
    with pytest.raises(niah.NiahError, match=r"compare\.marign: unknown key"):
        niah.compare(*folders, marign=0.1)


def test_pandas_is_needed_for_tables_alone(folders):
    program = (
        f"import sys; sys.modules['pandas'] = None\nimport niah; run = niah.load({folders[0]!r}); str(run)\n"
        "try: run.rows\nexcept niah.NiahError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment_with()
    )
    assert done.stdout.startswith("rows: needs pandas") and "pip install 'niah[notebook]'" in done.stdout


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = json.loads((REPOSITORY / "docs" / "niah.ipynb").read_text())
    names: dict[str, object] = {}
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {cell['id']}", "exec"), names)
    assert isinstance(names["run"], niah.MeasuredRun) and "trial" in str(names["trial"])


def test_odd_arguments_are_one_line(folders):
    run = niah.load(folders[0])
    with pytest.raises(niah.NiahError) as raised:  # a number of numpy's is one: the folder's text is what lacks
        run.show(run.rows["trial"].iloc[3])
    assert "show: got trial" not in str(raised.value)
    for trial in ("0", True, 1.0):
        with pytest.raises(niah.NiahError, match=f"show: got trial {trial!r}"):
            run.show(trial)
    with pytest.raises(niah.NiahError, match="show: got cell"):
        run.show(cell=("8k", 50))  # type: ignore[arg-type]
    with pytest.raises(niah.NiahError, match="config_dir: got 'nope', no folder"):
        niah.load(folders[0], config_dir="nope")


def test_a_run_goes_to_another_process(folders):
    run = niah.load(folders[0])
    assert str(pickle.loads(pickle.dumps(run))) == str(run)

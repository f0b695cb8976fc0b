"""Sweeps by Hydra's launchers, and what report and compare make of a sweep's folder."""

import signal
import subprocess
import time

import psutil
import pytest

from niah.runs import sweeps
from tests.helpers.command import command, environment_with, rows

SWEEP = (
    "-m", "engine=fake", "haystack=noise", "ctx.lengths=[512,1k]", "ctx.depths=[0,100]",
    "model=smollm2_135m,gemma3_270m",
    "reader=full,none", "outputs=sweep",
)


def config(model: str, reader: str, **own) -> dict:
    groups = {group: {"name": group[0]} for group in ("task", "haystack", "kv", "engine", "scorer")}
    return {"model": {"name": model, "label": model.upper()}, "reader": {"name": reader, **own}, **groups}


def test_runs_are_named_by_what_differs():
    assert sweeps.labels([config(m, r) for m in "ab" for r in ("full", "none")]) == [
        ("A", "full"), ("A", "none"), ("B", "full"), ("B", "none"),
    ]
    assert sweeps.labels([config("a", "bm25", budget=b) for b in (512, 1024)]) == [("budget 512",), ("budget 1024",)]
    assert sweeps.labels([config("a", "full")]) == [()]
    seeds = [("seed 10",), ("seed 2", "b"), ("seed 2", "a"), ("budget 1.5",), ("budget 1.25",), ()]
    assert sorted(seeds, key=sweeps.natural) == [
        (), ("budget 1.25",), ("budget 1.5",), ("seed 2", "a"), ("seed 2", "b"), ("seed 10",),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "settings"),
    [
        pytest.param("joblib", ("hydra.launcher.n_jobs=2",)),
        pytest.param("submitit_local", ("hydra.launcher.timeout_min=10",), marks=pytest.mark.slow),
        pytest.param("ray", ("+hydra.launcher.ray.init.num_cpus=2",), marks=pytest.mark.slow),
    ],
)
def test_four_runs_one_picture(niah, tmp_path, launcher, settings):
    plugin = f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher"
    pytest.importorskip(plugin)
    words = (*SWEEP, f"hydra/launcher={launcher}", *settings)
    done = niah(*words, RAY_USAGE_STATS_ENABLED="0")
    assert done.returncode == 0, done.stderr
    folders = sorted(file.parent for file in (tmp_path / "sweep").glob("*/run.json"))
    assert len(folders) == 4
    before = [(folder / "rows.jsonl").read_bytes() for folder in folders]
    (folders[0] / "rows.jsonl").write_bytes(b"".join(before[0].splitlines(keepends=True)[:1]))
    assert niah(*words, RAY_USAGE_STATS_ENABLED="0").returncode == 0  # goes on in the one that is not finished
    after = [(folder / "rows.jsonl").read_bytes() for folder in folders]
    assert after[1:] == before[1:] and len(rows(folders[0])) == len(before[0].splitlines())
    reported = niah("report", "sweep")
    assert reported.returncode == 0 and "heatmap: sweep/heatmap.png" in reported.stdout
    picture = (tmp_path / "sweep" / "heatmap.svg").read_text()
    for label in ("SmolLM2-135M", "Gemma 3 270M", "full", "none"):
        assert label in picture
    assert niah("compare", "sweep", "compare.across=model").returncode == 0


@pytest.mark.slow
def test_more_of_the_same_side_by_side_joins_one_run(niah, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done = niah(
        "-m", "engine=fake", "haystack=noise", "ctx.lengths=[512],[512,1k]", "ctx.depths=[0,100]", "ctx.repeats=2",
        "outputs=sweep", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "report.formats=[]", "report.page=false",
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (file.parent for file in (tmp_path / "sweep").glob("*/run.json"))
    found = rows(folder)
    assert len({row["trial"] for row in found}) == len(found) == 8


@pytest.mark.slow
def test_a_refused_setting_is_printed_and_stops_no_other(niah, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done = niah(
        "-m", "engine=fake", "haystack=noise", "ctx.lengths=[512]", "ctx.depths=[0]", "haystack.repeat=bogus,allow",
        "outputs=sweep",
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
    )
    assert done.returncode == 1 and "haystack.repeat: got 'bogus'" in done.stderr and "Traceback" not in done.stderr
    assert len(list((tmp_path / "sweep").glob("*/run.json"))) == 1


def test_a_folder_without_runs_is_refused(niah, tmp_path):
    (tmp_path / "empty").mkdir()
    for verb in ("report", "compare"):
        done = niah(verb, "empty")
        assert done.returncode == 1 and "no run here" in done.stderr


def test_what_refuses_each_run_is_said_once(niah):
    done = niah("engine=fake", "-m", "seed=1,2,3", "task=questions")
    assert done.returncode == 1 and done.stderr.count("niah: task.path: not given") == 1


@pytest.mark.slow
def test_a_stopped_sweep_leaves_no_worker_and_goes_on(niah, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = (*SWEEP, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    process = subprocess.Popen(
        command(*words, "engine.seconds=1"), cwd=tmp_path, env=environment_with(), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    sweep = tmp_path / "sweep"
    while len([*sweep.glob("*/rows.jsonl")]) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len([one for one in workers if "LokyProcess" in " ".join(one.cmdline())]) == 2
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "niah: stopped" in errors and "Traceback" not in errors, errors
    assert not psutil.wait_procs(workers, timeout=20)[1]
    kept = {file: file.read_bytes() for file in (tmp_path / "sweep").glob("*/rows.jsonl")}
    done = niah(*words, "engine.seconds=1")
    assert done.returncode == 0, done.stderr
    files = [*(tmp_path / "sweep").glob("*/rows.jsonl")]
    assert [len(rows(file.parent)) for file in files] == [4] * 4
    assert all(file.read_bytes().startswith(text) for file, text in kept.items())


def test_rulers_settings_are_called_by_their_names():
    configs = [
        {"model": {"label": "A"}, "task": {"name": task}, "reader": {"name": "full"}, "kv": {"name": "bf16"},
         "engine": {"name": "fake"}, "haystack": {"name": "essays"}, "scorer": {"name": "contains"},
         "ruler": {"setting": setting, "version": "package"}}
        for task, setting in (("single", "niah_single_1"), ("single", "niah_single_2"), ("aggregate", "cwe"))
    ]
    assert sweeps.labels(configs) == [("niah_single_1",), ("niah_single_2",), ("cwe",)]
    configs[0]["ruler"] = None
    assert sweeps.labels(configs)[2][0] == "aggregate"

"""``track``: each tracker's offline run, read back with its own package (skipped where that is missing); what fails in
a tracker is one line and changes no row."""

import importlib.util
import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from niah.choices import named
from niah.commands.track import following, trackers
from niah.commands.track.content import results
from niah.commands.track.following import Following
from niah.commands.track.tracker import Results, Told, Tracker
from niah.commands.track.wandb_interface import WandbInterface
from niah.runs import store
from tests.helpers import wandb_file
from tests.helpers.command import FAKE, command, comparable, environment_with, ran_here, rows, said

WORDS = (*FAKE, "kv=[bf16,fp8]", "name=a")


def needs(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A run that no tracker was told of."""
    place = tmp_path_factory.mktemp("made")
    ran_here(place, WORDS)
    return place / "outputs/a"


def tracked(place: Path, tracker: str, *words: str, **variables: str) -> str:
    """What a run with this tracker said on stderr."""
    done = subprocess.run(
        command(*WORDS, f"track={tracker}", *words), cwd=place, env=environment_with(**variables), capture_output=True,
        text=True, timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert tracker not in done.stdout.casefold(), done.stdout
    assert "the run does without" not in done.stderr, done.stderr
    return done.stderr


def expected(place: Path) -> Results:
    found = results(place / "outputs/a")
    assert {"bf16/accuracy", "fp8/length_4096/accuracy", "bf16/effective_length_RULER"} <= found.numbers.keys()
    assert {"lengths", "cells", "differences"} <= found.tables.keys()
    return found


@needs("wandb")
def test_wandb_offline(tmp_path):
    assert "track: wandb: offline, wandb sync outputs/a/wandb/offline-run-" in tracked(
        tmp_path, "wandb", WANDB_MODE="offline"
    )
    (folder,) = (tmp_path / "outputs/a/wandb").glob("offline-run-*")
    (file,) = folder.glob("*.wandb")
    kinds = [*wandb_file.records(file)]
    settings = wandb_file.plain(next(one.run for one in kinds if one.WhichOneof("record_type") == "run").config.update)
    assert settings["engine.name"] == "fake" and settings["made_up"] and settings["ctx.lengths"] == "[512, 1024, 4096]"
    summary, history = {}, {}
    for one in kinds:
        summary |= wandb_file.plain(one.summary.update)
        history |= wandb_file.plain(one.history.item)
    assert {key: summary[key] for key in expected(tmp_path).numbers} == expected(tmp_path).numbers
    assert history["trials"] == 30 and history["page/_type"] == "html-file"
    assert {"tables/cells/path", "pictures/heatmap/path", "tokens_per_second", "bf16/accuracy"} <= history.keys()
    page = (tmp_path / "outputs/a/report.html").read_bytes()
    assert [file.read_bytes() for file in folder.rglob("*.html")] == [page]
    listed = subprocess.run(
        [os.path.join(os.path.dirname(command()[0]), "wandb"), "sync", "--dry-run", str(folder)], capture_output=True,
        text=True, env=environment_with(WANDB_MODE="offline"), timeout=120,
    )
    assert file.stem.removeprefix("run-") in listed.stdout + listed.stderr


@needs("mlflow")
def test_mlflow_files_and_a_run_that_goes_on(tmp_path, monkeypatch):
    tracked(tmp_path, "mlflow")
    tracked(tmp_path, "mlflow", "ctx.repeats=2")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"file:{tmp_path}/mlruns")
    experiment = client.get_experiment_by_name("niah").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.run_name == "a" and run.info.status == "FINISHED" and run.data.params["kv.name"] == "bf16"
    assert {name: run.data.metrics[name] for name in expected(tmp_path).numbers} == expected(tmp_path).numbers
    assert [one.value for one in client.get_metric_history(run.info.run_id, "trials")][-1] == 60
    kept = {one.path for folder in ("", "tables", "pictures") for one in client.list_artifacts(run.info.run_id, folder)}
    assert {"report.html", "tables/cells.csv", "pictures/heatmap.png", "pictures/curve.png"} <= kept


@needs("trackio")
def test_trackio_local(tmp_path, monkeypatch):
    tracked(tmp_path, "trackio", TRACKIO_DIR=str(tmp_path / "trackio"))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    (run,) = trackio.Api().runs("niah")
    assert run.name.startswith("a-") and run.config["engine.name"] == "fake"
    logged = {key: value for line in SQLiteStorage.get_logs("niah", run.name) for key, value in line.items()}
    assert {key: logged[key] for key in expected(tmp_path).numbers} == expected(tmp_path).numbers
    assert {"tables/cells", "pictures/curve", "page", "tokens_per_second"} <= logged.keys()


@needs("tensorboard")
def test_tensorboard_event_files(tmp_path):
    tracked(tmp_path, "tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(tmp_path / "outputs/a/tensorboard"))
    found.Reload()
    for name, value in expected(tmp_path).numbers.items():
        last = found.Scalars(name)[-1]
        assert last.step == 30 and last.value == pytest.approx(value, rel=1e-6)
    (text,) = found.Tensors("settings")[0].tensor_proto.string_val
    assert b"| engine.name | fake |" in text
    (image,) = found.Images("pictures/heatmap")
    assert image.encoded_image_string == (tmp_path / "outputs/a/heatmap.png").read_bytes() and image.width > 100


@needs("tensorboard")
def test_a_run_that_is_there_is_tracked_with_its_page_made_where_it_is_missing(made, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(made.parent.parent)
    (made / "report.json").unlink()
    told = said(capfd, "track", "outputs/a", "to=[tensorboard]")
    assert told == "track: tensorboard: tensorboard --logdir outputs/a/tensorboard\n"
    assert (made / "report.json").is_file() and [*(made / "tensorboard").iterdir()]


class Logged(WandbInterface):
    """Takes what the interface of wandb and Trackio is handed."""

    module = package = "logged"

    def begin(self, told: Told) -> str:
        made = {name: lambda *one, kind=name, **more: (kind, *one, *more.values()) for name in ("Image", "Html")}
        self._package = SimpleNamespace(Table=lambda columns, data, **more: ("Table", columns, data), **made)
        self._run = SimpleNamespace(log=lambda content, step: self.heard.append((step, content)))
        self.heard: list[tuple[int, dict]] = []
        return told.name

    def end(self, *, is_done: bool) -> None:
        self.heard.append((-1, {"is_done": is_done}))


def test_the_interface_of_wandb_is_handed_all_that_report_json_has(made):
    one = Logged()
    Following([one], print).finish(made)
    found = results(made)
    (step, content), last = one.heard
    assert step == 30 and last == (-1, {"is_done": True})
    assert {name: content[name] for name in found.numbers} == found.numbers
    assert content["tables/cells"] == ("Table", found.tables["cells"][0], found.tables["cells"][1:])
    assert content["pictures/heatmap"] == ("Image", str(made / "heatmap.png"))
    assert content["page"] == ("Html", str(made / "report.html"), False)
    one.progress(7, {"trials": 7})
    assert one.heard[-1] == (7, {"trials": 7})


class Recorded(Tracker):
    """Keeps what it is told, and raises or hangs in one of the methods."""

    module = package = "recorded"

    def __init__(self, fails: str = "", error: BaseException | None = None, hangs: threading.Event | None = None):
        self._fails, self._error, self._hangs = fails, error, hangs
        self.heard: list[str] = []

    def _hear(self, what: str) -> None:
        self.heard.append(what)
        if what == self._fails:
            if self._error:
                raise self._error
            assert self._hangs is not None
            self._hangs.wait(60)

    def begin(self, told: Told) -> str:
        self._hear("begin")
        return told.name

    def progress(self, step: int, numbers: Mapping[str, float]) -> None:
        self._hear("progress")

    def results(self, results: Results) -> None:
        self._hear("results")

    def end(self, *, is_done: bool) -> None:
        self._hear("end" if is_done else "stopped")


@pytest.mark.parametrize("method", ["begin", "progress", "results", "end"])
@pytest.mark.parametrize("error", [ValueError("this is fine"), SystemExit(3), OSError(28, "No space left on device")])
def test_a_tracker_that_fails_is_one_line_and_the_others_go_on(made, method, error):
    failing, other, lines = Recorded(method, error), Recorded(), []
    told = Following([failing, other], lines.append, every_seconds=0)
    folder, record, _ = store.open_for_reading(str(made))
    for _ in range(3):
        told.row(record, folder)
    told.finish(made)
    assert other.heard == ["begin", *["progress"] * 4, "results", "end"]
    assert failing.heard[-1] == method and failing.heard.count(method) == 1
    failed = [line for line in lines if "the run does without" in line]
    assert told.has_failed and len(failed) == 1 and failed[0].startswith(f"track: recorded: {type(error).__name__}")


def test_a_tracker_that_hangs_keeps_nobody(made, monkeypatch):
    monkeypatch.setattr(following, "LAST_SECONDS", 0.2)
    release = threading.Event()
    hanging, lines = Recorded("begin", hangs=release), []
    told = Following([hanging], lines.append, every_seconds=0)
    folder, record, _ = store.open_for_reading(str(made))
    for _ in range(2000):
        told.row(record, folder)
    told.finish(made)
    release.set()
    assert hanging.heard == ["begin"]
    assert lines[0] == "track: recorded: not all was sent within 0 s; the run does without"


def test_a_run_that_is_stopped_ends_in_its_trackers(made):
    one = Recorded()
    told = Following([one], print)
    told.stop()
    assert not one.heard
    folder, record, _ = store.open_for_reading(str(made))
    told.row(record, folder)
    told.stop()
    assert one.heard == ["begin", "progress", "progress", "stopped"]


@needs("mlflow")
def test_a_server_that_is_not_there_changes_no_row(made, tmp_path):
    done = subprocess.run(
        command(*WORDS, "track=mlflow"), cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env=environment_with(MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"),
    )
    assert done.returncode == 0 and done.stderr.count("track: mlflow: ") == 1 and "does without" in done.stderr
    assert comparable(rows(tmp_path / "outputs/a")) == comparable(rows(made))


@pytest.mark.parametrize(("words", "line"), [
    (("track=foo",), "track: got 'foo'; expected some of wandb, mlflow, trackio, tensorboard, as track=wandb or"),
    (("plan", "track=wandb"), "track: got 'wandb'; only niah run tracks while it measures; expected niah track DIR"),
    (("track",), "track: which run? expected its folder, as track outputs/NAME"),
    (("track", "{made}"), "track to: got nothing; expected some of wandb, mlflow, trackio, tensorboard, as to=wandb"),
    (("track", "{made}", "to=Hello, world"), "to: got 'Hello'; expected some of wandb"),
    (("track", "{made}", "to=[]"), "track to: got nothing"),
    (("track", "{made}", "to=wandb", "out=x"), "track: got 'out=x'; expected track "),
    (("-m", "seed=1,2", "track=[wandb,wand]"), "track: got 'wand'; expected some of"),
])
def test_odd_words_are_refused_in_one_line(made, tmp_path, capfd, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIAH_RESTARTED", "1")
    told = said(capfd, *(word.format(made=made) for word in words), code=1)
    assert told.startswith(f"niah: {line}") and len(told.splitlines()) == 1
    assert not (tmp_path / "outputs").exists()


def test_all_packages_that_are_missing_stand_in_one_line_before_anything_starts(tmp_path, capfd, monkeypatch):
    missing = [
        cls.package for name in trackers.KNOWN if importlib.util.find_spec(name) is None
        for cls in [type(named(f"niah.commands.track.{trackers.KNOWN[name]}")())]
    ]
    if len(missing) < 2:
        pytest.skip("the trackers are installed here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIAH_RESTARTED", "1")
    told = said(capfd, *FAKE, f"track=[{','.join(trackers.KNOWN)}]", code=1)
    assert f"pip install {' '.join(missing)} ('niah[track]' has all trackers)" in told
    assert len(told.splitlines()) == 1 and not (tmp_path / "outputs").exists()

"""Plug-ins of the user's own, in a folder outside the package that --config-dir names."""

import json
import shutil
import sys

import pytest

from niah import choices, cli
from tests.helpers import own
from tests.helpers.command import is_one_line, rows

GREETING = "Hello, world {now} #1"
RUN = (*own.WORDS, "ctx=tiny", f"task.greeting={GREETING}", "name=a")


@pytest.fixture
def folder(tmp_path):
    own.write(tmp_path / "own")
    return tmp_path / "own"


@pytest.mark.slow
def test_all_five_kinds_run_and_are_found_again(niah, tmp_path, folder):
    ends = ("engine.ending=, 'so' it is", "scorer.ending=, 'so' it is")
    words = (*RUN, "kv=[odd,bf16]", "haystack.sound=Hm, {hm}.", *ends)
    done = niah(*words)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "outputs/a/run.json").read_text())["config"]
    assert {config[group]["_target_"] for group in own.CLASSES} == {f"mine.{name}" for name in own.CLASSES.values()}
    assert config["task"]["greeting"] == GREETING and config["haystack"]["sound"] == "Hm, {hm}."
    assert config["kv"]["dtype"] == "float16"
    found = rows(tmp_path / "outputs/a")
    assert [row["outcome"] for row in found] == ["correct"] * 4
    assert {(row["response"], row["length"]) for row in found} == {(f"{GREETING}, 'so' it is", 512)}
    again = niah(*words)
    assert again.returncode == 0 and "all 4 trials were done before" in again.stderr, again.stderr
    shown = niah("show", "outputs/a", "--config-dir", "own")
    assert shown.returncode == 0 and f">>>{GREETING}<<<" in shown.stdout and "verified" in shown.stdout, shown.stderr
    reported = niah("report", "outputs/a")  # needs rows alone
    assert reported.returncode == 0 and reported.stdout.count("2 correct") == 2  # one each KV dtype
    lost = niah("show", "outputs/a")
    assert lost.returncode == 1 and is_one_line(lost)
    assert "task._target_: got 'mine.Greeting' (no module of niah, of an installed package or" in lost.stderr
    assert "--config-dir FOLDER" in lost.stderr


@pytest.mark.slow
def test_other_verbs_take_them(niah, tmp_path, folder):
    done = niah("build", *RUN[:-1], "out=contexts")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "contexts/manifest.json").read_text())["contexts"][0]["needles"] == [GREETING]
    planned = niah("plan", "--config-dir=own", "model=scout", "ctx=8k", "hardware=8xpocket")
    assert planned.returncode == 0 and "on 8xpocket: " in planned.stdout, planned.stderr
    helped = niah("--config-dir", "own", "--help")
    for name in ("greeting", "hum", "whole", "shout", "echo", "tiny", "odd", "pocket"):
        assert name in helped.stdout


@pytest.mark.slow
def test_a_folder_of_experiments_and_a_launchers_processes(niah, tmp_path, folder):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    done = niah(*own.WORDS, "experiment=both", f"task.greeting={GREETING}", *launcher)
    assert done.returncode == 0, done.stderr
    for name, length in (("short", 512), ("long", 1024)):
        (row,) = rows(tmp_path / "outputs" / name)
        assert row["length"] == length and row["outcome"] == "correct" and row["targets"] == [GREETING]


@pytest.mark.slow
def test_free_text_of_ones_own_is_no_sweep(niah, tmp_path, folder):
    done = niah("-m", *own.WORDS, "ctx=tiny", f"task.greeting={GREETING}", "task.num_words=1,2")
    assert done.returncode == 0, done.stderr
    configs = [json.loads(file.read_text())["config"]["task"] for file in (tmp_path / "outputs").glob("*/run.json")]
    assert sorted(one["num_words"] for one in configs) == [1, 2] and {one["greeting"] for one in configs} == {GREETING}


@pytest.mark.slow
def test_a_module_may_lie_beside_its_yaml(niah, tmp_path):
    own.write(tmp_path / "own", "task/near.py")
    for file in (tmp_path / "own").glob("*/*.yaml"):
        file.write_text(file.read_text().replace("_target_: task.near.", "_target_: near."))
    done = niah(*RUN)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "outputs")
    (tmp_path / "own/task/greeting.yaml").write_text("_target_: task.near.Greeting\n")
    assert niah(*RUN).returncode == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_target_: nowhere.Greeting", "task._target_: got 'nowhere.Greeting' (No module named 'nowhere')"),
        ("_target_: mine.Nothing", "task._target_: got 'mine.Nothing' (module 'mine' has no attribute 'Nothing')"),
        ("_target_: mine.Echo", "task._target_: got 'mine.Echo' (it is no subclass of niah.tasks.Task)"),
        ("_target_: mine.Greeting\nnum_words: 0", "task.num_words: got 0; expected at least 1"),
        ("_target_: mine.Greeting\ngreting: x", "task.greting: unknown key; "),
    ],
)
def test_a_wrong_file_is_one_line(niah, folder, text, message):
    (folder / "task/greeting.yaml").write_text(text + "\n")
    done = niah("power", *own.WORDS)
    assert done.returncode == 1 and message in done.stderr and is_one_line(done), done.stderr


def test_without_such_a_folder(niah):
    for words in (("--config-dir", "nowhere"), ("--config-dir",)):
        done = niah("plan", *words)
        assert done.returncode == 1 and done.stderr.startswith("niah: --config-dir: ") and is_one_line(done)


def test_a_config_of_other_software_is_not_taken_for_niahs(niah, folder):
    (folder / "config.yaml").write_text("port: 80\n")
    done = niah("power", *own.WORDS)
    assert done.returncode == 1 and "own/config.yaml would take the place of niah's own" in done.stderr


def test_a_broken_file_that_nothing_asks_for_disturbs_nobody(niah, folder):
    (folder / "task/broken.yaml").write_text("_target_: nowhere.Broken\n")
    (folder / "scorer/broken.yaml").write_text("_target_: nowhere.Broken\n")
    done = niah("power", "--config-dir", "own", "task=single", "task.question=One\\nline?")
    assert done.returncode == 0, done.stderr


def test_a_folder_is_used_for_one_command(tmp_path, monkeypatch, capsys):
    own.write(tmp_path / "own")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    assert cli.main(["--config-dir", str(tmp_path / "own"), "--help"]) == 0 and "greeting" in capsys.readouterr().out
    assert cli.main(["--help"]) == 0 and "greeting" not in capsys.readouterr().out and choices.own_folder() is None


@pytest.mark.parametrize(("words", "text"), [
    (("task=broken",), b"{{{"), (("kv=[bf16,broken]",), b"name: x\n dtype: ["), (("kv=broken",), b"\xff\xfe"),
])
def test_a_file_of_settings_that_is_no_yaml_is_one_line(niah, tmp_path, words, text):
    group = words[0].partition("=")[0]
    (tmp_path / "own" / group).mkdir(parents=True)
    (tmp_path / "own" / group / "broken.yaml").write_bytes(text)
    done = niah("--config-dir", "own", "engine=fake", *words)
    assert done.returncode == 1 and is_one_line(done) and "not YAML (" in done.stderr, done.stderr

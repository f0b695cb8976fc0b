"""Run folders from elsewhere: nothing that only they name is loaded, called or set."""

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from niah import cli, config, origin
from niah.errors import NiahError
from niah.models import grants
from tests.helpers import own
from tests.helpers.command import FAKE, environment_with
from tests.helpers.configs import built

PAYLOAD = '''
from dataclasses import dataclass
from pathlib import Path

from niah.tasks.single import Single

Path("ran").write_text("this is foreign code")


@dataclass(frozen=True, kw_only=True)
class X(Single):
    pass
'''
VERBS = (
    ("show", "outputs/foreign"), ("crosscheck", "outputs/foreign"), ("calibrate", "outputs/foreign"),
    ("report", "outputs/foreign"), ("rescore", "outputs/foreign"), ("compare", "outputs/foreign", "outputs/a"),
    ("rag", "outputs/foreign", "outputs/a"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run of its own, a, and the same one from elsewhere, foreign, whose classes lie beside it."""
    folder = tmp_path_factory.mktemp("runs")
    done = run(folder, *FAKE[:2], "ctx.lengths=[512]", "ctx.depths=[50]", "ctx.repeats=1", "name=a")
    assert done.returncode == 0, done.stderr
    shutil.copytree(folder / "outputs/a", folder / "outputs/foreign")
    (folder / "outputs/foreign/payload.py").write_text(PAYLOAD)
    return folder


def run(folder: Path, *words: str, python: str = sys.executable, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [python, "-m", "niah", *words], cwd=folder, capture_output=True, text=True, env=environment_with(**environment),
        stdin=subprocess.DEVNULL, timeout=200,
    )


def rewrite(folder: Path, **groups: dict) -> None:
    """Changes settings in the foreign run's run.json."""
    file = folder / "outputs/foreign/run.json"
    record = json.loads((folder / "outputs/a/run.json").read_text())
    for group, changes in groups.items():
        record["config"][group] |= changes
    file.write_text(json.dumps(record))


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
def test_no_verb_loads_a_class_that_lies_beside_its_run(place, words, monkeypatch, capsys):
    named = {group: {"_target_": "outputs.foreign.payload.X"} for group in ("task", "scorer", "engine", "reader")}
    rewrite(place, **named)
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)  # where ``python -m`` would find it
    code, said = cli.main(words), capsys.readouterr().err
    assert not (place / "ran").exists() and "Traceback" not in said
    if words[0] in ("show", "crosscheck", "calibrate", "rescore"):  # the others need rows alone
        assert code == 1 and said.count("\n") == 1 and "_target_: got 'outputs.foreign.payload.X'" in said


def test_the_folder_one_stands_in_is_not_imported_from(place):
    rewrite(place)
    for name in ("numpy", "yaml", "signal", "jinja2", "hydra_plugins/mine", "multiprocessing"):
        (place / f"{name}.py").parent.mkdir(exist_ok=True)
        (place / f"{name}.py").write_text(PAYLOAD)
    try:
        done = run(place, "show", "outputs/a")
        assert done.returncode == 0 and not (place / "ran").exists(), done.stderr
    finally:
        for name in ("numpy.py", "yaml.py", "signal.py", "jinja2.py", "multiprocessing.py"):
            (place / name).unlink()
        shutil.rmtree(place / "hydra_plugins")


@pytest.mark.parametrize("target", [
    "outputs.foreign.payload.X", "payload.X", "os.system", "subprocess.Popen", "antigravity.X", "this.X",
    "niah.commands.rescore.main", "niah.tasks.Task.problem", "niah.scorers.auto.Auto",
    "jinja2.sandbox.SandboxedEnvironment", "..", "", "a", None, 3, ["x"],
])
def test_what_is_no_plug_in_is_one_line(target):
    before = set(sys.modules)
    resolved = built("engine=fake", "haystack=noise").resolved
    with pytest.raises(NiahError, match=r"^task\._target_: got ") as caught:
        config.stored({**resolved, "task": {**resolved["task"], "_target_": target}})
    assert "\n" not in str(caught.value)
    assert not {"antigravity", "this"} & (set(sys.modules) - before)


def test_a_stored_run_is_the_same_run():
    made = built("engine=fake", "haystack=noise")
    again = config.stored(json.loads(json.dumps(made.resolved)))
    assert again.content == made.content and again == made


def test_classes_of_an_installed_package_and_of_a_named_folder_are_loaded(place, tmp_path):
    made = tmp_path / "venv"
    venv.create(made, with_pip=False)
    (site,) = made.glob("lib/python*/site-packages")
    (site / "others.pth").write_text("\n".join(str(folder) for folder in origin.installed_folders()))
    (site / "installed_plug_in.py").write_text(PAYLOAD.replace('Path("ran").write_text("this is foreign code")', ""))
    rewrite(place, task={"_target_": "installed_plug_in.X"})
    done = run(place, "show", "outputs/foreign", python=str(made / "bin/python"))
    assert done.returncode == 0 and "verified" in done.stdout, done.stderr
    shutil.copy(site / "installed_plug_in.py", place / "installed_plug_in.py")
    missing = run(place, "show", "outputs/foreign")
    assert missing.returncode == 1 and "installed_plug_in.X" in missing.stderr
    (tmp_path / "mine").mkdir()
    shutil.move(place / "installed_plug_in.py", tmp_path / "mine")
    assert run(place, "show", "outputs/foreign", f"--config-dir={tmp_path / 'mine'}").returncode == 0


@pytest.mark.parametrize(("model", "message"), [
    ({"path": "package:os:system"}, "model.path: got 'package:os:system' in a stored run"),
    ({"path": "package:outputs.foreign.payload:X"}, "model.path: got 'package:outputs.foreign.payload:X' in a stored"),
    ({"repositories": {"bf16": "package:pytest:main"}}, "model.repositories.bf16: got 'package:pytest:main'"),
])
def test_a_stored_run_calls_no_function(model, message):
    resolved = built("engine=fake", "haystack=noise").resolved
    with pytest.raises(NiahError) as caught:
        config.stored({**resolved, "model": {**resolved["model"], **model}})
    assert message in str(caught.value)


def test_a_stored_run_trusts_no_files_and_sets_no_variables():
    resolved = built("model=scout", "engine=fake", "haystack=noise").resolved
    model = {**resolved["model"], "trust_remote_code": True, "allow_pickle": True}
    assert not config.stored({**resolved, "model": model}).model.trust_remote_code
    granted = config.stored({**resolved, "model": model}, {"trust_remote_code": "true"}).model
    assert granted.trust_remote_code and not granted.allow_pickle
    grants.check_arguments(model)  # all that conf/model sets
    for group, name in (("engine_args", "worker_extension_cls"), ("extended_environment", "LD_PRELOAD")):
        with pytest.raises(NiahError, match=rf"model\.{group}\.{name}: got 'x' in a stored run"):
            grants.check_arguments({**model, group: {name: "x"}})


def test_where_a_module_lies_is_found_without_running_it(tmp_path, monkeypatch):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/__init__.py").write_text("raise RuntimeError")
    (tmp_path / "a/b/c.py").write_text("raise RuntimeError")  # below a package without a file of its own
    monkeypatch.syspath_prepend(tmp_path)
    assert origin.file_of("a.b.c", [tmp_path]) == tmp_path / "a/b/c.py"
    assert origin.file_of("a.b.c", [tmp_path / "a/b"]) is None and origin.installed("a.b.c") is None
    assert origin.file_of("a.nothing", [tmp_path]) is None and origin.file_of("a b", [tmp_path]) is None
    assert origin.installed("os") is None and origin.installed("sys") is None
    assert origin.installed("jinja2.sandbox").name == "sandbox.py"


def test_a_run_of_the_users_own_folder_is_named_by_it(place, tmp_path):
    own.write(tmp_path / "own")
    resolved = built("engine=fake", "haystack=noise").resolved
    with pytest.raises(NiahError, match="a module of your own is found with --config-dir FOLDER"):
        config.stored({**resolved, "scorer": {"_target_": "mine.Shout"}})

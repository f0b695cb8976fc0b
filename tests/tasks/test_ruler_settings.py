"""The key ``ruler``: which of RULER's settings a run is."""

import json

import pytest

from niah import config
from niah.choices import conf_folder
from niah.errors import NiahError
from niah.tasks.ruler import SETTINGS, Ruler
from tests.helpers.configs import built


def test_each_experiment_says_which_setting_it_is():
    for file in (conf_folder() / "experiment" / "ruler").glob("*.yaml"):
        assert built(f"experiment=ruler/{file.stem}").ruler == Ruler(setting=file.stem)
    assert built("task=multikey").ruler is None


def test_it_decides_nothing_and_is_kept():
    named, other = built("experiment=ruler/niah_single_1"), built("experiment=ruler/niah_single_1", "ruler=null")
    assert named.recorded["ruler"] == {"setting": "niah_single_1", "version": "package"}
    assert other.recorded["ruler"] is None and named.content == other.content
    assert config.from_resolved(named.resolved).ruler == named.ruler
    assert config.from_resolved({key: one for key, one in named.resolved.items() if key != "ruler"}).ruler is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ruler.version=head"], "ruler.setting"),
        (["ruler=vt"], "ruler: got 'vt'"),
        (["experiment=ruler/vt", "ruler.version=2"], "ruler.version: got '2'; expected package or head"),
        (["experiment=ruler/vt", "ruler.setting=niah"], "ruler.setting: got 'niah'; expected one of niah_single_1,"),
    ],
)
def test_what_is_no_setting_is_refused(words, said):
    with pytest.raises(NiahError) as refusal:
        built(*words)
    assert str(refusal.value).startswith(said), refusal.value


def test_the_settings_are_those_of_the_experiments():
    assert {file.stem for file in (conf_folder() / "experiment" / "ruler").glob("*.yaml")} == set(SETTINGS)


@pytest.mark.parametrize("words", [["task=qa"], ["task=chain"], ["task=aggregate"], ["haystack=noise"], []])
def test_settings_that_ruler_needs_leave_other_runs_the_same(words):
    """Those of tasks and haystacks that are newer than some runs stand in run.json, and in a run's identity only where
    they are used."""
    run = built(*words)
    new = {"documents", "answer_elsewhere", "version", "prefix_lead", "white_space"}
    assert {key for group in ("task", "haystack") for key in run.recorded[group]} & new >= {"prefix_lead"}
    assert not {key for group in ("task", "haystack") for key in run.content[group]} & new
    assert built(*words, "task.prefix_lead=' '").content["task"]["prefix_lead"] == " "


@pytest.mark.slow
def test_an_older_run_of_questions_is_read_and_not_mixed_with_todays(niah, outputs_of_older_qa):
    folder, words = outputs_of_older_qa
    assert niah("show", folder, "--trial", "0").returncode == 0
    again = niah(*words)
    assert again.returncode == 1 and len(again.stderr.strip().splitlines()) == 1
    assert "holds a run with other settings" in again.stderr and "take another name=" in again.stderr
    for key in ("task.answer_elsewhere", "task.documents", "haystack.half"):
        assert f"{key} (there " in again.stderr


@pytest.fixture
def outputs_of_older_qa(niah, tmp_path):
    """A run as experiment=ruler/qa_1 made it before its documents were numbered, without the settings newer than it."""
    words = ["experiment=ruler/qa_1", "engine=fake", "ctx.lengths=[2k]", "ctx.depths=[50]", "name=older"]
    before = ["task.documents=haystack", "task.answer_elsewhere=forbid", "haystack.parts=[squad]", "haystack.half=even"]
    done = niah(*words, *before, "task.prefix_lead=\\n", "ruler=null")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "outputs" / "older" / "run.json"
    content = json.loads(file.read_text())
    for key in ("documents", "answer_elsewhere", "prefix_lead"):
        del content["config"]["task"][key]
    del content["config"]["ruler"]
    file.write_text(json.dumps(content))
    return "outputs/older", words

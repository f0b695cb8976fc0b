"""The key ``ruler``: which of RULER's settings a run is."""

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

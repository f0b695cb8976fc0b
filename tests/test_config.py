
import pytest

from niah import choices, config, grid
from niah.commands.hydra import adapted
from niah.errors import NiahError
from tests.helpers.command import REPOSITORY
from tests.helpers.configs import built

CONF = choices.conf_folder()
CHOICES = [
    f"{folder.name}={file.stem}"
    for folder in sorted(CONF.iterdir()) if folder.is_dir()
    for file in sorted(folder.glob("*.yaml")) if file.stem != "custom" and folder.name != "experiment"
]
_FOLDER = CONF / "experiment"
EXPERIMENTS = sorted(str(file.relative_to(_FOLDER).with_suffix("")) for file in _FOLDER.rglob("*.yaml"))


NEEDED = {f"spec={name}": "spec.model=x/y" for name in ("eagle", "eagle3", "draft_model")} | {
    "reader=service": "reader.url=http://127.0.0.1:1",
}


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_builds_and_survives_being_stored(choice):
    run = built(choice, *([NEEDED[choice]] if choice in NEEDED else []))
    assert config.from_resolved(run.resolved) == run
    group, name = choice.split("=")
    assert getattr(run, group).name == name if group not in ("report", "ctx") and name != "auto" else True


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_builds(name):
    run = built(f"experiment={name}")
    assert config.from_resolved(run.resolved) == run


def test_an_experiment_folder_is_one_run_of_each_file():
    words = adapted(["experiment=ruler", "ctx=8k"])
    assert words[0] == "-m" and len(words[1].split(",")) == 13 and "ruler/niah_multikey_2" in words[1]


def test_the_task_names_its_scorer():
    assert built("task=absent").scorer.name == "claims_absence" and built("task=single").scorer.name == "contains"
    assert built("task=absent", "scorer=exact").scorer.name == "exact"


def test_ladders_end_at_their_name():
    for file in sorted((CONF / "ctx").glob("*.yaml")):
        run = built(f"ctx={file.stem}")
        assert max(run.ctx.lengths) == cli_length(file.stem)
        assert run.ctx.lengths == sorted(set(run.ctx.lengths)) and len(run.ctx.lengths) >= 2


def cli_length(name: str) -> int:
    from niah.units import parse_length

    return parse_length(name, "")


def test_commands_people_write():
    run = built("model.path=some/model", "model.max_length=128k", "ctx=24k", "task.needle=The {key} is {value}.")
    assert (run.model.name, run.model.path, run.model.max_length) == ("custom", "some/model", 131072)
    assert run.ctx.lengths == [8192, 16384, 24576]
    assert run.task.needle == "The {key} is {value}."
    assert built("ctx.lengths=[8k,16384]").ctx.lengths == [8192, 16384]
    assert built("ctx.lengths=8k", "ctx.depths=50").ctx == built("ctx.lengths=[8k]", "ctx.depths=[50]").ctx
    assert built("kv=fp8").kv.dtype == "fp8_e4m3"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["ctx.lengths=[8q]"], r"ctx\.lengths\[0\]: not a length; got '8q'"),
        (["ctx.repeats=many"], r"ctx\.repeats: Value 'many' .*; expected int$"),
        (["ctx.depths=[deep]"], r"ctx\.depths"),
        (["task.needels=3"], r"task\.needels: unknown key; .*did you mean task\.needle\?"),
        (["task.answer=poem"], r"task\.answer: got 'poem'; expected one of number, word, uuid"),
        (["task.needle=nothing here"], r"task\.needle: does not hold the answer"),
        (["+nonsense=1"], "nonsense: unknown key"),
        (["model=custom", "model.path=x/y"], r"model\.max_length: not given"),
        (["kv.dtype=auto"], r"kv\.dtype: \"auto\""),
        (["name=../elsewhere"], "name: got '../elsewhere'"),
        (["seed=abc"], "seed: got 'abc'; expected int"),
        (["engine.args=3"], r"engine\.args"),
        (["report.formats=[gif]"], r"report\.formats: got 'gif'"),
    ],
)
def test_bad_settings_name_their_key_in_one_line(overrides, message):
    with pytest.raises(NiahError, match=message) as caught:
        built(*overrides)
    assert "\n" not in str(caught.value)


def test_place_and_looks_are_not_content():
    content = built("name=a", "outputs=b", "report.dpi=50").content
    assert not {"name", "outputs", "report"} & content.keys()


def test_conf_travels_in_the_wheel():
    text = (REPOSITORY / "pyproject.toml").read_text()
    assert 'conf = "niah/conf"' in text


@pytest.mark.parametrize(("name", "how_asked"), [
    ("fake", {"replicas", "thinks"}),  # the second at its default: earlier versions did not have it
    ("transformers", set()), ("vllm", {"replicas", "batch_invariant"}),  # here too
    ("openai", {
        "api_key_env", "timeout_seconds", "timeout_seconds_per_1k", "max_retries", "max_wait_seconds", "wait_seconds",
    }),
])
def test_how_an_engine_is_asked_is_no_part_of_what_a_run_is(name, how_asked):
    resolved = built(f"engine={name}").resolved
    assert resolved["engine"].keys() - config.deciding(resolved)["engine"].keys() == how_asked


def test_an_engine_that_is_gone_keeps_all_its_settings():
    resolved = built("engine=fake").resolved
    gone = {**resolved, "engine": {"_target_": "gone.engine.Engine", "name": "gone", "replicas": 2}}
    assert config.deciding(gone)["engine"] == gone["engine"]


@pytest.mark.parametrize(("words", "key"), [
    (("reader=bm25", "reader.b=nan"), "reader.b"), (("hardware.link_gb_s=nan",), "hardware.link_gb_s"),
    (("reader=bm25", "reader.k1=inf"), "reader.k1"), (("ctx.depths=[nan]",), "ctx.depths"),
    (("ctx.repeats=1e9",), "ctx.repeats"), (("ctx.repeats=1000000000",), "ctx.repeats"), (("kv.also=-inf",), "kv."),
    (("kv.also=[1]",), "kv."), (("task=absent", "task.num_keys=99999999999999999999"), "task.num_keys"),
    (("task=multivalue", "task.num_values=1000000000"), "task.num_values"), (("ctx.lengths=[nan]",), "ctx.lengths"),
])
def test_numbers_that_no_run_can_have_are_refused_by_key(words, key):
    with pytest.raises(NiahError) as error:
        built(*words)
    assert str(error.value).startswith(key) and "\n" not in str(error.value)


def test_lengths_and_depths_that_stand_twice_are_one():
    assert len(grid.trials(built("ctx.lengths=[8k,8k,8192]", "ctx.depths=[50,50.0]").ctx)) == 1

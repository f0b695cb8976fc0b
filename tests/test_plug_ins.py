"""A task, a haystack, a reader and a scorer of the user's own: a subclass of the base, in a module of theirs."""

import dataclasses

import pytest
from omegaconf import OmegaConf

from niah import config
from niah.errors import NiahError
from niah.limits import is_free_text
from niah.prompts.recipe import Recipe
from niah.records import Outcome
from niah.scorers.outcome import judge
from tests.helpers.configs import built

MODULE = '''
from dataclasses import dataclass

from niah.haystacks import Haystack
from niah.limits import free_text, limited
from niah.readers import Reader
from niah.records import Problem, Score, View
from niah.scorers import Scorer
from niah.tasks import Task


@dataclass(frozen=True)
class Louder(Scorer):
    name: str = "louder"

    def score(self, response, targets, distractors=()):
        return Score(float(targets[0].upper() in response), response)


@dataclass(frozen=True, kw_only=True)
class Greeting(Task):
    name: str = "greeting"
    greeting: str = free_text("Hello")
    num_words: int = limited(1, at_least=1)

    scorer = Louder()

    def problem(self, rng, haystack):
        return Problem((f"{self.greeting} is what they said.",), "What did they say?", (self.greeting,))


@dataclass(frozen=True, kw_only=True)
class Nought(Task):
    name: str = "nought"

    def problem(self, rng, haystack):
        return None


@dataclass(frozen=True, kw_only=True)
class Numbers(Haystack):
    name: str = "numbers"
    licence: str = "none"

    def documents(self, skip):
        return None


@dataclass(frozen=True, kw_only=True)
class Days(Haystack):
    name: str = "days"
    licence: str = "none"

    by_line = True

    def documents(self, skip):
        for number in range(300):
            yield f"Day {number} was long. The rain fell on the {number} roofs of the town."


@dataclass(frozen=True, kw_only=True)
class Half(Reader):
    name: str = "half"

    reads_all = False

    def max_tokens(self, num_tokens, num_needle_tokens):
        return num_tokens // 2

    def read(self, context, problem, material):
        return View((material.ids[: len(material.ids) // 2],), (False,), (None,))


@dataclass(frozen=True, kw_only=True)
class Empty(Task):
    name: str = "empty"


@dataclass(frozen=True)
class Foreign:
    name: str = "foreign"
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Builds a run from classes of that module, one for each group named."""
    (tmp_path / "my_plug_ins.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)

    def make(**classes: dict[str, object]) -> config.Run:
        words = ("engine=fake", "ctx.lengths=[512]", "ctx.depths=[50]", "ctx.repeats=1", "haystack=noise")
        plain = {**built(*words).resolved, "scorer": {"_target_": "niah.scorers.auto.Auto"}}
        for group, settings in classes.items():
            plain[group] = {**settings, "_target_": f"my_plug_ins.{settings['_target_']}"}
        return config.build(OmegaConf.create(plain))

    return make


def test_all_four_together(mine):
    run = mine(
        task={"_target_": "Greeting", "greeting": "Good {evening}, all"}, haystack={"_target_": "Days"},
        reader={"_target_": "Half"}, scorer={"_target_": "Louder"},
    )
    recipe = Recipe(run)
    (trial,) = recipe.trials
    made = recipe.build(trial)
    assert made.stretch.source == "days" and made.stretch.by_line and made.problem.targets == ("Good {evening}, all",)
    text = recipe.tokenizer.decode(made.prompt.ids)
    assert "roofs of the town" in text and "What did they say?" in text and "is what they said" not in text
    assert len(made.prompt.ids) < recipe.num_read(trial) < 512
    assert judge("GOOD {EVENING}, ALL", made.problem, run.scorer, "stop")[1] == Outcome.CORRECT
    assert run.resolved["task"]["_target_"] == "my_plug_ins.Greeting"
    assert not recipe.sources().reader and recipe.notes() == []


def test_a_task_brings_its_own_scorer(mine):
    run = mine(task={"_target_": "Greeting"})
    assert run.scorer.name == "louder" and run.resolved["scorer"]["_target_"] == "my_plug_ins.Louder"
    assert config.build(OmegaConf.create(run.resolved)) == run
    fields = {field.name: is_free_text(field) for field in dataclasses.fields(run.task)}
    assert fields["greeting"] and fields["template"] and not fields["name"]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"task": {"_target_": "Greeting", "num_words": 0}}, r"task.num_words: got 0; expected at least 1"),
        ({"task": {"_target_": "Greeting", "greting": ""}}, r"task.greting: unknown key; .*mean task.greeting\?"),
        ({"task": {"_target_": "Foreign"}}, r"task._target_: .* \(it is no subclass of niah.tasks.Task\)"),
        ({"reader": {"_target_": "Days"}}, r"reader._target_: .*no subclass of niah.readers.Reader"),
        ({"haystack": {"_target_": "Nothing"}}, r"haystack._target_: .*has no attribute 'Nothing'"),
    ],
)
def test_what_is_wrong_with_one_is_one_line(mine, classes, message):
    with pytest.raises(NiahError, match=message) as caught:
        mine(**classes)
    assert "\n" not in str(caught.value)


def test_what_was_not_written_is_named(mine):
    recipe = Recipe(mine(task={"_target_": "Empty"}))
    with pytest.raises(NiahError, match="task=empty: Empty has no method problem"):
        recipe.build(recipe.trials[0])


@pytest.mark.parametrize(("text", "line"), [("import os\nx = nowhere\n", 2), ("def f(:\n", 1)])
def test_a_bug_in_ones_own_module_is_told_with_its_line(tmp_path, monkeypatch, text, line):
    (tmp_path / f"own_broken_{line}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NiahError, match=rf"scorer._target_: .* cannot be imported: .*own_broken_{line}.py:{line}: "):
        config.plug_in("scorer", f"own_broken_{line}.Mine")


@pytest.mark.parametrize(("group", "name", "message"), [
    ("task", "Nought", r"task=nought: my_plug_ins.Nought made None; expected niah.records.Problem"),
    ("haystack", "Numbers", r"haystack=numbers: documents.skip. of its class returned None; expected texts"),
])
def test_what_a_class_of_ones_own_gives_is_checked(mine, group, name, message):
    recipe = Recipe(mine(**{group: {"_target_": name}}))
    with pytest.raises(NiahError, match=message):
        recipe.build(recipe.trials[0])

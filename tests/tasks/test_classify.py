"""Messages whose kinds are counted again from the text, and Oolong's rule for numbers."""

import re

import pytest

from niah import languages
from niah.errors import NiahError
from niah.records import Outcome, Problem
from niah.scorers.outcome import judge
from niah.scorers.tally import Tally
from niah.tasks.classify import KINDS, Classify
from niah.tokens.splice import is_canonical
from tests.helpers.recipes import recipe


def counted(shown: str, code: str) -> list[int]:
    """Messages of each kind in the text, by the sentences of the language."""
    own = languages.load(code)["classify"]
    numbers = []
    for kind in KINDS:
        forms = [re.escape(form).replace(re.escape("{thing}"), r"\S+(?: \S+)*?") for form in own[kind]]
        numbers.append(len(re.findall(rf"[:：] ?(?:{'|'.join(forms)})$", shown, re.MULTILINE)))
    return numbers


@pytest.mark.parametrize("code", languages.CODES)
def test_the_answer_is_the_count_and_stands_nowhere(code):
    made = recipe(Classify(language=code), [2048], repeats=2)
    own = languages.load(code)["classify"]
    for trial in made.trials:
        found = made.build(trial)
        shown = made.tokenizer.decode(found.prompt.ids)
        assert len(found.prompt.ids) + 16 == 2048 and is_canonical(made.tokenizer, found.prompt.ids)
        (asked,) = [number for number, label in enumerate(own["labels"]) if label in found.problem.answer_prefix]
        numbers = counted(shown, code)
        assert found.problem.targets == (str(numbers[asked]),) and sum(numbers) > 20
        assert not any(label in line for line in shown.split(found.problem.question)[0].splitlines()[3:]
                       for label in own["labels"])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["llama4", "gemma3"])
def test_other_tokenizers_and_a_fixed_number_of_messages(model):
    made = recipe(Classify(num_items=40), [3001], model=model)
    found = made.build(made.trials[0])
    assert len(found.prompt.ids) + 16 == 3001
    assert sum(counted(made.tokenizer.decode(found.prompt.ids), "en")) == 40


def test_each_sentence_has_its_thing_once():
    for code in languages.CODES:
        own = languages.load(code)["classify"]
        assert all(form.count("{thing}") == 1 for kind in KINDS for form in own[kind])
        assert [len(own[kind]) for kind in KINDS] == [6, 6, 6] and len(own["labels"]) == len(KINDS)


def test_what_does_not_fit_is_said_in_a_line():
    made = recipe(Classify(num_items=500), [2048])
    with pytest.raises(NiahError, match=r"task=classify: 500 messages do not fit; got room for .* task.num_items"):
        made.build(made.trials[0])


@pytest.mark.parametrize(("response", "distance"), [
    ("12", 0), ("There are 10 of them.", 2), ("twelve", 0), ("eleven", 1), ("**12**", 0), ("12 of 40: 15", 3),
])
def test_scores_are_those_of_the_published_rule(response, distance):
    score = Tally().score(response, ["12"])
    assert score.value == pytest.approx(0.75**distance) and score.beside == {"off_by": distance}


def test_no_number_is_no_distance():
    for response in ("", "many", "I cannot count that."):
        assert Tally().score(response, ["12"]).value == 0 and not Tally().score(response, ["12"]).beside
    assert Tally().score("9" * 400, ["12"]).value == 0
    problem = Problem((), "How many?", ("12",))
    assert judge("12", problem, Tally(), "stop")[1] is Outcome.CORRECT
    assert judge("13", problem, Tally(), "stop")[1] is Outcome.WRONG

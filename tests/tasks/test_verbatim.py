"""Lines to be copied, and how far a copy is from its line."""

import json
import random

import pytest

from niah import languages
from niah.errors import NiahError
from niah.records import Outcome, Problem
from niah.scorers.copied import Copied, edit_distance
from niah.scorers.outcome import judge
from niah.tasks.verbatim import Verbatim
from niah.tokens.splice import is_canonical
from tests.helpers.configs import built
from tests.helpers.recipes import MODELS, recipe

FORMS = ("schema", "config", "log", "table")


def check(made, form: str) -> None:
    for trial in made.trials:
        found = made.build(trial)
        shown, problem = made.tokenizer.decode(found.prompt.ids), found.problem
        assert len(found.prompt.ids) + 256 == trial.length and is_canonical(made.tokenizer, found.prompt.ids)
        lines = [line.removeprefix("<bos>") for line in shown.split(problem.question)[0].splitlines()]
        assert lines.count(problem.targets[0]) == 1 and problem.needles == problem.targets
        (key,) = {word for word in problem.targets[0].replace('"', " ").split() if word.strip(",") in problem.question
                  and len(word) > 7}
        assert sum(key in line for line in lines) == 1
        assert abs(found.context.depths[0] - trial.depth) < 8
        if form == "schema":
            assert json.loads(problem.targets[0])["name"] == key.strip(",")


@pytest.mark.parametrize(("form", "model"), zip(FORMS, ["smollm2", *MODELS], strict=True))
def test_a_line_stands_once_at_its_depth(form, model):
    check(recipe(Verbatim(form=form), [3001], model=model), form)


@pytest.mark.parametrize("code", languages.CODES[1:])
def test_every_language_has_lines_of_its_own_words(code):
    check(recipe(Verbatim(language=code), [3001], [50]), "schema")


def test_what_does_not_fit_is_said_in_a_line():
    made = recipe(Verbatim(max_tokens=9), [1024])
    with pytest.raises(NiahError, match=r"task.max_tokens: too few for a line of task.form=schema; got 9; expected"):
        made.build(made.trials[0])
    made = recipe(Verbatim(), [400])
    with pytest.raises(NiahError, match="needles and question do not fit"):
        made.build(made.trials[0])
    with pytest.raises(NiahError, match=r"task.form: got 'poem'; expected one of schema, config, log, table"):
        Verbatim(form="poem")
    with pytest.raises(NiahError, match="it writes the whole text itself"):
        built("task=verbatim", "ctx.share=depths")


def levenshtein(one: str, other: str) -> int:
    """The table of 1966, cell by cell."""
    row = list(range(len(other) + 1))
    for number, a in enumerate(one, 1):
        above, row = row, [number]
        for place, b in enumerate(other, 1):
            row.append(min(above[place] + 1, row[-1] + 1, above[place - 1] + (a != b)))
    return row[-1]


def test_the_edit_distance_is_levenshteins():
    drawn = random.Random(4)
    for _ in range(300):
        one, other = ("".join(drawn.choices("aé漢", k=drawn.randrange(12))) for _ in range(2))
        assert edit_distance(one, other) == levenshtein(one, other)


LINE = '{"name": "get_x_1f", "maximum": 17}'


@pytest.mark.parametrize(("response", "value", "distance", "is_json"), [
    (LINE, 1, 0, 1), (f"  {LINE}\n", 1, 0, 1), (f"```json\n{LINE}\n```", 1, 0, 1), (f"`{LINE}`", 1, 0, 1),
    (LINE.replace("17", "18"), 0, 1, 1), (LINE[:-1], 0, 1, 0), (f"Here: {LINE}", 0, 6, 0), ("", 0, len(LINE), 0),
])
def test_copies(response, value, distance, is_json):
    score = Copied().score(response, [LINE])
    assert score.value == value and score.beside == {"edit_distance": distance, "is_json": is_json}
    similar = Copied(measure="similarity").score(response, [LINE]).value
    assert similar == pytest.approx(1 - distance / max(len(LINE), len(response.strip()))) or value
    assert (similar == 1) == bool(value)


def test_a_line_that_is_no_json_is_not_asked_to_be():
    assert Copied().score("a = 1", ["a = 1"]).beside == {"edit_distance": 0}
    problem = Problem((), "Which?", ("| a | 1 |",))
    assert judge("| a | 1 |", problem, Copied(), "stop")[1] is Outcome.CORRECT
    assert judge("| a | 2 |", problem, Copied(), "stop")[1] is Outcome.WRONG

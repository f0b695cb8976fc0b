"""Answers to the same request, told apart by their number; and MRCR's rule beside ours on answers of our own."""

import random
from dataclasses import replace
from difflib import SequenceMatcher

import pytest

from niah import languages
from niah.errors import NiahError
from niah.records import Outcome, Problem
from niah.runs.scoring import judged
from niah.runs.trials import unfit
from niah.scorers.outcome import judge
from niah.scorers.recited import Recited
from niah.tasks.coreference import Coreference
from niah.tokens.splice import is_canonical
from tests.helpers.configs import built
from tests.helpers.recipes import MODELS, recipe


@pytest.mark.parametrize("code", languages.CODES)
def test_the_answer_asked_for_stands_at_its_number_and_nowhere_else(code):
    made = recipe(Coreference(num_needles=4, language=code), [3001], [0, 33, 100])
    before, after = languages.load(code)["coreference"]["asked"].split("{number}")
    for trial in made.trials:
        found = made.build(trial)
        problem, shown = found.problem, made.tokenizer.decode(found.prompt.ids)
        assert len(found.prompt.ids) + 256 == 3001 and is_canonical(made.tokenizer, found.prompt.ids)
        (target,) = problem.targets
        prefix, text = target[:10], target[10:]
        assert shown.count(text) == 1 and shown.count(prefix) == 1 and prefix in problem.question
        assert len({text, *problem.distractors}) == 4 and all(shown.count(one) == 1 for one in problem.distractors)
        request = problem.needles[0].split("\n")[0]
        turns = [turn for turn in shown.split(problem.question)[0].split("\n\n") if request in turn]
        assert len(turns) == 4 and all(sum(turn.endswith(needle) for needle in problem.needles) == 1 for turn in turns)
        number = 1 + next(place for place, turn in enumerate(turns) if text in turn)
        assert f"{before[-6:]}{number}{after[:6]}" in problem.question
        assert number == {0: 1, 100: 4}.get(trial.depth, number) and problem.num_needed == number
        up_to_it = "".join(turns[:number])
        assert [needle in up_to_it for needle in problem.needles] == [True] * number + [False] * (4 - number)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "placement"), zip(MODELS, ["even", "random", "clustered"], strict=True))
def test_lengths_depths_and_placements(model, placement):
    made = recipe(Coreference(num_needles=8, placement=placement), [4099], model=model)
    for trial in made.trials:
        found = made.build(trial)
        assert len(found.prompt.ids) + 256 == trial.length
        first, *others = found.context.depths
        number = 1 + sum(depth < first for depth in others)
        assert f" {number} " in found.problem.question
        assert placement != "clustered" or number == 4  # every other one before it
        assert abs(first - trial.depth) < 12 + (placement == "clustered") * 5  # turns of some 5%, three before it


def test_a_repeat_asks_the_same_of_all_its_lengths():
    made = recipe(Coreference(), [2048, 4096], [50], repeats=2)
    problems = {(trial.repeat, trial.length): made.build(trial).problem for trial in made.trials}
    assert problems[0, 2048].targets == problems[0, 4096].targets != problems[1, 2048].targets
    assert problems[0, 4096].documents[:5] == problems[0, 2048].documents[:5]


@pytest.mark.parametrize(("task", "length", "said"), [
    (Coreference(num_needles=64), 2048, "needles and question do not fit; got 1,792 prompt tokens"),
    (Coreference(max_tokens=20), 2048, "task.max_tokens: too few for an answer; got 20"),
    (Coreference(), 400, "needles and question do not fit"),
])
def test_what_does_not_fit_is_said_in_a_line(task, length, said):
    made = recipe(task, [length])
    with pytest.raises(NiahError) as caught:
        made.build(made.trials[0])
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_bad_settings():
    with pytest.raises(NiahError, match=r"task.num_needles: got 0; expected 1 to 1,000"):
        Coreference(num_needles=0)
    with pytest.raises(NiahError, match="which answer it asks for is counted from where all of them stand"):
        built("task=coreference", "ctx.share=depths")


def published(response: str, answer: str, prefix: str) -> float:
    """The rule of the card of openai/mrcr, in words of our own."""
    if response[: len(prefix)] != prefix:
        return 0.0
    return SequenceMatcher(None, response[len(prefix) :], answer[len(prefix) :]).ratio()


ANSWER = "aB3dE6gH9jThe lamp on the quay was lit at seven, and nobody came."
OTHER = "The ferry left at noon with eleven goats and one passenger."
RESPONSES = [
    ANSWER, ANSWER[:-9], ANSWER[10:], ANSWER[:10], f"aB3dE6gH9j{OTHER}", OTHER, "", "aB3dE6gH9j " + ANSWER[10:],
    f"Here it is: {ANSWER}", ANSWER.replace("seven", "eight"), ANSWER.upper(), "aB3dE6gH9", "I do not know.",
]


@pytest.mark.parametrize("response", RESPONSES)
def test_scores_are_those_of_the_published_rule(response):
    assert Recited().score(response, [ANSWER], [OTHER]).value == published(response, ANSWER, "aB3dE6gH9j")


def test_scores_of_damaged_answers_are_those_of_the_published_rule():
    drawn = random.Random(5)
    for _ in range(200):
        letters = list(ANSWER)
        for _ in range(drawn.randrange(12)):
            place = drawn.randrange(len(letters))
            letters[place : place + drawn.randrange(3)] = drawn.choice(["", "x", " ", "the "])
        response = "".join(letters).strip()
        assert Recited().score(response, [ANSWER], [OTHER]).value == published(response, ANSWER, "aB3dE6gH9j")


def test_which_text_was_meant_is_told_apart_from_how_well_it_was_repeated():
    def beside(response: str) -> tuple[float, float]:
        found = Recited().score(response, [ANSWER], [OTHER]).beside
        return found["has_prefix"], found["identified"]

    assert beside(ANSWER) == (1, 1) and beside(ANSWER[10:]) == (0, 1)
    assert beside(f"aB3dE6gH9j{OTHER}") == (1, 0) and beside(OTHER) == (0, 0) and beside("") == (0, 0)


def test_outcomes_and_rescoring():
    problem = Problem((), "Which?", (ANSWER,), distractors=(OTHER,))
    score, outcome = judge(ANSWER, problem, Recited(), "stop")
    assert (score.value, outcome) == (1.0, Outcome.CORRECT)
    score, outcome = judge(ANSWER[:-9], problem, Recited(), "stop")
    assert 0.8 < score.value < 1 and outcome is Outcome.WRONG
    assert judge(ANSWER[:40], problem, Recited(), "length")[1] is Outcome.TRUNCATED
    made = recipe(Coreference(), [2048])
    sent = unfit(made.run, "", made.trials[0], "")
    old = replace(sent, outcome="wrong", score=0.0, response=ANSWER, targets=[ANSWER], distractors=[OTHER])
    assert judged(old, Recited()).beside == {"has_prefix": 1.0, "identified": 1.0}


"""Graphs against a plain walk over their own text, and GraphWalks' rule beside ours on answers of our own."""

import random
import re

import pytest

from niah import languages
from niah.errors import NiahError
from niah.records import Outcome, Problem
from niah.scorers.node_set import NodeSet
from niah.scorers.outcome import judge
from niah.tasks.graph import Graph
from niah.tokens.splice import is_canonical
from tests.helpers.recipes import recipe

EDGE = re.compile(r"^([0-9a-f]{6}) -> ([0-9a-f]{6})$", re.MULTILINE)


def edges_of(shown: str) -> list[tuple[str, str]]:
    return EDGE.findall(shown)


def walked(edges: list[tuple[str, str]], node: str, num_steps: int) -> set[str]:
    """The nodes at a distance, by a walk from node to node."""
    distance, front = {node: 0}, [node]
    while front:
        at = front.pop(0)
        for source, target in edges:
            if source == at and target not in distance:
                distance[target] = distance[at] + 1
                front.append(target)
    return {one for one, steps in distance.items() if steps == num_steps}


@pytest.mark.parametrize(("model", "task"), [
    ("smollm2", Graph()), ("smollm2", Graph(num_steps=1)), ("llama4", Graph(form="parents")),
    ("gemma3", Graph(num_steps=3, most=12)),
], ids=["two", "one", "parents", "three"])
def test_answers_are_those_of_the_text_at_its_exact_length(model, task):
    made = recipe(task, [1024, 3001], model=model, repeats=2)
    assert len(made.trials) == 4  # a length has no depths
    for trial in made.trials:
        found = made.build(trial)
        shown = made.tokenizer.decode(found.prompt.ids)
        assert len(found.prompt.ids) + task.answer_tokens == trial.length
        assert is_canonical(made.tokenizer, found.prompt.ids)
        edges = edges_of(shown)
        assert len(set(edges)) == len(edges) > 20 and all(a != b for a, b in edges)
        (node,) = re.findall("node ([0-9a-f]{6})", found.problem.question)
        if task.form == "parents":
            right = {source for source, target in edges if target == node}
        else:
            right = walked(edges, node, task.num_steps)
        assert set(found.problem.targets) == right and task.fewest <= len(right) <= task.most
        assert len(found.problem.targets) == len(right)


@pytest.mark.parametrize("code", languages.CODES)
@pytest.mark.parametrize("form", ["bfs", "parents"])
def test_every_language_asks(code, form):
    made = recipe(Graph(form=form, language=code), [2048])
    found = made.build(made.trials[0])
    assert len(found.prompt.ids) + found.prompt.max_tokens == 2048 and "{" not in found.problem.question
    assert ("2" in re.sub("[0-9a-f]{6}", "", found.problem.question)) == (form == "bfs")


@pytest.mark.parametrize(("task", "length", "said"), [
    (Graph(), 300, "task=graph: the smallest graph, of 12 edges, does not fit; got room for"),
    (Graph(num_steps=20), 2048, "has 2 to 6 answers, 20 steps away; expected another task.fewest or task.most"),
    (Graph(form="parents", fewest=30, most=40), 2048, "has 30 to 40 answers; expected another"),
])
def test_what_cannot_be_is_said_in_a_line(task, length, said):
    made = recipe(task, [length])
    with pytest.raises(NiahError) as caught:
        made.build(made.trials[0])
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_fewest_and_most():
    with pytest.raises(NiahError, match=r"task.fewest: got 7 to 6; expected at most task.most"):
        Graph(fewest=7)


def published(response: str, truth: list[str]) -> float:
    """The rule of the card of openai/graphwalks, in words of our own."""
    line = response.split("\n")[-1]
    inside = re.search(r"Final Answer: ?(\[.*\])", line)
    named = {one.strip() for one in inside[1].strip("[]").split(",") if one.strip()} if inside else set()
    both = len(named & set(truth))
    recall, precision = both / len(truth), both / len(named) if named else 0
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


TRUTH = ["a1b2c3", "0000ff", "9e9e9e"]
RESPONSES = [
    "Final Answer: [a1b2c3, 0000ff, 9e9e9e]", "Final Answer: [a1b2c3]", "Final Answer:[a1b2c3,0000ff,123456]",
    "Walking on.\nFinal Answer: [9e9e9e, 9e9e9e, 0000ff]", "Final Answer: []", "Final Answer: a1b2c3", "[a1b2c3]",
    "Final Answer: [a1b2c3]\nThat is all.", "", "Final Answer: [A1B2C3]", "Final Answer: [a1b2c3, 0000ff",
]


@pytest.mark.parametrize("response", RESPONSES)
def test_scores_are_those_of_the_published_rule(response):
    assert NodeSet(published=True).score(response, TRUTH).value == published(response, TRUTH)


def test_lists_of_any_size_have_the_published_score_under_both_rules():
    drawn = random.Random(3)
    names = [f"{number:06x}" for number in range(20)]
    for _ in range(200):
        truth, named = drawn.sample(names, drawn.randrange(1, 9)), drawn.sample(names, drawn.randrange(9))
        response = f"Final Answer: [{', '.join(named)}]"
        expected = published(response, truth)
        for scorer in (NodeSet(), NodeSet(published=True)):
            assert scorer.score(response, truth).value == expected
        assert NodeSet().score(response, truth).beside["exact"] == (set(named) == set(truth))
        assert (expected == 1) == (set(named) == set(truth))


@pytest.mark.parametrize(("response", "value"), [
    ("a1b2c3 0000ff 9e9e9e", 1), ("[a1b2c3, 0000ff, 9e9e9e]", 1), ("These nodes are: a1b2c3, 0000ff, 9e9e9e.", 1),
    ("a1b2c3, 0000ff, 9e9e9e]", 1), ("**[`A1B2C3`、`0000FF`、`9e9e9e`]**", 1), ("- x\n[a1b2c3]\nso: [9e9e9e]", 0.5),
    ("I do not know.", 0), ("", 0), ("这些节点是：a1b2c3，0000ff，9e9e9e。", 1), ("[]", 0),
])
def test_lists_as_models_write_them(response, value):
    assert NodeSet().score(response, TRUTH).value == value


def test_a_right_answer_has_all_names_and_no_other():
    problem = Problem((), "Which?", tuple(TRUTH))
    assert judge("[9e9e9e, a1b2c3, 0000ff]", problem, NodeSet(), "stop")[1] is Outcome.CORRECT
    score, outcome = judge("[9e9e9e, a1b2c3]", problem, NodeSet(), "stop")
    assert score.value == pytest.approx(0.8) and outcome is Outcome.WRONG

"""The 13 settings make a prompt of exactly the length, whatever the length and the tokenizer: nothing is refused."""

import json
import random
import re
from collections import Counter

import pytest

from niah.haystacks import wikipedia
from niah.prompts.recipe import Recipe
from niah.tasks.ruler import SETTINGS
from tests.helpers.configs import built as configured

MODELS = {
    "smollm2": ["model=smollm2_135m", "model.max_length=128k"], "llama4": ["model=scout"],
    "qwen3_5": ["model=qwen3_5_27b"], "deepseek_r1": ["model=deepseek_r1"],
    "gemma3": ["model=gemma3_270m", "model.max_length=128k"],
}
SMALL = (1024, 2048, 4096, 5120, 8192)
LARGE = (1024, 2048, 4096, 5120, 8192, 16_384, 32_768, 65_536, 131_072)
CWE = random.Random(2).sample(range(1000, 6100), 6)
QA = random.Random(3).sample(range(1024, 8192), 8)


def recipe(model: str, name: str, lengths: list[int], *words: str) -> Recipe:
    """At depths 0 and 100, where a needle has least room, and one between."""
    depths = "ctx.depths=[0,63,100]"
    return Recipe(configured(*MODELS[model], f"experiment=ruler/{name}", f"ctx.lengths={lengths}", depths, *words))


def check(made: Recipe) -> None:
    for trial in made.trials:
        built = made.build(trial)
        assert len(built.prompt.ids) + made.run.answer_tokens == trial.length
        assert built.problem.targets and all(depth >= 0 for depth in built.context.depths)


@pytest.mark.parametrize("version", ["package", "head"])
@pytest.mark.parametrize("name", SETTINGS)
def test_no_setting_is_refused_at_the_shortest_lengths(name, version):
    if version == "package" or name in ("vt", "cwe"):  # the others are the same in both
        check(recipe("smollm2", name, [1024, 5120], f"ruler.version={version}"))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", SETTINGS)
def test_no_setting_is_refused_at_any_length_up_to_128k(name, model):
    check(recipe(model, name, list(SMALL if model == "smollm2" else LARGE)))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["smollm2", "llama4", "qwen3_5"])
def test_common_words_have_rulers_counts_at_every_length(model):
    """At 4,096 and beyond ten words 30 times, others 3 times; below 6 times and once. No length between was refused
    but ten of those between 4,200 and 5,500, where one form was measured and the other written."""
    made = recipe(model, "cwe", sorted({*CWE, 4095, 4096, 4400, 4700, 5200}))
    for trial in made.trials:
        built = made.build(trial)
        counts = Counter(word.strip() for word in _entries(built.problem.text))
        often, seldom = (6, 1) if trial.length < 4096 else (30, 3)
        assert {counts[target] for target in built.problem.targets} == {often}
        assert Counter(counts.values()).most_common(1)[0][0] == seldom or trial.length < 4400
        assert len(built.prompt.ids) + 120 == trial.length


def _entries(text: str) -> list[str]:
    return re.findall(r"\d+\. (.+?)(?= \d+\. | \d+\.?$|$)", text)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_common_words_at_every_hundredth_length(model):
    check(recipe(model, "cwe", list(range(1000, 6100, 100))))


@pytest.mark.slow
@pytest.mark.parametrize("documents", ["own", "haystack"])
def test_a_cut_is_found_for_questions_of_many_documents(documents):
    """Ten documents among which one may stand at the end: little is then left to cut to length."""
    words = [] if documents == "own" else [
        "task.documents=haystack", "task.answer_elsewhere=forbid", "haystack.parts=[hotpotqa]", "haystack.half=even",
    ]
    lengths = [length for length in QA if documents == "own" or length > 3000]
    check(recipe("smollm2", "qa_2", lengths, "ctx.repeats=3", *words))


@pytest.mark.parametrize("model", [
    "smollm2", *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name != "smollm2"),
])
@pytest.mark.parametrize("space", [" ", "\n", "\u00a0"])
def test_a_question_that_ends_in_white_space_is_asked_through_every_template(model, space, tmp_path):
    """4% of SQuAD's and 7% of HotpotQA's end so, and many templates trim a message."""
    data = json.loads(wikipedia.ruler_file("squad.json", "", "wikipedia").read_text(encoding="utf-8"))
    for article in data["data"]:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                asked["question"] += space
    (tmp_path / "squad.json").write_text(json.dumps(data), encoding="utf-8")
    made = recipe(model, "qa_1", [2048], f"task.path={tmp_path}")
    built = made.build(made.trials[0])
    assert built.problem.question.endswith(f"?{space}") and len(built.prompt.ids) + 32 == 2048

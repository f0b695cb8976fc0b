"""``experiment=ruler`` against the published definitions, read from RULER's own files in their package."""

import re
from collections import Counter
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from niah.haystacks import wikipedia
from niah.prompts import template
from niah.prompts.recipe import Built, Recipe
from tests.helpers.configs import built as configured

PACKAGE = Path(find_spec("long_context_eval").origin).parent
SETTINGS = yaml.safe_load((PACKAGE / "synthetic.yaml").read_text())
CONSTANTS = import_module("long_context_eval.data.synthetic.constants").TASKS
NIAH = [name for name in SETTINGS if name.startswith("niah")]
HAYSTACKS = {"repeat": "noise", "essay": "essays", "needle": "distractors"}
KINDS = {"numbers": "number", "words": "pair", "uuids": "uuid"}


@cache
def made(name: str, length: int = 8192) -> tuple[Recipe, Built]:
    run = configured("model=smollm2_135m", f"experiment=ruler/{name}", f"ctx.lengths=[{length}]", "ctx.depths=[40]")
    recipe = Recipe(run)
    return recipe, recipe.build(recipe.trials[0])


def shown(name: str) -> tuple[str, str, str]:
    """The task's text before and after the context, and the context itself."""
    recipe, built = made(name)
    opening, closing = template.around(recipe.run.task.template, built.problem)
    decode = recipe.tokenizer.decode
    return opening, closing, "".join(p if isinstance(p, str) else decode(p) for p in built.context.pieces)


def test_all_thirteen_settings_are_there():
    from niah.choices import conf_folder

    assert {file.stem for file in (conf_folder() / "experiment" / "ruler").glob("*.yaml")} == set(SETTINGS)
    assert len(SETTINGS) == 13


@pytest.mark.parametrize("name", SETTINGS)
def test_answer_budget_and_prefix_mode(name):
    recipe, built = made(name)
    assert recipe.run.task.answer_tokens == CONSTANTS[SETTINGS[name]["task"]]["tokens_to_generate"]
    assert recipe.run.model.answer_prefix
    assert len(built.prompt.ids) + recipe.run.task.answer_tokens == 8192
    assert recipe.run.scorer.whole_words is False
    assert recipe.run.scorer.name == ("any_of" if name.startswith("qa") else "contains")


@pytest.mark.parametrize("name", NIAH)
def test_retrieval_settings(name):
    theirs = SETTINGS[name]["args"]
    recipe, built = made(name)
    task = recipe.run.task
    assert recipe.run.haystack.name == HAYSTACKS[theirs["type_haystack"]]
    assert (task.key_kind, task.answer) == (KINDS[theirs["type_needle_k"]], KINDS[theirs["type_needle_v"]])
    assert task.num_keys == max(theirs["num_needle_k"], theirs["num_needle_q"])
    assert (task.num_values, task.num_queries) == (theirs["num_needle_v"], theirs["num_needle_q"])
    assert len(built.problem.needles) == task.num_keys * task.num_values
    assert len(built.problem.targets) == task.num_queries * task.num_values


@pytest.mark.parametrize("name", NIAH)
def test_retrieval_words(name):
    """Template, question, prefix and needle as niah.py writes them, singular for one answer."""
    theirs, definition = SETTINGS[name]["args"], CONSTANTS["niah"]
    _, built = made(name)
    kind, template, prefix = theirs["type_needle_v"], definition["template"], definition["answer_prefix"]
    if theirs["num_needle_q"] * theirs["num_needle_v"] == 1:
        both = template + prefix
        for old, new in (("Some", "A"), ("are all", "is"), ("are", "is"), ("answers", "answer")):
            both = both.replace(old, new)
        cut = both.rindex(" The special")
        template, prefix, kind = both[:cut], both[cut:], kind[:-1]
    query = built.problem.question.split(" for ", 1)[1].removesuffix(" mentioned in the provided text?")
    opening, closing, _ = shown(name)
    expected = template.format(type_needle_v=kind, context="CONTEXT", query=query).split("CONTEXT")
    assert [opening, closing] == expected
    assert built.problem.answer_prefix == prefix.format(type_needle_v=kind, query=query).strip()
    form = re.compile(rf"One of the special magic {theirs['type_needle_v']} for (\S+) is: (\S+)\.")
    matches = [form.fullmatch(needle) for needle in built.problem.needles]
    assert all(matches)
    asked = {match[1] for match in matches if match[2] in built.problem.targets}
    assert asked == set(re.split(r", and |, | and ", query))


def test_haystack_of_needles_is_made_of_needles():
    for name in ("niah_multikey_2", "niah_multikey_3"):
        _, _, context = shown(name)
        form = r"One of the special magic (?:numbers|uuids) for \S+ is: \S+\."
        lines = context.strip().split("\n")
        assert all(re.fullmatch(form, line) for line in lines[:-1]) and len(lines) > 50
        assert len(set(lines)) == len(lines)


def test_repeated_noise_is_one_line_again_and_again():
    _, _, context = shown("niah_single_1")
    counts = Counter(line for line in context.split("\n") if line)
    noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
    assert counts.most_common(1)[0][0] == noise
    assert len(counts) <= 3  # noise, the needle, and the last line, cut to length


def test_variable_tracking():
    theirs, definition = SETTINGS["vt"]["args"], CONSTANTS["variable_tracking"]
    recipe, built = made("vt")
    task, problem = recipe.run.task, built.problem
    assert (task.num_chains, task.num_hops) == (theirs["num_chains"], theirs["num_hops"])
    assert recipe.run.haystack.name == "noise"
    value = re.fullmatch(r" VAR [A-Z]{5} = (\d{5})", problem.needles[0])[1]
    assert list(problem.needles[1:]) == [f" VAR {b} = VAR {a} " for a, b in pairwise(problem.targets)]
    depths = built.context.depths
    assert list(depths) == sorted(depths)
    opening, closing, _ = shown("vt")
    expected = definition["template"].format(context="CONTEXT", query=value).split("CONTEXT")
    assert closing == expected[1] and opening.endswith(expected[0])
    prefix = definition["answer_prefix"].format(num_v=5, query=value).strip()
    assert problem.answer_prefix == prefix
    # one solved example, of variables with three letters
    example = opening.removesuffix(expected[0])
    assert re.search(r"they are:  ([A-Z]{3} ){4}[A-Z]{3}\n", example) and example.count("The grass is green.") == 10


def test_common_words():
    definition = CONSTANTS["common_words_extraction"]
    _, built = made("cwe")
    opening, closing, context = shown("cwe")
    expected = definition["template"].format(context="CONTEXT").split("CONTEXT")
    assert closing == expected[1] and opening.endswith(expected[0])
    assert built.problem.answer_prefix == definition["answer_prefix"].strip()
    example = opening.removesuffix(expected[0])
    assert example.startswith(expected[0]) and definition["answer_prefix"] in example
    counts = Counter(word for _, word in re.findall(r"(\d+)\. (.+?)(?= \d+\. |$)", context))
    assert {word for word, _ in counts.most_common(10)} == set(built.problem.targets)
    assert {counts[word] for word in built.problem.targets} == {SETTINGS["cwe"]["args"]["freq_cw"]}
    rest = Counter(number for word, number in counts.items() if word not in built.problem.targets)
    assert rest.most_common(1)[0][0] == SETTINGS["cwe"]["args"]["freq_ucw"]


def test_frequent_words():
    definition = CONSTANTS["freq_words_extraction"]
    _, built = made("fwe")
    opening, closing, context = shown("fwe")
    assert [opening, closing] == definition["template"].format(context="CONTEXT").split("CONTEXT")
    assert built.problem.answer_prefix == definition["answer_prefix"].strip()
    counts = Counter(context.split())
    dots, *ranked = [word for word, _ in counts.most_common(4)]
    assert dots == "..." and set(ranked) == set(built.problem.targets)
    assert all(re.fullmatch("[a-z]{6}", word) for word in ranked)


@pytest.mark.parametrize("name", ["qa_1", "qa_2"])
def test_question_answering(name):
    definition = CONSTANTS["qa"]
    recipe, built = made(name)
    assert recipe.run.task.dataset == SETTINGS[name]["args"]["dataset"]
    opening, closing, context = shown(name)
    question = built.problem.question.removeprefix("Question: ")
    assert [opening, closing] == definition["template"].format(context="CONTEXT", query=question).split("CONTEXT")
    assert built.problem.answer_prefix == definition["answer_prefix"].strip()
    assert len(built.problem.needles) == built.problem.num_needed == (1 if name == "qa_1" else 2)
    for needle in built.problem.needles:
        assert re.search(rf"(\A|\n\n)Document \d+:\n{re.escape(needle)}\n\n", context)
        assert context.count(needle) == 1
    assert recipe.corpus is None and recipe.sources().haystack_sha256


@pytest.mark.parametrize(("name", "half"), [("qa_1", "squad"), ("qa_2", "hotpotqa")])
def test_questions_of_the_strict_way_have_their_answer_in_one_place(name, half):
    words = ["model=smollm2_135m", f"experiment=ruler/{name}", "ctx.lengths=[4k]", "ctx.depths=[40]"]
    recipe = Recipe(configured(*words, "task.answer_elsewhere=forbid"))
    built = recipe.build(recipe.trials[0])
    gold = set(built.problem.needles)
    rest = [text.casefold() for text in wikipedia.documents(half) if text not in gold]
    assert not any(target.casefold() in text for target in built.problem.targets for text in rest)


@pytest.mark.parametrize("half", ["squad", pytest.param("hotpotqa", marks=pytest.mark.slow)])
def test_questions_among_the_text_of_a_haystack_are_those_that_were(half):
    """As experiment=ruler had them before its documents were numbered: needles in another half's text."""
    words = ["task=qa", f"task.dataset={half}", "haystack=wikipedia", f"haystack.parts=[{half}]", "haystack.half=even"]
    recipe = Recipe(configured("model=smollm2_135m", *words, "ctx.lengths=[4k]", "ctx.depths=[40]"))
    built = recipe.build(recipe.trials[0])
    context = "".join(one if isinstance(one, str) else recipe.tokenizer.decode(one) for one in built.context.pieces)
    assert len(built.problem.needles) == (1 if half == "squad" else 10)
    for needle in built.problem.needles:
        assert f"\n\n{needle}\n\n" in f"\n\n{context}\n\n"
        context = context.replace(needle, "")
    assert all(target.casefold() not in context.casefold() for target in built.problem.targets)

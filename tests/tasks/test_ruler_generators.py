"""Each of RULER's 13 settings beside RULER's own generator: both texts are read by the same rules and say the same.

What may differ stands in docs/methods.md: where the text ends, where needles stand, where essays begin.
"""

import json
import re
from collections import Counter
from functools import cache

import pytest
import yaml

from niah.prompts.recipe import Recipe
from niah.tasks.ruler import SETTINGS
from tests.helpers import ruler_generator
from tests.helpers.configs import built as configured
from tests.helpers.tokenizers import load_tokenizer

SAMPLES = {2048: 1, 4096: 3}
"""By length. At 2,048 RULER makes no third sample of qa_2: its ten documents do not fit, and it tries for ever."""
BUDGETS = dict.fromkeys(SETTINGS, 128) | {"vt": 30, "cwe": 120, "fwe": 50, "qa_1": 32, "qa_2": 32}
NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
HEAD = pytest.param(
    "head", marks=pytest.mark.skipif(not ruler_generator.HEAD, reason="NIAH_RULER names no checkout of NVIDIA/RULER")
)
VERSIONS = ("package", HEAD)
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
KINDS = (("<uuid>", UUID), ("<number>", r"\d{7}"), ("<pair>", r"\D+-\D+"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    @cache
    def made(version: str, length: int) -> dict[str, list[dict]]:
        out = tmp_path_factory.mktemp(f"{version}-{length}")
        return ruler_generator.samples(version, "smollm2", length, SAMPLES[length], out)

    return made


@cache
def ours(name: str, version: str, length: int) -> list[dict]:
    """Samples of niah in RULER's form, without a chat template as in RULER's base template."""
    run = configured(
        "model=smollm2_135m", "model.chat=false", f"experiment=ruler/{name}", f"ruler.version={version}",
        f"ctx.lengths=[{length}]", "ctx.depths=[40]", "ctx.repeats=3",
    )
    recipe = Recipe(run)
    found = []
    for trial in recipe.trials:
        built = recipe.build(trial)
        text = recipe.tokenizer.decode(built.prompt.ids[len(recipe.tokenizer.first_ids) :])
        found.append({"input": text, "outputs": list(built.problem.targets)})
    return found


def kind_of(text: str) -> str:
    return next((mark for mark, form in KINDS if re.fullmatch(form, text)), f"no kind: {text}")


def of_needles(text: str, outputs: list[str]) -> dict:
    """What niah.py decides: words around the context, needles with their kinds, what is asked, the kind of filler."""
    opening, rest = text.split("\n", 1)
    context, closing = rest.rsplit("\n", 1)
    form = r"One of the special magic (numbers|uuids) for ([^:\n]+?) is: (\S+?)\."
    needles = re.findall(form, context)
    query = re.search(r" for (.*?) mentioned in the provided text\?", closing)[1]
    asked = re.split(r", and |, ", query)
    values = [value for _, key, value in needles if key in asked]
    filler = re.sub(form, "", context)
    lines = {line for line in filler.split("\n")[:-1] if line}
    return {
        "opening": opening,
        "closing": closing.replace(query, "<query>"),
        "as they are listed": re.sub(r"[^,]+-[^,]+", "<key>", query),
        "kinds": {(word, kind_of(key), kind_of(value)) for word, key, value in needles},
        "asked are planted": sorted(values) == sorted(outputs),
        "number": (len(asked), len(outputs)),
        "all needles": len(needles) if len(needles) < 20 else "the whole haystack",
        "filler": lines if len(lines) < 3 else "prose",
        "white space": set(re.findall(r"\s+", context)) if needles and "\n" not in context else {"\n in it"},
        "behind a sentence": all(
            match.start() == 0 or context[match.start() - 2] in ".?!\"')]" or context[match.start() - 1] == "\n"
            for match in re.finditer(form, context)
        ),
    }


def masked(text: str) -> str:
    return re.sub(r"\b\d{5}\b", "<value>", re.sub(r"(?<=VAR )[A-Z]{3,5}\b", "<name>", text))


def of_variables(text: str, outputs: list[str]) -> dict:
    """What variable_tracking.py decides: words and breaks around example and context, the assignments' layout."""
    example, main = re.split(r"(?<=\n)(?=Memorize and track)", text)[-2:]
    found = {"lines of the example": example.count(NOISE)}
    for name, block in (("example", example), ("main", main)):
        opening, rest = block.split("\n\n", 1)
        context, closing = rest.rsplit("\nQuestion", 1)
        lines = context.removesuffix("\n").lstrip(" ").split("\n")
        found |= {
            f"{name}, opening": opening,
            f"{name}, closing": re.sub(r"[A-Z]{3}( [A-Z]{3}){4}", "<names>", masked(closing.rstrip(" "))),
            f"{name}, lines": {masked(line.removeprefix(" ")) for line in lines[:-1]},
            f"{name}, lines begin": {line[:1].isspace() for line in lines[1:]},
        }
    assigned = re.findall(r"VAR ([A-Z]{5}) = (?:VAR )?(\w+)", main)
    chain = [name for name, _ in assigned] == outputs and [one for _, one in assigned[1:]] == outputs[:-1]
    return found | {"chain": chain}


def of_common_words(text: str, outputs: list[str]) -> dict:
    """What common_words_extraction.py decides: how often words stand in example and list, and all around them."""
    forms = []
    for block in re.split(r"(?=Below is a numbered list)", text)[1:]:
        opening, listed, closing = block.split("\n", 2)
        words = re.findall(r"\d+\. (.+?)(?= \d+\. | \d+\.?$|$)", listed)
        counts = Counter(words)
        often = counts.most_common(10)
        forms.append({
            "opening": opening, "closing": re.sub(r"\d+\. \S+", "<entry>", closing),
            "common": {number for _, number in often}, "others": Counter(counts.values()).most_common(1)[0][0],
            "numbered": listed.startswith("1. ") and f" {len(words)}. " in listed,
        })
        top = {word for word, _ in often}
    return {"example": forms[0], "list": forms[1], "asked": top == set(outputs), "blocks": len(forms)}


def of_coded_words(text: str, outputs: list[str]) -> dict:
    """What freq_words_extraction.py decides: counts that fall as a zeta distribution says, and the words around."""
    opening, rest = text.split(" Find the three most frequently appeared coded words. ")
    context, closing = rest.split("\n", 1)
    counts = Counter(word for word in context.split(" ") if re.fullmatch(r"[a-z]{6}|\.\.\.", word))
    dots, *others = counts.most_common()
    size = others[0][1] * 4
    return {
        "opening": opening, "closing": closing, "dots": dots[0],
        "asked": {word for word, _ in others[:3]} == set(outputs),
        "ranks": [round(number / size, 1) for _, number in others[:3]],
        "falls": all(abs(number - size / rank**2) <= 1.5 + number / 10 for rank, (_, number) in enumerate(others, 2)),
        "other words": {len(word) for word in counts} == {3, 6},
    }


def of_documents(text: str, outputs: list[str]) -> dict:
    """What qa.py decides: numbered documents without a double, one of them with the answer; near ones first."""
    opening, rest = text.split("following are given documents.\n\n")
    context, closing = rest.split("\n\nAnswer the question based on")
    documents = re.split(r"(?:\A|\n\n)Document (\d+):\n", context)[1:]
    numbers, texts = [int(one) for one in documents[::2]], documents[1::2]
    question = re.search(r"Question: (.*)\s+Answer:", closing, re.DOTALL)[1]
    return {
        "opening": opening, "closing": closing.replace(question, "<question>"),
        "numbered": numbers == list(range(1, len(numbers) + 1)),
        "doubles": len(texts) - len(set(texts)),
        "holds the answer": outputs[0] in ("yes", "no") or any(outputs[0] in one for one in texts),
    }


READ = {"vt": of_variables, "cwe": of_common_words, "fwe": of_coded_words, "qa_1": of_documents, "qa_2": of_documents}


@pytest.mark.parametrize("length", [2048, pytest.param(4096, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_as_ruler_makes(theirs, version, name, length):
    read = READ.get(name, of_needles)
    expected = [read(**as_words(one)) for one in theirs(version, length)[name]]
    for one in ours(name, version, length):
        assert read(**as_words(one)) in expected


def as_words(sample: dict) -> dict:
    return {"text": sample["input"], "outputs": sample["outputs"]}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("version", VERSIONS)
def test_it_fills_the_length_up_to_which_ruler_grows(theirs, version, name):
    """RULER stays below the length by steps of its haystack, of ten documents in qa; niah has exactly the length."""
    tokenizer = load_tokenizer("smollm2")
    room = 4096 - BUDGETS[name]
    for one in ours(name, version, 4096):
        assert len(tokenizer.encode(one["input"]).ids) == room
    for one in theirs(version, 4096)[name]:
        number = len(tokenizer.encode(one["input"]).ids)
        over = BUDGETS["fwe"] if (version, name) == ("package", "fwe") else 0  # which forgets the answer's tokens
        assert 0.5 * room < number <= room + over


@pytest.mark.parametrize("version", VERSIONS)
def test_the_distractors_of_questions_are_those_that_ruler_takes(theirs, version):
    """SQuAD: at this length every paragraph is of the question's own article; HotpotQA: the ten that came with it."""
    folder = ruler_generator.package_folder() / "data" / "synthetic" / "json"
    articles = [
        {paragraph["context"] for paragraph in article["paragraphs"]}
        for article in json.loads((folder / "squad.json").read_text(encoding="utf-8"))["data"]
    ]
    asked = {one["question"]: one for one in json.loads((folder / "hotpotqa.json").read_text(encoding="utf-8"))}
    for sample in (*theirs(version, 4096)["qa_1"], *ours("qa_1", version, 4096)):
        texts = documents_of(sample)[:-1]
        assert any(set(texts) <= article for article in articles)
    for sample in (*theirs(version, 4096)["qa_2"], *ours("qa_2", version, 4096)):
        question = re.search(r"Question: (.*?)\s+Answer:$", sample["input"], re.DOTALL)[1]
        texts = documents_of(sample)
        own = {f"{title}\n{''.join(parts)}" for title, parts in asked[question]["context"]}
        assert len(own & set(texts)) >= len(own) - 1 < len(texts)


def documents_of(sample: dict) -> list[str]:
    context = sample["input"].split("following are given documents.\n\n")[1].split("\n\nAnswer the question based")[0]
    return re.split(r"(?:\A|\n\n)Document \d+:\n", context)[1:]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_settings_are_theirs(version):
    folder = ruler_generator.package_folder() if version == "package" else f"{ruler_generator.HEAD}/scripts"
    with open(f"{folder}/synthetic.yaml", encoding="utf-8") as file:
        assert tuple(yaml.safe_load(file)) == SETTINGS

"""Every task: its answer is in its needles and nowhere else, in every language."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from niah import languages
from niah.errors import NiahError
from niah.grid import needle_depths
from niah.tasks.absent import Absent
from niah.tasks.aggregate import Aggregate
from niah.tasks.chain import Chain
from niah.tasks.conflicting import Conflicting
from niah.tasks.count import Count
from niah.tasks.latent import Latent
from niah.tasks.multikey import MultiKey
from niah.tasks.multiquery import MultiQuery
from niah.tasks.multivalue import MultiValue
from niah.tasks.ordered import Ordered
from niah.tasks.single import Single
from niah.tasks.update import Update

PLANTED = [
    Single(), Single(answer="word"), Single(answer="uuid", key_kind="uuid"), MultiKey(num_keys=9, key_kind="pair"),
    MultiValue(), MultiQuery(), Chain(), Chain(form="variables", num_hops=4), Chain(num_chains=3),
    Latent(num_distractors=3), Conflicting(num_values=4), Conflicting(wins="oldest"), Count(), Ordered(num_needles=6),
    Absent(num_decoys=3), Update(num_values=5),
]


@dataclass(frozen=True)
class Text:
    """A haystack that is a string."""

    text: str = ""
    language: str = "en"
    asked: list = field(default_factory=list)

    def holding(self, texts):
        self.asked.extend(texts)
        return {text for text in texts if text.casefold() in self.text.casefold()}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def drawn(task, seed: int = 0, **text):
    return task.problem(rng(seed), Text(**text))


@pytest.mark.parametrize("code", languages.CODES)
@pytest.mark.parametrize("task", PLANTED, ids=lambda task: f"{task.name}{PLANTED.index(task)}")
def test_every_task_in_every_language(task, code):
    for seed in range(12):
        problem = drawn(task, seed, language=code)
        whole = [*problem.needles, problem.question, problem.answer_prefix, *problem.targets, *problem.distractors]
        assert all(text.strip() and "{" not in text for text in whole)
        assert len(set(problem.needles)) == len(problem.needles)
        assert not set(problem.targets) & set(problem.distractors)
        if task.name not in ("count", "absent"):
            for target in problem.targets:
                assert any(target in needle for needle in problem.needles)
                assert target not in problem.question and target not in problem.answer_prefix


def test_drawing_is_repeatable_and_varied():
    for task in PLANTED:
        assert drawn(task, 3) == drawn(task, 3)
        assert len({drawn(task, seed).targets for seed in range(30)}) > 3 or task.name == "absent"


def test_language_follows_or_crosses_the_haystack():
    assert "里斯本" in drawn(Single(key="里斯本"), language="zh-Hans").question
    assert drawn(Single(language="de"), language="zh-Hans").question.startswith("Wie")
    with pytest.raises(NiahError, match=r"haystack.language: got 'fr'; expected one of en, zh-Hans"):
        drawn(Single(), language="fr")


@pytest.mark.parametrize("task", [Single(), MultiValue(), Conflicting(), Chain()], ids=lambda task: task.name)
def test_answers_of_the_haystack_are_drawn_again(task):
    first = drawn(task)
    again = drawn(task, text=f"They wrote {first.targets[0]} on the wall.")
    assert first.targets[0] not in again.targets


def test_words_run_out_with_a_clear_message():
    message = r"task.answer=word: \d+ of the drawn answers occur in the haystack.*task.answer=uuid"
    with pytest.raises(NiahError, match=message):
        drawn(Single(answer="word"), text=" ".join(languages.load("en")["words"]))


def test_users_own_needle_must_be_new_to_the_haystack():
    mine = Single(needle="The gate code is 7351.", question="What is the gate code?", value="7351")
    assert drawn(mine).targets == ("7351",)
    with pytest.raises(NiahError, match=r"task.value: the haystack already holds '7351', so finding it proves nothing"):
        drawn(mine, text="Page 7351 of 9000.")


def test_distractors_look_like_the_needle():
    problem = drawn(MultiKey(num_keys=5))
    key = problem.question.removeprefix("What is the special magic number for ").removesuffix("?")
    values = [*problem.targets, *problem.distractors]
    forms = {needle.replace(value, "V") for needle, value in zip(problem.needles, values, strict=True)}
    assert len(forms) == 5 and sum(key in needle for needle in problem.needles) == 1 and key in problem.needles[0]
    assert len({needle.split(" for ")[0] for needle in problem.needles}) == 1


def test_chain_has_to_be_followed():
    problem = drawn(Chain(num_hops=3, num_chains=2))
    assert len(problem.needles) == 2 * 4
    at = problem.question.split("token ")[1].split(" ")[0]
    for _ in range(3):
        (needle,) = [n for n in problem.needles if f"holds token {at} must" in n]
        at = needle.split("look up token ")[1].split(" ")[0]
    (end,) = [n for n in problem.needles if f"holds token {at} has" in n]
    assert problem.targets[0] in end
    assert sum(problem.targets[0] in needle for needle in problem.needles) == 1


@pytest.mark.parametrize(("wins", "pick"), [("newest", max), ("oldest", min)])
def test_years_decide_which_value_wins(wins, pick):
    for seed in range(20):
        problem = drawn(Conflicting(wins=wins, num_values=4), seed)
        years = [int(needle.split()[1]) for needle in problem.needles]
        assert years[0] == pick(years) and problem.targets[0] in problem.needles[0]


@pytest.mark.parametrize("placement", ["even", "random", "clustered"])
@pytest.mark.parametrize("depth", [0.0, 40.0, 100.0])
def test_the_last_value_stands_behind_all_others(placement, depth):
    for seed in range(10):
        problem = drawn(Update(num_values=5), seed)
        assert problem.targets[0] in problem.needles[0] and len(problem.distractors) == 4
        assert len({needle.replace(value, "") for needle, value in
                    zip(problem.needles, [*problem.targets, *problem.distractors], strict=True)}) == 1
        wanted = needle_depths(depth, 5, placement, rng(seed))
        same, (last, *others) = Update(num_values=5, placement=placement).arranged(problem, wanted)
        assert same == problem and last == depth and all(other < last for other in others)
        if placement == "random" and depth:
            assert others == [pytest.approx(one * depth / 100) for one in wanted[1:]]


def test_count_is_the_number_of_needles():
    found = [drawn(Count(fewest=2, most=6), seed) for seed in range(40)]
    assert all(problem.targets == (str(len(problem.needles)),) for problem in found)
    assert {len(problem.needles) for problem in found} == {2, 3, 4, 5, 6}


def test_ordered_names_keys_in_the_order_of_its_needles():
    problem = drawn(Ordered(num_needles=5))
    assert problem.in_order and all(t in n for t, n in zip(problem.targets, problem.needles, strict=True))


def test_nothing_is_planted_where_absence_is_right():
    assert drawn(Absent()).needles == () and not Absent().has_depth
    decoyed = drawn(Absent(num_decoys=2))
    key = decoyed.question.split(" for ")[1].split("?")[0]
    assert len(decoyed.needles) == 2 and not any(key in needle for needle in decoyed.needles)
    assert Absent(num_decoys=1).has_depth


def test_the_absent_key_was_looked_for():
    haystack = Text()
    problem = Absent(key_kind="pair", num_decoys=1).problem(rng(), haystack)
    assert problem.question.split(" for ")[1].split("?")[0] in haystack.asked


def count_words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize("num_tokens", [1000, 6000, 60_000])
def test_common_words_are_the_most_common(num_tokens):
    problem = Aggregate(example=True).at(num_tokens).fill(rng(), "en", num_tokens, count_words)
    entries = re.findall(r"(\d+)\. (.+?)(?= \d+\. |$)", problem.text)
    counts = Counter(word for _, word in entries)
    often, seldom = (6, 1) if num_tokens < 4096 else (30, 3)
    assert {word for word, _ in counts.most_common(10)} == set(problem.targets)
    assert set(counts.values()) <= {often, seldom, 1} and all(counts[word] == often for word in problem.targets)
    assert num_tokens <= count_words(problem.text) <= 1.1 * num_tokens + 200
    assert [int(number) for number, _ in entries] == list(range(1, len(entries) + 1))
    assert problem.preamble.count("Question:") == 1
    assert not set(problem.targets) & set(re.findall(r"\w+", problem.question))


@pytest.mark.parametrize("num_tokens", [500, 5000, 50_000])
def test_coded_words_follow_a_zeta_distribution(num_tokens):
    problem = Aggregate(form="coded").fill(rng(), "en", num_tokens, count_words)
    words = problem.text.split()
    first, second, third = (words.count(word) for word in problem.targets)
    assert first > second >= third > max((words.count(w) for w in set(words) - {*problem.targets, "..."}), default=0)
    assert first / second == pytest.approx((3 / 2) ** 2, rel=0.3)  # ranks 2 and 3, alpha 2


def test_aggregate_speaks_the_haystacks_language():
    problem = Aggregate().fill(rng(), "zh-Hans", 3000, len)
    assert "10" in problem.question and any(word in languages.load("zh-Hans")["words"] for word in problem.targets)


def test_a_list_that_does_not_fit_is_refused():
    with pytest.raises(NiahError, match="task=aggregate: the shortest list does not fit; got 40 tokens"):
        Aggregate().fill(rng(), "en", 40, count_words)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Single(template="no question {context}"), "task.template"),
        (lambda: Single(needle="Nothing."), "task.needle: does not hold the answer"),
        (lambda: MultiKey(needle="Nothing."), "task.needle: does not hold the answer"),
        (lambda: MultiKey(num_keys=0), r"task.num_keys: got 0"), (lambda: Single(num_keys=4), "expected task=multikey"),
        (lambda: MultiQuery(num_queries=9), "task.num_queries: got 9 of 4 keys"),
        (lambda: Single(placement="left"), "task.placement"),
        (lambda: Single(key_kind="river"), "task.key_kind: got 'river'"),
        (lambda: Chain(num_hops=0), "task.num_hops: got 0"), (lambda: Chain(form="ring"), "task.form"),
        (lambda: Conflicting(wins="loudest"), "task.wins"),
        (lambda: Conflicting(num_values=1), "task.num_values"), (lambda: Count(fewest=5, most=2), "task.fewest"),
        (lambda: Ordered(num_needles=1), "task.num_needles"), (lambda: Aggregate(alpha=1.0), "task.alpha"),
        (lambda: Aggregate(form="story"), "task.form"), (lambda: Aggregate(common_repeats=3), "task.common_repeats"),
        (lambda: drawn(Latent(num_distractors=99)), "task.num_distractors: got 99; expected 0 to"),
        (lambda: drawn(MultiKey(num_keys=500)), "task.num_keys=500: there are not 500 different ones; .*key_kind=uuid"),
        (lambda: drawn(replace(Count(), fewest=200, most=200)), "task.most: there are not 200"),
    ],
)
def test_impossible_tasks(make, message):
    with pytest.raises(NiahError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)

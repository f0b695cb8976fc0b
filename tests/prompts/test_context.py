"""Exact length, whole needles, haystack in order: over real tokenizers and awkward text."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from niah.errors import NiahError
from niah.haystacks import corpus
from niah.prompts import context, template
from niah.readers.full import Full
from niah.records import Problem, Stretch
from niah.tokens.splice import is_canonical
from tests.helpers.texts import passages
from tests.helpers.tokenizers import load_tokenizer

NAMES = ("smollm2", "llama4", "qwen3_5", "gemma3")
PROBLEM = Problem(
    ("The special magic word for Lisbon is umbrella.",), "What is the special magic word for Lisbon?",
    ("umbrella",), "The special magic word for Lisbon is",
)
CHINESE = Problem(("里斯本的暗号是蓝色大象。",), "里斯本的暗号是什么？", ("蓝色大象",), "里斯本的暗号是")
TEMPLATE = "{context}\n\n{question}"


def stretch_of(name: str, text: str, num_tokens: int) -> Stretch:
    tokenizer = load_tokenizer(name)
    text = (text + "\n\n") * (1 + 40 * num_tokens // max(1, len(text)))
    ids = np.concatenate(corpus.tokenise(corpus.chunks([text], ""), tokenizer))
    return Stretch(ids, "test", 0)


def frame_of(name: str, problem: Problem) -> template.Frame:
    tokenizer = load_tokenizer(name)
    return template.frame(
        tokenizer, TEMPLATE, problem, chat=tokenizer.chat_template is not None, answer_prefix=name == "gemma3",
        system=None, template_arguments={}, where="test",
    )


def built(name, stretch, problem, depth, num_tokens):
    tokenizer, frame = load_tokenizer(name), frame_of(name, problem)
    made, whole = context.build(tokenizer, frame, stretch, problem, (depth,) * len(problem.needles), num_tokens, "test")
    view = Full().read(made, problem)
    assert whole.num_tokens == num_tokens
    return made, template.render(tokenizer, frame, view, problem, 32)


@pytest.mark.parametrize("name", NAMES)
@given(
    text=passages, depth=st.sampled_from([0, 3, 25, 50, 77, 99.5, 100]), length=st.integers(200, 1500),
    problem=st.sampled_from([PROBLEM, CHINESE]),
)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_length_seams_and_spans(name, text, depth, length, problem):
    tokenizer = load_tokenizer(name)
    stretch = stretch_of(name, text, length)
    made, sent = built(name, stretch, problem, depth, length)
    assert len(sent.ids) == length
    assert is_canonical(tokenizer, sent.ids)
    (start, stop), = sent.spans
    shown = tokenizer.decode(sent.ids[start:stop])
    assert problem.needles[0] in shown
    assert len(shown) <= len(problem.needles[0]) + 4
    # the rest is the haystack in order
    whole = "".join(piece if isinstance(piece, str) else tokenizer.decode(piece) for piece in made.pieces)
    rest = "".join(
        tokenizer.decode(piece) for piece in made.pieces if not isinstance(piece, str)
    )
    assert tokenizer.decode(stretch.ids).startswith(rest.rstrip("\ufffd"))
    assert whole in tokenizer.decode(sent.ids)


@pytest.mark.parametrize("name", NAMES)
def test_needle_stands_between_whole_sentences(name):
    tokenizer = load_tokenizer(name)
    text = "The miller woke at dawn. He lit the stove! Did the wheel turn? It did.\n\nBy noon it had stopped. "
    stretch = stretch_of(name, text, 2000)
    for depth in range(0, 101, 5):
        made, sent = built(name, stretch, PROBLEM, depth, 1200)
        start = sent.spans[0][0]
        before = tokenizer.decode(sent.ids[:start]).rstrip()
        assert before.endswith((".", "!", "?", "user", "<|header_end|>", "<bos>"))
        assert abs(made.depths[0] - depth) < 100 * 40 / 1200  # half the longest sentence, and the needle itself


@pytest.mark.parametrize("name", NAMES)
def test_chinese_needle_gets_no_spaces(name):
    tokenizer = load_tokenizer(name)
    stretch = stretch_of(name, "他沿着海边走了很久。天色渐渐暗下来！灯塔亮了。", 1500)
    _, sent = built(name, stretch, CHINESE, 50, 900)
    text = tokenizer.decode(sent.ids)
    assert f"。{CHINESE.needles[0]}" in text or f"！{CHINESE.needles[0]}" in text


def test_shorter_context_begins_like_the_longer_one():
    stretch = stretch_of("smollm2", "One fine day. Another fine day? Yes!", 4000)
    _, short = built("smollm2", stretch, PROBLEM, 100, 500)
    _, long = built("smollm2", stretch, PROBLEM, 100, 1000)
    same = int(np.argmin(np.equal(short.ids, long.ids[: len(short.ids)])))
    assert same >= short.spans[0][0] - 1


def test_several_needles_keep_their_own_places():
    problem = Problem(("First fact is red.", "Second fact is blue."), "Which?", ("red", "blue"))
    stretch = stretch_of("smollm2", "Nothing happened here today. ", 2000)
    tokenizer, frame = load_tokenizer("smollm2"), frame_of("smollm2", problem)
    made, _ = context.build(tokenizer, frame, stretch, problem, (80, 20), 900, "test")
    sent = template.render(tokenizer, frame, Full().read(made, problem), problem, 32)
    assert len(sent.ids) == 900
    for needle, (start, stop) in zip(problem.needles, sent.spans, strict=True):
        assert needle in tokenizer.decode(sent.ids[start:stop])
    assert sent.spans[0][0] > sent.spans[1][0]


def test_needles_at_one_place_do_not_run_together():
    problem = Problem(("First fact is red.", "Second fact is blue."), "Which?", ("red", "blue"))
    stretch = stretch_of("smollm2", "Nothing happened here today. ", 2000)
    _, sent = built("smollm2", stretch, problem, 50, 900)
    text = load_tokenizer("smollm2").decode(sent.ids)
    assert re.search(r"\sFirst fact is red\. Second fact is blue\.\s+Nothing ", text)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_planted_is_a_context_too(name):
    made, sent = built(name, stretch_of(name, "A day like any other. ", 900), Problem((), "Which?", ("none",)), 0, 500)
    assert len(sent.ids) == 500 and sent.spans == () and made.depths == ()


@pytest.mark.parametrize("name", NAMES)
def test_needles_of_line_sources_stand_on_lines_of_their_own(name):
    tokenizer = load_tokenizer(name)
    lines = "def f(x):\n    return x + 1\n\n\nclass A:\n    pass\n# done\n"
    stretch = replace(stretch_of(name, lines, 1500), by_line=True)
    for depth in (0, 33, 50, 71, 100):
        _, sent = built(name, stretch, replace(PROBLEM, needles=("# " + PROBLEM.needles[0],)), depth, 700)
        shown = tokenizer.decode(sent.ids)
        assert "\n# The special magic word for Lisbon is umbrella.\n" in shown or depth == 0


@pytest.mark.parametrize("name", NAMES)
def test_paragraph_needles_stand_between_paragraphs(name):
    tokenizer = load_tokenizer(name)
    text = "Title\nThe mill stood still. It rained.\n\nOther\nThe sun came out. All was well."
    stretch = stretch_of(name, text, 1500)
    _, sent = built(name, stretch, replace(PROBLEM, as_paragraphs=True), 50, 700)
    assert f"\n\n{PROBLEM.needles[0]}\n\n" in tokenizer.decode(sent.ids)


def test_needle_longer_than_the_context_is_refused():
    problem = Problem(("word " * 400,), "Which?", ("word",))
    with pytest.raises(NiahError, match="needles and question do not fit"):
        built("smollm2", stretch_of("smollm2", "A day. ", 500), problem, 50, 300)


@pytest.mark.parametrize("name", ["smollm2", "llama4", "qwen3_5"])
def test_chat_frame_is_the_template(name):
    tokenizer = load_tokenizer(name)
    _, sent = built(name, stretch_of(name, "A day like any other. ", 500), PROBLEM, 50, 400)
    text = tokenizer.decode(sent.ids)
    assert text.count("umbrella") == 1 and text.count(PROBLEM.question) == 1
    assert sent.ids.tolist() == list(tokenizer.reference(text))


def test_control_tokens_of_the_haystack_are_not_obeyed():
    tokenizer = load_tokenizer("smollm2")
    stretch = stretch_of("smollm2", "He wrote <|im_end|> on the wall. <|im_start|>assistant she said. ", 900)
    _, sent = built("smollm2", stretch, PROBLEM, 50, 700)
    controls = [i for i in sent.ids.tolist() if i in set(tokenizer.controls.values())]
    assert len(controls) == 5  # those of the chat template alone

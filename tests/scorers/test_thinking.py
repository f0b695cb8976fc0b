"""Where thinking ends and the answer begins, by family of models, closed, open, nested and opened in the prompt."""

import pytest

from niah.scorers.thinking import FAMILIES, cut, left_open

_TAGS = [
    (f"<{tag}>", f"</{tag}>") for tag in (
        "think", "thinking", "thought", "seed:think", "mm:think", "ifm|think", "ifm|think_fast", "think:v3", "Think",
        "reasoning",
    )
]
_HARMONY = ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>")
PAIRS = [*FAMILIES, *_TAGS, _HARMONY]


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_every_familys_thinking_is_cut_and_kept_apart(opening, closing):
    found = cut(f"{opening}It says 4829173.{closing}The number is 1111111.")
    assert (found.answer, found.thinking, found.is_open) == ("The number is 1111111.", "It says 4829173.", False)


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_an_open_section_holds_no_answer(opening, closing):
    found = cut(f"{opening}It says 4829173, or")
    assert (found.answer, found.thinking, found.is_open) == ("", "It says 4829173, or", True)


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_a_section_that_the_prompt_opened(opening, closing):
    family = left_open(f"<|im_start|>assistant\n{opening}")
    assert family and not left_open(f"<|im_start|>assistant\n{opening}{closing}")
    found = cut(f"It says 4829173.{closing}The number is 1111111.", opened=family)
    assert (found.answer, found.thinking, found.is_open) == ("The number is 1111111.", "It says 4829173.", False)
    assert cut("It says 4829173, or", opened=family).is_open


@pytest.mark.parametrize(("opening", "closing"), [*FAMILIES, *_TAGS])
def test_what_is_cut_leaves_a_space(opening, closing):
    assert cut(f"48{opening}x{closing}29173").answer == "48 29173"


@pytest.mark.parametrize(
    ("response", "answer", "thinking", "is_open"),
    [
        ("<think>a<think>b</think>c</think>d", "d", "a<think>b</think>c", False),
        ("<think>a tag like <think> ends so: </think>d", "d", "a tag like <think> ends so:", False),
        ("<think>a</think>b<think>c</think>d", "b d", "a\n\nc", False), ("a</think>b</think>c", "c", "a\n\nb", False),
        ("<think>a<think>b</think>d<think>e", "d", "a<think>b\n\ne", True),
        ("<think>[THINK]a</think>b", "b", "[THINK]a", False), ("<think>\n\n</think>\n\nb", "b", "", False),
        ("<think>a</think><answer>\nb\n</answer>", "b", "a", False),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "b", "a", False),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>b<|end|>"
         "<|start|>assistant<|channel|>final<|message|>c<|return|>", "c", "a\n\nb", False),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant", "", "a", False),
        ("<|channel|>final<|message|>c", "c", "", False), ("<|channel|>anal", "", "", True),
        ("analysisWe look.assistantfinalc", "c", "We look.", False),
        (" plain, with  spaces\n", " plain, with  spaces\n", "", False),
        ("Here is my response: b", "Here is my response: b", "", False), ("I thought <b>of</b> it", None, "", False),
    ],
)
def test_odd_sections(response, answer, thinking, is_open):
    found = cut(response)
    assert (found.answer, found.thinking, found.is_open) == (response if answer is None else answer, thinking, is_open)


@pytest.mark.parametrize("response", ["<think>a</think>b", "a</think>b<think>c</think>d", "[THINK]a[/THINK]b", "b"])
def test_what_was_cut_is_not_cut_again(response):
    answer = cut(response).answer
    assert cut(answer).answer == answer


def test_a_models_own_delimiters():
    own = (("<<r>>", "<</r>>"),)
    assert cut("<<r>>a<</r>>b", own).answer == "b" and cut("<<r>>a<</r>>b").answer != "b"
    assert left_open("...<<r>>", own) == "<<r>>"


def test_long_responses_take_no_time():
    # quadratic, this would take hours: half a million delimiters
    assert cut("<think>" * 250_000 + "</think>" * 250_000 + "b").answer == "b"

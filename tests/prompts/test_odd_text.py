"""Contexts of exact length out of texts without words: a handful of characters, or runs without a break."""

import random
from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from niah.errors import NiahError
from niah.haystacks import corpus, wikipedia
from niah.haystacks.files import Files
from niah.prompts import context, template
from niah.readers.full import Full
from niah.tokens.splice import is_canonical
from tests.helpers.tokenizers import load_tokenizer
from tests.prompts.test_context import PROBLEM, frame_of

FAMILY = "👩‍👩‍👧‍👦"
SHORT = {
    "one": "a", "sentence": "Hello world, this is fine.", "Chinese": "他", "emoji": FAMILY, "mark": "\u0301",
    "list": "word " * 150,
}
LONG = {
    "20 words of 5,000": " ".join(["x" * 5000] * 20), "one of 40,000": "a" * 40_000,
    "lines of 1,000": "\n".join(["A" * 1000] * 60), "spaces": f"a{' ' * 60_000}b",
    "line breaks": f"a{chr(10) * 60_000}b",
    "dots": f"See {'.' * 60_000} End", "quotes": f".{chr(34) * 60_000}x",
    "Chinese": "他沿着海边走了很久天色渐渐暗下来灯塔亮了" * 1000, "marks": "a" + "\u0301\u0302\u0303" * 10_000,
    "emoji": FAMILY * 3000, "letters": "".join(random.Random(1).choices("ACGT", k=60_000)),
    "runs": "".join(one * number for number, one in zip(range(1, 2998, 37), "abcxyz =." * 9, strict=True)),
}


class Counted:
    """A tokenizer that counts the characters it was given."""

    def __init__(self, tokenizer):
        self._tokenizer, self.num = tokenizer, 0

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def encode(self, text):
        self.num += len(text)
        return self._tokenizer.encode(text)


def build_each(name, folder, text, lengths, monkeypatch):
    """Contexts at both ends and in the middle; returns the characters tokenised for the average one."""
    tokenizer, frame = Counted(load_tokenizer(name)), frame_of(name, PROBLEM)
    monkeypatch.setenv("NIAH_CACHE", str(folder / "cache"))
    (folder / "text.txt").write_text(text)
    source = corpus.load(Files(path=str(folder / "text.txt")), tokenizer, max(lengths))
    stretch = source.stretch(max(lengths), np.random.default_rng(1), tokenizer)
    num = 0
    for length in lengths:
        for depth in (0, 50, 100):
            before = tokenizer.num
            made, whole = context.build(tokenizer, frame, stretch, PROBLEM, (depth,), length, "ctx.lengths=1")
            num += tokenizer.num - before
            sent = template.render(tokenizer, frame, Full().read(made, PROBLEM), PROBLEM, 32, whole)
            assert len(sent.ids) == length and is_canonical(tokenizer, sent.ids)
            (start, stop), = sent.spans
            assert PROBLEM.needles[0] in tokenizer.decode(sent.ids[start:stop])
    return num / (3 * len(lengths))


@pytest.mark.parametrize("name", ["llama4", "smollm2"])
@pytest.mark.parametrize("kind", SHORT)
def test_a_source_of_a_few_tokens_goes_round(name, kind, tmp_path, monkeypatch):
    build_each(name, tmp_path, SHORT[kind], [600, 2000], monkeypatch)


@pytest.mark.parametrize("name", ["llama4", "qwen3_5"])
@pytest.mark.parametrize("kind", LONG)
def test_a_run_without_a_break_is_cut_without_searching_long(name, kind, tmp_path, monkeypatch):
    """No seam that failed is tried again: that took minutes a context, of 100 million characters and more."""
    num = build_each(name, tmp_path, LONG[kind], [2000], monkeypatch)
    assert num < 120 * len(LONG[kind]), f"{num:,.0f} characters tokenised for a context"


@pytest.mark.slow
def test_a_run_longer_than_a_chunk_is_read(tmp_path, monkeypatch):
    build_each("llama4", tmp_path, "=" * 350_000, [600], monkeypatch)


@pytest.mark.slow
def test_what_no_tokenizer_can_cut_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(NiahError, match=r"haystack=files: .*run of characters without a break.*==="):
        build_each("smollm2", tmp_path, "=" * 2_500_000, [600], monkeypatch)


TRIMS = "message['content'] | trim"


@pytest.mark.parametrize(
    "text", ["{context}\n\n{question}", "\n {question}\nRead: {context} \n{question}", "{question}{context}"]
)
@pytest.mark.parametrize("question", ["Where is it? ", "Where is it?\n", "\u3000Where is it?\u00a0\t"])
def test_white_space_that_a_chat_template_trims_is_not_sent(text, question):
    problem = replace(PROBLEM, question=question)
    kept = copy(load_tokenizer("qwen3_5"))
    trimmed = copy(kept)
    trimmed.chat_template = kept.chat_template.replace("message['content']", TRIMS)
    assert TRIMS in trimmed.chat_template and TRIMS in load_tokenizer("llama4").chat_template
    for tokenizer in (trimmed, load_tokenizer("llama4"), kept):
        found = template.frame(
            tokenizer, text, problem, chat=True, answer_prefix=False, system=None, template_arguments={}, where="test"
        )
        before, after = found.message.before, found.message.after
        opening, closing = template.around(text, problem)
        assert (before, after) == ((opening, closing) if tokenizer is kept else (opening.lstrip(), closing.rstrip()))


def test_no_question_of_ruler_is_refused():
    for part in ("squad", "hotpotqa"):
        odd = {asked.question for asked in wikipedia.questions(part) if asked.question != asked.question.strip()}
        assert len(odd) > 50
        for question in sorted(odd)[::25]:
            frame_of("llama4", replace(PROBLEM, question=question))

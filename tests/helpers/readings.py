"""Contexts over a real source, as readers get them."""

import itertools
from functools import cache

import numpy as np

from niah.haystacks import corpus
from niah.haystacks.generated import Generated
from niah.prompts import context, template
from niah.readers import Material
from niah.readers.retrieval.blocks import Blocks
from niah.records import Problem, Stretch
from niah.tokens import boundaries
from tests.helpers.tokenizers import load_tokenizer

ENGLISH = Problem(
    ("The special magic number for Lisbon is 4827163.",), "What is the special magic number for Lisbon?", ("4827163",)
)
CHINESE = Problem(("里斯本的神奇数字是4827163。",), "里斯本的神奇数字是多少？", ("4827163",))
MANY = Problem(
    tuple(f"The special magic number for {key} is {4827163 + n}." for n, key in enumerate(("Oslo", "Lima", "Kyoto"))),
    "What is the special magic number for Lima?", ("4827164",),
)
PROBLEMS = {"en": ENGLISH, "zh-Hans": CHINESE}
TEMPLATE = "{context}\n\n{question}"


@cache
def source(name: str, language: str, num_documents: int = 40) -> np.ndarray:
    documents = itertools.islice(Generated(language=language).documents(lambda line: None), num_documents)
    return np.concatenate(corpus.tokenise(corpus.chunks(documents, "\n\n"), load_tokenizer(name)))


def material(
    name: str, language: str = "en", num_tokens: int = 6000, depths=(50,), problem: Problem | None = None,
    ids: np.ndarray | None = None, start: int = 700,
) -> tuple[Material, template.Frame, Problem]:
    problem = problem or PROBLEMS[language]
    tokenizer = load_tokenizer(name)
    ids = source(name, language) if ids is None else ids
    start = boundaries.next_paragraph(tokenizer, ids, start)
    stop = min(len(ids), start + num_tokens + 200)
    assert stop - start > num_tokens
    stretch = Stretch(ids[start:stop], "test", start, segments=((start, stop, 0),))
    frame = template.frame(
        tokenizer, TEMPLATE, problem, chat=tokenizer.chat_template is not None, answer_prefix=False, system=None,
        template_arguments={}, where="test",
    )
    made, whole = context.build(tokenizer, frame, stretch, problem, depths, num_tokens, "test")
    return Material(tokenizer, language, made, stretch, whole, frame.num_before, Blocks(ids, tokenizer)), frame, problem

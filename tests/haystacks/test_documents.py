"""A document of a haystack is found by name, and left out of its text without a trace."""

import unicodedata

import numpy as np
import pytest

from niah.errors import NiahError
from niah.haystacks import corpus
from niah.haystacks.files import Files
from niah.haystacks.noise import Noise
from niah.tokens.splice import is_canonical
from tests.helpers.tokenizers import load_tokenizer

NUM = 12


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("smollm2", "gemma3"):
        load_tokenizer(name)  # from the user's cache
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "texts"
    (place / "sub").mkdir(parents=True)
    for number in range(NUM):
        line = f"Day {number} was fine, “quite” fine… 第{number}天很好。العاصفة قادمة\n"
        file = place / ("sub" if number % 2 else "") / f"{number:02}.md"
        file.write_text(f"Report {number}.\n\n{line * (9 + number)}")
    return place


def wanted(folder, name: str) -> str:
    files = sorted(file for file in folder.rglob("*.md") if file.name != name)
    return "".join(file.read_text().strip() + "\n\n" for file in files)


@pytest.mark.parametrize(("model", "chunk"), [("smollm2", 300_000), ("smollm2", 700), ("gemma3", 700)])
def test_what_is_left_is_the_text_without_the_document(folder, model, chunk, monkeypatch):
    monkeypatch.setattr(corpus, "CHUNK", chunk)
    tokenizer = load_tokenizer(model)
    source = corpus.load(Files(path=str(folder)), tokenizer)
    assert len(source.documents) == NUM
    for number, (name, text) in enumerate(source.documents.named()):
        file = next(file for file in folder.rglob("*.md") if str(file) == name)
        assert text == file.read_text().strip() and source.documents.find(file.name) == number
        if number not in (0, 4, NUM - 1):
            continue
        left = source._without(name)
        assert tokenizer.decode(left.ids) == wanted(folder, file.name)
        assert is_canonical(tokenizer, left.ids)
        for start, stop, begun in left.segments:
            assert np.array_equal(source.ids[start:stop], left.ids[begun : begun + stop - start])
        assert chunk < 5000 or sum(stop - start for start, stop, _ in left.segments) > 0.9 * len(left.ids) - 400


def test_a_stretch_goes_round_without_it(folder):
    tokenizer = load_tokenizer("smollm2")
    source = corpus.load(Files(path=str(folder)), tokenizer)
    short, long = (
        source.stretch(num, np.random.default_rng(2), tokenizer, without="03.md")
        for num in (900, 9 * source.num_tokens)
    )
    assert np.array_equal(long.ids[:800], short.ids[:800]) and len(long.ids) >= 9 * source.num_tokens
    text = tokenizer.decode(long.ids)
    assert text.count("Report 4.") >= 8 and "Report 3." not in text
    assert long.repeated_share > source.repeated_share(9 * source.num_tokens)


def test_names_that_are_none_or_several_are_said(folder):
    (folder / "sub" / "00.md").write_text("Another one.")
    documents = corpus.load(Files(path=str(folder)), load_tokenizer("smollm2")).documents
    assert documents.text(documents.find("./sub/00.md")) == documents.text(documents.find(f"{folder}/sub/00.md"))
    with pytest.raises(NiahError, match=r"haystack=files: '00.md' may be any of 2 documents \(.*00.md, .*00.md\); exp"):
        documents.find("00.md")
    with pytest.raises(NiahError, match=r"has no document '99.md'; expected one of its 13 \(.*, \.\.\.\)"):
        documents.find("99.md")
    nameless = corpus.load(Noise(), load_tokenizer("smollm2")).documents
    with pytest.raises(NiahError, match=r"has no document '99.md', as its texts have no names; expected"):
        nameless.find("99.md")


def test_names_in_composed_and_decomposed_letters_are_the_same(folder):
    composed = "sub/r\u00e9sum\u00e9.md"
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    (folder / decomposed).write_text("A decomposed name.")
    (folder / "caf\u00e9.md").write_text("A composed name.")
    documents = corpus.load(Files(path=str(folder)), load_tokenizer("smollm2")).documents
    for name in (composed, decomposed, composed[4:], f"{folder}/{composed}", f"./{decomposed}"):
        assert documents.text(documents.find(name)) == "A decomposed name."
    for name in ("caf\u00e9.md", "cafe\u0301.md"):
        assert documents.text(documents.find(name)) == "A composed name."


def test_documents_without_names_have_numbers(folder):
    source = corpus.load(Files(path=str(folder), order="shuffled"), load_tokenizer("smollm2"))
    assert [name for name, _ in source.documents.named()] == ["1"]
    message = "haystack=files: 1 is its only document, so nothing is left to put it into; expected more documents"
    with pytest.raises(NiahError, match=message):
        source.stretch(500, np.random.default_rng(0), source.tokenizer, without="1")

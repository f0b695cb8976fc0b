"""Every language has what English has, and nothing in it gives an answer away."""

import re
from collections.abc import Iterator
from itertools import product

import pytest

from niah import languages

SPACED = {"en", "de", "es", "ar"}
ENGLISH = languages.load("en")

everywhere = pytest.mark.parametrize("code", languages.CODES)


def leaves(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """All that a file holds below its tables, with dotted keys; a list is one leaf."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path, tree


def texts(code: str) -> dict[str, str]:
    return {path: text for path, text in leaves(languages.load(code)) if isinstance(text, str)}


def placeholders(text: str) -> list[str]:
    """With repeats, in order of the alphabet; a brace left over comes out as itself."""
    return sorted(re.findall(r"\{\w+\}|[{}]", text))


def holders(items: list[str]) -> list[tuple[str, str]]:
    """Pairs of which the first is part of the second, or the same again."""
    folded = list(enumerate(item.casefold() for item in items))
    return [(items[i], items[j]) for (i, a), (j, b) in product(folded, folded) if i != j and a in b]


def clues(code: str, text: str) -> set[str]:
    """Words of four letters or more; in scripts without spaces pairs of Han characters, or of katakana."""
    if code in SPACED:
        return set(re.findall(r"\w{4,}", text.replace("{name}", "").casefold()))
    return set(re.findall(r"(?=([\u3400-\u9fff]{2}|[\u30a1-\u30fc]{2}))", text))


@everywhere
def test_keys_are_those_of_english(code):
    ours, english = dict(leaves(languages.load(code))), dict(leaves(ENGLISH))
    assert ours.keys() == english.keys()
    assert {path: type(value) for path, value in ours.items()} == {path: type(value) for path, value in english.items()}


@everywhere
def test_placeholders_are_those_of_english(code):
    english = texts("en")
    for path, text in texts(code).items():
        assert text.strip(), path
        assert placeholders(text) == placeholders(english[path]), path


@everywhere
def test_lists_are_long_and_unambiguous(code):
    phrases = languages.load(code)
    least = {"keys": (phrases["keys"], 60), "words": (phrases["words"], 120), "names": (phrases["latent"]["names"], 30)}
    for what, (items, fewest) in least.items():
        assert len(items) >= fewest, what
        assert not holders(items), what
        assert all(item and item == item.strip() for item in items), what
    assert not {word.casefold() for word in phrases["words"]} & {key.casefold() for key in phrases["keys"]}
    assert not [(a, b) for a, b in product(phrases["latent"]["names"], phrases["keys"]) if a.casefold() in b.casefold()]
    if code in SPACED:
        assert not [word for word in phrases["words"] if re.search(r"\s", word)]


@everywhere
def test_needles_hold_what_is_asked_for(code):
    phrases = languages.load(code)
    for form in phrases["keyed"].values():
        assert placeholders(form["needle"]) == ["{key}", "{value}"]
    assert placeholders(phrases["conflicting"]["needle"]) == ["{key}", "{value}", "{year}"]
    assert placeholders(phrases["count"]["needle"]) == placeholders(phrases["ordered"]["needle"]) == ["{key}"]
    assert placeholders(phrases["chain"]["link"]) == placeholders(phrases["chain"]["end"]) == ["{key}", "{value}"]


@everywhere
def test_an_answer_goes_on_where_its_prefix_ends(code):
    for path, text in texts(code).items():
        if path.rpartition(".")[2].startswith("prefix"):
            assert text == text.rstrip() and text[-1] not in ".。!?؟？", path
    for form in languages.load(code)["keyed"].values():
        assert form["needle"].startswith(form["prefix"])
        assert form["needle"].removeprefix(form["prefix"]).strip(" 「“\"").startswith("{value}")


@everywhere
def test_sentences_end_with_the_mark_of_the_script(code):
    statement, question = ("。", "？") if code not in SPACED else (".", "؟" if code == "ar" else "?")
    for path, text in texts(code).items():
        name = path.rpartition(".")[2]
        if name in ("needle", "link", "end", "instruction"):
            assert text.endswith(statement), path
        if name.startswith("question"):
            assert question in text and text[-1] in statement + question, path
    for needle, asked in languages.load(code)["latent"]["facts"]:
        assert needle.endswith(statement) and asked.endswith(question)


@everywhere
def test_absence_has_a_claim_among_its_phrases(code):
    absent = languages.load(code)["absent"]
    assert absent["claim"] in absent["phrases"] and absent["claim"] in absent["instruction"]
    assert len(absent["phrases"]) >= 10
    assert len(set(absent["phrases"])) == len(absent["phrases"])
    assert all(phrase == phrase.lower().strip() for phrase in absent["phrases"])


@everywhere
def test_latent_facts_share_no_content_word_with_their_questions(code):
    latent = languages.load(code)["latent"]
    assert len(latent["facts"]) >= 30
    assert len({question for _, question in latent["facts"]}) == len(latent["facts"])
    for needle, question in latent["facts"]:
        assert placeholders(needle) == ["{name}"] and not placeholders(question)
        assert not clues(code, needle) & clues(code, question), (needle, question)

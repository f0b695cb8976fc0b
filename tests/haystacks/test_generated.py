"""The generated haystack. Facts are checked twice: where they are drawn, and in English texts as a reader would."""

import itertools
import re
import string
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from niah import languages
from niah.errors import NiahError
from niah.haystacks import generated
from niah.haystacks.generated import Generated
from niah.haystacks.prose import LANGUAGES, PERSONS, load, source

SPACED = ("en", "de", "es", "ar")
SENTENCE = re.compile(r"""(?<=[.!?。！？؟])["'”»“」]*\s*|\n+""")
_TEXTS: dict[str, list[str]] = {}

every_language = pytest.mark.parametrize("language", LANGUAGES)


def documents(language: str, number: int, seed: int = 0) -> list[str]:
    return list(itertools.islice(Generated(language=language, seed=seed).documents(lambda line: None), number))


def sample(language: str) -> list[str]:
    """Documents of 3 MB of English, 1 MB of other languages."""
    if language not in _TEXTS:
        taken, size = [], 0
        for document in Generated(language=language).documents(lambda line: None):
            taken.append(document)
            size += len(document.encode())
            if size > (3_000_000 if language == "en" else 1_000_000):
                break
        _TEXTS[language] = taken
    return _TEXTS[language]


def sentences(document: str) -> list[str]:
    return [sentence for sentence in SENTENCE.split(document) if sentence]


def length(language: str, text: str) -> float:
    """In words; two characters of Chinese or Japanese count as one."""
    return len(text.split()) if language in SPACED else len(text) / 2


@every_language
def test_no_sentence_occurs_twice(language):
    found = [sentence for document in sample(language) for sentence in sentences(document)]
    assert len(found) > 5_000
    assert len(set(found)) == len(found)


@every_language
def test_a_seed_gives_the_same_texts_and_another_one_others(language):
    first, again, other = documents(language, 20), documents(language, 20), documents(language, 20, seed=1)
    assert first == again
    assert not set(first) & set(other)


@every_language
def test_texts_are_clean(language):
    text = "\n\n".join(sample(language))
    assert not re.search(r"[{}%]", text)
    assert not re.search(r"\s[,.;:!?،؛؟。，、！？]|,,|\.\.|。。|、。|，。", text)
    assert "  " not in text and "\t" not in text
    if language not in SPACED:
        assert " " not in text
    assert text.replace("\n", "").isprintable()
    assert not re.search(r"\d{5}|[0-9a-f]{8}-", text)


@every_language
def test_sentences_end_within_sixty_words(language):
    for document in sample(language):
        assert max(length(language, sentence) for sentence in sentences(document)) <= 60


@every_language
def test_a_document_has_a_title_and_paragraphs(language):
    for document in sample(language):
        title, *paragraphs = document.split("\n\n")
        assert "\n" not in title and 0 < length(language, title) <= 25 and title[-1] not in ".。"
        assert len(paragraphs) >= 11 and all(paragraph[-1] in ".。" for paragraph in paragraphs)
        assert 400 <= length(language, document) <= 1500


@every_language
def test_needles_are_foreign_to_the_texts(language):
    """No key and no name of a needle occurs, so that what is planted stands alone."""
    text = "\n".join(sample(language)).casefold()
    needles = languages.load(language)
    for word in (*needles["keys"], *needles["latent"]["names"], "magic"):
        found = word.casefold() in text  # far faster than the pattern
        assert not found or (language in SPACED and not re.search(rf"\b{re.escape(word.casefold())}\b", text)), word


def test_no_english_needle_word_occurs_even_inside_another():
    text = "\n".join(sample("en")).casefold()
    assert [word for word in languages.load("en")["words"] if word in text] == []


def writer(language: str, seed: str = "test") -> generated._Writer:
    return generated._Writer(load(language), seed)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LANGUAGES), st.text(string.ascii_letters, max_size=8))
def test_facts_follow_from_one_another(language, seed):
    prose, teller = load(language), writer(language, seed)
    project = prose.projects["mill"]
    facts, parts = teller._facts(project, (0, 1, 0))
    number = prose.numerals.index
    year, later = int(facts["year"]), int(facts["later"])
    assert int(facts["founded"]) < int(facts["since"]) < year < later
    for person in PERSONS:
        birth = int(facts[f"{person}_birth"])
        assert birth + number(facts[f"{person}_age"]) == year
        assert birth + number(facts[f"{person}_later"]) == later
    days = [day for day, _ in parts]
    assert days == sorted(set(days)) and days[-1] < 365
    done = [number(stated["done"]) for _, stated in parts]
    assert done == sorted(done) and done[0] == 0 and done[-1] == number(facts["total"])
    for _, stated in parts:
        assert number(stated["done"]) + number(stated["left"]) == number(facts["total"])
        assert int(stated["spent"]) + int(stated["rest"]) == int(facts["budget"])
    spent = [int(stated["spent"]) for _, stated in parts]
    assert spent == sorted(spent)
    assert len({facts[person] for person in PERSONS}) == 3
    assert not {facts[person] for person in PERSONS} & {full for people in prose.neighbours for full, _ in people}


def test_english_texts_agree_with_themselves():
    """Age and birth, what was granted, spent and left, and the total, wherever a document states them."""
    number = load("en").numerals.index
    ages = totals = accounts = 0
    for document in sample("en"):
        years = [int(year) for year in re.findall(r"\b1[89]\d\d\b", document)]
        for pattern in (
            r"born in (?P<birth>\d{4}) at \w+ and was (?P<age>[\w-]+) years",
            r"born at \w+ in (?P<birth>\d{4}) and now (?P<age>[\w-]+) years",
            r"of (?P<age>[\w-]+), born in (?P<birth>\d{4}) at",
        ):
            for match in re.finditer(pattern, document):
                assert int(match["birth"]) + number(match["age"]) in years
                ages += 1
        total = set(re.findall(r"\b(?:last of the|all) ([a-z]+ty-?[a-z]*) [a-z]+", document))
        first = re.findall(r"([a-z]+ty-?[a-z]*) (?:worn cogs|boundary|boxes|barrels|pupils|oak piles|sworn)", document)
        assert len(total | set(first[:1])) <= 1
        totals += len(total & set(first[:1]))
        for granted, spent, rest in re.findall(r": (\d+) \w+ granted, (\d+) spent, (\d+) left over", document):
            assert int(granted) == int(spent) + int(rest)
            accounts += 1
    assert min(ages, totals, accounts) > 50


@every_language
def test_every_template_can_be_filled(language):
    """For every project and every gender of its cast, so that no slot is unknown and no form missing."""
    prose, teller = load(language), writer(language)
    for project, genders in itertools.product(prose.projects, itertools.product((0, 1), repeat=len(PERSONS))):
        facts, parts = teller._facts(prose.projects[project], genders)
        scenes = [*prose.story(project, genders), *((1, scene) for scene in prose.interludes(genders))]
        for part, scene in scenes:
            day, stated = parts[part]
            facts |= teller._dated(day) | stated
            teller._paragraph(scene, facts)  # draws the paragraph's own facts
            for template in filter(None, itertools.chain(*scene)):
                assert "{" not in teller._filled(template, facts)


@every_language
def test_a_file_has_what_a_story_needs(language):
    data = tomllib.loads(source(language).decode())
    scenes = [*data["generic"].values(), *(scene["beats"] for scene in data["interlude"])]
    for project in data["project"].values():
        scenes += [project[key] for key in ("opening", "part1", "part2", "part3", "part4", "closing")]
    templates = [text for beats in scenes for beat in beats for text in beat if text]
    assert len(set(templates)) == len(templates) >= (120 if language == "en" else 80)
    assert len(data["project"]) >= 8
    assert all(len(set(data["names"][key])) >= 25 for key in ("men", "women"))
    assert len(set(data["names"]["families"])) >= 40
    assert len(load(language).places["town"]) > 10_000
    for text in templates:
        assert text[-1] in ".。" and not re.search(r"[.!?。！？؟…]", text[:-1]), text
        assert all(slot.count("|") == 1 for person, slot in re.findall(r"\{([abc]):([^{}]*)\}", text)), text


def test_there_is_no_end():
    found = documents("en", 2000)
    assert len(found) == 2000 and len(set(found)) == 2000 and Generated().endless


def test_sentences_stay_new_when_wordings_run_out():
    """A sentence that cannot be worded anew is made longer, before its mark."""
    teller = writer("en")
    written = {teller._sentence((("The mill stood still.", ()),), {}) for _ in range(200)}
    assert len(written) == 200 and all(text.startswith("The mill stood still") and text[-1] == "." for text in written)


def test_an_unknown_language_is_refused_in_one_line():
    with pytest.raises(NiahError, match=r"haystack\.language: got 'fr'; expected one of en, zh-Hans") as caught:
        Generated(language="fr")
    assert "\n" not in str(caught.value)


def test_identity_names_version_data_and_settings():
    identities = {Generated(language=code, seed=seed).identity() for code in LANGUAGES for seed in (0, 1)}
    assert len(identities) == 2 * len(LANGUAGES)
    assert re.search(rf" version {generated.VERSION} prose [0-9a-f]{{64}}$", Generated().identity())

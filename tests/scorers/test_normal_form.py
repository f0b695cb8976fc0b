"""One number, one name, however it is written; and no other number or name beside it."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from niah import languages
from niah.scorers.any_of import AnyOf
from niah.scorers.contains import Contains
from niah.scorers.exact import Exact
from niah.scorers.match import holds, place
from niah.scorers.normal_form import normal, readings
from niah.scorers.number import Number
from niah.scorers.only import Only
from niah.scorers.ordered import Ordered
from niah.scorers.parts import Parts

NUMBER = "4829173"
UUID = "8f3b2c1a-44d0-4e6f-9a3c-0123456789ab"
FORMS = {
    "plain": "4829173", "comma": "4,829,173", "space": "4 829 173", "no-break space": "4\u00a0829\u00a0173",
    "narrow no-break space": "4\u202f829\u202f173", "thin space": "4\u2009829\u2009173", "stop": "4.829.173",
    "LaTeX comma": "4{,}829{,}173", "LaTeX space": "4\\,829\\,173", "boxed": "\\boxed{4{,}829{,}173}",
    "apostrophe": "4'829'173", "curly apostrophe": "4’829’173", "low line": "4_829_173", "escaped": "4\\_829\\_173",
    "full width": "４８２９１７３", "full width, comma": "４，８２９，１７３", "Arabic-Indic": "٤٨٢٩١٧٣",
    "Arabic separators": "٤٬٨٢٩٬١٧٣", "Devanagari": "४८२९१७३", "Bengali": "৪৮২৯১৭৩", "mathematical": "𝟒𝟖𝟐𝟗𝟏𝟕𝟑",
    "bold": "**4829173**", "bold italic": "***4829173***", "italic": "_4829173_", "code": "`4829173`",
    "HTML bold": "<b>4829173</b>", "dollar": "$4829173$", "soft hyphen": "482\u00ad9173", "zero width": "482\u200b9173",
    "direction marks": "\u200e4829173\u200f", "unit": "4829173kg", "Korean": "4829173입니다", "Japanese": "4829173です",
    "footnote": "4829173²", "circled": "①4829173", "entity": "4&nbsp;829&nbsp;173", "colon": "Answer:4829173",
    "quoted": "„4829173“", "after another": "2024: 4,829,173", "in a list": "4,829,173, 5,111,222",
}
NOT_IT = (
    "14829173", "48291730", "14,829,173", "4,829,1734", "1,4829,173", "48,29,173", "4829*173", "4 8 2 9 1 7 3",
    "1.004.829.173", "4829 173", "4,829, 173", "4829\n173",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("code", languages.CODES)
def test_a_number_is_a_number(form, code):
    said = f"{languages.load(code)['keyed']['number']['prefix'].format(key='X')} {FORMS[form]}."
    assert Contains().score(said, [NUMBER]).value == AnyOf().score(said, ["0", NUMBER]).value == 1
    assert Only().score(said, [NUMBER], ["1111111"]).value == 1
    assert Only().score(f"7654321, not {FORMS[form]}", ["7654321"], [NUMBER]).value == 0
    assert Ordered().score(f"{FORMS[form]} | 7654321", [NUMBER, "7654321"]).value == 1
    assert Exact().score(f"{FORMS[form]}\nbecause", [FORMS[form]]).value == 1


@pytest.mark.parametrize("said", NOT_IT)
def test_another_number_is_not_it(said):
    assert Contains().score(said, [NUMBER]).value == 0


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("footnote", "in a list")])
def test_the_last_number(form):
    assert Number().score(f"of 12: {FORMS[form]}", [NUMBER]).value == 1


@pytest.mark.parametrize("dash", ["-", "\u2011", "\u2010", "\u2013", "\u2212", "\\-", "－"])
def test_a_uuid_is_a_uuid(dash):
    assert Contains().score(f"It is {UUID.replace('-', dash).upper()}.", [UUID]).value == 1
    assert Contains().score(f"It is {UUID.replace('-', dash)}0.", [UUID]).value == 0


@pytest.mark.parametrize(
    ("said", "target"),
    [
        (unicodedata.normalize("NFD", "Zoë and Malmö"), "Zoë"), ("O’Brien", "O'Brien"),
        ("red  blue\nfish", "red blue fish"),
        ("gro\u00adße STRASSE", "große Straße"), ("the well\u2011known **red** fish", "well-known red fish"),
        ("مِظَلَّة", "مظلة"), ("وهي اوسلو", "أوسلو"), ("蓝色\n大象", "蓝色大象"), ("ｵｽﾛ", "オスロ"),
        ("“Umbrella”", "umbrella"),
        ("ﬁsh", "fish"), ("Denver,\u00a0Colorado", "Denver, Colorado"), ("İzmir", "İzmir"), ("C++", "C++"),
        ("Oslo입니다", "Oslo"), ("eat *a sandwich* and", "eat a sandwich"), ("snake_case_name", "snake_case_name"),
    ],
)
def test_a_name_is_a_name(said, target):
    assert Contains().score(said, [target]).value == 1
    assert normal(normal(said)) == normal(said)


@pytest.mark.parametrize(
    ("said", "target"), [("umbrellas", "umbrella"), ("start", "art"), ("Zoe", "Zoë"), ("umbrella2", "umbrella"),
    ("", "x")]
)
def test_another_name_is_not_it(said, target):
    assert Contains().score(said, [target]).value == 0


def test_what_may_be_a_list_is_read_both_ways():
    assert readings("123,456") == ("123456", "123,456") and readings("1,456") == ("1456",)
    assert Contains().score("123,456,789", ["123", "456", "789"]).value == 1
    assert Contains().score("1,456", ["456"]).value == 0
    assert Only().score("4829173, updated from 1,111,111", [NUMBER], ["1111111"]).value == 0


@pytest.mark.parametrize(
    ("said", "values", "others"),
    [
        ("1, 2, 3", "3", "123 1 2"), ("5, 6", "6", "56 5.6 5"), ("1 7", "7", "17 1"), ("5,6", "6 5.6", "56 5"),
        ("answer:-7", "7 -7", ""), ("It is -7.", "-7", "7"), ("5-7", "7", "-7 57"), ("- 7", "7", "-7"),
        ("12.5%", "12.5", "12"),
        ("12,5 %", "12.5", "125"), ("1.234", "1234 1.234", "234"), ("4,829,173", "4829173", "173 4.829"),
        ("7.", "7", ""),
        ("seven", "7", ""), ("There are seven, as one can see", "7", "1"), ("Seven (7) of eight", "7", "8"),
        ("once", "11", ""),
        ("one", "1", ""), ("zweiundzwanzig", "22", "2 20"), ("veintitrés ciudades", "23", "20 3"),
        ("treinta y una", "31", "30 1"),
        ("twenty-one", "21", "20 1"), ("二十三", "23", "3 20"), ("七つ", "7", ""), ("ななつ", "7", ""),
        ("共有七座城市", "7", ""),
        ("一共七个", "7", "1"), ("سبعة", "7", ""), ("واحد وعشرون", "21", "20 1"), ("７", "7", ""),
        ("٧", "7", ""), ("none", "", "0 1"),
    ],
)
def test_number_takes_the_last(said, values, others):
    assert [value for value in values.split() if not Number().score(said, [value]).value] == []
    assert [value for value in others.split() if Number().score(said, [value]).value] == []


@pytest.mark.parametrize("code", languages.CODES)
def test_number_words_of_each_language(code):
    for entry, number in zip(languages.load(code)["numbers"]["words"], (*range(21), *range(30, 101, 10)), strict=True):
        for word in entry.split("|"):
            assert Number().score(f"{word}.", [str(number)]).value == 1, word


def test_parts_stand_in_any_order():
    def score(said: str) -> float:
        return Parts().score(said, ["eat a sandwich and sit in Dolores Park"]).value

    assert score("The best thing is to eat a sandwich, and sit in Dolores Park.") == 1
    assert score("**eat a sandwich** and sit in\nDolores Park") == 1
    assert score("Sit in Dolores Park on a sunny day and eat a sandwich.") == 1
    assert score("Eating a sandwich and sitting in Dolores Park.") == 1
    assert score("Sit in Dolores Park.") == 0.5 and score("Eat ice cream in a park.") == 0 and score("") == 0


ANY = st.text(st.characters(), max_size=300) | st.text("0123456789.,' _-*\\{}<>&;\n٤四", max_size=300)


@settings(max_examples=300, deadline=None)
@given(ANY, ANY)
def test_any_text_is_scored(response, target):
    whole = normal(response)
    assert normal(whole) == whole or "&" in response or "\\" in response or "{" in response or "<" in response
    for scorer in (Contains(), Contains(whole_words=False), AnyOf(), Exact(), Number(), Only(), Ordered(), Parts()):
        assert 0 <= scorer.score(response, [target or "x"], ["y"]).value <= 1


@settings(max_examples=200, deadline=None)
@given(st.integers(10**6, 10**7 - 1), st.sampled_from(",.' _"), ANY)
def test_a_number_in_any_text_is_found(number, separator, around):
    written = f"{number:,}".replace(",", separator)
    assert Contains().score(f"{around} | {written} | {around}", [str(number)]).value == 1


def test_places_of_borders():
    assert place("xx 12 x", "12") == 3
    assert place("112", "12") is place("", "a") is place("a", "") is None
    assert holds(("ab", "a b"), "b")

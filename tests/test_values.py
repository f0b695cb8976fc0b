"""Lists, dicts and numbers as people type them."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from niah import values
from niah.errors import NiahError

READ = {
    "[]": [], "{}": {}, "[a,b]": ["a", "b"], "[ a b , c ]": ["a b", "c"],
    "[1,-2,0.5,1e5,1_000]": [1, -2, 0.5, 1e5, 1000],
    "[true,FALSE,null,Null]": [True, False, None, None], "[007,1.2.3,8k,-]": ["007", "1.2.3", "8k", "-"],
    "[[0,1],[2]]": [[0, 1], [2]], "{a:1,b:{c:[x]}}": {"a": 1, "b": {"c": ["x"]}},
    '{"a b": "x, y", \'c\': 1}': {"a b": "x, y", "c": 1},
    '["a\\nb\\u00e9", "\\"q\\""]': ["a\nbé", '"q"'], "['it\\'s', 'x']": ["it's", "x"],
    "['tis, 'twas]": ["'tis", "'twas"],
    "[/d/x(1,2).gguf,*.py]": ["/d/x(1,2).gguf", "*.py"], "[模型/é,~/m,#1]": ["模型/é", "~/m", "#1"],
    "[a\\,b,c]": ["a,b", "c"],
    "{url: 'http://[::1]:8000/v1'}": {"url": "http://[::1]:8000/v1"}, "[a=b=c]": ["a=b=c"],
}


@pytest.mark.parametrize("text", READ)
def test_what_brackets_hold(text):
    assert values.read(text, "x") == READ[text]


@pytest.mark.parametrize("text", ["[a", "{a:1", "{a}", "[a]]", "[a]b", "{'a' 1}", "['a'b:]]", "[{a:1]", "["])
def test_brackets_that_do_not_close_are_one_line(text):
    with pytest.raises(NiahError, match="not understood") as caught:
        values.read(text, "engine.args")
    assert str(caught.value).startswith(f"engine.args={text}: ") and "\n" not in str(caught.value)


def test_texts_in_a_list_stay_what_was_typed():
    assert values.read("[1e5,007,null,true]", "x", is_text=True) == ["1e5", "007", "null", "true"]


@pytest.mark.parametrize(
    "text",
    [
        "0", "-3", "007", "1_000", "1__0", "1.", ".5", "1e5", "-1E-3", "e5", "1e", ".", "inf", "-NaN", "nano", "True",
        "nULL", "x1", "8k",
    ],
)
def test_a_bare_word_is_what_hydra_takes_it_for(text):
    theirs = OverridesParser.create().parse_override(f"x={text}").value()
    assert repr(values.scalar(text)) == repr(theirs)


@pytest.mark.parametrize(("text", "meant"), [
    ("'a b'", "a b"), ('"a\'b"', "a'b"), ("'a' or 'b'", "'a' or 'b'"), ("'tis", "'tis"), ("rock 'n'", "rock 'n'"),
    ("'", "'"), ("''", ""),
    ("null", None), ("'null'", "null"), ("Null", "Null"),
])
def test_quotes_around_all_of_a_value_go(text, meant):
    assert values.as_typed(text) == meant


@given(st.text(alphabet="\\${}ab:.'\"?[]é", max_size=12))
def test_an_escaped_text_is_itself_again(text):
    if text != "???":  # OmegaConf's own word for a value that is missing
        assert OmegaConf.to_container(OmegaConf.create({"x": values.escaped(text)}), resolve=True) == {"x": text}


def test_words_make_a_tree():
    words = ["report.dpi=50", "report.out=a=b", "engine.args.x=1", "engine.args.y={a: [b]}"]
    engine = {"args": {"x": 1, "y": {"a": ["b"]}}}
    assert values.from_words(words) == {"report": {"dpi": "50", "out": "a=b"}, "engine": engine}

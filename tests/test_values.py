"""Lists, dicts and numbers as people type them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from niah import values
from niah.errors import NiahError

READ = {
    "[]": [], "{}": {}, "[a,b]": ["a", "b"], "[ a b , c ]": ["a b", "c"],
    "[1,-2,0.5,1e5,1_000]": [1, -2, 0.5, 1e5, 1000],
    "[true,FALSE,null,Null]": [True, False, None, None], "[007,1.2.3,8k,-]": ["007", "1.2.3", "8k", "-"],
    "[[0,1],[2]]": [[0, 1], [2]], "{a:1,b:{c:[x]}}": {"a": 1, "b": {"c": ["x"]}}, "{a: 1, b: x}": {"a": 1, "b": "x"},
    '{"a b": "x, y", "c": 1e3, "d": null, "e": {"f": [true]}}':
        {"a b": "x, y", "c": 1e3, "d": None, "e": {"f": [True]}},
    '{"a": "b\\nc"}': {"a": "b\nc"}, "['it\\'s', 'x']": ["it's", "x"], "[a\\,b,c]": ["a,b", "c"],
    "{url: 'http://[::1]:8000/v1'}": {"url": "http://[::1]:8000/v1"},
}


@pytest.mark.parametrize("text", READ)
def test_what_brackets_hold(text):
    assert values.read(text, "x") == READ[text]


@pytest.mark.parametrize("text", ["[a", "{a:1", "{a}", "[a]]", "[a]b", "{'a' 1}", "['a'b:]]", "[{a:1]", "["])
def test_brackets_that_do_not_close_are_one_line(text):
    with pytest.raises(NiahError, match="not understood") as caught:
        values.read(text, "engine.args")
    assert str(caught.value).startswith(f"engine.args={text}: ") and "\n" not in str(caught.value)
    with pytest.raises(NiahError, match="not understood"):
        values.read(text, "engine.args", is_text=True)


def test_texts_in_a_list_stay_what_was_typed():
    assert values.read("[1e5,007,null,true]", "x", is_text=True) == ["1e5", "007", "null", "true"]
    found = values.read("[/d/x(1).gguf, ~/m, 模型/é, a=b=c, it's, 'a, b', \"c #1\"]", "x", is_text=True)
    assert found == ["/d/x(1).gguf", "~/m", "模型/é", "a=b=c", "it's", "a, b", "c #1"]


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


@pytest.mark.parametrize(("text", "place"), [
    ('{"a": 1,}', "character 9 after '{\"a\": 1,'"), ('{"a" 1}', "character 6 after '{\"a\" '"),
    ('{"a": [1, 2}', "character 12"), ('{"a": "b}', "character 7"), ('{a: "b", "c": 1}', "character 2"),
    ("{'a': 1}", "character 2"),
])
def test_broken_json_is_named_with_its_place(text, place):
    with pytest.raises(NiahError) as caught:
        values.read(text, "engine.args")
    assert place in str(caught.value) and str(caught.value).startswith(f"engine.args={text}: not understood (as JSON: ")


@pytest.mark.parametrize("text", [
    '{"rope": {"type": "yarn", "factor": 4.0, "list": [1, true, null, "x, y", {"z": -1e6}]}, "名": "{é}: \'q\'"}',
    '{"a": "${HOME}", "b c": "", "d.e": {}}', '[{"a": [1]}, "b"]',
])
def test_json_is_read_as_typed(text):
    assert values.read(text, "engine.args") == json.loads(text)

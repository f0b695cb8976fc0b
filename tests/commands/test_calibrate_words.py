"""What the verb calibrate writes, and which of its words are refused in one line. No engine."""

import json

import pytest

from niah.models.constructed.design import DESIGNS
from tests.helpers.command import is_one_line


@pytest.mark.slow
def test_verb_writes_all_models_and_knows_its_own(niah, tmp_path):
    done = niah("calibrate", "out=here")
    assert done.returncode == 0, done.stderr
    assert {folder.name for folder in (tmp_path / "here").iterdir()} == {*DESIGNS}
    assert json.loads((tmp_path / "here" / "full" / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    assert (tmp_path / "here" / "full" / "tokenizer.json").is_file()
    again = niah("calibrate", "out=here", "models=full")
    assert again.returncode == 0 and "was there" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", '{"identity": "1", "sha', "[1]"])
def test_torn_margins_are_one_line(niah, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "margin.json").write_text(text)
    done = niah("calibrate", "engine=transformers", "ctx.lengths=[1k]", "ctx.depths=[0]", "out=out")
    assert done.returncode == 1 and "margin.json: " in done.stderr and "take another out= or delete it" in done.stderr
    assert is_one_line(done) and (tmp_path / "out" / "margin.json").read_text() == text


@pytest.mark.parametrize(("words", "message"), [
    (("models=half",), "calibrate models=half: no such model; expected one of full"),
    (("models=margin@nats:low",), "nats got 'low'; expected a number"),
    (("models=margin@size:4",), "unknown setting 'size'"),
    (("models=margin@nats:-1",), "expected a score above 0"),
])
def test_wrong_words_are_one_line(niah, words, message):
    done = niah("calibrate", *words)
    assert done.returncode == 1 and message in done.stderr and is_one_line(done)


@pytest.mark.slow
def test_calibrate_asks_for_an_engine_that_reads_weights(niah):
    done = niah("engine=fake", "calibrate=true")
    assert done.returncode == 1 and "calibrate: engine=fake is not given weights by the plan" in done.stderr
    done = niah("calibrate", "engine=fake", "kv=[bf16]")
    assert done.returncode == 1 and "calibrate: engine=fake loads no checkpoint of ours" in done.stderr
    done = niah("calibrate", "kv=[bf16]", "engine.attention=[flash_attn,triton]")
    assert done.returncode == 1 and "engine.attention: got several" in done.stderr
    done = niah("calibrate", "kv=[bf16]", "tokenizer=llama4")
    assert done.returncode == 1 and "calibrate tokenizer=: is for writing checkpoints" in done.stderr
    done = niah("engine=fake", "calibrate=often")
    assert done.returncode == 1 and "calibrate: got 'often'; expected true or false" in done.stderr

"""The table of models: what the command prints is what docs/models.md holds, and what vLLM's classes keep."""

import json

import pytest

from niah.models.settings import Model
from niah.planner import features
from tests.helpers.command import REPOSITORY, said
from tests.helpers.machines import raw, shape


def test_the_page_holds_what_the_command_prints(capsys):
    table = said(capsys, "models", "format=markdown").strip()
    assert table in (REPOSITORY / "docs/models.md").read_text(), "python -m niah models format=markdown makes it again"


def test_a_model_has_its_features_in_data_and_in_a_line(capsys):
    found = {one["choice"]: one for one in json.loads(said(capsys, "models", "format=json"))}
    assert found["scout"]["features"]["attention"] == "12 full + 36 chunk 8,192"
    assert found["scout"]["features"]["token_bytes"] == 49_152
    assert "features" not in found["custom"] and "features" not in found["calibration/full"]
    line = next(one for one in said(capsys, "models").splitlines() if one.startswith("nemotron_3_super"))
    assert "256K, extended 1M" in line and "on/off" in line and "8 full + 40 state" in line and "8,192 B" in line


@pytest.mark.parametrize(("name", "words"), [
    ("llama3_1_8b", "full"), ("phi_4_mini", "full"), ("deepseek_r1", "MLA"), ("deepseek_v3_2", "sparse MLA of 2,048"),
    ("gpt_oss_20b", "12 full + 12 window 128, with sinks"), ("nemotron_3_5_lightning", "6 full + 23 state"),
    ("gemma4_e2b", "7 full + 28 window 512, 20 read another's cache"), ("qwen3_5_27b", "16 full + 48 state"),
])
def test_layers_in_words(name, words):
    assert features.attention_words(shape(name), raw(name)["max_position_embeddings"]) == words


def test_bytes_of_a_token_are_those_of_the_facts():
    facts = json.loads((REPOSITORY / "tests/models/facts.json").read_text())
    facts.pop("")
    for name, known in facts.items():
        file = REPOSITORY / "niah/architectures" / f"{name}.json"
        if file.is_file():
            assert features.token_bytes(shape(name), known["max_length"]) == known["kv_bytes_per_token"], name


def test_a_request_at_the_limit_takes_what_it_adds_and_what_layers_that_forget_keep():
    model = Model("x", "", 2**20, architecture="nemotron_3_5_lightning")
    found = features.of(model)
    assert found.token_bytes * 2**20 < found.limit_bytes < found.token_bytes * 2**20 * 1.05


@pytest.mark.parametrize(("max_length", "words", "num_bytes"), [
    (2**17, "full", 131_072), (2**20, "window 262,144", 131_072), (2**12, "full", 131_072),
])
def test_a_limit_beyond_the_models_own_changes_no_bytes_of_a_token(max_length, words, num_bytes):
    found = features.of(Model("x", "", max_length, architecture="phi_4_mini"))
    assert (found.attention, found.token_bytes) == (words, num_bytes)


@pytest.mark.parametrize(("words", "message"), [
    (("models", "frmat=json"), "choices: got 'frmat=json'; did you mean format=json"),
    (("choices", "kv", "fromat=markdown"), "did you mean format=markdown"),
    (("choices", "modle"), "choices: got 'modle'; did you mean model"),
    (("models", "kv=bf16"), "choices: got 'kv=bf16'; expected choices [GROUP] [format=json]"),
    (("models", "kv"), "choices: got several groups, model and kv; expected one"),
    (("choices", "format=markdown"), "choices format=markdown: expected a group before it, one of "),
    (("models", "format=html"), "choices format: got 'html'; expected text, json or markdown"),
])
def test_a_wrong_table_is_one_line(capsys, words, message):
    told = said(capsys, *words, code=1)
    assert message in told and len(told.splitlines()) == 1


def test_a_model_of_the_users_that_names_no_known_architecture_has_no_features(capsys, tmp_path):
    (tmp_path / "model").mkdir()
    text = "name: mine\npath: a/b\nmax_length: 8k\narchitecture: {}\n"
    (tmp_path / "model/mine.yaml").write_text(text.format("mystery"))
    (tmp_path / "model/known.yaml").write_text(text.format("qwen3_8b").replace("mine", "known"))
    (tmp_path / "model/odd.yaml").write_text("name: odd\nmax_length: -3\npath: [1]\narchitecture: qwen3_8b\n")
    told = said(capsys, "--config-dir", str(tmp_path), "models")
    lines = {line.split()[0]: line for line in told.splitlines()}
    assert "147,456 B" in lines["known"] and " B " not in lines["mine"]

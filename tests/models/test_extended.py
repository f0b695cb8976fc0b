"""Beyond the native limit: the model's own arguments for it reach a real engine, and only then."""

import json

import pytest

from niah.models.resolve import files_of
from niah.models.settings import Model
from tests.helpers.tokenizers import SMOLLM2

YARN = (
    "{hf_overrides: {text_config: {max_position_embeddings: 4096, rope_parameters: {rope_type: yarn, factor: 2.0, "
    "original_max_position_embeddings: 2048, rope_theta: 10000}}}}"
)


@pytest.fixture
def small_llama(tmp_path):
    """A text-only Llama of random weights with 2,048 positions and a real tokenizer."""
    folder = tmp_path / "small"
    folder.mkdir()
    content = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 49152,
        "max_position_embeddings": 2048, "rope_parameters": {"rope_type": "default", "rope_theta": 10000},
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.engine
@pytest.mark.slow
def test_extended_arguments_reach_the_engine(niah, small_llama, tmp_path):
    common = (
        f"model.path={small_llama}", f"model.tokenizer={files_of(SMOLLM2).folder}", "model.max_length=2k",
        "model.extended_length=4k", f"model.extended_args={YARN}",
        "model.extended_environment={VLLM_ALLOW_LONG_MAX_MODEL_LEN: 1}",
        "engine.load_format=dummy", "haystack=noise", "ctx.depths=[0]",
    )
    done = niah(*common, "ctx.lengths=[1k,4k]", "name=far")
    assert done.returncode == 0, done.stderr
    assert '"rope_type": "yarn"' in done.stderr
    assert '"text_config"' not in done.stderr  # flattened: this model wraps none
    rows = [json.loads(line) for line in (tmp_path / "outputs" / "far" / "rows.jsonl").read_text().splitlines()]
    assert {row["length"] for row in rows} == {1024, 4096} and all(row["score"] is not None for row in rows)
    engine = json.loads((tmp_path / "outputs" / "far" / "run.json").read_text())["engine"]
    assert engine["max_model_len"] == 4096
    assert "above the limit" in niah(*common, "ctx.lengths=[8k]").stderr


def test_extended_arguments_only_beyond_the_limit():
    model = Model(
        "m", "org/m", 2048, extended_length=4096, engine_args={"a": 1},
        extended_args={"hf_overrides": {"text_config": {"b": 2}, "c": 3}},
    )
    assert model.arguments_at(2048) == {"a": 1}
    assert model.arguments_at(4096) == {"a": 1, "hf_overrides": {"text_config": {"b": 2}, "c": 3}}
    assert model.arguments_at(4096, is_wrapped=False) == {"a": 1, "hf_overrides": {"c": 3, "b": 2}}


@pytest.mark.parametrize("path, max_length, length, positions", [
    ("calibration:full", 1_048_576, 131_072, None),
    ("calibration:full", 1_048_576, 1_048_576, 1_048_576),
    ("calibration:full@heads:2", 10_485_760, 10_485_760, 10_485_760),
    ("calibration:margin", 10_485_760, 2_097_152, 1_048_576),  # its own limit, which is refused before anything loads
    ("org/m", 1_048_576, 1_048_576, None),
])
def test_a_constructed_model_has_as_many_positions_as_its_setting_says(path, max_length, length, positions):
    found = Model("m", path, max_length).arguments_at(length)
    assert found == ({"hf_overrides": {"max_position_embeddings": positions}} if positions else {})


def test_what_a_constructed_models_file_says_of_long_prompts_comes_first():
    own = {"hf_overrides": {"a": 1}}
    model = Model("m", "calibration:full", 262_144, extended_length=10_485_760, extended_args=own)
    assert model.arguments_at(524_288) == own

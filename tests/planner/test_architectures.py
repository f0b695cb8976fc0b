"""What is particular to families: sinks, experts alone quantized, blocks of Mamba, indexers; and odd files of them."""

import json

import pytest

from niah.errors import NiahError
from niah.planner import architecture, attention, drafter, estimate, memory
from niah.planner.attention import Asked
from niah.planner.memory import GIB, Setup
from tests.helpers.command import said
from tests.helpers.configs import built
from tests.helpers.machines import raw, shape

_MILLION = 2**20


def cache_bytes(name: str, length: int, dtype: str = "bfloat16") -> int:
    return memory.need(shape(name), Setup(cache_dtype=dtype, capability=9.0), length).cache


def test_a_million_tokens_of_nemotron_take_six_gib():
    assert cache_bytes("nemotron_3_5_lightning", _MILLION) / GIB == pytest.approx(6, rel=0.04)
    kept = [layer for layer in shape("nemotron_3_5_lightning").layers if layer.attends]
    assert len(kept) == 6 and sum(2 * 2 * layer.kv_heads * layer.key_width for layer in kept) == 6144


def test_blocks_are_read_in_each_spelling():
    config = raw("nemotron_3_5_lightning")
    blocks = config.pop("layers_block_type")
    letters = {"mamba": "M", "attention": "*", "moe": "E"}
    others = {"mamba": "linear_attention", "attention": "full_attention", "moe": "moe"}
    for spelt in (
        {"hybrid_override_pattern": "".join(letters[one] for one in blocks)},
        {"layers_block_type": [others[one] for one in blocks], "num_hidden_layers": None},
    ):
        assert architecture.read({**config, **spelt}, "x") == shape("nemotron_3_5_lightning")


@pytest.mark.parametrize(("change", "message"), [
    ({"layers_block_type": ["mamba", "mystery"]}, "cannot be counted (blocks of mystery)"),
    ({"layers_block_type": ["mamba"] * 10_001}, "cannot be counted (10001 blocks)"),
    ({"layers_block_type": None}, "lacks hybrid_override_pattern"),
    ({"layers_block_type": 7}, "cannot be counted"),
    ({"mamba_num_heads": -1}, "cannot be counted (mamba_num_heads is -1)"),
    ({"ssm_state_size": None}, "cannot be counted"),
])
def test_a_damaged_nemotron_is_one_line(change, message):
    with pytest.raises(NiahError) as caught:
        architecture.read({**raw("nemotron_3_5_lightning"), **change}, "model.path=x")
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "change"), [
    ("nemotron_3_5_lightning", {"layers_block_type": ["mamba", "moe"] * 3}),
    ("nemotron_3_5_lightning", {"layers_block_type": None, "hybrid_override_pattern": "M-ME"}),
    ("nemotron_3_5_lightning", {"layers_block_type": None, "hybrid_override_pattern": ""}),
    ("qwen3_5_9b", {"full_attention_interval": 1000}),
    ("gemma4_e2b", {"num_kv_shared_layers": 100}),
])
def test_a_model_without_a_layer_that_keeps_tokens_is_one_line(tmp_path, capfd, name, change):
    config = raw(name)
    config = {**config, "text_config": {**config["text_config"], **change}} if "text_config" in config else {
        **config, **change
    }
    with pytest.raises(architecture.UnknownArchitectureError, match="none that keeps keys and values of tokens"):
        architecture.read(config, "model.path=x")
    (tmp_path / "config.json").write_text(json.dumps(config))
    told = said(capfd, "plan", f"model={tmp_path}", "model.max_length=8k", "hardware=h100", "ctx=8k", code=1)
    assert len(told.splitlines()) == 1 and "layers and none that keeps keys and values of tokens" in told


@pytest.mark.parametrize("value", [0, -1, 2.5, "2048", True, [2048], 10**10])
def test_index_topk_is_checked_in_one_line(value):
    for name in ("deepseek_v3_2", "glm_5"):
        with pytest.raises(NiahError, match=r"cannot be counted \(index_topk is ") as caught:
            architecture.read({**raw(name), "index_topk": value}, "model.path=x")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "key"), [
    ("deepseek_v3_2", "v_head_dim"), ("glm_5_2", "index_topk_freq"), ("qwen3_5_9b", "linear_key_head_dim"),
    ("llama4_scout", "interleave_moe_layer_step"), ("gemma4_e2b", "hidden_size_per_layer_input"),
])
def test_sizes_of_families_are_checked(name, key):
    for value in ("12", -3, 1.5):
        config = raw(name)
        where = config.get("text_config", config)
        where[key] = value
        with pytest.raises(NiahError, match=f"cannot be counted \\({key} is "):
            architecture.read(config, "model.path=x")


def test_experts_alone_are_in_mxfp4():
    published = {"gpt_oss_20b": 13_761_264_768, "gpt_oss_120b": 65_248_815_744}  # total_size of the weights' index
    for name, size in published.items():
        assert memory.weight_bytes(shape(name), Setup(weights="mxfp4")) == size
        dense = memory.active_bytes(shape(name), "mxfp4") - memory.active_bytes(shape(name), "bf16") / 4
        assert dense > 0  # what is no expert is read in full


@pytest.mark.parametrize(("dtype", "capability", "serves"), [
    ("bfloat16", 9.0, ("FLASH_ATTN",)), ("bfloat16", 8.0, ("TRITON_ATTN",)), ("bfloat16", 10.0, ("FLASHINFER",)),
    ("fp8_e4m3", 9.0, ("FLASH_ATTN",)), ("fp8_e4m3", 8.9, ("TRITON_ATTN",)),
    ("nvfp4", 9.0, ()), ("nvfp4", 10.0, ("FLASHINFER",)), ("turboquant_k8v4", 9.0, ()), ("fp8_e4m3", 8.0, ()),
])
def test_sinks_decide_what_serves(dtype, capability, serves):
    found = attention.choice(shape("gpt_oss_20b"), dtype, capability)
    assert found.backends == serves and bool(found.refusal) == (not serves)
    refusal = attention.refusal(shape("gpt_oss_20b"), dtype, capability)
    assert bool(refusal) == (not serves) and "\n" not in refusal


def test_a_backend_without_sinks_is_refused():
    for asked in (Asked(backend="FLEX_ATTENTION"), Asked(version=2)):
        assert "sinks" in attention.refusal(shape("gpt_oss_20b"), "bfloat16", 9.0, asked)


def test_an_indexer_reads_all_and_attention_what_it_selects():
    """Per token and layer: 64 heads of 128 over all tokens, 128 heads over the 2,048 selected."""
    sparse, dense = shape("deepseek_v3_2"), shape("deepseek_r1")
    short, long = (estimate.operations(sparse, length, 0).attention for length in (2048, 163_840))
    assert short > estimate.operations(dense, 2048, 0).attention  # all are selected, and the indexer comes on top
    assert long < estimate.operations(dense, 163_840, 0).attention / 3


def test_layers_for_the_next_tokens_of_nemotron_have_experts():
    run = built("model=nemotron_3_5_lightning", "spec=mtp")
    own = shape("nemotron_3_5_lightning")
    joined = drafter.added(own, next(one for one in run.spec.each() if one.is_on), run.model).layers[len(own.layers):]
    assert len(joined) == 1 and joined[0].attends and joined[0].num_parts == 2


@pytest.mark.parametrize(("words", "message"), [
    (("model=gpt_oss_20b", "ctx.lengths=[8k,1m]"), "1M is above what the model reads, 131,072 tokens"),
    (("model=nemotron lightning",), "did you mean model=nemotron_3_5_lightning;"),
    (("model=llama 70b",), "did you mean model=llama3_1_70b;"),
    (("model=gpt_oss",), "did you mean model=gpt_oss_120b or model=gpt_oss_20b;"),
    (("model=gpt_oss_20b", "kv=nvfp4", "hardware=h100"), "nvfp4: refused"),
    (("model=gpt_oss_20b", "model.weights=bf16"), "model.weights: got 'bf16'; expected one of mxfp4;"),
    (("model=gpt_oss_20b", "model.thinking=false"), "model.thinking: gpt_oss_20b has no such switch"),
])
def test_odd_words_are_one_line(capfd, words, message):
    answered = message.startswith(("1M", "nvfp4"))
    here = () if "hardware=h100" in words else ("hardware=8xh100",)
    text = said(capfd, "plan", *words, *here, code=int(not answered))
    assert message in text and (answered or len(text.strip().splitlines()) == 1)

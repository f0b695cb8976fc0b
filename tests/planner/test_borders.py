"""Borders as config.json, plan and engine tell of them."""

import pytest

from niah.planner import borders
from niah.planner.borders import PERIOD, POSITION, WINDOW
from niah.planner.memory import Setup
from niah.records import EngineFacts
from tests.helpers.machines import raw


@pytest.mark.parametrize(("config", "expected"), [
    ({"sliding_window": 512, "layer_types": ["sliding_attention", "full_attention"]}, [(WINDOW, 512, False)]),
    ({"sliding_window": 128, "layer_types": ["sliding_attention"]}, [(WINDOW, 128, True)]),
    ({"sliding_window": 4096, "use_sliding_window": False}, []),
    ({"text_config": {"attention_chunk_size": 8192}}, [(PERIOD, 8192, False)]),
    ({"index_topk": 2048, "compress_ratios": [0, 4, 128, 4]},
     [(POSITION, 2048, False), (PERIOD, 4, False), (PERIOD, 128, False)]),
    ({"compress_ratios": [None, [4], "8", {}, 64]}, [(PERIOD, 64, False)]),
    ({"compress_ratios": {"4": 1}}, []),
    ({"rope_scaling": {"rope_type": "yarn", "original_max_position_embeddings": 32768}}, [(POSITION, 32768, False)]),
    ({"rope_parameters": {"full_attention": {"original_max_position_embeddings": 4096}}}, [(POSITION, 4096, False)]),
    ({"sliding_window": "512", "rope_scaling": [], "index_topk": -1}, []),
    ({"mamba_num_heads": 64, "chunk_size": 128}, [(PERIOD, 128, False)]),
    ({"chunk_size": 128}, []),
])
def test_a_config_names_its_borders(config, expected):
    assert [(one.kind, one.tokens, one.is_everywhere) for one in borders.of_config(config)] == expected


def test_known_models():
    scout = {(one.kind, one.tokens) for one in borders.of_config(raw("llama4_scout"))}
    assert (PERIOD, 8192) in scout
    lightning = borders.of_config(raw("nemotron_3_5_lightning"))
    assert [(one.name, one.kind, one.tokens) for one in lightning] == [("Mamba chunk", PERIOD, 128)]
    oss = {(one.kind, one.tokens, one.is_everywhere) for one in borders.of_config(raw("gpt_oss_20b"))}
    assert oss == {(WINDOW, 128, False), (POSITION, 4096, False)}
    assert (POSITION, 2048) in {(one.kind, one.tokens) for one in borders.of_config(raw("deepseek_v3_2"))}
    gemma = borders.of_config(raw("gemma3_4b"))
    assert [(one.kind, one.tokens, one.is_everywhere) for one in gemma] == [(WINDOW, 1024, False)]


def test_what_plan_and_engine_tell_is_joined():
    plan = borders.of_setup(Setup(block_size=128, batch=128))
    layers = [{"kind": "mamba", "block_size": 816}, {"kind": "full"}]
    engine = borders.of_engine(EngineFacts({
        "block_size": "16", "max_num_batched_tokens": 2048, "attention_layers": layers,
    }))
    found = borders.joined(plan, engine)
    assert [(one.name, one.tokens, one.source) for one in found] == [
        ("KV block", 16, "engine"), ("KV block and prefill step", 128, "plan"), ("KV block", 816, "engine"),
        ("prefill step", 2048, "engine"),
    ]
    assert borders.of_engine(EngineFacts({"block_size": "unknown", "attention_layers": "unknown"})) == []

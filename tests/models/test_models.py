"""Every model of conf/model and every file of niah/architectures, against facts kept beside this file."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache

import pytest

from niah.errors import NiahError
from niah.models.load_tokenizer import load_tokenizer
from niah.models.resolve import files_of
from niah.models.settings import Model
from niah.prompts import template
from niah.tokens.tokenizer import Tokenizer
from tests.helpers.command import REPOSITORY, environment_with
from tests.helpers.configs import built

FACTS = json.loads((REPOSITORY / "tests/models/facts.json").read_text())
FACTS.pop("")
FOLDER = REPOSITORY / "niah/architectures"
ARCHITECTURES = sorted(file.stem for file in FOLDER.glob("*.json"))
LICENSED = (
    "scout", "maverick", "llama3_1_8b", "llama3_1_70b", "gemma3_4b", "gemma3_270m", "command_r_plus",
    "command_r_plus_08_2024",
)
SWITCHED = [name for name in FACTS if name.startswith(("gemma4", "qwen3_5", "qwen3_6", "qwen3_8_", "glm"))] + [
    "qwen3_235b", "qwen3_8b", "qwen3_32b", "qwen3_30b_a3b", "mistral_small_4", "deepseek_v3_2", "nemotron_3_super",
    "nemotron_3_5_lightning",
]


@cache
def model(name: str, *overrides: str) -> Model:
    return built(f"model={name}", *overrides).model


@cache
def tokenizer_of(name: str) -> Tokenizer:
    """The tokenizer of that ``model.tokenizer``, which no weights are needed for."""
    return load_tokenizer(Model("x", "nowhere", 8192, tokenizer=name), lambda: pytest.fail("asked for the weights"))


def conf_of(name: str) -> str:
    return (REPOSITORY / f"conf/model/{name}.yaml").read_text()


@cache
def raw(architecture: str) -> dict:
    return json.loads((FOLDER / f"{architecture}.json").read_text())


def facts_of(architecture: str) -> dict:
    """The facts of the model the file was written for, not of those that share it."""
    name = {"llama4_scout": "scout", "llama4_maverick": "maverick", "qwen3_235b_a22b": "qwen3_235b"}
    return FACTS[name.get(architecture, architecture)]


def growing(facts: dict) -> int:
    return sum(layers * size for reach, layers, size in facts["kv"] if reach == "full")


def test_facts_conf_and_architectures_name_the_same_models():
    names = {file.stem for file in (REPOSITORY / "conf/model").glob("*.yaml")} - {"custom"}
    assert names == set(FACTS)
    assert {model(name).architecture for name in names} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", FACTS)
def test_the_registry_agrees_with_the_facts(name):
    ours, facts = model(name), FACTS[name]
    assert (ours.max_length, ours.extended_length) == (facts["max_length"], facts["extended"])
    assert ours.limit == max(facts["max_length"], facts["extended"])
    assert {kind: model(name, f"model.weights={kind}").repository for kind in ours.formats} == facts["repositories"]
    assert ours.licence.startswith(facts["licence"])
    assert "language_model_only" in ours.engine_args or raw(ours.architecture)["niah"]["other_parameters"] == 0
    assert facts["text"] <= facts["total"] and facts["active"] <= facts["total"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_transformers_reads_the_architecture_as_the_facts_say(name):
    from transformers import AutoConfig

    config, own, facts = AutoConfig.from_pretrained(FOLDER / f"{name}.json"), raw(name), facts_of(name)
    assert config.model_type == own["model_type"]
    assert config.num_hidden_layers == facts["layers"] and config.num_attention_heads == facts["heads"]
    assert config.vocab_size == facts["vocabulary"] and config.max_position_embeddings == facts["positions"]
    if "kv_lora_rank" in own:  # all heads share one latent vector and its rotary part
        assert (facts["kv_heads"], facts["head_dim"]) == (1, config.kv_lora_rank + config.qk_rope_head_dim)
    else:
        heads, sizes = [own["num_key_value_heads"]], [own.get("head_dim", own["hidden_size"] // facts["heads"])]
        heads += [own["num_global_key_value_heads"]] if "num_global_key_value_heads" in own else []
        sizes += [own["global_head_dim"]] if "global_head_dim" in own else []
        assert (heads if len(heads) > 1 else heads[0]) == facts["kv_heads"]
        assert (sizes if len(sizes) > 1 else sizes[0]) == facts["head_dim"]
    counted = own["niah"]
    assert (counted["total_parameters"], counted["active_parameters"]) == (facts["total"], facts["active"])
    assert counted["total_parameters"] - counted["other_parameters"] == facts["text"] and counted["source"]
    assert growing(facts) == facts["kv_bytes_per_token"]


@pytest.mark.slow
def test_vllm_makes_every_architecture_as_large_as_the_facts_say():
    """Parameters and KV cache, exactly.

    ``vllm_only`` is what vLLM holds beyond the published count: in Gemma 4 31B and 26B-A4B a value projection of its
    own in each global layer, where the checkpoint shares the key's; in DeepSeek, GLM and Nemotron the router's biases.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.meta_models", *(str(FOLDER / f"{name}.json") for name in ARCHITECTURES)],
        cwd=REPOSITORY, capture_output=True, text=True, env=environment_with(), timeout=540,
    )
    results = {line.pop("architecture"): line for line in map(json.loads, done.stdout.splitlines())}
    assert set(results) == set(ARCHITECTURES), done.stderr[-2000:]
    failed = {}
    for name, result in results.items():
        facts, own = facts_of(name), raw(name)
        expected = (facts["text"] + facts.get("vllm_only", 0), sorted(map(str, facts["kv"])))
        found = []
        for kind, window, size, layers in result.get("kv", ()):
            whole = window == 0 or window >= own["max_position_embeddings"]
            found.append(["state" if kind == "MambaSpec" else "full" if whole else window, layers, size])
        got = (result.get("parameters"), sorted(map(str, found)))
        if got != expected or result["class"] != own["architectures"][0]:
            failed[name] = (result, expected)
    print(f"{len(results) - len(failed)} of {len(results)} architectures exact")
    assert not failed


@pytest.mark.parametrize("name", FACTS)
def test_thinking_changes_the_arguments_or_is_refused(name):
    usual = model(name, "model.thinking=null")
    assert usual.template_arguments == usual.chat_template_arguments
    if name in SWITCHED:
        on, off = (model(name, f"model.thinking={side}").template_arguments for side in ("true", "false"))
        assert on and off and on != off
    else:
        for side in ("true", "false"):
            with pytest.raises(NiahError, match=rf"model\.thinking: {name} has no such switch; got {side}; expected"):
                model(name, f"model.thinking={side}")


@pytest.mark.parametrize("name", [name for name in FACTS if "\ntokenizer:" in conf_of(name)])
def test_a_tokenizer_from_a_package_has_the_vocabulary_and_knows_the_switch(name):
    ours = model(name)
    tokenizer = tokenizer_of(ours.tokenizer)
    unused = FACTS[name]["vocabulary"] - 1 - max(tokenizer.controls.values())
    assert 0 <= unused < 512  # rows are padded; another vocabulary differs by thousands
    if ours.thinking_arguments:
        both = [
            template.render_chat(tokenizer, "Hello", None, model(name, f"model.thinking={side}").template_arguments, "")
            for side in ("true", "false")
        ]
        assert both[0] != both[1] and "think" in both[1]


@pytest.mark.engine
@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("system", [None, "Be brief."])
def test_deepseek_v3_2_is_asked_as_by_vllms_code(thinking, system):
    """It has no chat template: V3.1's, which stands in, writes the same for one question."""
    from vllm.tokenizers import deepseek_v32_encoding

    ours = model("deepseek_v3_2", f"model.thinking={str(thinking).lower()}")
    text = template.render_chat(tokenizer_of(ours.tokenizer), "Hello", system, ours.template_arguments, "")
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": "Hello"})
    assert text == deepseek_v32_encoding.encode_messages(messages, "thinking" if thinking else "chat")


def test_the_switch_is_laid_over_other_template_arguments():
    both = Model(
        "x", "a/b", 8192, chat_template_arguments={"style": "dry", "enable_thinking": True}, thinking=False,
        thinking_arguments={"on": {"enable_thinking": True}, "off": {"enable_thinking": False}},
    )
    assert both.template_arguments == {"style": "dry", "enable_thinking": False}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("scout", "model.weights=int2"), r"model\.weights: got 'int2'; expected one of bf16, fp8, int4, nvfp4;"),
        (("deepseek_r1", "model.weights=bf16"), r"model\.weights: got 'bf16'; expected one of fp8;"),
        (("phi_4_mini", "model.weights=fp8"), r"model\.weights: got 'fp8'; expected one of bf16; name another in"),
    ],
)
def test_what_a_model_does_not_have_is_refused_in_one_line(overrides, message):
    with pytest.raises(NiahError, match=message) as caught:
        model(*overrides)
    assert "\n" not in str(caught.value)


def test_another_repository_is_what_gets_fetched(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    ours = Model("x", "nowhere", 8192, weights="fp8", repositories={"fp8": str(tmp_path)})
    assert files_of(ours).folder == tmp_path
    with pytest.raises(NiahError, match="no such folder; got 'nowhere'"):
        files_of(Model("x", "nowhere", 8192, repositories={"fp8": str(tmp_path)}))
    assert model("deepseek_r1", "model.path=elsewhere/r1").repository == "elsewhere/r1"


@pytest.mark.parametrize("name", FACTS)
def test_what_a_licence_asks_is_said(name):
    notices = model(name).notices
    assert bool(notices) == (name in LICENSED)
    assert all(notice.strip().endswith(".") and len(notice) < 200 for notice in notices)
    words = {"scout": ("700 million", "European Union", '"Llama"'), "command_r_plus": ("Non-commercial",)}
    for word in words.get(name, ()):
        assert any(word in notice for notice in notices)


@pytest.mark.parametrize("name", [name for name in FACTS if "\nextended_args:" in conf_of(name)])
def test_longer_reading_repeats_all_rotary_parameters(name):
    """vLLM takes the override for the whole of them: without rope_theta it would fall back to another one."""
    ours = model(name)
    overrides = ours.extended_args["hf_overrides"]
    if "language_model_only" in ours.engine_args:  # the published configuration wraps the text model's
        assert set(overrides) == {"text_config"}
        overrides = overrides["text_config"]
    if set(overrides) == {"max_position_embeddings"}:  # positions alone
        assert overrides["max_position_embeddings"] == ours.extended_length
        return
    rope, usual = overrides["rope_parameters"], raw(ours.architecture)["rope_parameters"]
    assert rope.keys() >= usual.keys() and rope["rope_theta"] == usual["rope_theta"]
    assert rope["factor"] * rope["original_max_position_embeddings"] >= ours.extended_length
    allowed = ours.extended_environment == {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}
    assert allowed or overrides["max_position_embeddings"] >= ours.extended_length


def test_llama_4_is_the_same_model_at_every_length():
    for name in ("scout", "maverick"):
        assert model(name).engine_args["override_generation_config"] == {"attn_temperature_tuning": True}


@pytest.mark.parametrize("odd", ["loop", "pipe", "dangling"])
def test_a_models_folder_with_what_is_no_file_is_one_line(tmp_path, odd):
    (tmp_path / "config.json").write_text("{}")
    {
        "loop": lambda place: place.symlink_to(place.name), "pipe": os.mkfifo,
        "dangling": lambda place: place.symlink_to("nowhere"),
    }[odd](tmp_path / "tokenizer.json")
    with pytest.raises(NiahError, match=r"tokenizer\.json is no file"):
        files_of(Model("m", str(tmp_path), 8192))


@pytest.mark.parametrize(("name", "limit"), [("qwen3_8b", 40_960), ("gemma3_4b", 131_072), ("gpt_oss_20b", 131_072)])
def test_a_folder_says_its_own_limit(tmp_path, name, limit):
    shutil.copy(REPOSITORY / "niah" / "architectures" / f"{name}.json", tmp_path / "config.json")
    assert built(f"model={tmp_path}").model.max_length == limit
    assert built(f"model={tmp_path}", "model.max_length=8k").model.max_length == 8192


def test_what_says_no_limit_is_told(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    for path, message in (
        (f"{tmp_path}", "model.max_length: not given"), ("organisation/none", "model.max_length: not given"),
        (f"{tmp_path}/none", "model.path: no such folder"), ("./none", "model.path: no such folder"),
    ):
        with pytest.raises(NiahError, match=message):
            built(f"model={path}")

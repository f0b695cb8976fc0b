"""Weights that are not all there, cut, pickled or something else: refused in one line, before anything is loaded."""

import json
import re
import shutil
import struct

import pytest

from niah.errors import NiahError
from niah.models import gguf_header, weights
from niah.models.files import ModelFiles
from niah.models.gguf import package_file
from niah.models.load_tokenizer import load_tokenizer
from niah.models.resolve import files_of
from niah.models.settings import Model
from niah.runs import capacity
from tests.helpers import checkpoints
from tests.helpers.configs import built
from tests.helpers.tokenizers import SMOLLM2

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1048576\n"
PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"
BROKEN = {
    "pointer": (POINTER.encode(), "it is a pointer of Git LFS"), "page": (PAGE.encode(), "it is a web page"),
    "empty": (b"", "it is empty"), "zeros": (b"\0" * 4096, "zeros alone"),
    "cut": (b'{"model_type": "llama", "hid', "is not JSON, or was cut"), "list": (b"[1]", "holds a list"),
    "bytes": (b"\xff\xfe\x00", "cannot be read"), "deep": (b"[" * 100_000, "is not JSON, or was cut"),
}
SOME = ("layers.0.mlp.gate_proj", "layers.1.self_attn.v_proj", "layers.2.")


def check(folder, **settings):
    files = files_of(Model("m", str(folder), 2048))
    weights.check(files, **{"allow_pickle": False, **settings})


def refusal(folder, **settings) -> str:
    with pytest.raises(NiahError) as caught:
        check(folder, **settings)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("model.path: ")
    return str(caught.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return checkpoints.written(tmp_path_factory.mktemp("weights") / "whole")


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def sharded(folder):
    """The same checkpoint in two files with an index."""
    from safetensors.numpy import load_file, save_file

    held = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = [{}, {}]
    for number, (name, value) in enumerate(sorted(held.items())):
        parts[number % 2][name] = value
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for name, part in zip(names, parts, strict=True):
        save_file(part, folder / name, metadata={"format": "pt"})
    index = {one: name for name, part in zip(names, parts, strict=True) for one in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return names


def test_a_whole_checkpoint_is_taken(whole, copy):
    check(whole)
    sharded(copy)
    check(copy)
    (copy / "consolidated.safetensors").write_bytes(b"not of the index")
    check(copy)


def test_projections_and_layers_that_are_missing_are_counted_and_named(tmp_path):
    said = refusal(checkpoints.written(tmp_path / "some", *SOME))
    assert "at least 3 tensors are missing beside 18 that are there" in said
    assert "model.layers.0.mlp.gate_proj, model.layers.1.self_attn.v_proj, model.layers.2.*" in said


def test_files_and_tensors_that_the_index_names_are_missed(copy):
    first, second = sharded(copy)
    kept = (copy / second).read_bytes()
    (copy / second).rename(copy / f"{second}.incomplete")
    assert f"{second} is not there" in refusal(copy)
    shutil.copy(copy / first, copy / second)
    assert "14 of 29 tensors of model.safetensors.index.json are in no file (" in refusal(copy)
    (copy / second).write_bytes(kept[:-1])
    assert f"{second} holds {len(kept) - 1:,} bytes; its header speaks of {len(kept):,};" in refusal(copy)
    (copy / second).write_bytes(kept)
    check(copy)
    (copy / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../b"}}')
    assert "has no weight_map of file names" in refusal(copy)


def test_a_file_cut_anywhere_is_refused(copy):
    file = copy / "model.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    for size in (*range(0, 8 + length, 41), 8 + length, 8 + length + 1, len(data) - 1):
        file.write_bytes(data[:size])
        assert "again" in refusal(copy)
    for place in range(0, 8 + length, 5):  # no flip of a bit of the header is a traceback
        file.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 : 8 + length + 100])
        refusal(copy)


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", [
    "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja",
    "model.safetensors",
])
def test_what_a_broken_download_left_is_one_line(copy, name, content, message):
    for file in files_of(SMOLLM2).folder.glob("*.json"):
        if file.name != "config.json":
            shutil.copy(file, copy)
    (copy / name).write_bytes(content)
    if name == "chat_template.jinja" and message.startswith(("is not", "holds")):
        return  # any text is a template; what it does is another test's
    model = Model("m", str(copy), 2048)
    with pytest.raises(NiahError) as caught:
        load_tokenizer(model, lambda: files_of(model))
        weights.check(files_of(model), allow_pickle=False)
    said = str(caught.value)
    assert name in said and "\n" not in said and said.startswith("model.path: ")
    assert message in said or name in ("tokenizer.json", "model.safetensors")


def test_pickles_are_loaded_only_when_asked_for(tmp_path):
    folder = checkpoints.pickled(tmp_path / "pickled")
    said = refusal(folder)
    assert "are pickled (pytorch_model.bin)" in said and "model.allow_pickle=true" in said
    check(folder, allow_pickle=True)
    (folder / "pytorch_model.bin").rename(folder / "training_args.bin")
    assert "no weights in" in refusal(folder)
    (folder / "model.safetensors.incomplete").write_bytes(b"begun")
    assert "the download of model.safetensors.incomplete was cut" in refusal(folder)


@pytest.mark.parametrize(("config", "without", "is_whole"), [
    ({"attention_k_eq_v": True}, "layers.1.self_attn.v_proj", True),
    ({"attention_k_eq_v": True}, "layers.1.self_attn.k_proj", False),
    ({"num_kv_shared_layers": 1}, "layers.2.self_attn.k_proj", True),
    ({"num_kv_shared_layers": 1}, "layers.1.self_attn.k_proj", False),
    ({"num_hidden_layers": 2}, "layers.2.", True),
    ({"num_hidden_layers": "3"}, "layers.2.", True),
    ({}, "layers.2.self_attn", True),  # a layer without attention
])
def test_what_an_architecture_rightly_lacks_is_not_missed(config, without, is_whole):
    names = {name for name in checkpoints.tensors() if without not in name}
    assert bool(weights.missing(names, {**checkpoints.CONFIG, **config})) != is_whole


def test_experts_are_counted():
    names = {f"model.layers.{layer}.mlp.experts.{one}.{part}_proj.weight" for layer in range(3) for one in range(4)
             for part in ("gate", "up", "down")}
    config = {"num_hidden_layers": 3, "num_experts": 4}
    assert not weights.missing(names, config)
    lost = {"model.layers.1.mlp.experts.3.gate_proj.weight"}
    assert weights.missing(names - lost, config) == {"model.layers.1.mlp.experts.3.gate_proj"}
    lost = {name for name in names if "1.mlp.experts.3." in name}
    assert weights.missing(names - lost, config) == {"model.layers.1.mlp.experts.3"}
    names |= {f"model.layers.3.mlp.gate_proj.{kind}" for kind in ("qweight", "scales")}  # a dense layer: another block
    assert "model.layers.3.mlp.up_proj" not in weights.missing(names, config)


@pytest.fixture
def small_gguf(tmp_path):
    """A GGUF file of a few hundred bytes: two blocks, a text, a list."""
    import gguf
    import numpy as np

    file = tmp_path / "small.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(2)
    writer.add_name("small")
    writer.add_token_list(["a", "b", "c"])
    names = ["token_embd", "output_norm"]
    names += [f"blk.{block}.{part}" for block in (0, 1) for part in ("attn_q", "attn_k", "attn_v", "attn_output",
                                                                     "ffn_gate", "ffn_up", "ffn_down")]
    for name in names:
        writer.add_tensor(f"{name}.weight", np.ones((2, 4), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def gguf_refusal(file) -> str:
    with pytest.raises(NiahError) as caught:
        files_of(Model("m", str(file), 2048))
    assert "\n" not in str(caught.value) and str(caught.value).startswith("model.path: ")
    return str(caught.value)


@pytest.mark.slow
def test_a_gguf_cut_at_any_byte_is_refused(small_gguf):
    gguf_header.check(small_gguf, "model.path")
    data = small_gguf.read_bytes()
    for size in range(len(data)):
        small_gguf.write_bytes(data[:size])
        assert "again" in gguf_refusal(small_gguf) or size < 4


def test_no_flipped_bit_of_a_gguf_is_a_traceback(small_gguf):
    data = small_gguf.read_bytes()
    for place in range(len(data)):
        small_gguf.write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
        try:
            gguf_header.check(small_gguf, "model.path")
        except NiahError as error:
            assert "\n" not in str(error)


@pytest.mark.slow
def test_tensors_that_a_gguf_lacks_are_counted_and_named(tmp_path):
    """172 of 272 tensors, as the file itself counts them; and half a file."""
    source = package_file(SMOLLM2.path)
    header = gguf_header.read(source, "model.path")
    assert len(header.tensors) == 272 and not gguf_header.missing(header)
    some = checkpoints.gguf_without(source, tmp_path / "some.gguf", set(header.tensors[172:]))
    assert len(gguf_header.read(some, "model.path").tensors) == 172
    said = gguf_refusal(some)
    assert re.search(r"at least \d\d tensors are missing beside 172 that are there \(blk\.\d+\.", said), said
    half = tmp_path / "Half.GGUF"
    half.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    assert "was cut: it holds 49,181,216 bytes, and its tensors end at 98,362,432" in gguf_refusal(half)


@pytest.mark.slow
def test_what_a_header_does_not_show_the_conversion_does(tmp_path, monkeypatch):
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))
    source = package_file(SMOLLM2.path)
    some = checkpoints.gguf_without(source, tmp_path / "some.gguf", {f"blk.{n}.attn_norm.weight" for n in range(30)})
    assert not gguf_header.missing(gguf_header.read(some, "model.path"))
    said = gguf_refusal(some)
    assert "30 tensors of its architecture are missing (model.layers.0.input_layernorm.weight, " in said
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix != ".lock" and path.is_file()]


def test_a_part_of_a_split_gguf_says_how_to_put_it_together(small_gguf, tmp_path):
    data = small_gguf.read_bytes()
    key = b"split.count"
    more = struct.pack("<Q", len(key)) + key + struct.pack("<IH", 2, 2)
    version, tensors, values = struct.unpack_from("<IQQ", data, 4)
    file = tmp_path / "m-00001-of-00002.gguf"
    file.write_bytes(b"GGUF" + struct.pack("<IQQ", version, tensors, values + 1) + more + data[24:])
    said = gguf_refusal(file)
    assert "is one of 2 files that hold one model; expected all in one file; llama-gguf-split --merge" in said


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_gguf_is_one_line(tmp_path, content, message):
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    said = gguf_refusal(file)
    assert "is no GGUF file: " in said and (message in said or "it does not begin with GGUF" in said)


@pytest.mark.slow
def test_files_of_the_hub_are_known_by_name(tmp_path):
    files = ModelFiles("nobody/nothing", tmp_path, None, "")
    weights.check(files, allow_pickle=False)  # nothing is known: the engine will tell
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(NiahError, match=r"the weights in nobody/nothing are pickled \(pytorch_model\.bin\)"):
        weights.check(files, allow_pickle=False)


@pytest.mark.parametrize("value", [-1, 0, 10**12, 1e300, float("inf"), "x", [10**12], {}, True], ids=str)
def test_a_config_with_a_damaged_number_is_one_line_and_fast(copy, value):
    run = built(f"model.path={copy}", "model.max_length=2k", "ctx.lengths=[512]", "engine=transformers")
    for key in ("num_hidden_layers", "hidden_size", "vocab_size", "num_attention_heads", "num_key_value_heads"):
        (copy / "config.json").write_text(json.dumps({**checkpoints.CONFIG, key: value}))
        with pytest.raises(NiahError, match=rf"its config\.json cannot be counted \({key} is ") as caught:
            capacity.check(run)
        assert "\n" not in str(caught.value)
        run.engine.check(files_of(run.model), run.model, 512)  # the headers say what is there, not what ought to be

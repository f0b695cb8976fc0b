"""Tokenizers behind one interface: ordinary text never becomes a control token.

Imports neither torch nor transformers unless a model ships no ``tokenizer.json``.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from niah import content
from niah.errors import NiahError, reason

_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Those that a chat template may name, as transformers has them; a model may have more (extra_special_tokens)."""
_CONTROL_FORM = re.compile(r"<\|.*\|>|<｜.*｜>")


@dataclass(frozen=True)
class Encoding:
    """Token ids, int32 (tokens,), with the characters [start, stop) each one covers, int64.

    Tokens that share the bytes of one character overlap: that is how a split character shows.
    """

    ids: np.ndarray
    starts: np.ndarray
    stops: np.ndarray


class Tokenizer(Protocol):
    """``controls`` maps the text of each control token to its id; ``encode`` never yields one.

    ``first_ids`` is what the tokenizer puts before a bare text (a BOS token, or nothing); ``stop_ids`` end a response.
    ``chat_template`` is the model's own, in Jinja, with ``template_variables`` as what it may name; ``template_name``
    says in messages where it stands.
    """

    controls: dict[str, int]
    chat_template: str | None
    template_name: str
    template_variables: dict[str, str]
    first_ids: tuple[int, ...]
    stop_ids: tuple[int, ...]

    @property
    def sha256(self) -> str:
        """Identifies vocabulary and rules."""
        ...

    def encode(self, text: str) -> Encoding: ...

    def encode_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Ids alone, int32, of many long texts at once: on all cores, without places."""
        ...

    def decode(self, ids: Sequence[int] | np.ndarray) -> str: ...

    @property
    def num_ids(self) -> int:
        """One more than the largest id."""
        ...

    def decode_one(self, token: int) -> str:
        """The text of one id, empty for an id without any."""
        ...

    def reference(self, text: str) -> list[int]:
        """Ids as the model's own tokenizer gives them, control tokens parsed; for self-checks."""
        ...


class HuggingFaceTokenizer:
    """A ``tokenizer.json`` read by Hugging Face's own ``tokenizers`` library."""

    def __init__(
        self, text: str, chat_template: str | None, settings: dict[str, Any], stop_ids: Sequence[int],
        template_name: str = "the tokenizer's own",
    ):
        from tokenizers import Tokenizer as Backend
        from tokenizers.processors import Sequence as Sequential

        definition = json.loads(text)
        added = definition.get("added_tokens", ())
        controls = [token for token in added if _is_control(token, chat_template)]
        self.chat_template = chat_template
        self.template_name = template_name
        self.controls = {token["content"]: token["id"] for token in controls}
        self._full = Backend.from_str(text)
        if all(token["special"] for token in controls):
            self._plain = self._full  # one backend serves both: parsing a large vocabulary takes seconds
        else:
            definition["added_tokens"] = [token for token in added if token["content"] not in self.controls]
            self._plain = Backend.from_str(json.dumps(definition))
        eos = self.controls.get(_token_text(settings.get("eos_token") or ""))
        bos = self.controls.get(_token_text(settings.get("bos_token") or ""))
        bare = [i for i in self._full.encode("").ids if i != eos]
        if not bare and bos is not None and settings.get("add_bos_token"):
            bare = [bos]
        for backend in (self._full, self._plain):
            # Offsets must not be trimmed of white space and no BOS be added: both are post-processing.
            backend.post_processor = Sequential([])
            backend.no_truncation()
            backend.no_padding()
        named = {name: settings[name] for name in _NAMED_TOKENS if settings.get(name)}
        extra = settings.get("extra_special_tokens")
        named |= extra if isinstance(extra, dict) else {}
        self.template_variables = {name: _token_text(token) for name, token in named.items()}
        self.first_ids = tuple(bare)
        self.stop_ids = tuple(dict.fromkeys([*stop_ids, *([eos] if eos is not None else [])]))
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_folder(cls, folder: Path, where: str, *, trust_remote_code: bool = False) -> "HuggingFaceTokenizer":
        """The tokenizer of a model folder in Hugging Face format. With ``trust_remote_code`` one without tokenizer.json
        may be made by code in the folder.

        Raises NiahError, which names the setting ``where``, for a folder without one.
        """
        settings, template = tokenizer_settings(folder, where)
        definition = folder / "tokenizer.json"
        is_there = definition.is_file()
        text = content.text(definition, where) if is_there else _converted(folder, where, trust_remote_code)
        parts = [_read_json(folder / name, where) for name in ("config.json", "generation_config.json")]
        eos = {**parts[0], **parts[1]}.get("eos_token_id")
        stop_ids = [] if eos is None else eos if isinstance(eos, list) else [eos]
        if not all(isinstance(one, int) for one in stop_ids):
            raise NiahError(
                f"{where}: eos_token_id of {folder} is {eos!r}; expected ids; fetch generation_config.json again"
            )
        file = "chat_template.jinja" if (folder / "chat_template.jinja").is_file() else "tokenizer_config.json"
        try:
            return cls(text, template, settings, stop_ids, str(folder / file))
        except Exception as error:  # what the library finds wrong has no type of its own
            raise NiahError(
                f"{where}: {definition} is no tokenizer, or was cut ({reason(error)}); expected that of the package "
                "tokenizers; fetch the model's tokenizer files again"
            ) from error

    def encode(self, text: str) -> Encoding:
        self._plain.encode_special_tokens = True
        return _from_backend(self._plain.encode(text, add_special_tokens=False))

    def encode_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        self._plain.encode_special_tokens = True
        batch = self._plain.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=np.int32) for encoding in batch]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        return self._full.decode(np.asarray(ids).tolist(), skip_special_tokens=False)

    @property
    def num_ids(self) -> int:
        return 1 + max(self._full.get_vocab(with_added_tokens=True).values(), default=-1)

    def decode_one(self, token: int) -> str:
        return self._full.decode([token], skip_special_tokens=False)

    def reference(self, text: str) -> list[int]:
        self._full.encode_special_tokens = False
        return self._full.encode(text, add_special_tokens=False).ids


def tokenizer_settings(folder: Path, where: str) -> tuple[dict[str, Any], str | None]:
    """tokenizer_config.json and the chat template of a folder in Hugging Face format.

    Raises NiahError, which names the setting ``where``, for files that hold neither.
    """
    settings = _read_json(folder / "tokenizer_config.json", where)
    template_file = folder / "chat_template.jinja"
    template = content.text(template_file, where) if template_file.is_file() else settings.get("chat_template")
    if isinstance(template, list):  # several named templates: the one called default is the chat's
        several = [one for one in template if isinstance(one, dict)]
        template = next((one.get("template") for one in several if one.get("name") == "default"), None)
    if not isinstance(template, str | None):
        kind = type(template).__name__
        raise NiahError(
            f"{where}: chat_template of {folder} is a {kind}; expected text; fetch tokenizer_config.json again"
        )
    return settings, template


def _converted(folder: Path, where: str, trust_remote_code: bool) -> str:
    """tokenizer.json text made by transformers from another format (SentencePiece, tekken)."""
    try:
        from transformers import AutoTokenizer

        made: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
        if made.get_vocab().keys() <= made.get_added_vocab().keys():  # made of config.json alone
            raise ValueError("one without a vocabulary")
        return str(made.backend_tokenizer.to_str())
    except Exception as error:
        asks = "trust_remote_code" in str(error)
        advice = (
            "code in that folder makes its tokenizer: model.trust_remote_code=true runs it, if you trust it" if asks
            else "copy the model's tokenizer files there"
        )
        raise NiahError(
            f"{where}: no usable tokenizer in {folder}; got {reason(error)}; expected a "
            f"tokenizer.json beside the weights; {advice}"
        ) from error


def _is_control(token: dict[str, Any], chat_template: str | None) -> bool:
    """Special by its own flag, or by use: many vendors leave the flag off (<think>, <｜User｜>)."""
    name = token["content"]
    return bool(
        token.get("special")
        or _CONTROL_FORM.fullmatch(name)
        or (chat_template and name.strip() and not name.isalnum() and name in chat_template)
    )


def _from_backend(encoding: Any) -> Encoding:
    offsets = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2)
    return Encoding(np.asarray(encoding.ids, dtype=np.int32), offsets[:, 0], offsets[:, 1])


def _token_text(value: str | dict[str, str]) -> str:
    return value["content"] if isinstance(value, dict) else value


def _read_json(path: Path, where: str) -> dict[str, Any]:
    return content.json_object(path, where) if path.is_file() else {}

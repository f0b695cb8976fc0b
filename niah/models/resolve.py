"""From a model's settings to its files and its config.json: found, fetched from the hub, or made."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from niah import content
from niah.errors import NiahError, first_line
from niah.models.constructed import SCHEME
from niah.models.constructed.files import constructed_config, constructed_files
from niah.models.files import ModelFiles
from niah.models.gguf import converted_files, package_file
from niah.models.settings import Model

_ARCHITECTURES = Path(__file__).resolve().parent.parent / "architectures"
_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")
_TOKENIZER_FILES = ["*.json", "*.jinja", "tokenizer*", "*.model", "*.tiktoken", "*.txt"]


def files_of(model: Model) -> ModelFiles:
    """Finds, fetches or converts the model. Raises NiahError with what to do where it cannot."""
    repository = model.repository
    path = Path(os.path.expanduser(repository))
    if repository.startswith(SCHEME):
        return constructed_files(model)
    if repository.startswith("package:"):
        return converted_files(package_file(repository), model)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise NiahError(f"model.path: no config.json in {path}; expected a model folder in Hugging Face format")
        content.json_object(path / "config.json", "model.path")
        return ModelFiles(str(path.resolve()), path.resolve(), None, _folder_identity(path))
    if path.is_file() or path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise NiahError(f"model.path: no such file; got {path}; expected a .gguf file")
        return converted_files(path, model)
    if not _HUB_ID.fullmatch(repository):
        raise NiahError(
            f"model.path: no such folder; got {repository!r}; expected a folder in Hugging Face format, "
            "a .gguf file or a Hugging Face id (organisation/name)"
        )
    return _from_hub(model)


def files_at_hand(model: Model) -> ModelFiles:
    """The same without asking the hub: of a repository there what the cache holds, else its name alone. Raises
    NiahError as ``files_of`` does."""
    repository = model.repository
    if repository.startswith((SCHEME, "package:")) or not _HUB_ID.fullmatch(repository) or Path(repository).exists():
        return files_of(model)
    from huggingface_hub import snapshot_download

    try:
        found = Path(snapshot_download(
            repository, revision=model.revision, allow_patterns=_TOKENIZER_FILES, local_files_only=True
        ))
    except (OSError, ValueError):  # not in the cache, or in one that cannot be read
        revision = f"@{model.revision}" if model.revision else ""
        return ModelFiles(repository, Path(repository), model.revision, f"{repository}{revision}")
    return ModelFiles(repository, found, found.name, f"{repository}@{found.name}")


def config_of(model: Model) -> dict[str, Any]:
    """The model's config.json: niah's own file of its architecture, or the one in its folder."""
    if model.architecture:
        file = _ARCHITECTURES / f"{model.architecture}.json"
        if not file.is_file():
            names = ", ".join(sorted(one.stem for one in _ARCHITECTURES.glob("*.json")))
            raise NiahError(f"model.architecture: got {model.architecture!r}; expected one of {names}")
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return config
    if model.path.startswith(SCHEME):
        return constructed_config(model)
    return files_of(model).config


def _from_hub(model: Model) -> ModelFiles:
    """Config and tokenizer from the hub; the weights are left to the engine."""
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(model.repository, revision=model.revision, allow_patterns=_TOKENIZER_FILES)
    except Exception as error:
        raise NiahError(_why_not_fetched(model.repository, error)) from error
    folder = Path(found)
    return ModelFiles(model.repository, folder, folder.name, f"{model.repository}@{folder.name}")


def _why_not_fetched(repository: str, error: Exception) -> str:
    """One line: what the hub or the network said, and what to do."""
    from huggingface_hub import errors, get_token

    page = f"huggingface.co/{repository}"
    if isinstance(error, errors.GatedRepoError):
        who = "this HF_TOKEN has no access" if get_token() else "no token is set"
        return (
            f"model.path: {repository} is gated and {who}; accept the terms on {page}, then set HF_TOKEN to a token of "
            "that account"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"model.path: no repository {repository} on the hub, or a private one; check the name, or set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"model.revision: {repository} has no such revision; expected a branch, tag or commit of {page}"
    return (
        f"model.path: {repository} is not in the local cache and the hub cannot be reached; "
        f"got {type(error).__name__}: {first_line(error)}; check the network, "
        "or name a local folder (plan and, with a packaged tokenizer, build need neither)"
    )


def _folder_identity(folder: Path) -> str:
    """sha256 of a folder's JSON files whole, and of the names and sizes of its other files.

    Raises NiahError for what has such a name and is no file: a link to nowhere, a pipe.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix not in {".json", ".safetensors", ".bin", ".jinja", ".model"} or file.is_dir():
            continue
        if not file.is_file():
            raise NiahError(f"model.path: {file} is no file; expected one, or none of that name; fetch the model again")
        try:
            own = file.name.encode() + file.read_bytes() if file.suffix == ".json" else None
        except OSError as error:
            raise NiahError(f"model.path: {file} cannot be read ({error.strerror}); mend that file") from error
        digest.update(own if own is not None else f"{file.name} {file.stat().st_size}".encode())
    return f"folder sha256 {digest.hexdigest()}"

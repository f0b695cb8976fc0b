"""Where the files of a model are on this machine, and what its config.json says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah import content
from niah.errors import NiahError


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
    def config(self) -> dict[str, Any]:
        """config.json, with the text model's own settings on top where it wraps one. Raises NiahError where it is
        none."""
        config = self._config
        return {**config, **config.get("text_config", {})}

    @property
    def is_wrapped(self) -> bool:
        """Whether the text model is a part of a multimodal one."""
        return "text_config" in self._config

    @property
    def _config(self) -> dict[str, Any]:
        path = self.folder / "config.json"
        if not path.is_file():
            return {}
        found = content.json_object(path, "model.path")
        if not isinstance(found.get("text_config", {}), dict):
            raise NiahError(
                f"model.path: {path}: text_config is {found['text_config']!r}; expected an object; fetch that file "
                "again"
            )
        return found

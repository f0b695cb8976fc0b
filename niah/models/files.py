"""Where the files of a model are on this machine, and what its config.json says."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
        """config.json, with the text model's own settings on top where it wraps one."""
        config = self._config
        return {**config, **config.get("text_config", {})}

    @property
    def is_wrapped(self) -> bool:
        """Whether the text model is a part of a multimodal one."""
        return "text_config" in self._config

    @property
    def _config(self) -> dict[str, Any]:
        path = self.folder / "config.json"
        return json.loads(path.read_text()) if path.is_file() else {}

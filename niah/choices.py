"""``conf/``: where it is, and its files as plain data. Light enough for ``--help``."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from niah.errors import NiahError


def conf_folder() -> Path:
    """The ``conf`` inside the installed package, else the one beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for place in (package / "conf", package.parent / "conf"):
        if (place / "config.yaml").is_file():
            return place
    raise NiahError(f"conf: not found beside {package}; expected the installed package to hold it; install niah again")


def choices(group: str) -> list[dict[str, Any]]:
    """The files of a group as plain data, in the order of their names."""
    from omegaconf import OmegaConf

    files = sorted((conf_folder() / group).glob("*.yaml"))
    return [cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(file))) for file in files]


def named(path: str) -> Any:
    """What a dotted path names, as a ``_target_`` does. Raises ImportError or AttributeError where there is no such."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def plain(words: Sequence[str]) -> dict[str, Any]:
    """``a.b=c`` words as nested plain data, without any config file."""
    from omegaconf import OmegaConf

    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.from_dotlist(list(words))))

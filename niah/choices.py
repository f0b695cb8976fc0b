"""``conf/`` and the user's own folder: where they are, and their files as plain data. Light enough for ``--help``."""

import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from niah.errors import NiahError, first_line
from niah.values import by_name

PLUG_INS = ("task", "haystack", "reader", "scorer", "engine")
"""Groups whose files name a class: one of niah's, or one in a module of the user's."""
_own: list[Path] = []


def conf_folder() -> Path:
    """The ``conf`` inside the installed package, else the one beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for place in (package / "conf", package.parent / "conf"):
        if (place / "config.yaml").is_file():
            return place
    raise NiahError(f"conf: not found beside {package}; expected the installed package to hold it; install niah again")


def own_folder() -> Path | None:
    """The folder that ``use`` was given, if any."""
    return _own[0] if _own else None


def use(folder: str | Path | None) -> None:
    """Takes the files of ``folder`` (--config-dir) as choices too, before those of ``conf`` with the same names.

    Modules in it and in its folders of plug-ins can be imported from now on, here and in processes that this one
    starts. None: no such folder any more. Raises NiahError where there is none of that name.
    """
    _own.clear()
    if folder is None:
        return
    path = Path(os.path.expanduser(folder)).resolve()
    if not path.is_dir():
        raise NiahError(f"--config-dir: got {str(folder)!r}, no folder; expected one with files such as task/mine.yaml")
    settings = path / "config.yaml"
    if settings.is_file() and settings.read_bytes() != (conf_folder() / "config.yaml").read_bytes():
        raise NiahError(
            f"--config-dir: {settings} would take the place of niah's own; expected none; give it another name"
        )
    _own.append(path)
    places = [str(place) for place in plug_in_folders()]
    sys.path += [place for place in places if place not in sys.path]
    known = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*known, *places]))


def plug_in_folders() -> list[Path]:
    """Where modules of the user's own lie: in the folder of ``use`` and in its folders of plug-ins."""
    return [place for path in _own for place in (path, *(path / group for group in PLUG_INS)) if place.is_dir()]


def folders() -> list[Path]:
    """Where choices are looked for, the user's folder first."""
    return [*_own, conf_folder()]


def groups() -> list[str]:
    """Names of all groups, sorted: those of ``conf``, as a config has no others."""
    return sorted(place.name for place in conf_folder().iterdir() if place.is_dir())


def names(group: str) -> list[str]:
    """The choices of a group, sorted; not those in folders of it."""
    return sorted({file.stem for folder in folders() for file in (folder / group).glob("*.yaml")})


def names_within(group: str) -> list[str]:
    """The same with those in its folders, as ruler/vt."""
    files = [(folder / group, file) for folder in folders() for file in (folder / group).rglob("*.yaml")]
    return sorted({file.relative_to(place).with_suffix("").as_posix() for place, file in files})


def folders_of(group: str) -> list[str]:
    """The folders of choices in a group: as an experiment each stands for all that lies in it."""
    return sorted({name.rpartition("/")[0] for name in names_within(group) if "/" in name})


def file_of(group: str, name: str) -> Path | None:
    """The file of a choice; ``name`` may lie in a folder, as ruler/vt."""
    with suppress(OSError):  # too long for a file's name
        return next((file for folder in folders() if (file := folder / group / f"{name}.yaml").is_file()), None)
    return None


def choices(group: str) -> list[dict[str, Any]]:
    """The files of a group as plain data, in the order of their names."""
    return [content(file) for name in names(group) if (file := file_of(group, name))]


def is_sweep(experiment: str) -> bool:
    """Whether the file of an experiment makes several runs by itself: its ``hydra.mode`` is ``MULTIRUN``."""
    file = file_of("experiment", experiment)
    settings = content(file).get("hydra") if file else None
    return isinstance(settings, dict) and settings.get("mode") == "MULTIRUN"


def content(file: Path) -> dict[str, Any]:
    """A file of settings as plain data, ``${...}`` in it as text."""
    from omegaconf import OmegaConf  # not for --help

    return by_name(OmegaConf.to_container(_loaded(file)) or {})


def _loaded(file: Path) -> Any:
    import yaml
    from omegaconf import OmegaConf

    try:
        return OmegaConf.load(file)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise unreadable(error, file) from error


def unreadable(error: Exception, file: str | Path = "") -> NiahError:
    """The error for a file of settings that is no YAML; one that YAML's parser gives names its file and line itself."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f"{file or (mark.name if mark else 'a file of settings')}{f', line {mark.line + 1}' if mark else ''}"
    return NiahError(
        f"{where}: not YAML ({problem or first_line(error)}); expected lines as name: value; mend that file"
    )


def named(path: str) -> Any:
    """What a dotted path names, as a ``_target_`` does. Raises ImportError or AttributeError where there is no such."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)

"""What a container image installs before niah itself, so that a change of code installs no package again.

``python requirements.py FOLDER EXTRAS`` reads pyproject.toml and constraints.txt in FOLDER and writes two files there:
requirements.txt, all that niah with these extras needs, and pins.txt, which holds what this virtual environment sees of
its base image at the version there and the rest at ours. Standard library only: it runs before anything is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any


def wanted(project: Mapping[str, Any], extras: Iterable[str]) -> list[str]:
    """Requirements of pyproject.toml's ``project`` table with ``extras``, each once. KeyError for an unknown extra."""
    found: dict[str, None] = dict.fromkeys(project["dependencies"])
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            own = re.fullmatch(rf"{project['name']}\[(.*)\]", line)
            found |= dict.fromkeys(wanted(project, own[1].split(",")) if own else [line])
    return list(found)


def pins(constraints: Iterable[str], installed: Mapping[str, str]) -> list[str]:
    """``name==version`` for each installed package, then the constraints whose package is not installed."""
    here = {_normal(name): f"{name}=={version}" for name, version in installed.items()}
    lines = (line.split("#")[0].strip() for line in constraints)
    others = (line for line in lines if line and _normal(re.split(r"[=<>~!\[; ]", line)[0]) not in here)
    return [*here.values(), *others]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _main(folder: Path, extras: str) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    constraints = (folder / "constraints.txt").read_text().splitlines()
    # its own pip may be replaced
    outside = [place for place in sys.path if not Path(place).is_relative_to(sys.prefix)]
    here = {one.metadata["Name"]: one.version for one in distributions(path=outside) if one.metadata["Name"]}
    files = {"requirements.txt": wanted(project, extras.split(",")), "pins.txt": pins(constraints, here)}
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])

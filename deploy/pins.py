"""Constraints for a Python that already has packages: those stay as they are, a file of constraints pins the rest.

``python pins.py constraints.txt`` prints them; standard library only, since it runs before anything is installed.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path


def merged(lines: Iterable[str], installed: Mapping[str, str]) -> list[str]:
    """``name==version`` for each installed package, then the lines whose package is not installed."""
    here = {_normal(name): f"{name}=={version}" for name, version in installed.items()}
    wanted = (line.split("#")[0].strip() for line in lines)
    return [*here.values(), *(line for line in wanted if line and _normal(re.split(r"[=<>~!\[; ]", line)[0]) not in here)]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    found = {one.metadata["Name"]: one.version for one in distributions() if one.metadata["Name"]}
    print(*merged(Path(sys.argv[1]).read_text().splitlines(), found), sep="\n")

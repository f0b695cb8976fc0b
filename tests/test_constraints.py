"""constraints.txt pins all that an installation brings, and nothing but versions stands in it."""

import re
import sys
import sysconfig
import tomllib
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.helpers.command import REPOSITORY

LINES = (REPOSITORY / "constraints.txt").read_text().splitlines()
PINS = {
    canonicalize_name(name): version
    for name, _, version in (line.partition("==") for line in LINES if not line.startswith("#"))
}
HAS_MADE_IT = Path(sys.prefix) == REPOSITORY / ".venv" and (REPOSITORY / ".venv/installed").is_file()


@pytest.fixture
def constraints(monkeypatch):
    """The command that writes the file, as a module."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "deploy"))
    return import_module("constraints")


def test_each_line_is_a_name_and_a_version():
    lines = [line for line in LINES if not line.startswith("#")]
    pattern = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+")  # no address, no local version
    assert not [line for line in lines if not pattern.fullmatch(line)]
    assert len(lines) == len(PINS) and not [line for line in LINES if "://" in line or "@" in line]
    assert list(PINS) == sorted(PINS)


def test_what_is_asked_for_is_pinned_and_allowed(constraints):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for name, lines in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for one in map(Requirement, lines if name not in constraints.LEFT_OUT else ()):
            assert one.name == "niah" or Version(PINS[canonicalize_name(one.name)]) in one.specifier, (name, one)


def test_what_is_asked_for_leads_to_nothing_that_is_not_pinned(constraints):
    """The whole tree, as this environment has it."""
    here = here_by(constraints)
    assert len(here) > 100 and not {*map(canonicalize_name, here)} - PINS.keys(), "make constraints pins them"


def here_by(constraints) -> dict[str, str]:
    """What this environment has of the tree, whichever engine is in it."""
    return {name: version for engine in constraints.ENGINES for name, version in constraints.installed(engine).items()}


@pytest.mark.skipif(not HAS_MADE_IT, reason="another environment than that of make setup")
def test_make_setup_installs_nothing_that_is_not_pinned(constraints):
    packages = (REPOSITORY / "packages.txt").read_text().splitlines()
    data = {canonicalize_name(line.split("==")[0]) for line in packages if "==" in line}
    places = [sysconfig.get_path("purelib")]  # ray, once imported, puts packages of its own on sys.path
    there = {canonicalize_name(one.metadata["Name"]) for one in distributions(path=places)}
    assert there - PINS.keys() - data <= {"niah", "pip", "wheel"}
    versions = {canonicalize_name(name): version for name, version in here_by(constraints).items()}
    assert versions == {name: PINS[name] for name in versions}


def test_a_tree_is_followed_through_extras_and_markers(constraints):
    found = dict(constraints.needed(["ray[default]", "not-here", "pytest; python_version < '3'"]))
    assert {"ray", "aiohttp", "msgpack"} <= found.keys() and "pytest" not in found

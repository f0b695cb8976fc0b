"""Which vLLM may be installed, and what is said of another."""

import tomllib

import pytest
from packaging.requirements import Requirement

from niah.engines.vllm import versions
from tests.helpers.command import REPOSITORY
from tests.helpers.configs import built


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ("0.32.0", ""), ("0.33.0", ""), ("0.33.1.post1", ""), ("0.32.1", ""), ("0.33.0+cpu", ""), ("", ""),
        ("0.31.0", "is older than those that niah was run with (0.32 to 0.33)"),
        ("0.35.1", "vLLM 0.35.1 is newer than those that niah was run with (0.32 to 0.33)"),
        ("1.0.0", "is newer"), ("0.34.0rc1.dev7+gabcdef", "is newer"), ("dev", "is a build of its own"),
    ],
)
def test_another_version_than_those_tried_is_told(found, told):
    line = versions.untested(found)
    assert told in line and bool(line) == bool(told) and "\n" not in line


@pytest.mark.parametrize("extra", ["vllm", "cpu"])
def test_pyproject_allows_what_was_tried(extra):
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wanted = Requirement(settings["project"]["optional-dependencies"][extra][0]).specifier
    oldest, newest = (".".join(map(str, one)) for one in (versions.OLDEST, versions.NEWEST))
    assert all(wanted.contains(one) for one in (f"{oldest}.0", f"{newest}.0", f"{newest}.9"))
    assert not any(wanted.contains(f"0.{minor}.0") for minor in (versions.OLDEST[1] - 1, versions.NEWEST[1] + 1))


def test_the_installed_one_was_tried():
    assert versions.installed() and not built().engine.notes()

"""deploy/release.sh: from a commit to a wheel that a stranger installs, and to a heatmap."""

import subprocess

import pytest

from tests.helpers.command import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path):
    """A clone of the last commit: a release is made of nothing else."""
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(tmp_path / "clone")], check=True, timeout=120)
    return tmp_path / "clone"


def released(checkout, *words):
    command = ["bash", "deploy/release.sh", *words]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=900)


def test_the_wheel_alone_makes_a_heatmap(checkout):
    done = released(checkout)
    if "cannot be fetched" in done.stderr:
        pytest.skip("no package index here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("PASSED") == 2
    assert done.stdout.splitlines()[-1].endswith("is whole as wheel and source, and makes a heatmap")
    assert {file.suffix for file in (checkout / "dist").iterdir()} == {".whl", ".gz"}


def test_changes_that_no_commit_has_are_no_release(checkout):
    (checkout / "README.md").write_text("Hello, world")
    done = released(checkout)
    assert done.returncode == 1 and "the working tree has changes" in done.stderr and not (checkout / "dist").exists()


def test_odd_extras_are_refused(checkout):
    done = released(checkout, "cpu; echo this is fine")
    assert done.returncode == 1 and done.stderr.startswith("release: EXTRAS: got cpu; echo")

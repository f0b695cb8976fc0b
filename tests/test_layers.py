"""Imports point one way, and heavy libraries stay where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, environment_with

PACKAGE = REPOSITORY / "niah"
FILES = sorted(PACKAGE.rglob("*.py"))
ONLY_IN = {
    "ray": ("engines/replicas.py",),
    "vllm": ("engines/vllm.py", "engines/vllm_session.py", "engines/grading.py", "engines/exact.py"),
    "hydra": ("compose.py", "config.py"),
    "omegaconf": ("compose.py", "config.py"),
    "matplotlib": ("report/",),
    "scipy": ("stats/", "tasks/aggregate.py"),
    "statsmodels": ("stats/",),
    "transformers": ("tokens.py", "weights.py", "engines/exact.py", "engines/transformers", "readers/embedders.py"),
    "bm25s": ("readers/bm25.py",),
    "Stemmer": ("readers/words.py",),
    "wordllama": ("readers/embedders.py",),
    "sentence_transformers": ("readers/embedders.py", "readers/rerank.py"),
    "faiss": ("readers/hnsw.py",),
    "torch": ("weights.py", "engines/exact.py", "engines/transformers", "calibration/checkpoint.py"),
    "httpx2": ("engines/openai_http.py",),
}
LOW = ("records.py", "errors.py", "units.py", "tokens.py", "splice.py", "context.py", "prompt.py", "plan.py")
HIGH = ("niah.cli", "niah.runner", "niah.engines", "niah.report", "niah.store", "niah.recipe", "niah.config", "niah.stats")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_stay_in_their_places(path):
    place = str(path.relative_to(PACKAGE))
    for library, places in ONLY_IN.items():
        if any(name == library or name.startswith(library + ".") for name in imported(path)):
            assert place.startswith(places), f"{place} imports {library}"
    if place in LOW:
        assert not {name for name in imported(path) if name.startswith(HIGH)}, f"{place} looks up a layer"
    if place.startswith(("report/", "stats/")):
        forbidden = ("niah.recipe", "niah.engines", "niah.tokens", "niah.haystacks", "niah.runner")
        assert not {name for name in imported(path) if name.startswith(forbidden)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_one_responsibility_a_file(path):
    assert len(path.read_text().splitlines()) <= 260
    assert ast.get_docstring(ast.parse(path.read_text()))


def loaded_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(\"modules:\", *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment_with()
    )
    return set(done.stdout.rpartition("modules:")[2].split())


def test_help_loads_nothing_heavy():
    modules = loaded_by("from niah.cli import main; main(['--help'])")
    assert not modules & {"torch", "vllm", "transformers", "hydra", "numpy", "matplotlib"}


def test_planning_needs_no_torch():
    modules = loaded_by("from niah.cli import main; main(['plan', 'model=scout', 'ctx=10m', 'hardware=8xh100'])")
    assert not modules & {"torch", "vllm", "transformers", "matplotlib"}


def test_building_prompts_needs_no_torch():
    modules = loaded_by(
        "import sys; sys.path.insert(0, 'tests')\n"
        "import niah.recipe, niah.show, niah.report.heatmap, niah.config, niah.readers.route\n"
        "from niah import tiktokens; tiktokens.llama4_tokenizer().encode('x')"
    )
    assert not modules & {"torch", "vllm", "transformers", "bm25s", "wordllama", "sentence_transformers"}


def test_searching_for_words_loads_no_numba():
    # vLLM on a CPU does not start once numba is loaded
    modules = loaded_by("from niah.readers import bm25; bm25._library()\nimport wordllama, Stemmer")
    assert "bm25s" in modules and not modules & {"numba", "llvmlite", "torch"}

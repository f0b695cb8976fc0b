"""The rooms of the house: what lies at the root, who may import whom, and where heavy libraries stay."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from niah.cli import VERBS
from tests.helpers.command import REPOSITORY, environment_with

PACKAGE = REPOSITORY / "niah"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOT = {
    "__init__", "__main__", "cli", "config", "content", "choices", "records", "grid", "disk", "errors", "limits",
    "origin", "secrets", "terminal", "units", "values",
}
"""All that may lie at the root of niah/: a verb is a file in commands/, a method one in its plug-in's folder."""
FLOORS = (
    ("errors", "secrets"),
    ("content", "limits", "origin", "terminal", "units", "values"),
    ("records",),
    ("choices", "environment", "disk", "grid", "languages", "stats", "tokens"),
    ("scorers", "models", "haystacks"),
    ("tasks", "readers", "planner"),
    ("report", "engines"),
    ("config",),
    ("prompts",),
    ("runs",),
    ("commands",),
    ("cli", "api"),
    ("__main__", "__init__"),
)
"""From the bottom up. A file imports files of its own room and of floors below, never of another room on its floor."""
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
ONLY_IN = {
    "ray": ("engines/replicas/",),
    "vllm": ("engines/vllm/",),
    "hydra": ("commands/hydra.py", "values.py"),
    "omegaconf": ("commands/hydra.py", "values.py", "config.py", "choices.py"),
    "matplotlib": ("report/",),
    "pandas": ("api/",),
    "scipy": ("stats/", "tasks/aggregate.py"),
    "statsmodels": (),
    "transformers": (
        "tokens/", "models/", "planner/transformers.py", "engines/vllm/exact.py", "engines/transformers/",
        "readers/retrieval/embedders.py",
    ),
    "bm25s": ("readers/bm25.py",),
    "Stemmer": ("readers/retrieval/words.py",),
    "wordllama": ("readers/retrieval/embedders.py",),
    "sentence_transformers": ("readers/retrieval/embedders.py", "readers/retrieval/cross_encoder.py"),
    "torch": ("models/", "engines/vllm/exact.py", "engines/transformers/"),
    "httpx2": ("engines/openai/http.py", "readers/retrieval/http.py"),
}
STILL_IN_CIRCLES: set[str] = set()


def module_of(path: Path) -> str:
    return ".".join(("niah", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@cache
def imported(path: Path) -> frozenset[str]:
    """Every dotted name that the file imports, inside functions and under TYPE_CHECKING too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{name_of(path)}: a relative import"
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    return frozenset(names)


@cache
def neighbours(path: Path) -> frozenset[Path]:
    """The files of niah that it imports: of ``from niah.a import b`` the module b where there is one, else a."""
    found = {MODULES[name] for name in imported(path) if name in MODULES}
    passed = {name.rpartition(".")[0] for name in imported(path) if name in MODULES}
    plain = {name for name in imported(path) if name.rpartition(".")[0] in MODULES and name not in MODULES}
    wanted = {MODULES[name.rpartition(".")[0]] for name in plain}
    packages = {MODULES[name] for name in passed if name in MODULES} - wanted
    return frozenset(found - packages - {path, PACKAGE / "__init__.py"})


def circles() -> list[set[Path]]:
    """Groups of files each of which reaches every other by imports (strongly connected components, by reachability)."""
    reach: dict[Path, set[Path]] = {}
    for path in FILES:
        seen, todo = set(), [path]
        while todo:
            for other in neighbours(todo.pop()) - seen:
                seen.add(other)
                todo.append(other)
        reach[path] = seen
    groups = {
        frozenset(other for other in reach[path] if path in reach[other]) for path in FILES if path in reach[path]
    }
    return [set(group) for group in groups]


def test_the_root_holds_a_fixed_list_of_names():
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOT
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__", "architectures"} <= LEVEL.keys()


def test_each_verb_is_one_file_or_one_folder_of_commands():
    shared = {"__init__", "words", "hydra", "help", "fields", "meant", "fault", "results", "page", "budget", "caller",
              "unanswered"}
    there = {path.stem for path in (PACKAGE / "commands").iterdir()} - {"__pycache__"} - shared
    assert {module.partition(".")[0] for module in VERBS.values()} == there
    for module in VERBS.values():
        path = MODULES[f"niah.commands.{module}"]
        assert "main" in {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


ASKED_BY_NAME = {
    "choices.py": "what a _target_ names in its module; where YAML stopped, which only some of its errors know",
    "commands/compare/pairs.py": "columns of rows by the names of a key",
    "commands/hydra.py": "an exception of Hydra's, only some of which name the word",
    "config.py": "the name of a type, for a message",
    "engines/transformers/cache.py": "layers of a transformers cache, which differ by architecture",
    "engines/transformers/session.py": "dtypes of torch by name, parts of a transformers config",
    "engines/vllm/drafts.py": "a field that only some versions of vLLM have",
    "engines/vllm/exact.py": "classes and layers of vLLM, which differ by architecture",
    "engines/vllm/grading.py": "a field that only some versions of vLLM have",
    "engines/vllm/session.py": "a field that only some versions of vLLM have",
    "engines/vllm/worker.py": "layers of vLLM, which differ by backend",
    "limits.py": "the fields of any settings class",
    "models/gguf.py": "the function of a package that a model's path names",
    "models/speculation.py": "the settings that a method takes",
    "planner/architecture.py": "counts of parameters by the part of a layer",
    "report/memory_chart.py": "the parts of a need by name, one bar each",
    "runs/columns.py": "the fields of a dataclass of arrays",
    "runs/record.py": "the fields of the parts of run.json",
    "stats/comparison.py": "the fields of a dataclass of arrays",
}
"""Files that ask an object for an attribute by its name, and what object: never a plug-in, whose base class has all."""


def test_attributes_are_asked_by_name_only_where_said():
    asking = {
        name_of(path) for path in FILES for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id in ("hasattr", "getattr")
    }
    assert asking == ASKED_BY_NAME.keys()


def test_all_that_is_printed_goes_one_way():
    allowed = {"terminal.py", "engines/vllm/exact.py"}  # the second: a process of its own, which answers on its stdout
    for path in FILES:
        printed = [
            node for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        ]
        assert not printed or name_of(path) in allowed, name_of(path)


def test_only_commands_say_anything_on_stdout():
    for path in FILES:
        said = [
            node for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("say", "terminal.say")
            and "file" not in {keyword.arg for keyword in node.keywords}
        ]
        assert not said or room_of(path) in ("commands", "cli"), name_of(path)


def test_imports_point_down():
    up = {
        (name_of(path), name_of(other)) for path in FILES for other in neighbours(path)
        if room_of(other) != room_of(path) and LEVEL[room_of(other)] >= LEVEL[room_of(path)]
    }
    assert not up


def test_no_file_imports_itself_through_others():
    assert {name_of(path) for circle in circles() for path in circle} == STILL_IN_CIRCLES


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_libraries_stay_in_their_rooms(path):
    for library, places in ONLY_IN.items():
        if any(name == library or name.startswith(library + ".") for name in imported(path)):
            assert name_of(path).startswith(places), f"{name_of(path)} imports {library}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_file_says_what_it_is_for(path):
    assert len((ast.get_docstring(ast.parse(path.read_text())) or "").strip(". ")) > 10


def loaded_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(\"modules:\", *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment_with()
    )
    return set(done.stdout.rpartition("modules:")[2].split())


def test_help_loads_nothing_heavy():
    modules = loaded_by("from niah.cli import main; main(['--help'])")
    assert not modules & {"torch", "vllm", "transformers", "hydra", "numpy", "matplotlib", "omegaconf", "dataclasses"}
    more = "main(['help', 'compare']); main(['plan', '--help']); main(['completion', 'words', 'niah ctx.'])"
    modules = loaded_by(f"from niah.cli import main; {more}")
    assert not modules & {"torch", "vllm", "transformers", "hydra", "numpy", "matplotlib", "omegaconf", "yaml"}


def test_niah_in_python_loads_what_is_asked_for():
    modules = loaded_by("import niah; assert 'run' in dir(niah) and niah.__version__")
    assert not modules & {"torch", "hydra", "numpy", "matplotlib", "omegaconf", "dataclasses", "niah.api"}
    modules = loaded_by("import niah; niah.load")
    assert not modules & {"torch", "vllm", "transformers", "matplotlib", "pandas", "scipy"}


def test_a_report_without_a_test_loads_no_statistics_library():
    modules = loaded_by("import niah.commands.list, niah.commands.report, niah.commands.ruler.ruler")
    assert not modules & {"scipy.stats", "scipy.optimize", "torch", "vllm", "transformers"}


def test_a_run_starts_without_statistics_and_without_http():
    """Seconds until the first prompt: both are loaded where they are used."""
    used = "niah.engines.fake, niah.tasks.single, niah.haystacks.generated, niah.readers.full, niah.readers.bm25"
    modules = loaded_by(f"import niah.commands.run, {used}")
    assert "niah.runs.measure" in modules
    assert not modules & {"scipy", "httpx2", "httpx", "matplotlib", "torch", "vllm", "transformers", "ray"}


def test_planning_needs_no_torch():
    modules = loaded_by("from niah.cli import main; main(['plan', 'model=scout', 'ctx=10m', 'hardware=8xh100'])")
    assert not modules & {"torch", "vllm", "transformers", "matplotlib"}


def test_building_prompts_needs_no_torch():
    modules = loaded_by(
        "import niah.prompts.recipe, niah.commands.show, niah.report.heatmap, niah.config, niah.readers.route\n"
        "from niah.tokens import tiktokens; tiktokens.llama4_tokenizer().encode('x')"
    )
    assert not modules & {"torch", "vllm", "transformers", "bm25s", "wordllama", "sentence_transformers"}


def test_searching_for_words_loads_no_numba():
    # vLLM on a CPU does not start once numba is loaded
    modules = loaded_by("from niah.readers import bm25; bm25._library()\nimport wordllama, Stemmer")
    assert "bm25s" in modules and not modules & {"numba", "llvmlite", "torch"}

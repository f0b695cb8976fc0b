"""How the code is laid out, in figures: files, import circles, arrows between rooms, and the way of one trial.

    python benchmarks/structure.py [--tree DIR]

``--tree`` is a checkout of any version; without it this one is measured. Of the source it reads imports, those inside
functions and under TYPE_CHECKING too. A room is what lies at the root of niah/: a folder, or a file by itself.

One trial is measured while it runs: ``python -m niah engine=fake`` with four repeats of one cell, traced by
``sys.setprofile``. A trial is what happens from the moment that one row is on disk until the next one is, so its
prompt, its answer and its row are in it, and no function of niah has to be known by name: a row is on disk when
``os.fsync`` was called on rows.jsonl. The second trial is reported; before the first row, tokenizer and haystack are
loaded. A hop is a call from a function of one file into a function of another, whatever lies between them (a library,
a generator that goes on); the way back is not counted, nor is what runs because a module is imported.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
WORDS = ("engine=fake", "ctx.lengths=[1k]", "ctx.depths=[50]", "ctx.repeats=4", "report.formats=[]", "name=traced")
REPORTED = 1
"""The trial whose way is reported, counted from 0."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tree", type=Path, default=REPOSITORY, help="a checkout of niah; this one if not given")
    parser.add_argument("--traced", type=Path, help=argparse.SUPPRESS)  # the process that runs niah, for its figures
    chosen = parser.parse_args()
    if chosen.traced:
        trace(chosen.tree.resolve() / "niah", chosen.traced)
        return
    package = chosen.tree.resolve() / "niah"
    if not package.is_dir():
        parser.error(f"--tree: no folder niah in {chosen.tree}")
    figures = {**source_figures(package), **trial_figures(package)}
    for name, value in figures.items():
        print(f"{name:<60} {value:>8,}")


def source_figures(package: Path) -> dict[str, int]:
    """What can be counted without running anything."""
    files = sorted(package.rglob("*.py"))
    arrows = imports(package, files)
    crossing = {(one, other) for one in files for other in arrows[one] if room(package, one) != room(package, other)}
    circles = groups(arrows)
    return {
        "files at the root of niah/": len(list(package.glob("*.py"))),
        "files of niah/": len(files),
        "lines of niah/": sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files),
        "rooms": len({room(package, file) for file in files}),
        "import circles": len(circles),
        "files in import circles": sum(map(len, circles)),
        "arrows between rooms, from file to file": len(crossing),
        "arrows between rooms, from room to room": len({(room(package, a), room(package, b)) for a, b in crossing}),
    }


def room(package: Path, file: Path) -> str:
    return file.relative_to(package).with_suffix("").parts[0]


def imports(package: Path, files: list[Path]) -> dict[Path, set[Path]]:
    """The files of niah that each file imports: of ``from niah.a import b`` the module b where there is one, else a."""
    modules = {}
    for file in files:
        parts = file.relative_to(package.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    found: dict[Path, set[Path]] = {}
    for file in files:
        names: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= inner & modules.keys()
                if not inner <= modules.keys():
                    names.add(node.module)
        found[file] = {modules[name] for name in names if name in modules} - {file, package / "__init__.py"}
    return found


def groups(arrows: dict[Path, set[Path]]) -> list[frozenset[Path]]:
    """Files each of which reaches every other of its group by imports."""
    reach: dict[Path, set[Path]] = {}
    for file in arrows:
        seen: set[Path] = set()
        todo = [file]
        while todo:
            new = arrows[todo.pop()] - seen
            seen |= new
            todo += new
        reach[file] = seen
    return list({
        frozenset(other for other in reach[file] if file in reach[other]) for file in reach if file in reach[file]
    })


def trial_figures(package: Path) -> dict[str, int]:
    """What a run shows, in a process of its own that finds this niah and no other."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "figures.json"
        done = subprocess.run(
            [sys.executable, __file__, "--tree", str(package.parent), "--traced", str(result)], cwd=folder,
            capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(package.parent)},
        )
        if not result.is_file():
            sys.exit(f"the run of {package.parent} left no figures: {(done.stderr or done.stdout)[-2000:]}")
        figures: dict[str, int] = json.loads(result.read_text())
        return figures


class Thread(threading.local):
    """Of each thread: the files of niah whose functions it is in, and how many modules it is importing."""

    def __init__(self) -> None:
        self.stack: list[str] = []
        self.num_imports = 0


class Way:
    """Counts, between one row on disk and the next, the files that are entered and the calls between them."""

    def __init__(self, package: Path):
        self._prefix = str(package) + os.sep
        self._files: dict[CodeType, str] = {}
        self._thread = Thread()
        self.num_rows = 0
        self.entered: dict[int, set[str]] = defaultdict(set)
        self.hops: dict[int, int] = defaultdict(int)
        self.room_hops: dict[int, int] = defaultdict(int)

    def profile(self, frame: FrameType, event: str, argument: object) -> None:
        """What sys.setprofile calls: enters and leaves functions of niah, resumed generators among them."""
        if event not in ("call", "return"):
            return
        file = self._files.get(frame.f_code)
        if file is None:
            path = frame.f_code.co_filename
            file = self._files[frame.f_code] = path.removeprefix(self._prefix) if path.startswith(self._prefix) else ""
        if not file:
            return
        thread, is_module = self._thread, frame.f_code.co_name == "<module>"
        if event == "call":
            thread.num_imports += is_module
            if not thread.num_imports:
                self._count(thread.stack[-1] if thread.stack else "", file)
            thread.stack.append(file)
        elif thread.stack:  # empty for what was entered before the profiler was
            thread.num_imports -= is_module
            thread.stack.pop()

    def _count(self, caller: str, file: str) -> None:
        self.entered[self.num_rows].add(file)
        if caller and caller != file:
            self.hops[self.num_rows] += 1
            self.room_hops[self.num_rows] += Path(caller).parts[0] != Path(file).parts[0]

    def figures(self) -> dict[str, int]:
        """Of the reported trial, and of the whole run."""
        files = self.entered[REPORTED]
        return {
            "files that one trial enters": len(files),
            "rooms that one trial enters": len({Path(file).with_suffix("").parts[0] for file in files}),
            "hops of one trial from file to file": self.hops[REPORTED],
            "hops of one trial from room to room": self.room_hops[REPORTED],
            "files that the whole run enters": len(set().union(*self.entered.values())),
        }


def trace(package: Path, result: Path) -> None:
    """Runs niah here, under the profiler, and writes the figures to ``result``."""
    way = Way(package)
    vars(os)["fsync"] = noticing(os.fsync, Path("outputs/traced/rows.jsonl"), way)
    elsewhere = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]
    sys.path = [str(package.parent), *elsewhere]
    from niah import cli

    if Path(str(cli.__file__)).parent != package:
        sys.exit(f"imported {cli.__file__}; expected the niah of {package.parent}")
    threading.setprofile(way.profile)
    sys.setprofile(way.profile)
    try:
        cli.main([*WORDS])
    except SystemExit as stopped:
        if stopped.code:
            raise
    finally:
        sys.setprofile(None)
    if way.num_rows < REPORTED + 2:
        sys.exit(f"saw {way.num_rows} rows reach the disk; expected {REPORTED + 2} or more")
    result.write_text(json.dumps(way.figures()))


def noticing(fsync: Callable[[Any], None], rows: Path, way: Way) -> Callable[[Any], None]:
    """``os.fsync`` that counts the rows as they reach the disk."""

    def noticed(file: Any) -> None:
        fsync(file)
        if rows.is_file() and os.path.samestat(os.fstat(file), rows.stat()):
            way.num_rows += 1

    return noticed


if __name__ == "__main__":
    main()

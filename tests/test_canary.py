"""Values that nobody must see go through every path of a command; then every file, picture, log, cache, word on a
terminal and command line of a process is searched for them."""

import base64
import importlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import pytest

from niah import disk
from tests.helpers.command import FAKE, command, environment_with
from tests.helpers.http_server import Loopback

SECRETS = {
    "OPENAI_API_KEY": "sk-canary-0d3b71", "VLLM_API_KEY": "vk-canary-4e19aa", "HF_TOKEN": "hf_canary9c2e66",
    "AWS_SECRET_ACCESS_KEY": "aws/canary+77f0=", "DB_PASSWORD": "pw-canary-58bd12", "GIVEN": "given-canary-a1b2c3",
    "DATABASE_URL": "postgres://me:url-canary-31c4@db/x",
}
WANTED = {**SECRETS, "DATABASE_URL": "url-canary-31c4", "in an address": "adr-canary-90ef"}
PAGE_BLOCK = re.compile(rb'<script type="text/plain" id="[tx]-[^"]*">([^<]*)</script>')
LEAKY = '''
import os
import sys
from dataclasses import dataclass

from niah.engines import Session
from niah.engines.fake import Fake
from niah.records import Completion, Failure, Outcome

ALL = " ".join(os.environ.get(name, "") for name in {names!r})


@dataclass(frozen=True)
class Leaky(Fake):
    """Says all it knows wherever it can."""

    name: str = "leaky"
    breaks: bool = False

    def open(self, job):
        print(ALL, flush=True)
        print(ALL, file=sys.stderr, flush=True)
        if self.breaks:
            raise LookupError(ALL)
        return Telling()


class Telling(Session):
    served = {{"engine": "leaky", "told": ALL}}

    def generate(self, prompts):
        for key, prompt in prompts:
            print("answering with", ALL, flush=True)
            if key == 1:
                yield key, Failure(Outcome.ENGINE_ERROR, "refused: " + ALL, 0.1)
            else:
                yield key, Completion(prompt.targets[0] + " " + ALL, 3, len(prompt.ids), 0, "stop", 0.1, 0.1)

    def facts(self):
        return {{**self.served, "more": [ALL]}}
'''
EXPERIMENT = """# @package _global_
model:
  label: Model ${oc.env:GIVEN}
task:
  question: Who has ${oc.env:GIVEN}? {key}
  needle: '{key} has {value}, not ${oc.env:GIVEN}.'
report:
  formats: [svg, png, pdf]
"""
EXPORTS = ("every_eval_ever", "inspect", "lm_eval", "hf_eval_results", "parquet")
GRID = (*FAKE[:2], "ctx.lengths=[512,1k]", "ctx.depths=[0,50]", "report.formats=[svg,png]")


class Echoing(Loopback):
    """A server that repeats the key it is given: in its names, in answers whole, in pieces and escaped, in errors."""

    def __init__(self) -> None:
        self.num = 0

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _Echo


class _Echo(BaseHTTPRequestHandler):
    own: Echoing
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    @property
    def key(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    def do_GET(self) -> None:
        pages = {"/v1/models": f'{{"data": [{{"id": "m-{self.key}", "owned_by": "vllm", "max_model_len": 8192}}]}}',
                 "/version": f'{{"version": "9 {self.key}"}}', "/metrics": f"# {self.key}\n"}
        self._send(200 if self.path in pages else 404, pages.get(self.path, f"no {self.path} for {self.key}"))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.own.num += 1
        way, half = self.own.num % 5, len(self.key) // 2
        usage = '"usage": {"prompt_tokens": 480, "completion_tokens": 2}'
        if way == 0:
            self._send(400, f'{{"error": {{"message": "Authorization: Bearer {self.key} is not allowed this"}}}}')
        elif way == 1:
            self._send(200, f'{{"choices": [{{"text": "it is {self.key}", "finish_reason": "stop"}}], {usage}}}')
        elif way == 2:
            escaped = "".join(f"\\u{ord(one):04x}" for one in self.key)
            self._send(200, f'{{"choices": [{{"text": "{escaped}", "finish_reason": "{escaped}"}}], {usage}}}')
        elif way == 3:
            events = [f'{{"choices": [{{"text": "{part}"}}]}}' for part in (self.key[:half], self.key[half:])]
            events += [f'{{"choices": [{{"text": "", "finish_reason": "stop"}}], {usage}}}', "[DONE]"]
            self._send(200, "".join(f"data: {event}\n\n" for event in events), "text/event-stream")
        else:
            self._send(500, f"<html>{self.key}</html>")

    def _send(self, status: int, text: str, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.send_header("x-echo", self.key)
        self.end_headers()
        self.wfile.write(text.encode())


@dataclass
class Search:
    """Where was searched, and what was found: (place, name of the value)."""

    num_files: int = 0
    num_bytes: int = 0
    num_commands: int = 0
    finds: list[tuple[str, str]] = None

    def look(self, place: str, data: bytes) -> None:
        self.num_bytes += len(data)
        for name, value in WANTED.items():
            forms = {value, quote(value, safe=""), base64.b64encode(value.encode()).decode().rstrip("="),
                     "".join(f"\\u{ord(one):04x}" for one in value)}
            if any(form.encode() in data for form in forms) or value.encode("utf-16-le") in data:
                self.finds.append((place, name))

    def look_below(self, folder: Path) -> None:
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                self.num_files += 1
                data = file.read_bytes()
                self.look(str(file), data)
                for block in PAGE_BLOCK.findall(data) if file.suffix == ".html" else ():
                    self.look(f"{file}, a block of trials", zlib.decompress(base64.b64decode(block), -15))

    def __str__(self) -> str:
        return (f"canary: {self.num_commands} commands, {self.num_files} files, {self.num_bytes:,} bytes searched for "
                f"{len(WANTED)} values in five forms each: {len(self.finds)} finds {self.finds[:5]}")


@contextmanager
def process_list(seen: set[bytes]) -> Iterator[None]:
    """The command lines of all processes while the block runs."""
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.05):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    seen.add(Path("/proc", pid, "cmdline").read_bytes())
                except OSError:
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


class Bed:
    """A place of its own for all that commands write, with the values in their environment."""

    def __init__(self, folder: Path):
        self.folder, self.search, self.lines = folder, Search(finds=[]), set()
        (folder / "own/experiment").mkdir(parents=True)
        (folder / "own/engine").mkdir()
        (folder / "own/leaky.py").write_text(LEAKY.format(names=[*SECRETS]))
        (folder / "own/engine/leaky.yaml").write_text("_target_: leaky.Leaky\nname: leaky\n")
        (folder / "own/experiment/mine.yaml").write_text(EXPERIMENT)
        (folder / "own/policy.yaml").write_text("bounds: [{max_loss: 0.1, min_accuracy: 0.5}]\n")
        for name in ("home", "tmp", "cache"):
            (folder / name).mkdir()
        if (models := disk.root() / "models").is_dir():  # a conversion takes a minute, and knows nothing of the values
            (folder / "cache/models").symlink_to(models)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        places = {"HOME": "home", "TMPDIR": "tmp", "NIAH_CACHE": "cache", "XDG_CACHE_HOME": "xdg", "RAY_TMPDIR": "ray"}
        own = {name: str(self.folder / place) for name, place in places.items()}
        done = subprocess.run(
            command(*words), cwd=self.folder, env=environment_with(**{**SECRETS, **own, **environment}),
            capture_output=True, timeout=400, stdin=subprocess.DEVNULL,
        )
        self.search.num_commands += 1
        for stream in (done.stdout, done.stderr):
            self.search.look(f"said by {' '.join(words)[:60]}", stream)
        return done

    def rows(self, name: str) -> list[str]:
        file = self.folder / "outputs" / name / "rows.jsonl"
        return file.read_text().splitlines() if file.is_file() else []

    def found(self) -> list[tuple[str, str]]:
        self.search.look_below(self.folder)
        for line in self.lines:
            self.search.look(f"process {line[:60]!r}", line)
        print(f"\n{self.search}; {len(self.lines)} command lines of processes")
        return self.search.finds


@pytest.fixture
def bed() -> Iterator[Bed]:
    folder = Path(tempfile.mkdtemp(prefix="c", dir="/tmp"))  # Ray's sockets have to have a short path
    try:
        yield Bed(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def has(module: str) -> bool:
    try:
        return bool(importlib.import_module(module))
    except ImportError:
        return False


@pytest.mark.slow
def test_no_path_of_a_command_leaves_a_secret_anywhere(bed):
    mine = ("--config-dir", "own", "experiment=mine", *GRID)
    leaky = (*mine, "engine=leaky")
    with process_list(bed.lines), Echoing() as server:
        asked = ("engine.api_key_env=OPENAI_API_KEY", "engine.max_retries=0", "engine.wait_seconds=0")
        asked += ("engine.prompts=chat", "engine.min_counted=0", "model.answer_prefix=false")
        key = (*GRID, *server.words, *asked)
        assert b"trials ended without an answer" in bed.run(*leaky, "name=a").stderr
        assert bed.run(*mine, "name=b").returncode == 0
        for debug in ("0", "1"):
            assert bed.run(*leaky, "name=broken", "engine.breaks=true", NIAH_DEBUG=debug).returncode == 1
        for words in (
            ("show", "outputs/a"), ("show", "outputs/a", "--trial", "1"), ("report", "outputs/a"),
            ("report", "outputs"),
            ("list", "outputs"), ("list", "outputs", "format=json"), ("list", "outputs", "format=csv"),
            ("report", "outputs/a", "format=json"), ("report", "outputs/a", "format=csv"), ("rm", "outputs/a"),
            ("rescore", "outputs/a"), ("compare", "outputs/a", "outputs/b"), ("rag", "outputs/a", "outputs/b"),
            ("gate", "own/policy.yaml", "outputs/a", "outputs/b"),
            *(("export", "outputs/a", f"to={to}", "dataset=a/b") for to in EXPORTS),
            ("crosscheck", "outputs/b"), ("calibrate", "outputs/b"), ("power", *mine[2:]), ("prepare", *mine[2:]),
            ("plan", "model=qwen3_5_4b", "hardware=h100", "out=planned", "experiment=mine"),
        ):
            bed.run("--config-dir", "own", *words)
        bed.run("build", "out=made", "format=[ids,text,jsonl]", *GRID)
        bed.run(*key, "name=server")
        assert len(bed.rows("server")) > 2
        bed.run("serve-check", *key[2:])
        bed.run(*key, "name=wrong", OPENAI_API_KEY=SECRETS["VLLM_API_KEY"])
        for address in ("http://me:adr-canary-90ef@127.0.0.1:1/v1", "http://127.0.0.1:1/v1?api_key=adr-canary-90ef"):
            # typed into a command it stands in the process list, whatever niah does: here it comes by a file
            (bed.folder / "own/experiment/address.yaml").write_text(
                f"# @package _global_\nengine:\n  base_url: {address}\n"
            )
            assert bed.run("--config-dir", "own", "engine=openai", "experiment=address", *GRID[1:]).returncode == 1
            (bed.folder / "own/experiment/address.yaml").unlink()
        for group, name in (("engine", "args"), ("model", "extended_environment")):
            (bed.folder / "own/experiment/typed.yaml").write_text(
                f"# @package _global_\n{group}:\n  {name}:\n    hf_token: ${{oc.env:HF_TOKEN}}\n"
            )
            assert bed.run("--config-dir", "own", *GRID[1:], "engine=vllm", "experiment=typed").returncode == 1
        for launcher, module in (("joblib", "hydra_joblib_launcher"), ("submitit_local", "hydra_submitit_launcher")):
            if has(f"hydra_plugins.{module}"):
                bed.run(*leaky, "-m", "seed=1,2", f"hydra/launcher={launcher}")
        if has("ray"):
            done = bed.run(*mine, "engine.replicas=2", "name=replicas")
            assert done.returncode == 0, done.stderr
    assert not bed.found()
    page = (bed.folder / "outputs/a/report.html").read_bytes()
    assert len(PAGE_BLOCK.findall(page)) > 2 and (bed.folder / "outputs/index.html").is_file()
    record = (bed.folder / "outputs/a/run.json").read_text()
    assert "Who has ${oc.env:GIVEN}?" in record and "***" in record


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("is_apart", ["0", "1"])
def test_vllm_leaves_none_either(bed, is_apart):
    with process_list(bed.lines):
        done = bed.run(
            "--config-dir", "own", "experiment=mine", "haystack=noise", "ctx.lengths=[512]", "ctx.depths=[50]",
            "name=a", VLLM_ENABLE_V1_MULTIPROCESSING=is_apart, VLLM_LOGGING_LEVEL="DEBUG",
        )
    assert done.returncode == 0, done.stderr
    assert not bed.found()

"""The command as a user meets it, with the shipped fake engine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from niah import __version__, cli, languages
from tests.helpers.command import FAKE, command, comparable, environment_with, is_one_line, rows


def test_help_lists_verbs_and_choices(niah):
    done = niah("--help")
    assert done.returncode == 0
    for word in ("show", "report", "smollm2_135m", "fp8_e5m2", "10m"):
        assert word in done.stdout


def test_run_makes_everything_and_the_staircase_is_right(niah, tmp_path):
    done = niah(*FAKE, "name=a", "engine.window=600")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "outputs" / "a"
    assert {"run.json", "rows.jsonl", "heatmap.png", "heatmap.svg", "engine.log"} <= {f.name for f in folder.iterdir()}
    assert "heatmap: outputs/a/heatmap.png" in done.stdout and "15 trials in" in done.stdout
    for row in rows(folder):
        visible = row["needle_spans"][0][0] >= row["num_prompt_tokens"] - 600
        assert row["outcome"] == ("correct" if visible else "absent-claimed")
        assert row["num_prompt_tokens"] == row["length"] - 32
    run = json.loads((folder / "run.json").read_text())
    assert run["config"]["engine"]["window"] == 600 and run["config"]["kv"]["dtype"] == "bfloat16"
    assert run["environment"]["packages"]["tokenizers"] and run["sources"]["haystack_sha256"]
    assert not (tmp_path / ".hydra").exists() and not (tmp_path / "multirun").exists()


def test_same_settings_share_a_folder_and_run_once(niah, tmp_path):
    first, second = niah(*FAKE), niah(*FAKE, "report.dpi=50")
    assert "0 trials in" in second.stdout and "were done before" in second.stderr
    assert first.returncode == second.returncode == 0
    assert len([f for f in (tmp_path / "outputs").iterdir()]) == 1


@pytest.mark.slow
def test_other_settings_under_the_same_name_are_refused(niah, tmp_path):
    assert niah(*FAKE, "name=a").returncode == 0
    before = (tmp_path / "outputs" / "a" / "rows.jsonl").read_bytes()
    done = niah(*FAKE, "name=a", "engine.window=100", "seed=1")
    assert done.returncode == 1
    assert "engine.window (there 2048, now 100)" in done.stderr and "seed (there 0, now 1)" in done.stderr
    assert is_one_line(done)
    assert (tmp_path / "outputs" / "a" / "rows.jsonl").read_bytes() == before


def test_failed_trials_are_reported_and_tried_again(niah, tmp_path):
    done = niah(*FAKE, "name=a", "engine.fail_at=[2,7]")
    assert done.returncode == 5 and "2 of 15 trials ended without an answer" in done.stderr
    folder = tmp_path / "outputs" / "a"
    assert sorted(r["outcome"] for r in rows(folder)).count("engine-error") == 2
    assert niah(*FAKE, "name=a", "engine.fail_at=[2,7]").returncode == 0  # requests 0 and 1 of a new session
    assert "engine-error" not in {r["outcome"] for r in rows(folder)}
    assert len({r["trial"] for r in rows(folder)}) == len(rows(folder)) == 15
    assert len((folder / "failures.jsonl").read_text().splitlines()) == 2


@pytest.fixture(scope="module")
def whole_rows(tmp_path_factory):
    place = tmp_path_factory.mktemp("whole")
    done = subprocess.run(command(*FAKE, "name=whole"), cwd=place, env=environment_with(), capture_output=True)
    assert done.returncode == 0, done.stderr
    return comparable(rows(place / "outputs" / "whole"))


@pytest.mark.parametrize("sent", [
    signal.SIGKILL, *(pytest.param(sent, marks=pytest.mark.slow) for sent in (signal.SIGINT, signal.SIGTERM)),
])
def test_stopped_runs_continue_with_the_same_rows(niah, tmp_path, whole_rows, sent):
    settings = (*FAKE, "engine.seconds=0.2")
    process = subprocess.Popen(
        command(*settings, "name=cut"), cwd=tmp_path, env=environment_with(), stderr=subprocess.PIPE, text=True,
        # as in a terminal: a shell's background job, which may run these tests, passes on an ignored SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    file = tmp_path / "outputs" / "cut" / "rows.jsonl"
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text().count("\n") >= 4) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    if sent != signal.SIGKILL:
        assert process.returncode == 130 and errors.strip().splitlines()[-1].startswith("niah: stopped")
    num_kept = file.read_text().count("\n")
    assert 4 <= num_kept < 15
    done = niah(*settings, "name=cut")
    assert f"{15 - num_kept} of 15 trials to run" in done.stderr
    assert comparable(rows(tmp_path / "outputs" / "cut")) == whole_rows


def stopped(place, words: tuple[str, ...], is_busy: Callable[[], bool]) -> tuple[int, str]:
    """Exit code and last line of a command that gets SIGTERM as soon as it is busy.

    The signal is ignored when the command starts, as by the first process of a container.
    """
    process = subprocess.Popen(
        command(*words), cwd=place, env=environment_with(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    )
    while process.poll() is None and not is_busy():
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors.strip().splitlines()[-1]


@pytest.mark.slow
def test_building_takes_a_schedulers_stop_as_a_ctrl_c(tmp_path):
    words = ("build", "out=a", "model=smollm2_135m", "haystack=generated", "ctx.lengths=[8k]", "ctx.repeats=400")
    code, last = stopped(tmp_path, words, lambda: (tmp_path / "a" / "00003.npy").exists())
    assert code == 130 and last.startswith("niah: stopped")


def test_asking_a_server_takes_a_schedulers_stop_as_a_ctrl_c(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        taken: list[socket.socket] = []

        def is_asked() -> bool:
            with contextlib.suppress(BlockingIOError):
                taken.append(silent.accept()[0])
            return bool(taken)

        url = f"engine.base_url=http://127.0.0.1:{silent.getsockname()[1]}/v1"
        code, last = stopped(tmp_path, ("serve-check", url, "engine.timeout_seconds=600"), is_asked)
    assert code == 130 and last.startswith("niah: stopped")


def test_a_thread_may_call_main(capsys):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cli.main, ["--version"]).result() == 0
    assert capsys.readouterr().out.strip() == __version__


def test_two_processes_on_one_folder(niah, tmp_path):
    process = subprocess.Popen(
        command(*FAKE, "name=a", "engine.seconds=1"), cwd=tmp_path, env=environment_with(), stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "outputs" / "a" / "rows.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        done = niah(*FAKE, "name=a", "engine.seconds=1")
        assert done.returncode == 1 and "another process is running in this folder" in done.stderr
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_larger_grid_contains_the_smaller_one(niah, tmp_path):
    assert niah(*FAKE, "name=small").returncode == 0
    assert niah(*FAKE[:2], "ctx.lengths=[512,1k,2k,4k]", "ctx.depths=[0,10,25,50,75,100]", "name=large").returncode == 0
    small, large = (
        {(row["length"], row["depth"]): row["prompt_sha256"] for row in rows(tmp_path / "outputs" / name)}
        for name in ("small", "large")
    )
    assert small.items() <= large.items()


def test_show_rebuilds_and_verifies(niah, tmp_path):
    assert niah(*FAKE, "name=a").returncode == 0
    done = niah("show", "outputs/a", "--trial", "12")
    assert done.returncode == 0, done.stderr
    row = next(r for r in rows(tmp_path / "outputs" / "a") if r["trial"] == 12)
    fixed = ("verified", ">>>", "question:", "What is the special", "outcome:")
    for text in (row["prompt_sha256"], row["targets"][0], *fixed):
        assert text in done.stdout
    whole = niah("show", "outputs/a", "--trial=12", "--whole").stdout
    assert whole.count(row["targets"][0]) >= 2 and len(whole) > 8000
    file = tmp_path / "outputs" / "a" / "rows.jsonl"
    file.write_text(file.read_text().replace(row["prompt_sha256"], "0" * 64))
    done = niah("show", "outputs/a", "--trial", "12")
    assert done.returncode == 1 and "cannot be rebuilt" in done.stderr


@pytest.mark.slow
def test_report_draws_the_same_bytes_again_without_engine(niah, tmp_path):
    assert niah(*FAKE, "name=a").returncode == 0
    folder = tmp_path / "outputs" / "a"
    before = {name: (folder / name).read_bytes() for name in ("heatmap.png", "heatmap.svg")}
    program = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('vllm', 'torch', 'transformers', 'tokenizers'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from niah.cli import main; sys.exit(main(['report', 'outputs/a']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment_with(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert niah("report", "outputs/a", "report.formats=[pdf]").returncode == 0
    assert (folder / "heatmap.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_multirun_makes_one_folder_each(niah, tmp_path):
    done = niah("-m", *FAKE, "kv=bf16,fp8")
    assert done.returncode == 0, done.stderr
    names = sorted(f.name for f in (tmp_path / "outputs").iterdir() if f.is_dir())
    assert len(names) == 2 and "bf16" in names[0] and "fp8" in names[1]
    assert [f.name for f in tmp_path.iterdir()] == ["outputs"]


NAMES = languages.load("en")["latent"]["names"]
BAD = [
    (["model=gpt9"], "model=gpt9: no such choice; expected one of command_r_plus, command_r_plus_08_2024, custom, "),
    (["nonsense=1"], "nonsense: unknown key; expected name, outputs, seed or one of the groups ctx, "),
    (["ctx.lengths=[1k"], "ctx.lengths=[1k: not understood"), (["frobnicate"], "frobnicate: not understood"),
    (["ctx=9q"], "ctx=9q: no such choice; expected one of 10m, 128k"),
    (["ctx.lengths=[8q]"], "ctx.lengths[0]: not a length"),
    (["ctx.lengths=[16k]"], "above the limit of smollm2_135m; got 16,384; expected at most 8,192"),
    (["ctx.depths=[120]"], "ctx.depths: got 120; expected 0 to 100"), (["ctx.repeats=x"], "ctx.repeats"),
    (["ctx.lengths=[40]"], "do not fit"),
    (["task.max_tokens=512", "ctx.lengths=[512]"], "ctx.lengths=512: the answer takes 512 tokens, and none is left"),
    (["task=graph", "task.most=500", "ctx.lengths=[4k]"], "the answer takes 6,032 tokens, and none is left"),
    (["task.needle=" + "long {value} " * 300, "ctx.lengths=[512]"], "do not fit"),
    (["haystack=files"], "haystack.path: not given"), (["haystack=files", "haystack.path=none.txt"], "nothing to read"),
    (["task.value=green"], "the haystack already holds 'green'"), (["task.max_tokens=2"], "too few for the answer"),
    (["model.path=nowhere", "model.max_length=8k"], "model.path: no such folder"),
    (["model.path=nowhere"], "model.path: no such folder"),
    (["model.path=a/b"], "model.max_length: not given"), (["outputs=/dev/null/x"], "cannot be written"),
    (["task=multikey", "task.num_keys=60", "ctx.lengths=[512]"], "of 60 needles; expected a longer length, or fewer"),
    (["task.language=fr"], "task.language: got 'fr'"),
    (["haystack=essays", "haystack.repeat=forbid", "model=scout", "ctx=1m"], "haystack=mixed"),
    (["haystack.order=backwards"], "haystack.order: got 'backwards'; expected coherent or shuffled"),
    (["task=latent", "haystack.sentences=Yuki " + " ".join(NAMES)], "the haystack holds too many of its names"),
    (["model.tokenizer=gpt9"], "model.tokenizer: got 'gpt9'; expected a folder, llama4, or one of"),
    (["kv=fp4"], "fp4"), (["engine._target_=os.system"], "engine._target_"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[str(words)[:40] for words, _ in BAD])
def test_bad_input_is_one_line(niah, words, message):
    usual = () if any(word.startswith("haystack=") for word in words) else ("haystack=noise",)
    done = niah("engine=fake", *usual, *words)
    assert done.returncode == 1
    assert message in done.stderr
    assert is_one_line(done) and done.stderr.strip().splitlines()[-1].startswith("niah: "), done.stderr
    assert "Traceback" not in done.stdout + done.stderr and "provider=" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show"], "which run?"), (["show", "nowhere"], "no run here"), (["report", "nowhere"], "no run here"),
        (["show", "a", "--trial", "x"], "expected the number of a trial"),
        (["report", "nowhere", "x=1"], "no run here"),
    ],
)
def test_bad_verbs_are_one_line(niah, words, message):
    done = niah(*words)
    assert done.returncode == 1 and message in done.stderr and is_one_line(done)


def test_a_package_that_is_missing_is_named(niah):
    done = niah("engine=fake", "model.path=package:no_such_package/x.gguf", "model.max_length=8k")
    assert done.returncode == 1 and "package no-such-package is not installed; pip install" in done.stderr
    done = niah("engine=fake", "haystack=essays", "haystack.path=gone.json")
    assert done.returncode == 1 and "haystack.path: no such file" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("build", "out=a", "model=scout"), ("engine=fake", "name=a")], ids=["source", "model"]
)
def test_full_disk_while_a_cache_is_filled(tmp_path, words):
    done = subprocess.run(
        ["bash", "-c", 'trap "" XFSZ; ulimit -f 64; exec "$@"', "bash", *command(*words, "haystack=noise")],
        cwd=tmp_path, env=environment_with(NIAH_CACHE=str(tmp_path / "cache")), capture_output=True, text=True,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "File too large" in last and "set NIAH_CACHE" in last, done.stderr
    assert "cannot be written; got" in last and "Traceback" not in done.stderr
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.suffix in (".npy", ".safetensors")]


@pytest.mark.slow
def test_an_experiment_folder_runs_each_of_its_files(niah, tmp_path):
    done = niah("experiment=ruler", "engine=fake", "ctx.lengths=[8k]", "ctx.depths=[50]")
    assert done.returncode == 0, done.stderr
    folders = [f.name for f in (tmp_path / "outputs").iterdir() if f.is_dir()]
    assert len(folders) == 13 and sum("multikey" in name for name in folders) == 3


def test_missing_engine_is_named(tmp_path):
    program = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'vllm': raise ImportError('No module named vllm')\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from niah.cli import main; sys.exit(main(['haystack=noise', 'ctx.lengths=[512]']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment_with(NIAH_RESTARTED="1"),
        capture_output=True, text=True,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "engine=vllm: vLLM cannot be imported (No module named vllm); run `make setup`" in done.stderr


def test_disk_full_keeps_what_was_measured(niah, tmp_path):
    settings = (*FAKE, "name=a")
    done = subprocess.run(  # a limit on file size stands in for a full disk: the write fails half-way
        ["bash", "-c", 'trap "" XFSZ; ulimit -f 8; exec "$@"', "bash", *command(*settings)],
        cwd=tmp_path, env=environment_with(), capture_output=True, text=True,
    )
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()[-1]) > 0
    assert "the same command continues" in done.stderr or "cannot be written" in done.stderr
    kept = (tmp_path / "outputs" / "a" / "rows.jsonl").read_text().count("\n")
    assert 0 < kept < 15
    assert niah(*settings).returncode == 0
    assert len(rows(tmp_path / "outputs" / "a")) == 15
    assert os.path.getsize(tmp_path / "outputs" / "a" / "heatmap.png") > 8192


@pytest.mark.slow
@pytest.mark.parametrize("is_same", [True, False], ids=["same software", "other software"])
def test_a_length_without_room_is_tried_again_where_it_has_some(niah, tmp_path, is_same):
    settings = ("engine=fake", "haystack=noise", "ctx.lengths=[512]", "ctx.depths=[0,100]", "name=room")
    assert niah(*settings).returncode == 0
    folder = tmp_path / "outputs" / "room"
    first, *rest = rows(folder)
    unfit = {**first, "outcome": "does-not-fit", "score": None}
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (unfit, *rest)))
    if not is_same:  # then nothing is moved: a folder of another machine is only read
        run = json.loads((folder / "run.json").read_text())
        run["environment"]["packages"]["torch"] = "0.1"
        (folder / "run.json").write_text(json.dumps(run))
    assert niah(*settings).returncode == 0
    outcomes = ["correct", "correct"] if is_same else ["correct", "does-not-fit"]
    assert sorted(row["outcome"] for row in rows(folder)) == outcomes


def test_an_empty_home_is_none(tmp_path):
    """The system knows the user's; ``~`` would be the root of all folders."""
    program = "import os, sys; sys.argv = ['niah', '--version']; from niah.__main__ import run; run(); " \
        "print(os.path.expanduser('~') == __import__('pwd').getpwuid(os.getuid()).pw_dir)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment_with(HOME=""), capture_output=True, text=True
    )
    assert done.stdout.splitlines()[1:] == ["True"], done.stderr

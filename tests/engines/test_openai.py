"""engine=openai against a real HTTP server that misbehaves: what is kept, tried again, recorded and refused."""

import json
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers.command import command, comparable, environment_with, is_one_line, rows
from tests.helpers.http_server import Server

GRID = ("haystack=noise", "ctx.lengths=[512,1k]", "ctx.depths=[0,25,50,75,100]", "name=a", "report.formats=[svg]")
FAST = ("engine.timeout_seconds=1.5", "engine.timeout_seconds_per_1k=0")


def folder(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "a"


def record(tmp_path: Path) -> dict:
    return json.loads((folder(tmp_path) / "run.json").read_text())


def test_every_fault_is_tried_again_and_no_row_is_there_twice(niah, tmp_path):
    faults = {1: "429", 3: "500", 5: "half", 7: "closed", 9: "garbage", 11: "hang", 13: "429-date"}
    with Server(faults) as server:
        done = niah(*GRID, *server.words, *FAST)
    assert done.returncode == 0, done.stderr
    found = rows(folder(tmp_path))
    assert Counter(row["trial"] for row in found) == Counter(range(10))
    assert {row["outcome"] for row in found} == {"correct"}
    assert len(server.bodies) == 10 + len(faults)
    assert server.times[2] - server.times[1] >= 1.0  # Retry-After: 1
    assert server.times[14] - server.times[13] >= 1.5  # a date three seconds away, whole seconds
    engine = record(tmp_path)["engine"]
    assert sum(engine["retried"].values()) == len(faults)
    assert {"HTTP 429": 2, "HTTP 500": 1, "half an answer": 2, "timeout": 1}.items() <= engine["retried"].items()
    assert all(row["num_prompt_tokens"] == row["length"] - 32 for row in found)
    assert all(0 < row["first_token_seconds"] <= row["seconds"] < 1.5 for row in found)  # of the try that worked
    sent = sum(row["num_prompt_tokens"] for row in found)
    assert engine["prompt_tokens_counted"] == engine["prompt_tokens_sent"] == sent


def test_what_fails_for_good_is_recorded_and_the_same_command_continues(niah, tmp_path):
    settings = (*GRID, *FAST, "engine.max_retries=0")
    with Server({2: "500", 5: "count", 8: "half"}) as server:
        done = niah(*settings, *server.words)
        assert done.returncode == 1 and "3 of 10 trials ended without an answer" in done.stderr
        first = rows(folder(tmp_path))
        failed = [row for row in first if row["outcome"] == "engine-error"]
        assert len(first) == 10 and len(failed) == 3
        assert any("7 tokens" in row["error"] or "of the" in row["error"] for row in failed)
        assert all(row["score"] is None for row in failed)
        server.faults = {}
        done = niah(*settings, *server.words)
    assert done.returncode == 0, done.stderr
    found = rows(folder(tmp_path))
    assert Counter(row["trial"] for row in found) == Counter(range(10))
    assert {row["outcome"] for row in found} == {"correct"}
    kept = {row["trial"]: row for row in first if row["outcome"] == "correct"}
    assert all(row == kept[row["trial"]] for row in found if row["trial"] in kept)


def test_a_server_that_dies_in_the_middle(niah, tmp_path):
    settings = (*GRID, *FAST, "engine.max_retries=1", "engine.wait_seconds=0")
    with Server(die_after=4) as server:
        done = niah(*settings, *server.words)
        assert done.returncode == 1
        assert "gave no answer to 3 prompts in a row" in done.stderr and "Traceback" not in done.stderr
    kept = [row for row in rows(folder(tmp_path)) if row["outcome"] == "correct"]
    assert len(kept) == 4
    done = niah(*settings, *server.words)
    assert done.returncode == 1 and "does not answer" in done.stderr.splitlines()[-1]
    with Server(port=server.port) as server:
        done = niah(*settings, *server.words)
    assert done.returncode == 0, done.stderr
    found = rows(folder(tmp_path))
    assert Counter(row["trial"] for row in found) == Counter(range(10))
    assert [row for row in found if row["trial"] in {k["trial"] for k in kept}] == kept
    with Server() as server:
        assert niah(*GRID[:-2], "name=b", *GRID[-1:], *FAST, "engine.max_retries=1", *server.words).returncode == 0

    def other(found: list[dict]) -> list[dict]:
        return [{**row, "num_cached_tokens": 0} for row in sorted(comparable(found), key=lambda row: row["trial"])]

    assert other(found) == other(rows(tmp_path / "outputs" / "b"))


def test_nobody_there(niah, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = niah(*GRID, "engine=openai", f"engine.base_url=http://127.0.0.1:{port}/v1", "engine.wait_seconds=0")
    assert done.returncode == 1 and is_one_line(done)
    assert "does not answer" in done.stderr and "engine.wait_seconds" in done.stderr


def test_an_address_without_its_version_is_told(niah):
    with Server() as server:
        done = niah(*GRID, "engine=openai", f"engine.base_url=http://127.0.0.1:{server.port}")
    assert done.returncode == 1 and "an address ends in /v1" in done.stderr and is_one_line(done)


def test_a_wait_that_is_too_long_is_an_error_at_once(niah, tmp_path):
    with Server({0: "429-long"}) as server:
        started = time.monotonic()
        done = niah(*GRID, *server.words, "engine.max_wait_seconds=5")
    assert done.returncode == 1 and time.monotonic() - started < 60
    (failed,) = [row for row in rows(folder(tmp_path)) if row["outcome"] == "engine-error"]
    assert "asks to wait 3600 s" in failed["error"]


def test_the_key_comes_from_the_environment_and_goes_nowhere(niah, tmp_path):
    secret = "sk-test-9f8e7d6c5b4a"
    with Server(key=secret, faults={1: "500"}) as server:
        done = niah(*GRID, *server.words)
        assert done.returncode == 1 and "HTTP 401" in done.stderr and "engine.api_key_env" in done.stderr
        done = niah(*GRID, *server.words, "engine.api_key_env=NIAH_TEST_KEY")
        assert done.returncode == 1 and "no NIAH_TEST_KEY" in done.stderr
        wrong = niah(*GRID, *server.words, "engine.api_key_env=NIAH_TEST_KEY", NIAH_TEST_KEY="sk-wrong-123")
        assert wrong.returncode == 1 and "Incorrect API key provided: ***" in wrong.stderr
        assert "sk-wrong" not in wrong.stderr
        done = niah(*GRID, *server.words, "engine.api_key_env=NIAH_TEST_KEY", NIAH_TEST_KEY=secret)
    assert done.returncode == 0, done.stderr
    written = [file.read_text(errors="replace") for file in folder(tmp_path).rglob("*") if file.is_file()]
    assert not any(secret in text for text in [*written, done.stdout, done.stderr])
    assert record(tmp_path)["config"]["engine"]["api_key_env"] == "NIAH_TEST_KEY"


def test_a_key_that_the_server_repeats_is_masked_before_a_message_is_cut(niah, tmp_path):
    secret = "sk-test-9f8e7d6c5b4a3f2e1d0c"
    with Server({0: "refused", 3: "echo", 6: "echoed-event"}, key=secret) as server:
        words = (*GRID, *server.words, "engine.max_retries=0", "engine.api_key_env=NIAH_TEST_KEY")
        done = niah(*words, NIAH_TEST_KEY=secret)
    assert done.returncode == 1 and "3 of 10 trials ended without an answer" in done.stderr
    errors = [row["error"] for row in rows(folder(tmp_path)) if row["error"]]
    assert len(errors) == 3 and all("x***" in error for error in errors)
    written = [file.read_text(errors="replace") for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(secret[:5] in text for text in [*written, done.stdout, done.stderr])


def test_a_key_that_no_header_can_carry_is_one_line(niah):
    with Server(key="x") as server:
        done = niah(*GRID, *server.words, "engine.api_key_env=NIAH_TEST_KEY", NIAH_TEST_KEY="sk-schlüssel")
    assert done.returncode == 1 and "the key in NIAH_TEST_KEY cannot be sent" in done.stderr
    assert "sk-" not in done.stderr
    assert is_one_line(done)


@pytest.mark.parametrize("prompts", ["auto", "ids"])
def test_a_server_with_another_tokenizer_is_refused(niah, tmp_path, prompts):
    with Server(tokenizer="gemma3", text_tokens=0) as server:
        done = niah(*GRID, *server.words, f"engine.prompts={prompts}")
        assert done.returncode == 1 and not server.bodies
        last = done.stderr.splitlines()[-1]
        assert "tokenises otherwise than the model= of this command (29 tokens of a short text, 39 here); " in last
        checked = niah("serve-check", server.words[1], "model=smollm2_135m")
        assert "29 tokens, ours 39: NOT the same" in checked.stdout
        assert "does not run: it tokenises otherwise" in checked.stdout


@pytest.mark.parametrize("more", [0, 1])
def test_the_same_tokenizer_with_or_without_a_bos_is_taken(niah, tmp_path, more):
    with Server(text_tokens=more) as server:
        assert niah(*GRID, *server.words).returncode == 0
        checked = niah("serve-check", server.words[1], "model=smollm2_135m").stdout
    assert {row["served"]["prompts"] for row in rows(folder(tmp_path))} == {"ids"}
    assert "sends ids: lengths are exact" in checked and "NOT the same" not in checked.split("chat to")[0]
    assert ("the same and a BOS token" in checked) is bool(more)


@pytest.mark.parametrize("fault", ["429-long", "500", "hang"])
def test_a_server_that_answers_nothing_at_first_is_not_taken_for_one_without_ids(niah, tmp_path, fault):
    with Server({-1: fault}) as server:
        done = niah(*GRID, *server.words, *FAST, "engine.max_retries=1", "model.answer_prefix=false")
        assert done.returncode == 1 and "does not answer; " in done.stderr.splitlines()[-1], done.stderr
        assert not server.bodies
        checked = niah("serve-check", server.words[1], *FAST, "engine.max_retries=0", "model=smollm2_135m")
    assert checked.returncode == 0
    assert checked.stdout.count("refused: no answer, ") == 2  # text it refuses by its own word


def test_null_in_the_body_drops_the_templates_arguments(niah):
    with Server(takes_ids=False, card={"id": "any"}, pages={}) as server:
        chat = ("model.answer_prefix=false", "model.chat_template_arguments={enable_thinking:false}")
        settings = (*GRID, *server.words, *chat)
        assert niah(*settings).returncode == 0
        assert niah(*settings, "name=b", "engine.body.chat_template_kwargs=null").returncode == 0
    sent = [body.get("chat_template_kwargs") for body in server.bodies]
    assert sent == [{"enable_thinking": False}] * 10 + [None] * 10
    assert not any("chat_template_kwargs" in body for body in server.bodies[10:])


@pytest.mark.parametrize(("owner", "num_controls"), [("vllm", 1), ("sglang", 0), ("somebody", 0)])
def test_only_servers_that_can_leave_their_cache_are_asked_to(niah, tmp_path, owner, num_controls):
    with Server(card={"id": "smol", "owned_by": owner}, pages={}, cached_tokens=5) as server:
        done = niah(*GRID, *server.words)
    assert done.returncode == 0 and len(server.bodies) == 10 + num_controls, done.stderr
    assert ("control without prefix cache" in done.stderr) is bool(num_controls)


def test_what_was_tried_again_is_kept_for_every_session(niah, tmp_path):
    settings = (*GRID, *FAST, "engine.max_retries=1", "engine.wait_seconds=0")
    with Server({1: "500"}, die_after=4) as server:
        assert niah(*settings, *server.words).returncode == 1
    first = record(tmp_path)
    assert first["engine"]["retried"]["HTTP 500"] == 1 and first["engine"]["num_answers"] == 3
    with Server({0: "429"}, port=server.port) as server:
        assert niah(*settings, *server.words).returncode == 0
    last = record(tmp_path)
    assert last["engine"]["retried"] == {"HTTP 429": 1}
    assert [session["retried"]["bf16"] for session in last["sessions"]] == [first["engine"]["retried"], {"HTTP 429": 1}]


@pytest.mark.parametrize("name", [True, False])
def test_a_run_goes_on_with_more_patience(niah, tmp_path, name):
    settings = [word for word in GRID if name or not word.startswith("name=")]
    with Server({2: "500", 14: "500"}, key="sk-1") as server:
        words = (*settings, *server.words)
        assert niah(*words, "engine.max_retries=0", "engine.api_key_env=ONE", ONE="sk-1").returncode == 1
        (place,) = (tmp_path / "outputs").iterdir()
        kept = {row["trial"]: row for row in rows(place) if row["outcome"] == "correct"}
        assert len(kept) == 9
        if name:  # a run stored when fingerprints held these keys too
            stored = json.loads((place / "run.json").read_text())
            (place / "run.json").write_text(json.dumps({**stored, "fingerprint": "0" * 64}))
            done = niah(*words, "engine.stream=false", "engine.api_key_env=ONE", ONE="sk-1")
            assert done.returncode == 1 and "engine.stream (there True, now False)" in done.stderr
            assert "api_key_env" not in done.stderr
        patience = ("engine.max_retries=2", "engine.timeout_seconds=9", "engine.api_key_env=OTHER")
        done = niah(*words, *patience, OTHER="sk-1")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "outputs").iterdir()) == [place]
    found = {row["trial"]: row for row in rows(place)}
    assert len(found) == 10 and all(found[trial] == row for trial, row in kept.items())


@pytest.mark.parametrize(("extra", "is_exact"), [(0, True), (9, False)])
def test_chat_text_is_measured(niah, tmp_path, extra, is_exact):
    with Server(takes_ids=False, extra_tokens=extra, card={"id": "any", "owned_by": "somebody"}, pages={}) as server:
        done = niah(*GRID, *server.words)
        assert done.returncode == 1 and "a chat cannot begin the model's answer" in done.stderr and not server.bodies
        done = niah(*GRID, *server.words, "model.answer_prefix=false", "name=c")
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "outputs" / "c")
    assert len(found) == 10 and {row["outcome"] for row in found} == {"correct"}
    assert all(row["num_prompt_tokens"] == row["length"] - 32 + extra for row in found)
    assert {row["served"]["prompts"] for row in found} == {"chat"}
    assert [body["messages"][-1]["role"] for body in server.bodies] == ["user"] * 10
    note = "in 10 of 10 prompts"
    picture = (tmp_path / "outputs" / "c" / "heatmap.svg").read_text()
    assert (note in done.stdout) is not is_exact
    assert ("lengths approximate" in picture) is not is_exact
    assert "(a server, sent chat)" in picture and "(as given, not told)" in picture
    shown = niah("report", "outputs/c")
    assert (note in shown.stdout) is not is_exact


def test_a_server_that_cuts_prompts_is_an_error_and_no_wrong_answer(niah, tmp_path):
    with Server(takes_ids=False, extra_tokens=-300, card={"id": "any"}, pages={}) as server:
        done = niah(*GRID, *server.words, "model.answer_prefix=false")
    assert done.returncode == 1 and "it cut the prompt to its own limit" in done.stderr
    outcomes = Counter((row["length"], row["outcome"]) for row in rows(folder(tmp_path)))
    assert outcomes == {(512, "engine-error"): 5, (1024, "engine-error"): 5}


def stopped(tmp_path, server, num_bodies: int) -> None:
    """Runs until the server has that many prompts, then sends SIGTERM: it ends in seconds, in order."""
    process = subprocess.Popen(
        command(*GRID, *server.words), cwd=tmp_path, env=environment_with(), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(server.bodies) < num_bodies and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and time.monotonic() - begun < 5 and "Traceback" not in errors


def test_a_stop_signal_ends_a_run_at_once_and_keeps_its_rows(niah, tmp_path):
    with Server({4: "hang"}) as server:
        stopped(tmp_path, server, 5)
        assert len(rows(folder(tmp_path))) == 4
        assert niah(*GRID, *server.words).returncode == 0
    assert Counter(row["trial"] for row in rows(folder(tmp_path))) == Counter(range(10))


def test_a_control_sample_that_was_cut_short_goes_on(niah, tmp_path):
    with Server({10: "hang"}, cached_tokens=5) as server:
        stopped(tmp_path, server, 11)
        assert len(rows(folder(tmp_path))) == 10 and record(tmp_path)["control_due"] == ["bf16"]
        done = niah(*GRID, *server.words)
        assert done.returncode == 0 and len(server.bodies) == 12, done.stderr
        assert "only the rest of the control sample to run" in done.stderr and "1 of 1 answers the same" in done.stderr
        assert record(tmp_path)["control_due"] == []
        done = niah(*GRID, *server.words)
    assert "all 10 trials were done before" in done.stderr and len(server.bodies) == 12


@pytest.mark.parametrize("name", [True, False])
def test_a_finished_run_needs_no_server(niah, tmp_path, name):
    grid = [word for word in GRID if name or not word.startswith("name=")]
    with Server() as server:
        assert niah(*grid, *server.words).returncode == 0
    (place,) = (tmp_path / "outputs").iterdir()
    (place / "heatmap.svg").unlink()
    words = (*grid, *server.words, "engine.wait_seconds=0")
    done = niah(*words)
    assert done.returncode == 0 and "all 10 trials were done before" in done.stderr, done.stderr
    assert (place / "heatmap.svg").is_file()
    for more in ("ctx.repeats=2", "task.num_keys=3 task=multikey"):
        other = niah(*words, *more.split())
        assert other.returncode == 1 and "does not answer" in other.stderr.splitlines()[-1], other.stderr
    assert list((tmp_path / "outputs").iterdir()) == [place]


def test_a_run_with_a_failed_trial_is_not_finished(niah, tmp_path):
    with Server({2: "500"}) as server:
        assert niah(*GRID, *server.words, "engine.max_retries=0").returncode == 1
    done = niah(*GRID, *server.words, "engine.wait_seconds=0")
    assert done.returncode == 1 and "does not answer" in done.stderr.splitlines()[-1]
    assert "done before" not in done.stderr


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_certificates_are_checked(niah, tmp_path):
    pem = tmp_path / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )
    pem.write_text((tmp_path / "key.pem").read_text() + (tmp_path / "cert.pem").read_text())
    with Server(certificate=str(pem)) as server:
        words = ("engine=openai", f"engine.base_url=https://localhost:{server.port}/v1", "engine.wait_seconds=0")
        done = niah(*GRID, *words)
        assert done.returncode == 1 and "certificate verify failed" in done.stderr.lower() and not server.bodies
        assert niah(*GRID, *words, SSL_CERT_FILE=str(tmp_path / "cert.pem")).returncode == 0


def test_proxies_are_honoured(niah):
    with Server() as proxy:
        done = niah(
            *GRID, "engine=openai", "engine.base_url=http://model.invalid/v1",
            HTTP_PROXY=f"http://127.0.0.1:{proxy.port}",
            http_proxy=f"http://127.0.0.1:{proxy.port}", NO_PROXY="", no_proxy="",
        )
    assert done.returncode == 0 and len(proxy.bodies) == 10, done.stderr


def test_a_server_that_counts_nothing_is_told(niah, tmp_path):
    with Server(tells_usage=False) as server:
        done = niah(*GRID, *server.words)
    assert done.returncode == 0 and "lengths unchecked" in done.stdout, done.stderr


def test_the_servers_limit_is_asked_before_anything_is_sent(niah, tmp_path):
    with Server(card={"id": "smol", "owned_by": "vllm", "max_model_len": 512}) as server:
        done = niah(*GRID, *server.words)
        assert done.returncode == 0, done.stderr
        assert "1K does not fit: vLLM 9.9 there reads at most 512 tokens" in done.stderr
        assert len(server.bodies) == 5
        assert Counter(row["outcome"] for row in rows(folder(tmp_path))) == {"correct": 5, "does-not-fit": 5}
        done = niah(*server.words, "ctx.lengths=[2k,4k]")
        assert done.returncode == 1 and "reads at most 512 tokens" in done.stderr and is_one_line(done)
        assert len(server.bodies) == 5


def test_as_many_at_once_as_asked_and_each_once(niah, tmp_path):
    with Server(seconds=0.3) as server:
        done = niah(*GRID, *server.words, "engine.concurrency=4")
    assert done.returncode == 0, done.stderr
    assert server.most_running == 4
    assert Counter(row["trial"] for row in rows(folder(tmp_path))) == Counter(range(10))


def test_what_is_sent_is_greedy_and_the_ids_of_the_engine_in_this_process(niah, tmp_path):
    with Server() as server:
        assert niah(*GRID, *server.words, "engine.body.priority=3").returncode == 0
    assert niah(*GRID[:-2], "name=b", GRID[-1], "engine=fake").returncode == 0
    ours, others = rows(folder(tmp_path)), rows(tmp_path / "outputs" / "b")
    assert {r["trial"]: r["prompt_sha256"] for r in ours} == {r["trial"]: r["prompt_sha256"] for r in others}
    for body in server.bodies:
        assert body["temperature"] == 0.0 and body["repetition_penalty"] == 1.0 and body["max_tokens"] == 32
        assert body["stop_token_ids"] and body["priority"] == 3 and len(body["prompt"]) in (480, 992)


def test_another_server_at_the_same_address_is_refused(niah, tmp_path):
    with Server({9: "500"}) as server:
        assert niah(*GRID, *server.words, "engine.max_retries=0").returncode == 1
        server.pages = {"/version": '{"version": "10.0"}'}
        done = niah(*GRID, *server.words, "engine.max_retries=0")
    assert done.returncode == 1 and "server (there vLLM 9.9, now vLLM 10.0)" in done.stderr


def test_a_servers_kv_cache_is_not_called_another(niah, tmp_path):
    page = (
        'vllm:cache_config_info{block_size="16",cache_dtype="fp8",enable_prefix_caching="True"} 1.0\n'
        "vllm:prompt_tokens_total 5.0\n"
    )
    with Server(pages={"/version": '{"version": "9.9"}', "/metrics": page}) as server:
        done = niah(*GRID, *server.words)
        assert done.returncode == 1 and "the KV cache of vLLM 9.9 there is fp8" in done.stderr
        assert niah(*GRID, *server.words, "kv=fp8").returncode == 0
        done = niah(*GRID, *server.words, "kv=[fp8,bf16]", "name=b")
        assert done.returncode == 1 and "a server has one KV cache" in done.stderr
        # says nothing: the command's word stands, and is called that
        server.pages["/metrics"] = page.replace("fp8", "auto")
        assert niah(*GRID, *server.words, "name=c").returncode == 0
    assert {row["served"]["kv_cache_dtype_told_by"] for row in rows(folder(tmp_path))} == {"server"}
    assert {row["served"]["kv_cache_dtype_told_by"] for row in rows(tmp_path / "outputs" / "c")} == {"command"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["engine.base_url=localhost:8000"], "engine.base_url: got 'localhost:8000'"),
        (["engine.base_url=http://me:secret@host/v1"], "engine.base_url: holds a name or password"),
        (["engine.kind=tgi"], "engine.kind: got 'tgi'; expected one of auto, vllm"),
        (["engine.concurrency=0"], "engine.concurrency: got 0; expected at least 1"),
        (["engine.api_key_env=sk-secret-1234"], "engine.api_key_env: got what is no variable's name"),
        (["engine.api_key_env=secret_" + 70 * "a"], "engine.api_key_env: the environment has no such variable"),
        (["engine.api_key_env=SECRET_" + 70 * "A"], "engine.api_key_env: the environment has no such variable"),
        (["engine.body.api_key=x"], "engine.body.api_key: settings are written to run.json"),
    ],
)
def test_settings_that_cannot_be_are_one_line(niah, tmp_path, words, message):
    done = niah("engine=openai", *words)
    assert done.returncode == 1 and message in done.stderr and is_one_line(done)
    assert "secret" not in done.stderr.lower() and not list(tmp_path.rglob("run.json"))


def test_llamacpps_kv_types_are_not_asked_of_vllm(niah):
    done = niah("kv=q8_0")
    assert done.returncode == 1 and "kv.dtype: q8_0 is llama.cpp's" in done.stderr and is_one_line(done)


def test_serve_check_tells_what_a_server_can_do(niah):
    with Server(pages={"/version": '{"version": "9.9"}'}) as server:
        done = niah("serve-check", server.words[1], "model=smollm2_135m")
    assert done.returncode == 0, done.stderr
    for text in (
        "vLLM 9.9", "8,192 tokens, prompt and answer", "the same", "sends ids: lengths are exact", "refused: HTTP 400",
        "works, first token after",
    ):
        assert text in done.stdout
    with Server(takes_ids=False, extra_tokens=2, card={"id": "any"}, pages={}) as server:
        done = niah("serve-check", server.words[1], "model=smollm2_135m", "probe=2k")
    assert "probe of 2K               read: the server counted 2,0" in done.stdout
    with Server(takes_ids=False, extra_tokens=-999, card={"id": "any"}, pages={}) as server:
        assert "probe of 2K               CUT: " in niah("serve-check", server.words[1], "probe=2k").stdout
    assert "NOT the same" in done.stdout and "sends chat" in done.stdout
    assert "limit                     not told" in done.stdout

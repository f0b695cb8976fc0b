"""engine=openai, the way to a server: its address, key, certificate and proxy."""

import shutil
import subprocess

import pytest

from tests.helpers.command import is_one_line, rows
from tests.helpers.http_server import GRID, Server, folder, record


def test_an_address_without_its_version_is_told(niah):
    with Server() as server:
        done = niah(*GRID, "engine=openai", f"engine.base_url=http://127.0.0.1:{server.port}")
    assert done.returncode == 1 and "an address ends in /v1" in done.stderr and is_one_line(done)


@pytest.mark.slow
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
    assert done.returncode == 5 and "3 of 10 trials ended without an answer" in done.stderr
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


@pytest.mark.slow
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

"""What a hub says, against a server of our own that answers as the hub does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.helpers.command import is_one_line

ANSWERS = {
    "gated": (403, "GatedRepo"), "missing": (404, "RepoNotFound"), "unversioned": (404, "RevisionNotFound"),
}


class Hub(BaseHTTPRequestHandler):
    def do_GET(self):
        name = next((name for name in ANSWERS if f"organisation/{name}" in self.path), "missing")
        status, code = ANSWERS[name]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        (
            "gated", "",
            "organisation/gated is gated and no token is set; accept the terms on huggingface.co/organisation/gated",
        ),
        ("gated", "hf_x", "is gated and this HF_TOKEN has no access"),
        ("missing", "", "no repository organisation/missing on the hub, or a private one"),
        ("unversioned", "", "model.revision: organisation/unversioned has no such revision"),
    ],
)
def test_the_hubs_refusals_are_one_line(niah, hub, tmp_path, name, token, message):
    given = {"HF_TOKEN": token} if token else {}
    done = niah(
        "prepare", f"model.path=organisation/{name}", "model.max_length=8k", HF_ENDPOINT=hub,
        HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="0", **given,
    )
    assert done.returncode == 1 and is_one_line(done)
    assert message in done.stderr
    assert not token or token not in done.stdout + done.stderr


def test_without_a_network_the_line_says_what_needs_none(niah, tmp_path):
    done = niah(
        "prepare", "model.path=organisation/name", "model.max_length=8k", HF_ENDPOINT="http://127.0.0.1:9",
        HF_HOME=str(tmp_path),
    )
    assert done.returncode == 1 and is_one_line(done)
    assert "not in the local cache and the hub cannot be reached" in done.stderr and "plan" in done.stderr


def test_an_engine_without_a_model_asks_no_hub_where_the_tokenizer_is_a_package(niah, hub, tmp_path):
    """Scout's repository is gated; engine=fake reads none of its files."""
    done = niah(
        "model=scout", "model.path=organisation/gated", "engine=fake", "haystack=noise", "ctx.lengths=[512]",
        "ctx.depths=[50]", "name=a", "report.formats=[]", "report.page=false", HF_ENDPOINT=hub,
        HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="0",
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "outputs/a/run.json").read_text())["sources"]["model_identity"]
    assert told == "organisation/gated"

"""`shrink` on engines without a model, whose smallest failing prompt is known beforehand."""

import json
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from niah.disk import Lines
from tests.helpers import sick
from tests.helpers.command import rows, said
from tests.helpers.http_server import Loopback
from tests.helpers.tokenizers import load_tokenizer

COMMON = ("haystack=noise", "report.page=false", "report.formats=[]")
SICK = ("engine=fake", f"engine._target_={sick.Sick.__module__}.Sick", *COMMON, "name=a")


def probes(place) -> list[dict]:
    return Lines(place / "a" / "shrink" / "probes.jsonl").read()


@pytest.mark.slow
def test_a_window_is_found_to_the_token_and_a_new_process_shows_it(place, capfd):
    fake = ("engine=fake", "engine.window=1200", *COMMON, "ctx.lengths=[1k,8k]", "ctx.depths=[0,50,100]", "name=a")
    said(capfd, *fake)
    wrong = next(row for row in rows(place / "a") if row["length"] == 8192 and row["depth"] == 50)
    shrink = ("shrink", "outputs/a", "--trial", str(wrong["trial"]))
    short = said(capfd, *shrink, "shrink.budget=6 probes")
    assert "shrink.budget is spent: the smallest so far is kept" in short and "smallest so far: " in short
    text = said(capfd, *shrink)
    assert "8,160 tokens" in text and "smallest: 1,201 tokens" in text
    assert "fails too at 1,202 to 1,205; does not fail at 1,185 to 1,200 tokens" in text
    assert f"outputs/a/shrink/{wrong['trial']}: reproduce.py in a new process fails too" in text
    folder = place / "a" / "shrink" / str(wrong["trial"])
    assert {file.name for file in folder.iterdir()} == {"ids.npy", "reproduce.py", "README.md"}
    ids = np.load(folder / "ids.npy", allow_pickle=False)
    assert ids.dtype == np.int32 and len(ids) == 1201
    script = (folder / "reproduce.py").read_text()
    assert "import niah" not in script and "from niah" not in script and len(script.splitlines()) < 45
    done = subprocess.run([sys.executable, folder / "reproduce.py"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == {"texts": ["I do not know."], "num_tokens": 1201}
    page = (folder / "README.md").read_text()
    assert "| prompt, tokens | 8,160 | 1,201 |" in page and wrong["targets"][0] in page
    assert "A new process shows the same failure" in page and str(place) not in page + script
    found = probes(place)
    assert {"sha256", "length", "words", "fails", "answers", "seconds", "shape"} <= found[0].keys()
    keys = [line["key"] for line in found if line["words"] != "the trial"]
    assert len(keys) == len({*keys}) < 70  # none is asked again, by the second command neither
    assert said(capfd, *shrink).splitlines()[:4] == text.splitlines()[:4] and len(probes(place)) == len(found) + 1


def test_a_residue_is_kept_and_seen_beside_it(place, capfd):
    said(capfd, *SICK, "engine.fault=residue", "ctx.lengths=[2051]", "ctx.depths=[50]")
    text = said(capfd, "shrink", "outputs/a", "--trial=0")
    (folder,) = [one for one in (place / "a" / "shrink").iterdir() if one.is_dir()]
    num = len(np.load(folder / "ids.npy"))
    assert num % 4 == 3 and num < 40 and "fails too in a new process" not in text
    assert f"fails too at {num + 4}; does not fail at " in text and f"{num + 1} to {num + 3} tokens" in text


def test_against_a_variant_both_have_a_script(place, capfd):
    words = (*SICK, "engine.fault=fp8", "engine.window=700", "kv=[bf16,fp8]", "ctx.lengths=[2k]", "ctx.depths=[0]")
    said(capfd, *words)
    text = said(capfd, "shrink", "outputs/a", "--trial", "0", "--against", "bf16")
    assert "absent-claimed, correct on the other side, 3 of 3 times" in text and "smallest: 701 tokens" in text
    folder = place / "a" / "shrink" / "0-fp8-against-bf16"
    now = {name: json.loads(subprocess.run(
        [sys.executable, folder / name], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    )["texts"] for name in ("reproduce.py", "reference.py")}
    assert now["reproduce.py"] == ["I do not know."] and now["reference.py"] == rows(place / "a")[0]["targets"]
    swapped = said(capfd, "shrink", "outputs/a", "--trial", "0", "--against", "fp8", "--variant", "bf16", code=1)
    assert "is right under bf16 and absent-claimed under fp8; expected the other way round" in swapped


class Forgetful(BaseHTTPRequestHandler):
    """Answers with the number in a prompt of up to 700 tokens, to who has the key."""

    own: Loopback

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        known = self.path == "/v1/models"
        self._send(200 if known else 404, {"data": [{"id": "smol", "owned_by": "sglang", "max_model_len": 8192}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if isinstance(body["prompt"], str):
            self._send(400, {"error": {"message": "ids alone"}})
            return
        found = re.findall(r"\d{7}", load_tokenizer("smollm2").decode(body["prompt"]))
        is_known = self.headers.get("authorization") == "Bearer of-the-server-12"
        text = found[-1] if found and len(body["prompt"]) <= 700 else "none"
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 2}
        choice = {"index": 0, "finish_reason": "stop", "text": text}
        self._send(200 if is_known else 401, {"model": "smol", "choices": [choice], "usage": usage})

    def _send(self, status: int, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Forgetting(Loopback):
    def handler(self) -> type[BaseHTTPRequestHandler]:
        return Forgetful


def test_a_server_is_asked_by_pythons_own_library_and_its_key_is_written_nowhere(place, capfd, monkeypatch):
    monkeypatch.setenv("SMOL_KEY", "of-the-server-12")
    with Forgetting() as server:
        words = (*server.words, "engine.stream=false", "engine.api_key_env=SMOL_KEY", "engine.cold_check=0")
        said(capfd, *words, *COMMON, "ctx.lengths=[2k]", "ctx.depths=[0]", "name=a")
        text = said(capfd, "shrink", "outputs/a", "--trial", "0")
    assert "smallest: 701 tokens" in text and "in a new process fails too" in text
    written = [file.read_bytes() for file in (place / "a").rglob("*") if file.is_file()]
    assert not any(b"of-the-server-12" in content for content in written)
    assert b"import urllib.request" in (place / "a" / "shrink" / "0" / "reproduce.py").read_bytes()


def test_another_log_probability_is_a_failure_beyond_what_short_prompts_differ_by(place, capfd):
    words = (*SICK, "engine.fault=logprob", "engine.window=700", "kv=[bf16,fp8]", "ctx.lengths=[2k]", "ctx.depths=[0]")
    said(capfd, *words)
    shrink = ("shrink", "outputs/a", "--trial", "0", "--against", "bf16")
    text = said(capfd, *shrink)
    assert "log-probability is -2.000 nats (tolerance 0.05), 3 of 3 times" in text and "smallest: 701 tokens" in text
    assert "does not fail again against bf16: 0 of 3 times" in said(capfd, *shrink, "shrink.tolerance=2.5", code=1)


@pytest.mark.parametrize("against", [(), ("--against", "cold")])
def test_the_request_before_is_found_and_made_short(place, capfd, against):
    said(capfd, *SICK, "engine.fault=after", "ctx.lengths=[1k]", "ctx.depths=[60,70,80,90]")
    wrong = [row["trial"] for row in rows(place / "a") if row["score"] == 0][-1]
    text = said(capfd, "shrink", "outputs/a", "--trial", str(wrong), *against)
    assert "after 1 requests" in text and "in a new process fails too" in text
    folder = place / "a" / "shrink" / f"{wrong}{'-against-cold' if against else ''}"
    first, last = (np.load(folder / f"ids_{number}.npy") for number in (0, 1))
    assert len(first) == sick.SHARED and np.array_equal(first, last[: sick.SHARED]) and len(last) < 330


def test_what_is_stopped_keeps_the_best_and_goes_on(place, capfd):
    words = (*SICK, "engine.fault=residue", "ctx.lengths=[2051]", "ctx.depths=[50]")
    said(capfd, *words)
    assert "stopped" in said(capfd, "shrink", "outputs/a", "--trial=0", "engine.stop_at=12", code=130)
    before = probes(place)
    assert "Not yet run in a new process" in (place / "a" / "shrink" / "0" / "README.md").read_text()
    said(capfd, "shrink", "outputs/a", "--trial=0")
    assert len(before) > 3 and probes(place)[: len(before)] == before


def test_what_cannot_be_shrunk_is_said_in_one_line(place, capfd):
    said(capfd, *SICK, "engine.fault=flaky", "ctx.lengths=[1k]", "ctx.depths=[0,50]")
    wrong, right = (row["trial"] for row in sorted(rows(place / "a"), key=lambda row: row["score"]))
    cases = {
        ("--trial", str(wrong)): f"trial {wrong} of outputs/a: flaky: it fails 2 of 3 times",
        ("--trial", str(right)): "was answered right (bf16); expected a wrong one, or --against another variant",
        ("--trial", "17"): "outputs/a: trial 17: no row; expected one of 2, from 0 to 1",
        ("--trial", "x"): "shrink --trial: got 'x'; expected the number of a failing trial",
        (): "shrink --trial: got ''",
        ("--trial", "0", "--against", "fp8"): "shrink: got 'fp8'; this run has bf16; --against takes bf16, cold, ",
        ("--trial", str(wrong), "shrink.budget=soon"): "shrink.budget: got 'soon'; expected probes (200 ",
        ("--trial", "0", "shrink.repeat=2"): "did you mean shrink.repeats?",
        ("--trial", "0", "ctx=8k"): "shrink: got ctx=8k; expected shrink.key=value or engine.key=value",
        ("--trial", "0", "engine.args.api_key=abc"): "holds what looks like a key or a password",
    }
    for words, message in cases.items():
        text = said(capfd, "shrink", "outputs/a", *words, code=1)
        assert message in text and len([line for line in text.splitlines() if line.startswith("niah: ")]) == 1, words

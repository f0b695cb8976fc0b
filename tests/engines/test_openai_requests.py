"""engine=openai against a real HTTP server: what is sent to it, what it counts, and what it is taken for."""

import math
from collections import Counter

import httpx2
import pytest

from niah.engines.openai.http import retry_after
from tests.helpers.command import is_one_line, rows
from tests.helpers.http_server import GRID, Server, folder


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("more", [0, 1])
def test_the_same_tokenizer_with_or_without_a_bos_is_taken(niah, tmp_path, more):
    with Server(text_tokens=more) as server:
        assert niah(*GRID, *server.words).returncode == 0
        checked = niah("serve-check", server.words[1], "model=smollm2_135m").stdout
    assert {row["served"]["prompts"] for row in rows(folder(tmp_path))} == {"ids"}
    assert "sends ids: lengths are exact" in checked and "NOT the same" not in checked.split("chat to")[0]
    assert ("the same and a BOS token" in checked) is bool(more)


@pytest.mark.slow
def test_null_in_the_body_drops_the_templates_arguments(niah):
    with Server(takes_ids=False, card={"id": "any"}, pages={}) as server:
        chat = ("model.answer_prefix=false", "model.chat_template_arguments={enable_thinking:false}")
        settings = (*GRID, *server.words, *chat)
        assert niah(*settings).returncode == 0
        assert niah(*settings, "name=b", "engine.body.chat_template_kwargs=null").returncode == 0
    sent = [body.get("chat_template_kwargs") for body in server.bodies]
    assert sent == [{"enable_thinking": False}] * 10 + [None] * 10
    assert not any("chat_template_kwargs" in body for body in server.bodies[10:])


@pytest.mark.slow
@pytest.mark.parametrize(("owner", "num_controls"), [("vllm", 1), ("sglang", 0), ("somebody", 0)])
def test_only_servers_that_can_leave_their_cache_are_asked_to(niah, tmp_path, owner, num_controls):
    with Server(card={"id": "smol", "owned_by": owner}, pages={}, cached_tokens=5) as server:
        done = niah(*GRID, *server.words)
    assert done.returncode == 0 and len(server.bodies) == 10 + num_controls, done.stderr
    assert ("control without prefix cache" in done.stderr) is bool(num_controls)


@pytest.mark.slow
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
    assert done.returncode == 5 and "it cut the prompt to its own limit" in done.stderr
    outcomes = Counter((row["length"], row["outcome"]) for row in rows(folder(tmp_path)))
    assert outcomes == {(512, "engine-error"): 5, (1024, "engine-error"): 5}


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


@pytest.mark.slow
def test_as_many_at_once_as_asked_and_each_once(niah, tmp_path):
    with Server(at_once=4) as server:
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


@pytest.mark.slow
def test_another_server_at_the_same_address_is_refused(niah, tmp_path):
    with Server({9: "500"}) as server:
        assert niah(*GRID, *server.words, "engine.max_retries=0").returncode == 5
        server.pages = {"/version": '{"version": "10.0"}'}
        done = niah(*GRID, *server.words, "engine.max_retries=0")
    assert done.returncode == 1 and "server (there vLLM 9.9, now vLLM 10.0)" in done.stderr


@pytest.mark.slow
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


@pytest.mark.parametrize(("value", "seconds"), [
    ("7", 7), ("1.5", 1.5), ("0", 0), ("9" * 400, math.inf), ("1e308", None), ("nan", None), ("inf", None),
    ("-5", None), ("soon", None), ("", None), ("1_0", None), ("Thu, 01 Jan 1970 00:00:00 GMT", None),
    ("Sat, 28 Nov 2026 12:00:30 GMT", 30), ("Sat, 28 Nov 2026 12:00:30", 30), ("Sat, 28 Nov 99999 12:00:30 GMT", None),
    ("Sun, 28 Nov 2027 12:00:00 GMT", 365 * 24 * 3600),
])
def test_how_long_a_server_asks_to_wait(value, seconds):
    """A date is looked at by the server's own clock."""
    headers = httpx2.Headers({"retry-after": value, "date": "Sat, 28 Nov 2026 12:00:00 GMT"})
    assert retry_after(headers) == seconds

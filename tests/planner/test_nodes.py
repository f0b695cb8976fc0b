"""The plan over several machines: that it fits, and that the commands it prints are vLLM's and ours."""

import dataclasses
import json
import re
import shlex

import pytest


def plan(niah, *words: str) -> str:
    done = niah("plan", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cell(text: str, length: str, dtype: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[:2] == [length, dtype])


@pytest.mark.parametrize(
    ("words", "dtype"),
    [((), "fp8_e4m3"), (("kv=bf16", "hardware=8xh200"), "bfloat16"), (("kv=bf16", "hardware=2x8xh100"), "bfloat16")],
)
def test_scout_at_ten_million_fits_where_the_experiment_says(niah, words, dtype):
    text = plan(niah, "experiment=scout_10m", *words)
    assert cell(text, "10M", dtype)[2] == "yes"
    room = float(re.search(r"([\d.]+) GiB of each for the engine", text)[1])
    assert float(cell(text, "10M", dtype)[3]) < room
    assert f"kv_cache_dtype={dtype}" in text and "max_model_len=10485760" in text


def test_one_node_of_h100_has_no_room_for_bf16(niah):
    text = plan(niah, "experiment=scout_10m", "kv=bf16")
    assert cell(text, "10M", "bfloat16")[2] == "no" and "vllm serve" not in text


def test_each_node_has_its_command(niah):
    text = plan(niah, "experiment=scout_10m", "hardware=2x8xh100")
    assert "node 0: ray start --head" in text and "node 1: ray start --address=HEAD:6379" in text
    run = next(line for line in text.splitlines() if "RAY_ADDRESS" in line)
    words = "experiment=scout_10m hardware=2x8xh100 engine.args.distributed_executor_backend=ray"
    assert run.endswith(f"python -m niah {words}")
    served = [line.split(": ", 1)[1] for line in text.splitlines() if "vllm serve" in line]
    assert len(served) == 2 and served[0] + " --headless" == served[1].replace("--node-rank 1", "--node-rank 0")
    assert all("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS=3600 vllm serve" in line for line in served)


@pytest.mark.engine
def test_vllms_own_parser_reads_the_arguments_back(niah):
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    text = plan(niah, "experiment=scout_10m", "hardware=2x8xh100")
    head = "engine arguments: "
    given = next(line for line in text.splitlines() if line.startswith(head)).removeprefix(head)
    wanted = dict(pair.split("=", 1) for pair in re.split(r" (?=\w+=)", given))
    for rank, line in enumerate(line for line in text.splitlines() if "vllm serve" in line):
        words = shlex.split(line[line.index("vllm serve") :])[2:]
        parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
        arguments = AsyncEngineArgs.from_cli_args(parsed)
        assert (parsed.nnodes, parsed.node_rank, parsed.master_addr, parsed.headless) == (2, rank, "HEAD", rank == 1)
        for name in {field.name for field in dataclasses.fields(arguments)} & wanted.keys():
            value = getattr(arguments, name)
            assert (value if isinstance(value, str) else json.dumps(value)) == wanted[name], name

"""A kernel that was not asked for serves: the engine is closed again, and nothing is measured under its name."""

import subprocess
import sys

import pytest

from tests.helpers.command import environment_with
from tests.helpers.engines import exact_on_cpus

OPENS = """
import sys
from pathlib import Path
import psutil
from niah.errors import NiahError
from niah.prompts.recipe import Recipe
from niah.runs import capacity, measure
from tests.helpers.configs import built

plain = built("ctx.lengths=[512]")
(fit,) = capacity.check(plain).values()
job = measure.job_of(plain, Recipe(plain), fit, 512, Path(sys.argv[1]))
for words in (["engine.attention=flash_attn"], ["engine.flash_attn_version=3"], []):
    try:
        session = built("ctx.lengths=[512]", *words).engine.open(job)
        print("told:", "served by", session.served["attention_backend"])
        session.close()
    except NiahError as error:
        print("told:", error)
    names = [child.name() for child in psutil.Process().children(recursive=True) if child.status() != "zombie"]
    print("left:", [name for name in names if "Engine" in name or "VLLM" in name])
"""


@pytest.mark.engine
@pytest.mark.slow  # three engines in processes of their own
@exact_on_cpus  # there no attention is chosen: on a GPU the plan refuses what vLLM would change
def test_another_kernel_than_was_asked_for_ends_the_run(tmp_path):
    from niah.engines.vllm.process import environment

    done = subprocess.run(
        [sys.executable, "-c", OPENS, str(tmp_path / "log")], capture_output=True, text=True, timeout=400,
        env=environment_with(**{**environment(), "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}),
    )
    told = [line.removeprefix("told: ") for line in done.stdout.splitlines() if line.startswith("told: ")]
    left = [line for line in done.stdout.splitlines() if line.startswith("left: ")]
    assert len(told) == 3, done.stderr[-2000:]
    assert told[0].startswith("engine.attention=FLASH_ATTN: vLLM serves with CPU_ATTN; nothing is measured")
    assert told[1].startswith("engine.flash_attn_version=3: vLLM serves with CPU_ATTN, without FlashAttention")
    assert told[2] == "served by CPU_ATTN"
    assert left == ["left: []"] * 3

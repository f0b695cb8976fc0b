"""The same run on an NVIDIA GPU, FlashAttention asked for by name."""

import json

import pytest

from tests.helpers.command import rows

pytestmark = [pytest.mark.gpu, pytest.mark.engine]


@pytest.mark.parametrize("kv", ["bf16", "fp8"])
def test_flash_attention(niah, tmp_path, kv):
    done = niah(
        "ctx.lengths=[1k,8k]", "ctx.depths=[0,50,100]", "engine.attention=flash_attn", f"kv={kv}", "name=a", timeout=900
    )
    if kv == "fp8" and done.returncode and "did not start" in done.stderr:
        pytest.skip("FLASH_ATTN has no FP8 KV cache on this GPU: it needs compute capability 9.0")
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "outputs" / "a")
    facts = json.loads((tmp_path / "outputs" / "a" / "run.json").read_text())["engine"]
    assert facts["attention_backend"] == "FLASH_ATTN" and facts["prompt_tokens_counted"] == facts["prompt_tokens_sent"]
    assert all(row["num_prompt_tokens"] == row["length"] - 32 for row in found)
    told = {name: facts[name] for name in ("told_by", "queries_quantized", "kv_scales")}
    assert told == {
        "told_by": "workers", "queries_quantized": kv == "fp8", "kv_scales": "1.0" if kv == "fp8" else None,
    }
    assert facts["flash_attn_version"] in (2, 3, 4)
    assert sum(row["score"] for row in found if row["length"] == 1024) >= 2

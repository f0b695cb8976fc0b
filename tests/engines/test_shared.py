"""Shared contexts in real vLLM: a model that finds everything finds it under each protocol, and the text is computed
once."""

import json

import pytest

from tests.helpers.engines import KV, VARIANTS

pytestmark = pytest.mark.engine


@pytest.mark.slow
def test_all_is_found_and_a_shared_text_is_computed_once(niah, tmp_path):
    words = (
        "model=calibration/full", "ctx.lengths=[1k,2k]", "ctx.depths=[0,30,50,70,100]", KV, "outputs=o",
        "report.formats=[]", "report.page=false",
    )
    computed = {}
    for share in ("none", "depths", "lengths"):
        done = niah(*words, f"ctx.share={share}", f"name={share}", timeout=900)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in (tmp_path / "o" / share / "rows.jsonl").read_text().splitlines()]
        assert len(rows) == 10 * len(VARIANTS) and {row["outcome"] for row in rows} == {"correct"}
        assert {row.get("share", "none") for row in rows} == {share}
        session = json.loads((tmp_path / "o" / share / "run.json").read_text())["sessions"][-1]
        for variant in VARIANTS:
            tokens = session["tokens"][variant]
            assert tokens["needed"] <= tokens["computed"] <= 1.05 * tokens["needed"] < tokens["sent"]
        computed[share] = session["tokens"]["bf16"]["computed"]
        assert f"{computed[share]:,} computed" in done.stderr
    assert computed["lengths"] < computed["depths"] < computed["none"]

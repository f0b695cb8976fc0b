"""Real vLLM whose requests it ends itself: no such end is a wrong answer."""

import pytest

from tests.helpers.command import rows
from tests.helpers.vllm_ends import variables

pytestmark = pytest.mark.engine


def test_what_vllm_ends_itself_is_no_answer(niah, tmp_path):
    words = ("ctx.lengths=[512]", "ctx.depths=[0,50,100]", "name=a", "engine.graded=false", "engine.cold_check=0")
    planted = variables(tmp_path / "plugin", "ABORT", "ERROR")
    done = niah(*words, timeout=800, **planted)
    assert done.returncode == 5 and "2 of 3 trials ended without an answer" in done.stderr, done.stderr
    found = rows(tmp_path / "outputs" / "a")
    assert [row["outcome"] for row in found[:2]] == ["engine-error"] * 2
    assert [row["error"].split("'")[1] for row in found[:2]] == ["abort", "error"]
    assert all(row["score"] is not None for row in found[2:])

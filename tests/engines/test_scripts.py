"""Scripts that ask an engine without niah: Python whatever the texts are, and nothing but what was said in them."""

import ast

import pytest

from niah.engines import Case
from niah.engines.openai import script as openai
from niah.engines.transformers import script as transformers
from niah.engines.vllm import script as vllm

ODD = 'a """quote""" \'\'\' {brace} \\ \n# line\u2028\x1b[31m \ud800 灯塔 %s'
CASE = Case(ODD, (("ids_0.npy", 8, ""), (ODD, 32, "cold")), ODD, ODD, {}, ((5, 6, 7), 1), (3,))
ARGUMENTS = {"model": ODD, "revision": None, "hf_overrides": {ODD: [1.5, True]}, "max_model_len": 8192}


@pytest.mark.parametrize("text", [
    vllm.text(ARGUMENTS, {"VLLM_BATCH_INVARIANT": ODD}, (2, 0), CASE),
    transformers.text(ODD, None, {ODD: 1}, "bfloat16", "sdpa", "cpu", (2, 0), CASE),
    openai.text("http://localhost:8000/v1/", "MY_KEY", {"model": ODD}, CASE, salted=True),
], ids=["vllm", "transformers", "openai"])
def test_odd_texts_stay_texts(text):
    found = {}
    for node in ast.parse(text.encode("utf-8")).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    assert found["TITLE"] == found["EXPECTED"] == found["FOUND"] == ODD
    assert found["ASKED"] == [["ids_0.npy", 8, ""], [ODD, 32, "cold"]]
    assert found.get("ENGINE", ARGUMENTS) == ARGUMENTS and "niah" not in text
    assert found.get("MODEL", ODD) == ODD and found.get("URL", "http://localhost:8000/v1") == "http://localhost:8000/v1"

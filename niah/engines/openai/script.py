"""A script that sends ids to an OpenAI-compatible server, with Python's own library alone (numpy reads the ids)."""

from collections.abc import Mapping
from typing import Any

from niah.engines import Case

_TEXT = '''\
"""A prompt that a server answers wrong. Needs numpy and the server: python {file}"""
import json
import os
import urllib.request
from pathlib import Path

import numpy as np

TITLE = {title}
EXPECTED = {expected}
FOUND = {found}
URL = {url}
KEY = os.environ.get({key}, "")
BODY = {body}
ASKED = {asked}  # file of ids, most tokens of the answer, cache salt

texts = []
for file, most, salt in ASKED:
    ids = np.load(Path(__file__).parent / file).tolist()
    own = {{"cache_salt": salt}} if salt else {{}}
    body = {{"prompt": ids, "max_tokens": most, "temperature": 0, **BODY, **own}}
    headers = {{"Content-Type": "application/json"}} | ({{"Authorization": f"Bearer {{KEY}}"}} if KEY else {{}})
    request = urllib.request.Request(f"{{URL}}/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        texts.append(json.load(reply)["choices"][0]["text"])
print(TITLE, f"expected: {{EXPECTED}}", f"then: {{FOUND}}", f"now: {{texts[-1]!r}}", sep="\\n")
print(json.dumps({{"texts": texts, "num_tokens": len(ids)}}), flush=True)
'''


def text(url: str, key: str | None, body: Mapping[str, Any], case: Case, *, salted: bool) -> str:
    """``key`` names the variable that holds it; ``body`` is what each request has beside the prompt. ``salted``: the
    server knows cache_salt."""
    asked = [[file, most, salt if salted else ""] for file, most, salt in case.asked]
    return _TEXT.format(
        file="reproduce.py", title=ascii(case.title), expected=ascii(case.expected), found=ascii(case.found),
        url=ascii(url.rstrip("/")), key=ascii(key or "OPENAI_API_KEY_THAT_IS_NOT_NEEDED"), body=dict(body), asked=asked,
    )

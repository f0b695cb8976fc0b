"""The HTML around the numbers and the trials: one file that asks the network for nothing."""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from niah import terminal

PAGE = "report.html"
Blocks = Iterable[tuple[str, str]]
_MAX_PICTURE = 2**19
"""Bytes of a picture for readers without scripts: a larger one stays beside the page."""


def document(content: Mapping[str, Any], blocks: Blocks = (), pictures: Mapping[str, str] | None = None) -> str:
    """A whole page. ``content`` is report.json's, ``blocks`` are the deflated trials with their names, ``pictures`` SVG
    texts by their names for readers without scripts.

    Nothing of it is read as code but the script whose sha256 stands in its security policy: data is JSON in blocks
    that no browser runs, with every ``<`` escaped, and the script puts it on the page as text alone.
    """
    return "".join(parts(content, blocks, pictures or {}))


def parts(
    content: Mapping[str, Any], blocks: Blocks, pictures: Mapping[str, str], script: str = "page.js"
) -> Iterator[str]:
    """The same piece by piece: numbers and script before the trials, so that a large page is drawn while it loads."""
    script, style = _file("elements.js") + _file(script), _file("page.css")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>niah: {_escaped(content['title'])}</title><style>{style}</style></head>\n"
        f'<body><div id="app"></div>{_without_scripts(content, pictures)}\n'
        f'<script type="application/json" id="content">{embedded(content)}</script>\n<script>{script}</script>\n'
    )
    for name, block in blocks:
        yield f'<script type="text/plain" id="{html.escape(name)}">{block}</script>\n'
    yield '<script type="text/plain" id="end"></script></body></html>\n'


def embedded(content: Any) -> str:
    """JSON as it may stand in a page: ASCII, and no ``<`` that could end its element or begin a comment.

    Raises ValueError for a number that JSON does not know (NaN).
    """
    return json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _without_scripts(content: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """What readers see whose browser runs no script: the sentences, and the pictures."""
    lines = "".join(f"<p>{_escaped(line)}</p>" for line in (*content["sentences"], *content["warnings"]))
    images = "".join(
        f'<p><img alt="{_escaped(name)}" src="data:image/svg+xml;base64,{_base64(text)}"></p>'
        for name, text in pictures.items() if len(text) <= _MAX_PICTURE
    )
    return f"<noscript><h1>{_escaped(content['title'])}</h1>{lines}{images}</noscript>"


def _escaped(text: object) -> str:
    return html.escape(terminal.visible(str(text)))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


@cache
def _file(name: str) -> str:
    return resources.files("niah.report.page").joinpath(name).read_text(encoding="utf-8")

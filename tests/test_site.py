"""The site of docs/ (make docs): it builds without a warning, and each of its links leads somewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from niah import choices
from niah.commands import help
from tests.helpers.command import REPOSITORY

pytest.importorskip("mkdocs")
pytest.importorskip("material")
pytestmark = pytest.mark.slow


class Links(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, page: Path):
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.targets += [given[name] for name in ("href", "src") if given.get(name)]
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, env=environment, timeout=800)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
    return folder


def test_each_link_and_anchor_leads_somewhere(site):
    pages = {page: Links(page) for page in site.rglob("*.html") if page.name != "404.html"}
    wrong, num = [], 0
    for page, links in pages.items():
        for target in links.targets:
            if re.match(r"[a-z]+:|//", target):
                continue
            num += 1
            path, _, anchor = target.partition("#")
            file = (page.parent / unquote(path)).resolve() if path else page
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file() or (anchor and file in pages and unquote(anchor) not in pages[file].ids):
                wrong.append(f"{page.relative_to(site)}: {target}")
    assert not wrong and num > 1000


def test_every_page_of_docs_and_every_setting_is_there(site):
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").is_file()
    for group in choices.groups():
        text = (site / f"settings/{group}.html").read_text(encoding="utf-8")
        found = [key for name in ("", *choices.names(group)) for key, _, _ in help.table(group, name)]
        assert not [key for key in found if f">{key}<" not in text], group
    verbs = (site / "settings/verbs.html").read_text(encoding="utf-8")
    assert not [verb for verb, _, _ in help.USAGE if f'id="{verb}"' not in verbs]
    assert "compare.margin" in verbs and "0.02 for 2 points" in verbs


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>", text), page

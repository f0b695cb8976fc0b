"""What is written for people: relative links and anchors lead somewhere, README stays short and leads to each page."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.command import REPOSITORY

README = REPOSITORY / "README.md"
PAGES = sorted(page for folder in (".", "docs", "haystacks") for page in (REPOSITORY / folder).glob("*.md"))
FENCED = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)(?: \"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


@cache
def text_of(page: Path) -> str:
    """Without what is code."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Those of its headings, as GitHub makes them."""
    found: dict[str, int] = {}
    made = set()
    for heading in HEADING.findall(text_of(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        made.add(f"{slug}-{found[slug]}" if slug in found else slug)
        found[slug] = found.get(slug, 0) + 1
    return frozenset(made)


def wrong(page: Path) -> list[str]:
    found = []
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", text_of(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            found.append(f"{target}: no such file")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            found.append(f"{target}: no such heading")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_relative_links_and_anchors_lead_somewhere(page):
    assert not wrong(page)


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    page = tmp_path / "a.md"
    links = "[a](#one-two-3) [b](#one) [c](b.md) ![d](a.md#one-two-3)"
    page.write_text(f"# One: `two`, 3\n\n{links}\n\n```\n[e](f.md)\n```\n")
    assert wrong(page) == ["#one: no such heading", "b.md: no such file"]


def test_the_readme_is_short_and_leads_to_every_page():
    assert len(README.read_text(encoding="utf-8").splitlines()) < 200
    linked = {(README.parent / target.partition("#")[0]).resolve() for target in LINK.findall(text_of(README))}
    assert not {page.name for page in (REPOSITORY / "docs").glob("*.md") if page.resolve() not in linked}


@pytest.mark.parametrize("name", ["LICENSE", "CITATION.cff", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md"])
def test_what_a_project_is_expected_to_have_is_there(name):
    assert (REPOSITORY / name).stat().st_size > 300


def test_every_file_that_a_page_or_a_docstring_names_is_there():
    named = re.compile(r"\b(?:niah|tests|benchmarks|deploy)/[a-zA-Z0-9_/]*\.(?:py|sh|yaml|yml)\b")
    files = ("*.md", "docs/*.md", "niah/**/*.py", "benchmarks/*.py", "tests/helpers/*.py", "deploy/*.*", "Makefile")
    texts = [text for pattern in files for text in REPOSITORY.glob(pattern)]
    assert len(texts) > 400 and not {
        f"{text.relative_to(REPOSITORY)}: {name}" for text in texts
        for name in named.findall(text.read_text(encoding="utf-8")) if not (REPOSITORY / name).exists()
    }

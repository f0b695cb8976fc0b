"""What mkdocs.yml needs beside docs/ (a hook of MkDocs): pages that lie elsewhere in the repository, links between
them, the navigation, and a reference of all settings, read from their classes as ``niah help`` reads them."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mkdocs.config.defaults import MkDocsConfig  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402
from mkdocs.structure.pages import Page  # noqa: E402

from niah import choices  # noqa: E402
from niah.commands import catalog, help  # noqa: E402

ELSEWHERE = {
    "README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md", "haystacks/README.md": "haystacks.md",
}
"""Pages outside docs/, and what they are on the site."""
RECIPES = "recipes.md"
_RECIPES_HEADING, _PAGES_HEADING = "## Four recipes", "## More"
_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^()\s#]+)((?:#[^()\s]*)?(?: \"[^\"]*\")?\))")
_STYLE = ".md-typeset td code { word-break: normal; }\n"
"""Names of settings are not broken in tables."""
_NAMED = re.compile(r"\[([^\]]+)\]\(([^()\s#]+\.md)\)")
_TITLES = {"kv": "KV cache", "ctx": "Lengths and depths", "spec": "Speculation"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Headings get GitHub's anchors; the navigation is the README's table of pages, and the reference."""
    config.mdx_configs["toc"] = {"slugify": slug, "permalink": True}
    start = [{"niah": "index.md"}, {"Start in five minutes": "start.md"}, {"Four recipes": RECIPES}]
    pages = [{"Verbs": "settings/verbs.md"}, *({title(group): f"settings/{group}.md"} for group in choices.groups())]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    sections = sections_of(readme, {page for one in start for page in one.values()})
    named = {page for part in sections for inside in part.values() for one in inside for page in one.values()}
    others = sorted({one.name for one in (ROOT / "docs").glob("*.md")} - named - {"start.md"})
    sections.insert(1, {"Settings": pages})
    config.nav = [{"Start": [*start, {"Haystacks": "haystacks.md"}, *map(by_heading, others)]}, *sections]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what lies outside docs/, and what is made."""
    made = {site: (ROOT / place).read_text(encoding="utf-8") for place, site in ELSEWHERE.items()}
    made[RECIPES] = recipes(made["index.md"])
    made |= {"settings/verbs.md": verbs(), **{f"settings/{group}.md": page_of(group) for group in choices.groups()}}
    for name, text in {**made, "site.css": _STYLE}.items():
        files.append(File.generated(config, name, content=text))
    for page in (ROOT / "docs").glob("*.md"):
        for target in linked(page.read_text(encoding="utf-8"), page.parent) - {*ELSEWHERE}:
            if not target.startswith("docs/") and (ROOT / target).is_file():
                files.append(File.generated(config, f"files/{target}", abs_src_path=str(ROOT / target)))
    for target in linked(made["index.md"], ROOT):
        if not target.startswith("docs/") and target not in ELSEWHERE:
            files.append(File.generated(config, f"files/{target}", abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the site has them."""
    place = {site: place for place, site in ELSEWHERE.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    place = "README.md" if page.file.src_uri == RECIPES else place
    folder = (ROOT / place).parent

    def moved(match: re.Match) -> str:
        if re.match(r"[a-z]+:", match[2]) or page.file.src_uri.startswith("settings/"):
            return match[0]
        target = repository_path(match[2], folder)
        other = target.removeprefix("docs/") if target.startswith("docs/") else f"files/{target}"
        site = ELSEWHERE.get(target, other)
        return f"{match[1]}{os.path.relpath(site, os.path.dirname(page.file.src_uri) or '.')}{match[3]}"

    return "".join(part if is_code else _LINK.sub(moved, part) for part, is_code in parts(markdown))


def parts(markdown: str) -> Iterator[tuple[str, bool]]:
    """Text and code, in order."""
    place = 0
    for match in _FENCE.finditer(markdown):
        yield markdown[place : match.start()], False
        yield match[0], True
        place = match.end()
    yield markdown[place:], False


def linked(markdown: str, folder: Path) -> set[str]:
    """What a page links to, by its path in the repository."""
    text = "".join(part for part, is_code in parts(markdown) if not is_code)
    return {
        repository_path(target, folder) for _, target, _ in _LINK.findall(text) if not re.match(r"[a-z]+:", target)
    }


def repository_path(target: str, folder: Path) -> str:
    return os.path.relpath(folder / target, ROOT).replace(os.sep, "/")


def slug(text: str, separator: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", separator)


def title(group: str) -> str:
    return _TITLES.get(group, group.capitalize())


def sections_of(readme: str, without: set[str]) -> list[dict[str, Any]]:
    """The README's table of pages: a section a line, with the titles of its links."""
    found = []
    for name, cells in re.findall(r"^\| ([\w ]+) \| (\[.*) \|$", readme.partition(_PAGES_HEADING)[2], re.MULTILINE):
        pages = [(text, ELSEWHERE.get(target, target.removeprefix("docs/"))) for text, target in _NAMED.findall(cells)]
        inside = [{text[0].upper() + text[1:]: page} for text, page in pages if page not in without]
        found.append({name.capitalize(): inside})
    return found


def by_heading(page: str) -> dict[str, Any]:
    """A page of docs/ that the table does not have, by its own title."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return {next((line.lstrip("# ") for line in text.splitlines() if line.startswith("# ")), page): page}


def recipes(readme: str) -> str:
    """The README's recipes as a page."""
    _, _, rest = readme.partition(_RECIPES_HEADING)
    return f"# Four recipes\n{re.split(r'^## ', rest, maxsplit=1, flags=re.MULTILINE)[0]}"


def verbs() -> str:
    """Every verb with its own settings."""
    lines = ["# Verbs", "", "`niah help VERB` says the same; a run's settings are those of the groups beside.", ""]
    for verb in dict.fromkeys(verb for verb, _, _ in help.USAGE):
        lines += [f"## {verb}", ""]
        for name, words, does in help.USAGE:
            if name == verb:
                command = f"python -m niah {'' if verb == 'run' else f'{verb} '}{words}"
                lines += ["```", command, "```", "", f"{does}.", ""]
        if verb == "run":
            rows = [(f"`{key}={value}`", about) for key, value, about in help.of_a_run()]
            lines += table(("setting", "what it is"), rows)
        for group in help.groups_of(verb):
            lines += settings(group)
    return "\n".join([*lines, "## Exit codes", "", help.EXIT_CODES, ""])


def page_of(group: str) -> str:
    """A group: its settings, then its choices; where each choice has a class of its own, the settings of each."""
    lines = [f"# {title(group)}", "", f"`{group}=NAME` picks one, `{group}.setting=VALUE` sets one of them.", ""]
    found = catalog.of(group)
    if group in help.CLASSES:
        lines += [*settings(group), "## Choices", ""]
    rows = [(f"`{group}={one['choice']}`", str(one["note"] or one["settings"].get("label", ""))) for one in found]
    lines += table(("choice", "what it is"), rows)
    if group not in help.CLASSES:
        for one in found:
            if "/" not in one["choice"] and help.class_of(group, one["choice"]):
                lines += [f"## {group}={one['choice']}", "", *settings(group, one["choice"])]
    return "\n".join(lines)


def settings(group: str, name: str = "") -> list[str]:
    """A table of settings, and what their class says of them."""
    rows = [(f"`{key}`", f"`{value}`" if value else "required", about) for key, value, about in help.table(group, name)]
    paragraphs = [line for text in help.about(group, name) for line in (text, "")]
    return [*paragraphs, *(table(("setting", "default", "what it may hold"), rows) if rows else [])]


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(cell(one) for one in line)} |" for line in lines), ""]


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

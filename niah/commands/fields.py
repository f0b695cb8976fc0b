"""The settings of a class read from its source, without importing it: ``--help`` and completion wait for no library."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from niah import choices, limits, origin

_PACKAGE = Path(__file__).resolve().parents[1]
_MAKERS = {
    "limited": limits.limited, "one_of": limits.one_of, "free_text": limits.free_text, "field": dataclasses.field,
    "list": list, "dict": dict, "tuple": tuple,
}


@dataclass(frozen=True)
class Setting:
    """One field: its ``default`` as a command would say it, ``???`` where there is none (as Hydra says it), and what it
    may hold; ``values`` are all that it may, where they are few."""

    name: str
    default: str
    expected: str
    values: tuple[str, ...] = ()


def settings(path: str) -> list[Setting]:
    """The fields of the dataclass with this dotted path, those of its bases first; none where its file is not found."""
    found: dict[str, Setting] = {}
    for source, one in reversed(_lineage(path)):
        for node in one.body if any("dataclass" in ast.unparse(mark) for mark in one.decorator_list) else ():
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                kind = ast.unparse(node.annotation)
                if not kind.startswith("ClassVar"):
                    found[node.target.id] = _setting(node.target.id, kind, node.value, source)
    return list(found.values())


def about(path: str) -> list[str]:
    """Paragraphs of the class's docstring, and those of its bases' that begin with a setting. None where its file is
    not found."""
    found = []
    for number, (_, one) in enumerate(_lineage(path)):
        for text in (ast.get_docstring(one) or "").split("\n\n"):
            if text and (number == 0 or text.startswith("``")):
                found.append(" ".join(text.replace("``", "").split()))
    return found


def first_sentence(path: str) -> str:
    """The first sentence of the docstring of the class's module, on one line, or of a module itself; else the
    class's. Empty where its file is not found."""
    source, lineage = _source(path) or _source(path.rpartition(".")[0]), _lineage(path)
    nodes: list[ast.Module | ast.ClassDef] = [*([source.tree] if source else []), *(one for _, one in lineage)]
    text = next((text for one in nodes if (text := ast.get_docstring(one))), "")
    return sentence_of(text)


def sentence_of(text: str) -> str:
    """Its first sentence, on one line and without its full stop."""
    return re.split(r"(?<!et al)\.\s|\n\n", text.strip())[0].replace("``", "").replace("\n", " ").rstrip(".")


def _setting(name: str, kind: str, value: ast.expr | None, source: "_Source") -> Setting:
    held = source.value(value) if value is not None else dataclasses.MISSING
    if not isinstance(held, dataclasses.Field):
        made: Any = dataclasses.field(default=None if isinstance(held, list | dict) else held)
        default = held
    else:
        made, default = held, held.default
        if held.default_factory is not dataclasses.MISSING:
            default = held.default_factory()
    expected = limits.expected(made) or _of_kind(kind)
    if made.metadata.get("unit") == "tokens":
        expected = "tokens, as 4096 or 8k"
    values = ("true", "false") if kind.startswith("bool") else tuple(map(said, limits.allowed(made)))
    typed = "???" if default is dataclasses.MISSING else said(default)
    return Setting(name, typed, expected, tuple(filter(None, values)))


def said(value: Any) -> str:
    """A value as a command says it."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(said, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}: {said(one)}" for key, one in value.items()) + "}"
    if isinstance(value, float):
        return f"{value:g}"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value).replace("\n", "\\n")


def _of_kind(kind: str) -> str:
    names = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text"}
    plain, _, rest = kind.partition(" | ")
    many = {"list": "a list", "dict": "key: value"}
    known = names.get(plain) or many.get(plain.partition("[")[0], kind)
    return known + (", or null" if rest == "None" else "")


class _Source:
    """A module's text, parsed."""

    def __init__(self, file: Path):
        self.tree = ast.parse(file.read_text(encoding="utf-8"))
        self._classes = {one.name: one for one in self.tree.body if isinstance(one, ast.ClassDef)}
        self._constants: dict[str, ast.expr] = {}
        self._imports: dict[str, str] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._bind(target, node.value)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                self._constants[node.target.id] = node.value
            elif isinstance(node, ast.ImportFrom) and node.module:
                self._imports.update({one.asname or one.name: f"{node.module}.{one.name}" for one in node.names})

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._constants[target.id] = value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, part in zip(target.elts, value.elts, strict=False):
                self._bind(one, part)

    def lineage(self, name: str) -> Iterator[tuple["_Source", ast.ClassDef]]:
        """The class and its bases, nearest first, as far as their files are found."""
        one = self._classes.get(name)
        if one is None:
            if name in self._imports:
                yield from _lineage(self._imports[name])
            return
        yield self, one
        for base in one.bases:
            if isinstance(base, ast.Name):
                yield from self.lineage(base.id)

    def value(self, node: ast.expr) -> Any:
        """What an expression of the module's own constants and makers of fields is; for another one that makes a field
        its first argument, and the text of all others."""
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        try:
            known = {name: self.named(name) for name in names}
            return eval(compile(ast.Expression(node), "a default", "eval"), {"__builtins__": {}, **known})
        except (NameError, TypeError, ValueError, AttributeError):
            if isinstance(node, ast.Call):
                return self.value(node.args[0]) if node.args else dataclasses.MISSING
            return ast.unparse(node)

    def named(self, name: str) -> Any:
        """A constant of the module, or one that it imports; of a module that it imports its constants by attribute.
        Raises NameError for anything else."""
        if name in _MAKERS:
            return _MAKERS[name]
        if name in self._constants:
            return self.value(self._constants[name])
        path = self._imports.get(name, "")
        if source := _source(path):
            return _Named(source)
        module, _, last = path.rpartition(".")
        if source := _source(module):
            return source.named(last)
        raise NameError(name)


class _Named:
    """A module's constants as attributes."""

    def __init__(self, source: _Source):
        self._source = source

    def __getattr__(self, name: str) -> Any:
        try:
            return self._source.named(name)
        except NameError as error:
            raise AttributeError(name) from error


@cache
def _source(module: str) -> _Source | None:
    if module.partition(".")[0] == "niah":
        place = _PACKAGE.joinpath(*module.split(".")[1:])
        files = [place.with_suffix(".py"), place / "__init__.py"]
        file = next((one for one in files if one.is_file()), None)
    else:
        file = origin.file_of(module, [*choices.plug_in_folders(), *origin.installed_folders()]) if module else None
    try:
        return _Source(file) if file else None
    except (SyntaxError, ValueError, OSError):
        return None


def _lineage(path: str) -> list[tuple[_Source, ast.ClassDef]]:
    module, _, name = path.rpartition(".")
    source = _source(module)
    return list(source.lineage(name)) if source else []

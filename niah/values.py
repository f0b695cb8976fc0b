"""Values as people type them: a text as it is, a list as [a,b], a dict as {a: 1} (JSON too), a number, true, null."""

import re
from collections.abc import Sequence
from typing import Any

from niah.errors import NiahError

_CLOSING = {"[": "]", "{": "}", "(": ")"}
_WHOLE, _DIGITS = r"(?:0|[1-9](?:_?\d)*)", r"\d(?:_?\d)*"
_POINTED = rf"(?:{_WHOLE}?\.{_DIGITS}|{_WHOLE}\.)"
_INTEGER = re.compile(rf"[+-]?{_WHOLE}")
_FLOAT = re.compile(rf"[+-]?(?:{_POINTED}|(?:{_POINTED}|{_WHOLE})[eE][+-]?{_DIGITS}|(?i:inf|nan))")
_WORDS = {"null": None, "true": True, "false": False}


def as_typed(text: str) -> str | None:
    """What a command gives a setting with ``text``: the same, but for null, and without quotes that hold all of it."""
    if text == "null":
        return None
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and text[0] not in text[1:-1]
    return text[1:-1] if is_quoted else text


def scalar(text: str) -> Any:
    """A word that stands bare in a list, as Hydra understands it: null, true, 3, 0.5, 1e5, else the text."""
    if text.casefold() in _WORDS:
        return _WORDS[text.casefold()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def read(text: str, where: str, *, is_text: bool = False) -> Any:
    """The list or dict that ``text`` says; with ``is_text`` what stands bare in it stays text (1e5, null).

    Raises NiahError, with the key ``where``, for brackets or quotes that do not close.
    """
    reader = _Reader(text, str if is_text else scalar)
    try:
        found = reader.value("")
        reader.skip_blanks()
        if reader.place < len(text):
            raise ValueError(f"{text[reader.place]!r} at place {reader.place + 1}")
    except (ValueError, IndexError) as error:
        why = str(error) if isinstance(error, ValueError) else "it does not end"
        raise NiahError(
            f"{where}={text}: not understood ({why}); expected a list as [a,b] or a dict as {{a: 1}}"
        ) from error
    return found


def from_words(words: Sequence[str]) -> dict[str, Any]:
    """``group.key=value`` words as nested data: a group's own settings as typed, what lies deeper read as in a list."""
    tree: dict[str, Any] = {}
    for word in words:
        path, _, text = word.partition("=")
        *above, last = path.split(".")
        node = tree
        for name in above:
            node = node.setdefault(name, {})
        node[last] = as_typed(text) if len(above) < 2 else read(text, path) if text[:1] in tuple("[{") else scalar(text)
    return tree


def escaped(data: Any) -> Any:
    """The same data for OmegaConf, which then takes ``${`` in texts as text and resolves nothing."""
    if isinstance(data, dict):
        return {key: escaped(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [escaped(value) for value in data]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", data) if isinstance(data, str) else data


def by_name(data: Any) -> dict[str, Any]:
    """A dict from a library, its keys known to be names."""
    return {str(key): value for key, value in data.items()}


class _Reader:
    """Reads one value after the other, by descent; ``place`` is the next character. Past the end is an IndexError."""

    def __init__(self, text: str, bare: Any):
        self.place = 0
        self._text, self._bare = text, bare

    def value(self, ends: str) -> Any:
        self.skip_blanks()
        first = self._text[self.place]
        if first == "[":
            return [value for _, value in self._entries("]", has_keys=False)]
        if first == "{":
            return dict(self._entries("}", has_keys=True))
        if first in "'\"" and (quoted := self._quoted(ends)) is not None:
            return quoted
        return self._bare(self._plain(ends))

    def skip_blanks(self) -> None:
        while self.place < len(self._text) and self._text[self.place].isspace():
            self.place += 1

    def _entries(self, end: str, *, has_keys: bool) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        self.place += 1
        self.skip_blanks()
        while self._text[self.place] != end:
            key = ""
            if has_keys:
                self.skip_blanks()
                quoted = self._quoted(":") if self._text[self.place] in "'\"" else None
                key = quoted if quoted is not None else self._plain(":")
                self._pass(":")
            found.append((key, self.value("," + end)))
            self.skip_blanks()
            if self._text[self.place] != end:
                self._pass(",")
                self.skip_blanks()
        self.place += 1
        return found

    def _pass(self, expected: str) -> None:
        if self._text[self.place] != expected:
            raise ValueError(f"{self._text[self.place]!r} at place {self.place + 1}, expected {expected!r}")
        self.place += 1

    def _quoted(self, ends: str) -> str | None:
        """A text in quotes up to one of ``ends``; None where the quote belongs to a bare text, as in 'tis."""
        match = re.compile(r"""(['"])((?:\\.|(?!\1).)*)\1\s*""", re.DOTALL).match(self._text, self.place)
        if match is None or (match.end() < len(self._text) and self._text[match.end()] not in ends):
            return None
        self.place = match.end()
        if match[1] == "'":
            return match[2].replace("\\'", "'")
        return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", _unescaped, match[2], flags=re.DOTALL)

    def _plain(self, ends: str) -> str:
        """A bare text up to one of ``ends`` outside brackets; a backslash takes the character behind it as it is."""
        made, open_ones = [], ""
        while open_ones or self._text[self.place] not in ends:
            one = self._text[self.place]
            if one == "\\" and self._text[self.place + 1 : self.place + 2] in tuple(",[]{}():= "):
                self.place += 1
                one = self._text[self.place]
            elif one in _CLOSING:
                open_ones += _CLOSING[one]
            elif open_ones and one == open_ones[-1]:
                open_ones = open_ones[:-1]
            made.append(one)
            self.place += 1
        return "".join(made).strip()


def _unescaped(match: re.Match[str]) -> str:
    """JSON's escapes in a text of double quotes."""
    one = match[1]
    if len(one) > 1:
        return chr(int(one[1:], 16))
    return {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}.get(one, "\\" + one)

"""One form for what people and models write in many: digits, separators, quotes, dashes, markup, white space.

Responses and targets are brought to it by the same function: ``4,829,173``, ``4 829 173``, full-width digits and
``**4829173**`` are one number, and ``Zoë`` is one name however its accent is stored. Pure functions, linear in the
text.
"""

import html
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import regex

_QUOTES = dict.fromkeys(map(ord, "’‘‚‛ʼʻ′´＇"), "'") | dict.fromkeys(map(ord, "“”„‟″«»‹›「」『』〝〞＂"), '"')
_ARABIC = dict.fromkeys(map(ord, "أإآٱ"), "ا") | {ord("٫"): ".", ord("٬"): ",", ord("ـ"): None}
"""The alef is written with or without its sign; U+066B and U+066C stand inside numbers; U+0640 stretches a word."""
_CHARACTERS = str.maketrans({**_QUOTES, **_ARABIC})
_OTHER_NUMBER = regex.compile(r"\p{No}+")
"""Superscripts (footnotes), circled digits (list marks), fractions: numbers of their own, never digits of the next."""
_DIGIT = regex.compile(r"[\p{Nd}--0-9]", regex.VERSION1)
_DASH = regex.compile(r"[\p{Pd}\u2212\u02d7]")
_INVISIBLE = regex.compile(r"[\p{Cf}\u034f\ufe00-\ufe0f\u064b-\u0652\u0670]+")
"""Format characters (soft hyphen, zero width space, direction marks), variation selectors, Arabic vowel signs."""
_TAG = re.compile(r"</?(?:b|i|u|em|strong|mark|code)>|(<br ?/?>)")
_LATEX_GROUP = re.compile(r"\{([,.])\}(?=\d)")
_LATEX_SPACE = re.compile(r"\\[,;:! ](?=\d)")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_STARS = re.compile(r"(?<!\d)\*+|\*++(?!\d)")
_LOW_LINES = re.compile(r"(?<![^\W_])_+|_++(?![^\W_])")
_SHORT = 2000
"""Characters up to which a text's form is kept for the next time."""
_SPACE = re.compile(r"\s+")
_UNUSUAL = re.compile(r"[<{\\*_`\t-\r\x1c-\x1f]|  ")
"""What is left to do in ASCII, if anything."""
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー"
_SPACE_IN_HAN = regex.compile(f"(?<=[{_UNSPACED}、。「」]) (?=[{_UNSPACED}「])")
_GROUPED = re.compile(r"(?<!\d)(\d{1,3})([,.'_ ])(\d{3})((?:\2\d{3})*)(?!\d)(?!\2\d)")
"""Digits in groups of three behind one sign, all of them: ``1, 2, 3`` and ``12,34`` are none."""


def normal(text: str) -> str:
    """The text in normal form: lower case, NFKC, no markup, one space for white space, numbers without separators."""
    return _joined(plain(text))


def readings(text: str) -> tuple[str, ...]:
    """The normal form, and a second one with separators kept where ``123,456`` or ``12 345`` may be a list as well."""
    kept = plain(text)
    joined = _joined(kept)
    if joined == kept:
        return (joined,)
    listed = _joined(kept, lambda found: found[2] in "'_" or (len(found[1]) < 3 and found[2] != " "))
    return (joined,) if listed == joined else (joined, listed)


def _joined(kept: str, wanted: Callable[[re.Match[str]], bool] = lambda found: True) -> str:
    def join(found: re.Match[str]) -> str:
        start, whole = found.start(), found[0]
        goes_on = start > 1 and kept[start - 1] == found[2] and kept[start - 2].isdigit()  # 1234,567,890
        return whole if goes_on or not wanted(found) else whole.replace(found[2], "")

    return _GROUPED.sub(join, kept)


def plain(text: str) -> str:
    """The normal form with the separators of numbers still there."""
    return _known(text) if len(text) < _SHORT else _plain(text)


@lru_cache(2**12)
def _known(text: str) -> str:
    """A response is asked for by its scorer and by what looks for claims in it, targets by each depth of a repeat."""
    return _plain(text)


def _plain(text: str) -> str:
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = _OTHER_NUMBER.sub(lambda found: f" {unicodedata.normalize('NFKC', found[0])} ", text)
        text = unicodedata.normalize("NFKC", text.translate(_CHARACTERS))
        text = _INVISIBLE.sub("", text).translate(_CHARACTERS)
        text = _DIGIT.sub(lambda found: str(unicodedata.digit(found[0])), text)
        text = _DASH.sub("-", text)
        text = unicodedata.normalize("NFC", text.casefold())
    else:
        text = text.lower()
        if not _UNUSUAL.search(text):
            return text.strip()
    if "<" in text:
        text = _TAG.sub(lambda found: " " if found[1] else "", text)
    if "{" in text:
        text = _LATEX_GROUP.sub(r"\1", text)
    if "\\" in text:
        text = _ESCAPE.sub(r"\1", _LATEX_SPACE.sub(",", text))
    if "*" in text:
        text = _STARS.sub("", text)
    if "_" in text:
        text = _LOW_LINES.sub("", text)
    text = _SPACE.sub(" ", text.replace("`", "")).strip()
    return text if text.isascii() else _SPACE_IN_HAN.sub("", text)

"""Where a text occurs in a response: case apart, with word borders in scripts that have them."""

import regex

_SPACED = r"\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{Hebrew}\p{Devanagari}\p{Hangul}\p{N}"
"""Characters of scripts written with spaces between words; Han and kana have no such border."""
_IS_SPACED = regex.compile(f"[{_SPACED}]")
_IS_ARABIC = regex.compile(r"\p{Arabic}")
_CLITIC = "[وفبلك]?"
"""One-letter words (and, so, in, for, like) that Arabic writes joined to the next."""


def place(response: str, text: str, *, whole_words: bool = True) -> int | None:
    """The character where ``text`` first occurs, or None. With ``whole_words`` "art" is not in "start"."""
    response, text = response.casefold(), text.casefold()
    if not whole_words:
        found = response.find(text)
        return None if found < 0 else found
    # a border is needed only where the text itself ends in a letter of a script written with spaces
    before = f"(?<![{_SPACED}])" if _IS_SPACED.match(text[0]) else ""
    after = f"(?![{_SPACED}])" if _IS_SPACED.match(text[-1]) else ""
    clitic = _CLITIC if _IS_ARABIC.match(text[0]) else ""
    match = regex.search(before + clitic + regex.escape(text) + after, response)
    return match.start() if match else None

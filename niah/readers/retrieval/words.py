"""The words of a text as a search engine sees them: stems, or pairs of characters where nothing is between words."""

from functools import cache
from importlib.metadata import version

import regex

from niah.errors import NiahError

STEMMERS = {"en": "english", "de": "german", "es": "spanish", "ar": "arabic"}
"""Snowball's stemmers for the languages that needles come in and that have one."""
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_RUN = regex.compile(rf"(?V1)[{_UNSPACED}]+|[\w--[{_UNSPACED}]]+")
_ASCII = regex.compile(r"[a-z0-9_]+")
_FIRST_UNSPACED = regex.compile(rf"[{_UNSPACED}]")


class Words:
    """Words of texts in one language. ``label`` says all that they depend on.

    Letter case is folded. Runs of Chinese, Japanese, Thai, Lao, Khmer and Burmese characters become overlapping
    pairs, as in Lucene's CJKAnalyzer (one character alone stays alone). Other words are stemmed by Snowball where
    it knows the language. No stop words: BM25's own weights leave them little to say.
    """

    def __init__(self, language: str):
        self._stemmer = None
        self.label = f"words 1 {language}"
        if algorithm := STEMMERS.get(language.split("-")[0]):
            try:
                import Stemmer
            except ImportError as error:
                raise NiahError(
                    "reader=bm25: package PyStemmer is not installed; expected it for this language; "
                    "pip install 'niah[rag]'"
                ) from error
            self._stemmer = Stemmer.Stemmer(algorithm)
            self.label += f" {algorithm} PyStemmer {version('PyStemmer')}"
        self._stems: dict[str, str] = {}

    def of(self, text: str) -> list[str]:
        """The words in order, with repeats."""
        text = text.casefold()
        if text.isascii():
            return [self._stem(word) for word in _ASCII.findall(text)]
        words: list[str] = []
        for run in _RUN.findall(text):
            if not _FIRST_UNSPACED.match(run):
                words.append(self._stem(run))
            elif len(run) == 1:
                words.append(run)
            else:
                words.extend(run[place : place + 2] for place in range(len(run) - 1))
        return words

    def _stem(self, word: str) -> str:
        found = self._stems.get(word)
        if found is None:
            found = self._stems[word] = self._stemmer.stemWord(word) if self._stemmer else word
        return found


@cache
def words_of(language: str) -> Words:
    return Words(language)

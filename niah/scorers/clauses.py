"""Whether a clause says that the text lacks what was asked for: by the words it is made of, not by phrases.

"The document never gives Lisbon a number" denies that a text tells something about what was asked for, and hardly any
of its words is foreign to such talk. "The founders never gave up" denies as well, and is about something else. The
words stand in niah/languages/*.toml under [clause].
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import islice
from typing import Any, NamedTuple

from niah import languages
from niah.scorers.normal_form import normal

ASKED, OTHER, FILL = "\ue000", "\ue001", "\ue002"
"""What a key is replaced by, character for character: private ones, which are part of no word."""
_CLAUSE = re.compile(
    r"[,、،]| - | (?=and (?:\w+ )?(?:not|never|no|nothing|nowhere|doesn't|didn't|isn't)\b)"
    r"| (?=(?:und|y) (?:\w+ )?(?:nicht|kein\w*|nie|no|nunca)\b)| (?=و(?:لا|لم|لن|ليس)\b)"
    r"| (?:but|although|though|yet|however|obwohl|sondern|pero|aunque|sino|لكن)\b"
    r"|ですが|ませんが|ものの|けれど|但|可是|不过|不過|唯独|唯獨|却|卻"
)
"""Each alternative begins with a character of its own: that is looked for first, which is fast."""
_TOKEN = re.compile(rf"[{ASKED}{OTHER}]|[^\W_]+(?:'[^\W_]+)*")
_LETTERS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_UNSPACED = frozenset(("zh-Hans", "zh-Hant", "ja"))
_VERB_LAST = ("de", "ja")
"""What a text does may stand before its denial: "die Zahl nennt er nicht"."""
_LONGEST = 400
"""Characters of a clause that is looked at, and of a sentence as a whole."""
_NEAR = 12
"""Characters between "says" and "nothing" at most, where the denial comes after."""
_KANA = re.compile(r"[\u3040-\u30ff]")
_HAN = re.compile(r"[\u3400-\u9fff\u30a1-\u30fc]")
_AND = re.compile(r"[وف]")
_PREFIX = re.compile(r"لل|[بلك]?ال|[بلك]")
"""One-letter words and the article, which Arabic writes joined to the next word."""
_KINDS = (
    "denial", "lack", "telling", "being", "text", "noun", "word", "pointing", "reference", "only", "person", "beside",
    "of", "turn", "little",
)
_SIGNALS = frozenset(("denial", "lack", "only", "turn"))
_FOREIGN: frozenset[str] = frozenset()
_VALUE = frozenset(("value",))
_ASKED = frozenset(("asked",))
_DENIAL = frozenset(("denial",))
_LITTLE = frozenset(("little",))
_NOUN = frozenset(("noun",))
_STEM = 5
"""Letters by which a word of the question is known again."""
_DENYING = frozenset(("denial", "lack"))
_FULL = 4
"""Foreign words of a claim that names all that was asked for; the less it names, the fewer."""
_MOST = 200
"""Places of one kind in a sentence that are looked at."""
_PERSON = 3
"""Someone of a story counts as so many foreign words."""


@dataclass(frozen=True)
class _Words:
    """A language's words with their kinds; ``stems`` are those with any ending, ``endings`` those with any
    beginning, ``longest`` the characters of one."""

    whole: dict[str, frozenset[str]]
    stems: dict[str, frozenset[str]]
    endings: dict[str, frozenset[str]]
    longest: int
    ending: re.Pattern[str]
    correction: re.Pattern[str]
    idiom: re.Pattern[str]
    basis: re.Pattern[str]


class Token(NamedTuple):
    """A word at [start, stop) of a sentence; ``kinds`` is empty for a foreign one."""

    text: str
    start: int
    stop: int
    kinds: frozenset[str]


@dataclass
class Sentence:
    """A sentence in one language, in which the keys are marked.

    ``asked`` are words of the question, and ``has_key`` says whether its key is known. ``told`` are places
    [start, stop) of phrases for absence. ``refusal`` finds where the speaker declines to answer, ``others`` words for
    what was not asked; ``follows_key``: the sentence before names the key.
    """

    text: str
    code: str
    asked: frozenset[str]
    has_key: bool
    told: Sequence[tuple[int, int]]
    refusal: re.Pattern[str]
    others: re.Pattern[str]
    follows_key: bool

    def claims(self) -> Iterator[tuple[int, int]]:
        """The place of each claim that the text lacks what was asked for."""
        is_told = False
        for clause in self._clauses():
            if place := self._claim_of(clause):
                is_told = True
                yield place
        if not is_told and self._tokens and len(self.text) <= _LONGEST:
            kinds = _kinds(self._tokens)
            if place := self._end(kinds) or self._exception(kinds):
                yield place

    def _end(self, kinds: frozenset[str]) -> tuple[int, int] | None:
        """Where it says that the text ends before it tells; ``kinds`` are those of its words."""
        if self.code not in _UNSPACED and "turn" not in kinds:
            return None
        is_about = (self.follows_key or kinds & {"key", "noun"}) and "other" not in kinds
        ends = _words(self.code).ending.search(self.text) if is_about else None
        if not ends or self.others.search(self.text):
            return None
        return ends.span() if self._foreign(self._tokens) <= _FULL else None

    def _exception(self, kinds: frozenset[str]) -> tuple[int, int] | None:
        """Where it says that another thing alone is told: "only Oslo's"."""
        if not kinds >= {"only", "other"} or ("key" in kinds and "denial" not in kinds):
            return None
        is_about = kinds & {"noun", "text", "telling", "being", "value"}
        if not is_about or self._foreign(self._tokens) > _FULL - 2:
            return None
        return next((token.start, token.stop) for token in self._tokens if "only" in token.kinds)

    def _clauses(self) -> Iterator[list[Token]]:
        """The tokens of each; what is one word long is no clause of its own ("Lisbon, however, is not")."""
        at = 0
        clause: list[Token] = []
        is_short = False
        for stop in (*(found.start() for found in _CLAUSE.finditer(self.text)), len(self.text)):
            first = at
            while at < len(self._tokens) and self._tokens[at].start < stop:
                at += 1
            was_short, is_short = is_short, at - first < 2
            if clause and not (was_short or is_short):
                yield clause
                clause = []
            clause += self._tokens[first:at]
        yield clause

    def __post_init__(self) -> None:
        found = _tokens(self.text, self.code)
        self._tokens = [one._replace(kinds=kinds) if (kinds := self._asked_kinds(one)) else one for one in found]

    def _asked_kinds(self, token: Token) -> frozenset[str]:
        """What a word is by the question, else empty."""
        if "word" in token.kinds:
            return _NOUN if "word" in self.asked else _LITTLE
        if not self.asked or (token.kinds and "person" not in token.kinds):
            return _FOREIGN
        return _FOREIGN if self.asked.isdisjoint(_stems(token.text, self.code)) else _ASKED

    @cached_property
    def _has_basis(self) -> bool:
        """Whether it names what there is to go by: "from this text", "without more context"."""
        return _words(self.code).basis.search(self.text) is not None

    @cached_property
    def _passed_over(self) -> list[tuple[int, int]]:
        """Where a denial denies something else: idioms, and what the speaker declines to tell, not for want of a
        text."""
        return [*_places(_words(self.code).idiom, self.text), *self._declined]

    @cached_property
    def _declined(self) -> list[tuple[int, int]]:
        return [] if self._has_basis else _places(self.refusal, self.text)

    @cached_property
    def _told(self) -> list[tuple[int, int]]:
        """The phrases for absence that are none for declining: what "gives no answer" is a text there, else the
        speaker."""
        over = [] if not self.told or any("text" in token.kinds for token in self._tokens) else self._declined
        return [one for one in self.told[:_MOST] if not any(start < one[1] and one[0] < stop for start, stop in over)]

    def _claim_of(self, clause: list[Token]) -> tuple[int, int] | None:
        """The place of the claim that the clause makes, if it makes one."""
        if not clause or clause[-1].stop - clause[0].start > _LONGEST:
            return None
        start, stop = clause[0].start, clause[-1].stop
        told = next((one for one in self._told if start < one[1] and one[0] < stop), None) if self.told else None
        denials = [token for token in clause if token.kinds & _DENYING]
        if denials:
            denials = [token for token in denials if not _within(token, self._passed_over)]
        if not (told or denials) or (self.others.search(self.text, start, stop) and not self._has_basis):
            return None
        kinds = _kinds(clause)
        if "other" in kinds and not kinds & {"key", "only"}:
            return None
        is_full = "noun" in kinds or (not self.has_key and self._num_asked(clause) > 1)
        if told or any("lack" in denial.kinds or self._denies(denial, clause, {"telling"}) for denial in denials):
            limit = self._limit(kinds, _FULL if is_full else 2, 1)
        elif any(self._denies(denial, clause, {"being", "reference"}) for denial in denials):
            limit = self._limit(kinds, _FULL - 1 if is_full else 0, 0) - ("beside" in kinds)
        elif "value" in kinds or "beside" in kinds or self._is_corrected(start, stop):
            return None
        elif self._has_key(kinds):
            limit = 2 if is_full else 0
        elif "noun" in kinds and ASKED in self.text:
            limit = 1
        else:
            limit = 0 if "text" in kinds else -1
        return (told or (denials[0].start, denials[0].stop)) if self._foreign(clause) <= limit else None

    def _denies(self, denial: Token, clause: Sequence[Token], kinds: set[str]) -> bool:
        """Whether a word of these kinds is denied: "never gives", "says nothing"."""
        for token in clause:
            if token.kinds & kinds:
                gap = denial.start - token.stop
                if token.start > denial.start or self.code in _VERB_LAST:
                    return True
                if gap < _NEAR and denial.text not in ("not", "no") and not denial.text.endswith("n't"):
                    return True
        return False

    def _num_asked(self, clause: Sequence[Token]) -> int:
        return sum("asked" in token.kinds for token in clause)

    def _limit(self, kinds: frozenset[str], key: int, about: int) -> int:
        """How many foreign words a clause may have: where it holds the key that was asked for, or speaks of that or of
        the text otherwise."""
        if self._has_key(kinds):
            return max(key, about + ("text" in kinds))
        names = "noun" in kinds and bool(kinds & {"pointing", "denial"})
        if names or kinds & {"text", "reference"} or self.follows_key or ASKED in self.text:
            return about
        return 0 if "beside" in kinds or not self._has_someone else -1

    @cached_property
    def _has_someone(self) -> bool:
        """Whether it is about someone, who may be the one that does not know or say."""
        return bool(_kinds(self._tokens) & {"person", "beside"})

    def _is_corrected(self, start: int, stop: int) -> bool:
        """"Not Lisbon's but Oslo's"."""
        return any(begin < stop and start < end for begin, end in self._corrections)

    def _has_key(self, kinds: frozenset[str]) -> bool:
        return "key" in kinds or (not self.has_key and "asked" in kinds)

    @cached_property
    def _corrections(self) -> list[tuple[int, int]]:
        return _places(_words(self.code).correction, self.text)

    def _foreign(self, tokens: Sequence[Token]) -> int:
        """How many words are foreign to a claim of absence."""
        count = 0
        for at, token in enumerate(tokens):
            if not token.kinds:
                count += self._weight(token)
            elif "person" in token.kinds:
                count += _PERSON
            elif "noun" in token.kinds and at + 2 < len(tokens) and "of" in tokens[at + 1].kinds:
                count += not tokens[at + 2].kinds  # a number of founders
        return count

    def _weight(self, token: Token) -> int:
        if self.code in ("zh-Hans", "zh-Hant"):
            return (len(token.text) + 1) // 2
        return int(self.code == "ja" or len(token.text) > 1)


def languages_of(text: str, codes: Sequence[str]) -> list[str]:
    """Those in which a word of the text may deny something, or say that it ends: of those that are written with spaces
    the ones that know most of its words."""
    words = [] if _UNSPACED.issuperset(codes) else [_reading(word) for word in _LETTERS.findall(text)]
    signalled = {code for _, signals in words for code in signals if code in codes}
    if len(signalled) > 1:
        known = Counter(code for knowing, _ in words for code in knowing)
        most = max(known.values())
        signalled = {code for code in signalled if known[code] == most}
    unspaced = [code for code in codes if code in _UNSPACED]
    if len(unspaced) > 1 and _KANA.search(text):
        unspaced = ["ja"]
    return [*signalled, *(code for code in unspaced if _signal(code).search(text))]


@lru_cache(2**14)
def _reading(word: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The languages that know a word, and those in which it is a signal."""
    kinds = {code: _kinds_of(word, code) for code in languages.CODES if code not in _UNSPACED}
    return tuple(code for code in kinds if kinds[code]), tuple(code for code in kinds if kinds[code] & _SIGNALS)


@cache
def _signal(code: str) -> re.Pattern[str]:
    words = _words(code).whole.items()
    found = any_of([word for word, kinds in words if kinds & _SIGNALS]).pattern
    return re.compile(f"{found}|{_words(code).ending.pattern}")


def any_of(words: Iterable[str], head: str = "", tail: str = "") -> re.Pattern[str]:
    """One pattern for all words, what they begin with looked for once."""
    tree: dict[str, Any] = {}
    for word in words:
        node = tree
        for character in word:
            node = node.setdefault(character, {})
        node[""] = {}
    return re.compile(f"{head}({_branches(tree)}){tail}")


def _branches(tree: dict[str, Any]) -> str:
    rest = {character: _branches(below) for character, below in tree.items() if character}
    found = "|".join(re.escape(character) + below for character, below in rest.items())
    if not found:
        return ""
    return f"(?:{found})?" if "" in tree else f"(?:{found})"


def _kinds(tokens: Sequence[Token]) -> frozenset[str]:
    return _FOREIGN.union(*(token.kinds for token in tokens))


def _places(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    return [found.span() for found in islice(pattern.finditer(text), _MOST)]


def _within(token: Token, places: Sequence[tuple[int, int]]) -> bool:
    return any(start <= token.start < stop for start, stop in places)


@lru_cache(2**10)
def asked_words(question: str, code: str) -> frozenset[str]:
    """What the words of a question begin with that are foreign to claims of absence: pairs of characters in scripts
    without spaces. "word" stands for a word that means one."""
    tokens = _tokens(normal(question), code)
    foreign = [token.text for token in tokens if not token.kinds or "person" in token.kinds]
    return frozenset(stem for text in foreign for stem in _stems(text, code)) | (_kinds(tokens) & {"word"})


def _stems(word: str, code: str) -> list[str]:
    if code in _UNSPACED:
        return [word[at : at + 2] for at in range(len(word) - 1)] or [word]
    bare = _forms(word)[-1] if code == "ar" else word.partition("'")[0].rstrip("s")
    return [bare[:_STEM]] if len(bare) > 2 else []


def _tokens(text: str, code: str) -> list[Token]:
    return list(_unspaced(text, code) if code in _UNSPACED else _spaced(text, code))


def _spaced(text: str, code: str) -> Iterator[Token]:
    for found in _TOKEN.finditer(text):
        yield Token(found[0], found.start(), found.end(), _kinds_of(found[0], code))


def _unspaced(text: str, code: str) -> Iterator[Token]:
    """The longest known words from the left, and what is between them: Han characters and katakana; hiragana are mostly
    endings."""
    words = _words(code)
    at = unknown = 0
    while at <= len(text):
        sizes = range(min(words.longest, len(text) - at), 0, -1)
        size = next((size for size in sizes if text[at : at + size] in words.whole), 0)
        if size or not _is_word(text[at : at + 1]):
            if unknown < at:
                piece = text[unknown:at]
                yield Token(piece, unknown, at, _VALUE if any(map(str.isdigit, piece)) else _FOREIGN)
            if size:
                yield Token(text[at : at + size], at, at + size, words.whole[text[at : at + size]])
            unknown = at + max(1, size)
        at += max(1, size)


def _is_word(character: str) -> bool:
    return _HAN.match(character) is not None or (character.isascii() and character.isalnum())


@lru_cache(2**14)
def _kinds_of(word: str, code: str) -> frozenset[str]:
    words = _words(code)
    if word.endswith("n't"):
        return _DENIAL
    word = word.partition("'")[0]
    if any(map(str.isdigit, word)):
        return _VALUE if len(word) > 4 else _LITTLE
    for one in _forms(word) if code == "ar" else (word,):
        if found := words.whole.get(one):
            return found
        for size in range(min(len(one), words.longest), 2, -1):
            if found := words.stems.get(one[:size]):
                return found
    return next((kinds for ending, kinds in words.endings.items() if word.endswith(ending)), _FOREIGN)


def _forms(word: str) -> list[str]:
    """An Arabic word, and what is left of it without the one-letter words and the article that it may begin with."""
    forms = [word]
    for pattern in (_AND, _PREFIX):
        found = pattern.match(forms[-1])
        if found and len(forms[-1]) - found.end() > 1:
            forms.append(forms[-1][found.end() :])
    return forms


@cache
def _words(code: str) -> _Words:
    own = languages.load(code)["clause"]
    whole: dict[str, frozenset[str]] = {ASKED: frozenset(("key",)), OTHER: frozenset(("other",))}
    stems: dict[str, frozenset[str]] = {}
    endings: dict[str, frozenset[str]] = {}
    for kind in _KINDS:
        for word in own[kind].split():
            into = stems if word.endswith("*") else endings if word.startswith("*") else whole
            key = normal(word.strip("*"))
            into[key] = into.get(key, _FOREIGN) | {kind}
    longest = max(map(len, (*whole, *stems)))
    patterns = {name: re.compile("|".join(own[name])) for name in ("ending", "correction", "idiom", "basis")}
    return _Words(whole, stems, endings, longest, **patterns)

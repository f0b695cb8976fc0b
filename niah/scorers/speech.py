"""What a response says, beside any target: that the text has no answer, that it declines, or a value as the answer.

The words for it, in seven languages, stand in niah/languages/*.toml under [speech]. A claim of absence beside a value
is weighed by whom the value is given for: "not mentioned for Lisbon, but Oslo's is 1234567" claims absence where Lisbon
was asked for, and is an answer where Oslo was.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from itertools import chain, islice

from niah import languages
from niah.scorers.clauses import ASKED, FILL, OTHER, Sentence, any_of, asked_words, languages_of
from niah.scorers.match import place
from niah.scorers.normal_form import normal

_LINE = re.compile(r"[\r\n]+")
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]* |[。;|؟؛]|[!?]")
_CLAUSE = re.compile(r"[,、،]|\bbut\b|\baber\b|\bpero\b|ですが|ませんが|لكن")
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_LONG = re.compile(rf"{_UUID}|(?<!\d)\d{{5,}}")
"""A value by its look alone; a year or a count is one only where it is given as the answer."""
_NAMED = re.compile(
    r" ?(?:(?:probably|likely|perhaps|wohl|vermutlich|probablemente|also|just|simply) )?[\"'(]?(\d+|[^\W_][\w-]{0,40})"
)
_DENIED = re.compile(r"\b(?:not|n't|nicht|kein\w*|no|isn't) (?:\w+ )?$|(?:不是|并非|並非|ليس|ليست) ?$")
_DENIED_AFTER = re.compile(r"^(?:では|じゃ)(?:な|あり)")
_ELSEWHERE = re.compile(
    r"\b(?:another|different|only|nur|ander\w+|otr[oa]s?|solo|sólo|solamente)\b|"
    "只有|仅有|僅有|其他|別の|のみ|فقط|اخر"
)
"""The value is another's."""
_WORD = re.compile(r"[^\W_]+")
_SCRIPTED = re.compile(r"[\u0600-\u06ff\u3040-\u9fff]")
"""Scripts in which a key may be joined to other words."""
_PAIR = re.compile(rf"{_UUID}|\b[^\W\d_]+-[^\W\d_]+\b")
_NEAR = 300
"""Characters around a value or a claim that are looked at."""
_MOST = 200
"""Claims and values of one response that are weighed against each other."""
_SCRIPTS = (
    (re.compile(r"[a-z]"), ("en", "de", "es")),
    (re.compile(r"[\u3400-\u9fff]"), ("zh-Hans",)),  # zh-Hant has the same patterns, for both kinds of characters
    (re.compile(r"[\u3040-\u30ff]"), ("ja",)),
    (re.compile(r"[\u0600-\u06ff]"), ("ar",)),
)


@dataclass(frozen=True)
class _Phrases:
    """A language's patterns; ``others`` are words for what was not asked for."""

    code: str
    negation: re.Pattern[str]
    absence: re.Pattern[str]
    others: re.Pattern[str]
    short: re.Pattern[str]
    refusal: re.Pattern[str]
    condition: re.Pattern[str]
    instruction: re.Pattern[str]
    copula: re.Pattern[str]


@dataclass(frozen=True)
class Value:
    """Something named as a value, in sentence number ``sentence``: [start, stop) of its characters.

    ``after`` is where the value before it in the sentence stops, else 0.
    """

    text: str
    sentence: int
    start: int
    stop: int
    after: int


class Speech:
    """A response in its sentences. ``question`` is what was asked, empty where that is not known; ``known`` are values
    that the text gives for others; ``claims`` are further words for absence."""

    def __init__(self, response: str, question: str = "", known: Sequence[str] = (), claims: Sequence[str] = ()):
        self._sentences = [
            one for one in map(str.strip, _SENTENCE.split(normal(_LINE.sub(" | ", response.strip())))) if one
        ]
        self._whole = " ".join(self._sentences)
        self._response, self._question = response, question
        self._subjects = _subjects(question)
        self._further = tuple(filter(None, map(normal, claims)))
        self._known = tuple(filter(None, map(normal, known)))

    @cached_property
    def claims_absence(self) -> bool:
        """The text is said to hold no answer, and no value is given as the answer all the same."""
        return bool(self._claims or self._is_short) and not self.answer

    @cached_property
    def hangs_on_question(self) -> bool:
        """Whether another question would make another thing of it, or none: absence is claimed beside a value, or is
        known by the question's words alone."""
        if self._claims and self._values:
            return True
        unasked = Speech(self._response, "", self._known, self._further)
        return (self.claims_absence, self.refuses) != (unasked.claims_absence, unasked.refuses)

    @cached_property
    def refuses(self) -> bool:
        """The speaker declines to answer, and gives no value."""
        said = any(one.refusal.search(sentence) for one in self._denying for sentence in self._sentences)
        return said and not self.answer

    @cached_property
    def answer(self) -> str:
        """The value that the response gives as the answer; empty where it gives none."""
        return next((value.text for value in self._values if self._is_the_answer(value)), "")

    @cached_property
    def named(self) -> str:
        """The answer, or what stands as one where nothing is claimed: a short response, or what the last copula
        names."""
        if self.answer or self._claims or self._is_short or not self._sentences:
            return self.answer
        last = self._sentences[-1]
        if len(self._sentences) == 1 and len(self._whole.split()) < 4 and len(self._whole) < 40:
            return last.strip(".?! ")
        ends = [found.end() for one in self._phrases for found in one.copula.finditer(last)]
        rest = last[max(ends) :].strip(" .\"'") if ends else ""
        return rest if 0 < len(rest.split()) < 4 and len(rest) < 30 else ""

    @cached_property
    def _phrases(self) -> list[_Phrases]:
        return [_phrases(code) for script, codes in _SCRIPTS if script.search(self._whole) for code in codes]

    @cached_property
    def _denying(self) -> list[_Phrases]:
        """Those of the languages in which something is denied."""
        return [one for one in self._phrases if one.negation.search(self._whole)]

    @cached_property
    def _is_short(self) -> bool:
        whole = self._whole.strip(" .!\"'()[]-:،。")
        return 0 < len(whole) < 20 and any(one.short.fullmatch(whole) for one in self._phrases)

    @cached_property
    def _claims(self) -> list[tuple[int, int, int]]:
        """(sentence, start, stop) of each claim of absence about what was asked for, up to ``_MOST``."""
        return list(islice(self._found_claims(), _MOST))

    def _found_claims(self) -> Iterator[tuple[int, int, int]]:
        if not (self._further or self._denying or self._signalled):
            return
        for number, sentence in enumerate(self._sentences):
            places = self._lacking(number, sentence) if self._question else self._phrased(sentence)
            first = next(places, None)
            if first and not any(_is_the_questions(one, sentence) for one in self._phrases):
                yield from ((number, *found) for found in chain((first,), places))

    @cached_property
    def _signalled(self) -> list[str]:
        """The languages in which it may deny something, where the question is known."""
        return languages_of(self._whole, [one.code for one in self._phrases]) if self._question else []

    def _phrased(self, sentence: str) -> Iterator[tuple[int, int]]:
        """The places of phrases for absence about what was asked for."""
        for start, stop in (*self._own(sentence), *chain.from_iterable(self._told(sentence).values())):
            clause = _clause(sentence, start, stop)
            if not any(one.others.search(clause) for one in self._phrases):
                yield start, stop

    def _own(self, sentence: str) -> list[tuple[int, int]]:
        """The places of the further words for absence."""
        return [(at, at + len(one)) for one in self._further if (at := place(sentence, one)) is not None]

    def _told(self, sentence: str) -> dict[str, list[tuple[int, int]]]:
        """The places of a language's phrases for absence."""
        denying = [one for one in self._denying if one.negation.search(sentence)]
        return {one.code: [found.span() for found in one.absence.finditer(sentence)] for one in denying}

    def _lacking(self, number: int, sentence: str) -> Iterator[tuple[int, int]]:
        """The places of claims of absence, where the question is known: a phrase alone is not enough."""
        own, told = self._own(sentence), self._told(sentence)
        codes = languages_of(sentence, self._signalled) if len(self._sentences) > 1 else self._signalled
        if not (own or any(told.values()) or codes):
            return
        about = self._subjects
        marked = about.marked(sentence)
        follows_key = number > 0 and ASKED in about.marked(self._sentences[number - 1])
        for one in self._phrases:
            places = [*own, *told.get(one.code, ())]
            if places or one.code in codes:
                asked = asked_words(self._question, one.code)
                yield from Sentence(
                    marked, one.code, asked, bool(about.asked), places, one.refusal, one.others, follows_key
                ).claims()
        yield from (one for one in own if sentence[slice(*one)] not in _claims())

    @cached_property
    def _missing(self) -> set[str]:
        """What the claims of absence are about, where they name it."""
        clauses = (_clause(self._sentences[number], start, stop) for number, start, stop in self._claims)
        return set(map(self._subjects.last_in, clauses)) - {""}

    @cached_property
    def _values(self) -> list[Value]:
        """Up to ``_MOST``, in their order."""
        return list(islice(self._found_values(), _MOST))

    def _found_values(self) -> Iterator[Value]:
        for number, sentence in enumerate(self._sentences):
            places = {found.span() for found in _LONG.finditer(sentence)}
            for known in self._known:
                if (start := place(sentence, known)) is not None:
                    places.add((start, start + len(known)))
            for one in self._phrases:
                for copula in one.copula.finditer(sentence):
                    after = _NAMED.match(sentence, copula.end())
                    quoted = after is not None and sentence[after.start(1) - 1] in "\"'"
                    if after and (after[1][0].isdigit() or quoted or after[1] in _words()):
                        places.add(after.span(1))
            last = 0
            for start, stop in sorted(places):
                if start >= last and sentence[start:stop] not in self._subjects.asked:
                    yield Value(sentence[start:stop], number, start, stop, last)
                    last = stop

    def _is_the_answer(self, value: Value) -> bool:
        """Whether a value is given for what was asked, not for another thing, and not denied."""
        sentence = self._sentences[value.sentence]
        before = sentence[max(value.after, value.start - _NEAR) : value.start]
        after = sentence[value.stop : value.stop + _NEAR]
        if _DENIED.search(before) or _DENIED_AFTER.match(after):
            return False
        clause = _clause(sentence, value.start, value.stop)
        claims = [one for one in self._claims if one[0] == value.sentence]
        if any(start < value.stop and value.start < stop for _, start, stop in claims):
            return False
        if not self._claims:
            return True
        about = self._subjects
        subject = self._subject_of(before, after)
        if subject and about.asked:
            return subject in about.asked
        if subject:  # of a claim about another thing it is no answer
            return not self._missing or (subject in self._missing and not claims)
        return not _ELSEWHERE.search(clause)

    def _subject_of(self, before: str, after: str) -> str:
        """Whom a value is given for: who is named in its clause, else last before it, else next after it."""
        about = self._subjects
        near, *far = [*_CLAUSE.split(after), ""]
        own = about.last_in(_CLAUSE.split(before)[-1]) or about.first_in(near)
        return own or about.last_in(before) or ("" if near.strip(" .)\"'") else about.first_in(far[0]))


def _is_the_questions(one: _Phrases, sentence: str) -> bool:
    """"If the text does not say, answer only: not mentioned" is an instruction, not a claim."""
    return one.condition.search(sentence) is not None and one.instruction.search(sentence) is not None


def _clause(sentence: str, start: int, stop: int) -> str:
    """The clause around [start, stop), as far as ``_NEAR`` to each side."""
    begins = [found.end() for found in _CLAUSE.finditer(sentence, max(0, start - _NEAR), start)]
    end = _CLAUSE.search(sentence, stop, stop + _NEAR)
    return sentence[begins[-1] if begins else max(0, start - _NEAR) : end.start() if end else stop + _NEAR]


@dataclass(frozen=True)
class _Subjects:
    """What facts are about: ``asked`` are those of the question, ``pattern`` finds them and others in its first group
    that matches. ``heads`` are words that one begins with in Latin script; empty where that is not known.

    ``strange`` are those of languages that have none of the asked ones: one may be its translation.
    """

    asked: frozenset[str]
    pattern: re.Pattern[str]
    heads: frozenset[str] = frozenset()
    strange: frozenset[str] = frozenset()

    def last_in(self, text: str) -> str:
        return ["", *self.all_in(text)][-1]

    def first_in(self, text: str) -> str:
        return [*self.all_in(text), ""][0]

    def all_in(self, text: str) -> list[str]:
        return [found[found.lastindex or 0] for found in self.pattern.finditer(text)]

    def marked(self, text: str) -> str:
        """The text with each of them replaced, at the same length."""
        if self.heads and not _SCRIPTED.search(text) and self.heads.isdisjoint(_WORD.findall(text)):
            return text
        return self.pattern.sub(self._mark, text)

    def _mark(self, found: re.Match[str]) -> str:
        subject = found[found.lastindex or 0]
        mark = ASKED if subject in self.asked else FILL if subject in self.strange else OTHER
        return mark + FILL * (len(found[0]) - 1)


@lru_cache(2**10)
def _subjects(question: str) -> _Subjects:
    """Cities of niah's own, where the question has none pairs of words and UUIDs."""
    asked = normal(question)
    cities = _Subjects(frozenset(), _cities(), _heads())
    for one in (cities, _Subjects(frozenset(), _PAIR)):
        if found := frozenset(one.all_in(asked)):
            return replace(one, asked=found, strange=_strange(found))
    return cities


def _strange(asked: frozenset[str]) -> frozenset[str]:
    near = [keys for keys in _keys().values() if asked & keys]
    return frozenset().union(*_keys().values()).difference(*near) if near else frozenset()


@cache
def _keys() -> dict[str, frozenset[str]]:
    return {code: frozenset(map(normal, languages.load(code)["keys"])) for code in languages.CODES}


@cache
def _claims() -> frozenset[str]:
    """All languages' words for absence of task=absent: they may stand in other talk too."""
    own = [languages.load(code)["absent"] for code in languages.CODES]
    return frozenset(normal(one) for absent in own for one in (absent["claim"], *absent["phrases"]))


@cache
def _heads() -> frozenset[str]:
    heads = {head[0] for keys in _keys().values() for key in keys if (head := _WORD.search(key))}
    return frozenset((*heads, *(f"{head}s" for head in heads)))


@cache
def _cities() -> re.Pattern[str]:
    """All languages' keys: with a one-letter word joined to them in Arabic, with the s of a genitive in others."""
    known = frozenset[str]().union(*_keys().values())
    joined = [key for key in known if "\u3040" <= key[0] <= "\u9fff"]
    spaced = any_of(known - set(joined), r"(?<![^\W_])[بلوفك]?", r"s?(?![^\W_])").pattern
    return re.compile(f"{spaced}|{any_of(joined).pattern}")


@cache
def _words() -> frozenset[str]:
    """Values of task.answer=word, in all languages."""
    return frozenset(normal(word) for code in languages.CODES for word in languages.load(code)["words"])


@cache
def _phrases(code: str) -> _Phrases:
    own = languages.load(code)["speech"]
    return _Phrases(code, **{name: _either(found) for name, found in own.items()})


def _either(patterns: Sequence[str]) -> re.Pattern[str]:
    """One pattern for all; the word border that most begin with is looked for once."""
    words = [one.removeprefix(r"\b") for one in patterns if one.startswith(r"\b")]
    rest = [f"(?:{one})" for one in patterns if not one.startswith(r"\b")]
    return re.compile("|".join([*([rf"\b(?:{'|'.join(words)})"] if words else []), *rest]))

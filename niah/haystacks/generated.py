"""Endless stories about invented people and places: coherent prose in which no sentence occurs twice.

A story is about one project (a mill, a survey, a lawsuit ...). Its facts are drawn once: a cast of three (a leads, b
helps, c pays), the places, the years and, for each part of the story, a date, how much is done and what is spent. The
sentences are templates of ``prose``, filled with these facts.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from niah.haystacks import Haystack, Skip
from niah.haystacks.prose import LANGUAGES, PERSONS, Beat, Prose, Scene, Template, capital, load, source
from niah.limits import free_text, one_of

VERSION = 1
"""Of the texts that code makes out of the files of ``prose``: raise it when a change makes other ones."""

_TERMINAL = ".!?。！？؟"
_ATTEMPTS = 8
"""Draws for a sentence that occurred before, until it is made longer instead."""
_FEWEST = 11
"""Counts and sums end in 11 to 99, after which an Arabic noun has only one form."""

Facts = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Generated(Haystack):
    """Stories in ``language``, without end; another ``seed`` gives other ones."""

    name: str = "generated"
    licence: str = free_text("none: made by niah")
    language: str = one_of(*LANGUAGES, default="en")
    seed: int = 0

    endless = True

    def identity(self) -> str:
        return f"{self!r} version {VERSION} prose {hashlib.sha256(source(self.language)).hexdigest()}"

    def documents(self, skip: Skip) -> Iterator[str]:
        writer = _Writer(load(self.language), f"niah {self.language} {self.seed}")
        while True:
            yield writer.document()


class _Writer:
    """Writes one story after another and remembers, as hashes of 64 bits, every sentence it has used."""

    def __init__(self, prose: Prose, seed: str):
        self._prose = prose
        # Only random() is used, whose sequence Python promises to keep for a seed.
        self._random: Callable[[], float] = random.Random(int.from_bytes(hashlib.sha256(seed.encode()).digest())).random
        self._used: set[bytes] = set()

    def document(self) -> str:
        prose = self._prose
        project = self._pick(list(prose.projects))
        genders = tuple(self._between(0, 1) for _ in PERSONS)
        facts, parts = self._facts(prose.projects[project], genders)
        num_after = (0, 1, self._between(1, 2), 1, 0, 0)  # interludes, where the story can wait
        interludes = self._several(prose.interludes(genders), sum(num_after))
        paragraphs = []
        for part, scene in prose.story(project, genders):
            day, stated = parts[part]
            facts |= self._dated(day) | stated
            paragraphs.append(self._paragraph(scene, facts))
            for _ in range(num_after[part]):
                day += self._between(2, 8)
                facts |= self._dated(day)
                paragraphs.append(self._paragraph(interludes.pop(), facts))
        return "\n\n".join(paragraphs)

    def _paragraph(self, scene: Scene, facts: Facts) -> str:
        prose = self._prose
        for person, people in zip("mf", prose.neighbours, strict=True):
            facts[person], facts[f"{person}1"] = self._pick(people)
        facts["spot"] = self._pick(prose.places["town"])
        for key, pool in prose.seasons[facts["season"]].items():
            facts[key] = self._pick(pool)
            facts[capital(key)] = capital(facts[key])
        return prose.space.join(filter(None, [self._sentence(beat, facts) for beat in scene]))

    def _sentence(self, beat: Beat, facts: Facts) -> str:
        for _ in range(_ATTEMPTS):
            template = beat[int(self._random() * len(beat))]
            if template is None:
                return ""
            text = self._filled(template, facts)
            if self._is_new(text):
                return text
        # A witness is named before the mark: there is no end of those.
        cut = len(text) - (text[-1] in _TERMINAL)
        while not self._is_new(longer := text[:cut] + self._filled(self._prose.tail, facts) + text[cut:]):
            pass
        return longer

    def _filled(self, template: Template, facts: Facts) -> str:
        pattern, draws = template
        for slot, pool, size in draws:
            facts[slot] = pool[int(self._random() * size)]
        return pattern % facts

    def _is_new(self, text: str) -> bool:
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        if digest in self._used:
            return False
        self._used.add(digest)
        return True

    def _facts(self, project: dict[str, Any], genders: tuple[int, ...]) -> tuple[Facts, list[tuple[int, Facts]]]:
        """The facts of a story and those of each of its parts, from the opening to the closing."""
        prose, between = self._prose, self._between
        year, total = between(1804, 1908), between(62, 98)
        later = year + between(3, 20)
        parts, budget = self._parts(total)
        facts = {
            "year": str(year), "later": str(later), "since": str(year - between(2, 6)),
            "founded": str(year - between(60, 240)), "start": self._dated(parts[0][0])["date"],
            "budget": str(budget), "total": prose.numerals[total], "homes": prose.numerals[between(60, 98)],
            "monthly": prose.numerals[between(12, 18)], "village": self._pick(prose.places["town"]),
        }
        facts |= {key: self._pick(pool) for key, pool in (*prose.once.items(), *prose.places.items())}
        facts |= {capital(key): capital(facts[key]) for key in prose.once}
        families = self._several(prose.families, len(genders))
        firsts = [self._several(pool, len(genders)) for pool in prose.firsts]
        trades = project["a_trades"], project["b_trades"], prose.c_trades
        for person, gender, family, pool in zip(PERSONS, genders, families, trades, strict=True):
            age, trade = between(24, 60), self._pick(pool)
            facts[person], facts[f"{person}1"] = prose.named(firsts[gender].pop(), family)
            facts |= {
                f"{person}_trade": trade[-1] if gender else trade[0], f"{person}_birth": str(year - age),
                f"{person}_age": prose.numerals[age], f"{person}_later": prose.numerals[later - year + age],
            }
        return facts, parts

    def _parts(self, total: int) -> tuple[list[tuple[int, Facts]], int]:
        """Day, progress and accounts of the opening, four parts and the closing; and the budget."""
        prose, between = self._prose, self._between
        first = between(12, 22)
        second = first + between(11, 17)
        counts = [0, first, second, between(second + 6, total - _FEWEST), total, total]
        sums = [0]
        while any(amount % 100 < _FEWEST for amount in sums):
            budget = between(520, 989)
            spent = [budget * between(low, low + 9) // 100 for low in (4, 15, 35, 58, 76, 87)]
            sums = [budget, *spent, *(budget - amount for amount in spent)]
        parts, day = [], between(44, 94)
        for count, amount in zip(counts, spent, strict=True):
            stated = {
                "done": prose.numerals[count], "next": prose.numerals[min(count + 1, total)],
                "left": prose.numerals[total - count], "spent": str(amount), "rest": str(budget - amount),
            }
            parts.append((day, stated))
            day += between(18, 53)
        return parts, budget

    def _dated(self, day: int) -> Facts:
        return dict(zip(("date", "month", "season"), self._prose.dates[day], strict=True))

    def _between(self, low: int, high: int) -> int:
        return low + int(self._random() * (high - low + 1))

    def _pick(self, pool: list) -> Any:
        return pool[int(self._random() * len(pool))]

    def _several(self, pool: list, number: int) -> list:
        rest = list(pool)
        return [rest.pop(int(self._random() * len(rest))) for _ in range(number)]

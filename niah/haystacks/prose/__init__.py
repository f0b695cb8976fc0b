"""The data of the generated haystack, one TOML file a language, and its templates made ready for ``%``.

A template is one sentence with one mark at its end. Its slots in braces are:

* facts of the story: the persons ``a``, ``b``, ``c`` (full name; ``a1`` short, ``a_trade``, ``a_age``, ``a_birth``,
  ``a_later``: age in the year ``later``), ``town``, ``village``, ``river``, ``year``, ``founded``, ``since``,
  ``later``, ``start``, ``total``, ``budget``, ``monthly``, ``homes``, and the keys of the table ``once``;
* facts of a part of it: ``date``, ``month``, ``done``, ``left``, ``next``, ``spent``, ``rest``;
* drawn for a paragraph: a man ``m``, a woman ``f`` (``m1``, ``f1`` short), a place ``spot``, the keys of the season;
* drawn for a sentence: ``who``, ``place``, ``n``, ``cost`` and the keys of the table ``pools``; with a 2 behind it,
  another one of the same;
* ``{a:he|she}``: what fits the gender of person a.

A capital first letter of a slot begins a sentence. Every template of a beat says the same thing in another way.
"""

import itertools
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "zh-Hans", "zh-Hant", "de", "es", "ja", "ar")
PERSONS = "abc"

Template = tuple[str, tuple[tuple[str, list[str], int], ...]]
"""A pattern for ``%`` and, for each slot that is drawn anew, its name, its pool and how many that are."""
Beat = tuple[Template | None, ...]
"""Ways to say one thing, one of which is taken; None says nothing."""
Scene = tuple[Beat, ...]
"""A paragraph."""

_FOLDER = Path(__file__).parent
_SLOT = re.compile(r"\{(?:([abc]):)?([^{}]*)\}")
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SEASONS = ((59, "winter"), (151, "spring"), (243, "summer"), (334, "autumn"), (365, "winter"))


@cache
def source(language: str) -> bytes:
    """The file of a language as it stands on disk."""
    return (_FOLDER / f"{language}.toml").read_bytes()


@cache
def load(language: str) -> "Prose":
    return Prose(tomllib.loads(source(language).decode()))


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


class Prose:
    """What a language's file holds: pools multiplied out, templates compiled when they are first needed."""

    def __init__(self, data: dict[str, Any]):
        self._data = data
        self.space: str = data.get("space", " ")
        self.numerals: list[str] = data.get("numerals") or [str(number) for number in range(100)]
        self.dates = _dates(data)
        self.projects: dict[str, dict[str, Any]] = data["project"]
        self.c_trades: list[list[str]] = data["c_trades"]
        self.once = {key: _product(pool) for key, pool in data["once"].items()}
        self.places = {key: _product(pool) for key, pool in data["places"].items()}
        self.seasons = {
            season: {key: _product(pool) for key, pool in pools.items()} for season, pools in data["seasons"].items()
        }
        # every other name is kept for the cast, so that no neighbour is mistaken for it
        names = [data["names"][key] for key in ("men", "women")]
        self.firsts = [pool[::2] for pool in names]
        self.families: list[str] = data["names"]["families"][::2]
        self.neighbours = [
            [self.named(*pair) for pair in itertools.product(pool[1::2], data["names"]["families"][1::2])]
            for pool in names
        ]
        self._pools = {key: _product(pool) for key, pool in data["pools"].items()} | {
            "who": [full for people in self.neighbours for full, _ in people], "place": self.places["town"],
            "n": self.numerals[12:], "cost": self.numerals[12:50],
        }
        self.tail = self._template(data["tail"], (0, 0, 0))
        """A clause that can stand before the mark of any sentence."""
        self.story, self.interludes = cache(self._story), cache(self._interludes)

    def named(self, first: str, family: str) -> tuple[str, str]:
        """Full and short name."""
        return tuple(self._data[key].format(first=first, family=family) for key in ("full", "short"))

    def _story(self, project: str, genders: tuple[int, ...]) -> list[tuple[int, Scene]]:
        """The scenes of a project in order, each with the part of the story whose facts it states."""
        own, generic = self.projects[project], self._data["generic"]
        scenes = [
            (0, [own["titles"]]), (0, own["opening"] + generic["person"]), (0, generic["setting"]),
            (0, generic["company"]), *((part, own[f"part{part}"]) for part in (1, 2, 3, 4)),
            (5, own["closing"] + generic["end"]),
        ]
        return [(part, self._scene(beats, genders)) for part, beats in scenes]

    def _interludes(self, genders: tuple[int, ...]) -> list[Scene]:
        return [self._scene(scene["beats"], genders) for scene in self._data["interlude"]]

    def _scene(self, beats: list[list[str]], genders: tuple[int, ...]) -> Scene:
        return tuple(tuple(self._template(text, genders) if text else None for text in beat) for beat in beats)

    def _template(self, text: str, genders: tuple[int, ...]) -> Template:
        slots = [slot for person, slot in _SLOT.findall(text) if not person]

        def filled(match: re.Match) -> str:
            person, slot = match.groups()
            return slot.split("|")[genders[PERSONS.index(person)]] if person else f"%({slot})s"

        draws = []
        for slot in dict.fromkeys(slots):
            name = slot[0].lower() + slot[1:].removesuffix("2")
            if (pool := self._pools.get(name)) is None:
                continue
            if {name, f"{name}2"} <= set(slots):  # halves of it, so that nobody is given a saw and a saw
                pool = pool[1::2] if slot.endswith("2") else pool[::2]
            if slot[0].isupper():
                pool = [capital(entry) for entry in pool]
            draws.append((slot, pool, len(pool)))
        return _SLOT.sub(filled, text.replace("%", "%%")), tuple(draws)


def _dates(data: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Date, month and season of each day of a year."""
    days = data.get("days") or [str(day) for day in range(1, 32)]
    pairs = [(day, data["months"][month]) for month, length in enumerate(_MONTH_DAYS) for day in days[:length]]
    seasons = [next(season for last, season in _SEASONS if number < last) for number in range(365)]
    return [
        (data["date"].format(day=day, month=month), month, season)
        for (day, month), season in zip(pairs, seasons, strict=True)
    ]


def _product(pool: list) -> list[str]:
    """A list as it is; of a list of lists, all ways to put one of each together."""
    return ["".join(parts) for parts in itertools.product(*pool)] if isinstance(pool[0], list) else pool

"""A folder of plug-ins outside the package, as a user writes it: one task, haystack, reader, scorer and engine."""

from pathlib import Path

MODULE = '''\
"""One of each kind, each with a setting of its own."""

from collections.abc import Iterator
from dataclasses import dataclass

from niah.engines import Engine, Job, Session
from niah.haystacks import Haystack
from niah.limits import free_text, limited
from niah.readers import Reader
from niah.records import Completion, Problem, Score, View
from niah.scorers import Scorer
from niah.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Greeting(Task):
    name: str = "greeting"
    greeting: str = free_text("Hello {now}")
    num_words: int = limited(1, at_least=1)

    def problem(self, rng, haystack):
        return Problem((self.greeting,), "What was said?", (self.greeting,))


@dataclass(frozen=True, kw_only=True)
class Hum(Haystack):
    name: str = "hum"
    licence: str = "none needed"
    sound: str = free_text("Hm, hm.")

    endless = True

    def documents(self, skip):
        while True:
            yield self.sound


@dataclass(frozen=True, kw_only=True)
class Whole(Reader):
    name: str = "whole"
    mark: str = free_text("")

    def read(self, context, problem, material):
        return View(context.pieces, (True,) * len(context.needles), tuple(context.needles))


@dataclass(frozen=True)
class Shout(Scorer):
    name: str = "shout"
    ending: str = free_text("!")

    def score(self, response, targets, distractors=()):
        return Score(float(response == targets[0] + self.ending), response)


@dataclass(frozen=True)
class Echo(Engine):
    name: str = "echo"
    ending: str = free_text("!")
    is_broken: bool = False

    def open(self, job: Job) -> Session:
        return EchoSession(self)


class EchoSession(Session):
    def __init__(self, settings):
        self.served = {"engine": settings.name}
        self._settings = settings

    def generate(self, prompts) -> Iterator:
        for key, prompt in prompts:
            if self._settings.is_broken:
                raise LookupError("no echo here")
            yield key, Completion(prompt.targets[0] + self._settings.ending, 1, len(prompt.ids), 0, "stop", 0.0, 0.0)

    def facts(self):
        return {"engine": self._settings.name}
'''
CLASSES = {"task": "Greeting", "haystack": "Hum", "reader": "Whole", "scorer": "Shout", "engine": "Echo"}
WORDS = ("--config-dir", "own", *(f"{group}={name.lower()}" for group, name in CLASSES.items()))
"""What picks all five of the folder ``own``."""


def write(folder: Path, module: str = "mine.py") -> None:
    """Writes the module and, for each class in it, a file that makes it a choice.

    A ladder of lengths, a KV dtype, a kind of GPU and a folder of two experiments lie there too.
    """
    dotted = module.removesuffix(".py").replace("/", ".")
    for group, name in CLASSES.items():
        _put(folder / group / f"{name.lower()}.yaml", f"_target_: {dotted}.{name}\n")
    _put(folder / module, MODULE)
    _put(folder / "ctx/tiny.yaml", "name: tiny\nlengths: [512]\ndepths: [0, 100]\n")
    _put(folder / "kv/odd.yaml", "name: odd\ndtype: float16\n")
    pocket = "name: pocket\nlabel: pocket GPU\nmemory_gib: 320\ncompute_capability: '9.0'\nbf16_tflops: 1\n"
    _put(folder / "hardware/pocket.yaml", pocket)
    for name, length in (("short", 512), ("long", 1024)):
        grid = f"ctx:\n  lengths: [{length}]\n  depths: [50]\n"
        _put(folder / f"experiment/both/{name}.yaml", f"# @package _global_\nname: {name}\n{grid}")


def _put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")

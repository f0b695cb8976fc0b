"""One line among many of its kind, to be copied to the character: a tool's schema, a setting, a log entry, a row.

What agents do all day, and what breaks where attention reads the wrong block: one of a line's tokens comes from another
line. The form is niah's own; RULER's and MRCR's answers are single values, or prose.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from niah.errors import NiahError
from niah.languages import wordlists
from niah.limits import one_of
from niah.records import Problem
from niah.scorers.copied import Copied
from niah.tasks import Task, draws

_BLOCK = 32
"""Lines whose tokens are counted together."""
_TRIES = 2000
_LEVELS, _VERBS = ("DEBUG", "INFO", "WARN", "ERROR"), ("get", "list", "set", "find", "send", "move", "sort", "plan")
_TYPES = ("string", "integer", "number", "boolean")


@dataclass(frozen=True, kw_only=True)
class Verbatim(Task):
    """The task writes the whole text, lines of one ``form``: schema (tools as JSON), config, log or table (rows of
    Markdown), with some words of the language in each. The line that holds a key stands at the cell's depth.
    """

    name: str = "verbatim"
    form: str = one_of("schema", "config", "log", "table")

    unshared = "it writes the whole text itself"
    writes_context = True
    default_tokens = 256
    scorer = Copied()

    def fill(
        self, rng: np.random.Generator, language: str, num_tokens: int, num_tokens_of: Callable[[str], int]
    ) -> Problem:
        """The line asked for, which does not depend on ``num_tokens``, and lines of at least as many tokens."""
        phrases = self.phrases_in(language)
        lines = self._lines(rng, phrases["words"])
        key, target = self._target(lines, num_tokens_of)
        others: list[str] = []
        total, enough = 0, draws.with_spare(num_tokens)
        while total <= enough:
            block = [line for _, line in islice(lines, _BLOCK)]
            others += block
            total += num_tokens_of("\n" + "\n".join(block))
        return Problem(
            needles=(target,), question=draws.filled(phrases["verbatim"]["asked"], key=key), targets=(target,),
            documents=tuple(others), between="\n",
        )

    def _target(self, lines: Iterator[tuple[str, str]], num_tokens_of: Callable[[str], int]) -> tuple[str, str]:
        """The first line that an answer has room for, with its key."""
        for key, line in islice(lines, _TRIES):
            if num_tokens_of(f" {line}") <= self.answer_tokens:
                return key, line
        raise NiahError(
            f"task.max_tokens: too few for a line of task.form={self.form}; got {self.answer_tokens}; expected more, "
            f"as {self.default_tokens}"
        )

    def _lines(self, rng: np.random.Generator, words: list[str]) -> Iterator[tuple[str, str]]:
        """Keys and lines without end, no key twice and none a part of another."""
        write = {"schema": _schema, "config": _config, "log": _log, "table": _row}[self.form]
        seen: set[str] = set()
        while True:
            code = f"{int(rng.integers(16**7, 16**8)):x}"
            if code not in seen:
                seen.add(code)
                yield write(rng, code, rng.choice(words, 3).tolist())


def _schema(rng: np.random.Generator, code: str, words: list[str]) -> tuple[str, str]:
    name = f"{rng.choice(_VERBS)}_{wordlists.pair(rng).replace('-', '_')}_{code}"
    names = [wordlists.pair(rng).partition("-")[2] for _ in range(2)]
    fields = {one: {"type": str(rng.choice(_TYPES)), "maximum": int(rng.integers(10, 10**5))} for one in names}
    parameters = {"type": "object", "properties": fields, "required": list(fields)[:1]}
    tool = {"name": name, "description": ", ".join(words), "parameters": parameters}
    return name, json.dumps(tool, ensure_ascii=False)


def _config(rng: np.random.Generator, code: str, words: list[str]) -> tuple[str, str]:
    key = f"{wordlists.pair(rng)}.{code}"
    host = ".".join(map(str, rng.integers(1, 255, 4).tolist()))
    first, second = rng.integers(1, 100_000, 2).tolist()
    value = f'host = "{host}:{rng.integers(1024, 65_536)}", limit = {first}, retry = {second / 1000:.3f}'
    return key, f'{key} = {{ {value}, tags = "{"; ".join(words)}", strict = {rng.choice(["true", "false"])} }}'


def _log(rng: np.random.Generator, code: str, words: list[str]) -> tuple[str, str]:
    hour, minute, second, ms = (int(rng.integers(most)) for most in (24, 60, 60, 1000))
    day = f"2031-{int(rng.integers(1, 13)):02d}-{int(rng.integers(1, 29)):02d}"
    key = f"request={code}"
    return key, (
        f"{day}T{hour:02d}:{minute:02d}:{second:02d}.{ms:03d}Z {rng.choice(_LEVELS)} {wordlists.pair(rng)} {key} "
        f"user=u-{int(rng.integers(10_000, 100_000))} status={int(rng.integers(200, 600))} "
        f"ms={int(rng.integers(2, 4000))} bytes={int(rng.integers(120, 900_000))} note=\"{', '.join(words)}\""
    )


def _row(rng: np.random.Generator, code: str, words: list[str]) -> tuple[str, str]:
    numbers = rng.uniform(0, 2000, 4).tolist()
    cells = [code, *(f"{number:.2f}" for number in numbers), *words, str(int(rng.integers(10**6, 10**7)))]
    return code, f"| {' | '.join(cells)} |"

"""A chain of facts, each leading to the next; the question holds only its first link.

``form`` tokens: UUIDs that lead to UUIDs and at last to a number, as the hops of needlehaystack 2.0
(github.com/gkamradt/needle-in-a-haystack). ``form`` variables: RULER's variable tracking (Hsieh et al.
2024, arXiv:2404.06654, section 3, variable_tracking.py), where all variables of a value are asked for.
"""

import string
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np

from niah.haystacks.noise import SENTENCES
from niah.limits import NEW, free_text, limited, one_of
from niah.records import Problem
from niah.tasks import Surroundings, Task, draws
from niah.tasks.ruler import VERSIONS

_EXAMPLE_LINES = 10
_EXAMPLE_TOKENS = 500
"""What RULER gives the solved example at most."""
_ANSWER_TOKENS = 30
"""The answer's, which RULER's package counts among them."""


@dataclass(frozen=True, kw_only=True)
class Chain(Task):
    """``num_hops`` steps from link to link; ``num_chains`` - 1 further chains are distractors.

    The first link stands at the cell's depth, the others by ``placement``; variables keep their order.
    Empty ``question`` and ``answer_prefix`` take the language's (variables: RULER's English).
    ``example`` puts a solved chain in lines of noise before the text, as RULER does: ten of them, or in the layout of
    a ``version`` of it (tasks/ruler.py) as many as that has. package: assignments stand at the beginning of a line
    of noise, which ends with a break and a space (haystack.separator). head: on lines of their own.
    """

    name: str = "chain"
    form: str = one_of("tokens", "variables")
    num_hops: int = limited(2, at_least=1, at_most=100_000)
    num_chains: int = limited(1, at_least=1, at_most=100_000)
    instruction: str = free_text("")
    question: str = free_text("")
    answer_prefix: str = free_text("")
    example: bool = False
    version: str = one_of("own", *VERSIONS, known_as=NEW)

    unshared = "the links of its chains lie all over the text"

    @property
    def answer_tokens(self) -> int:
        return self.max_tokens or (32 if self.form == "tokens" else 30 + 8 * self.num_hops)

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        return self._tokens(rng, haystack) if self.form == "tokens" else self._variables(rng, haystack)

    def _tokens(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        own = self.phrases(haystack)["chain"]
        ends = draws.unseen(lambda: draws.number(rng), self.num_chains, haystack, "task=chain")
        needles, first = [], ""
        for end in ends:
            keys = [draws.random_uuid(rng) for _ in range(self.num_hops + 1)]
            first = first or keys[0]
            needles += [draws.filled(own["link"], key=a, value=b) for a, b in pairwise(keys)]
            needles.append(draws.filled(own["end"], key=keys[-1], value=end))
        return Problem(
            needles=tuple(needles),
            question=draws.filled(self.question or own["question"], first=first),
            targets=(ends[0],),
            answer_prefix=draws.filled(self.answer_prefix or own["prefix"], first=first),
            distractors=tuple(ends[1:]),
            num_needed=self.num_hops + 1,
        )

    def _variables(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        length = self.num_hops + 1
        names = draws.unseen(
            lambda: _variable(rng, 5), length * self.num_chains, haystack, "task=chain",
        )
        values = draws.unseen(lambda: str(rng.integers(10_000, 99_999)), self.num_chains, haystack, "task=chain")
        needles = []
        for number, value in enumerate(values):
            needles += self._assigned(names[number * length : (number + 1) * length], value)
        words = {"value": values[0], "count": length}
        return Problem(
            needles=tuple(needles),
            question=draws.filled(self.question or _QUESTION, **words),
            targets=tuple(names[:length]),
            answer_prefix=draws.filled(self._prefix, **words),
            distractors=tuple(names[length:]),
            num_needed=length,
            in_order=self.num_chains == 1,
            carries_space=self.version == "package",
            instruction=self.instruction,
            preamble=self._example(rng, haystack) if self.example else "",
        )

    @property
    def _prefix(self) -> str:
        """Of variables: that of the settings, else RULER's, which its package spells otherwise."""
        theirs = _PREFIX.replace("assigned", "assgined") if self.version == "package" else _PREFIX
        return self.answer_prefix or theirs

    def _assigned(self, names: list[str], value: str) -> list[str]:
        """The assignments of a chain as they stand in the text: in RULER a space follows those of a variable."""
        lines = _assignments(names, value)
        if self.version == "own":
            return lines
        spaced = [lines[0], *(f"{line} " for line in lines[1:])]
        return [f" {line}" for line in spaced] if self.version == "package" else spaced

    def _example(self, rng: np.random.Generator, haystack: Surroundings) -> str:
        """The solved example, with as many lines of noise as the version has."""
        if self.version == "own":
            return self._solved(rng)
        seed = int(rng.integers(2**32))
        best = ""
        for num_lines in count(self.num_hops + 1):
            asked, names = self._asked_as_there(np.random.default_rng(seed), num_lines)
            if self.version == "head":
                num_tokens = haystack.num_tokens_of(asked)
            else:
                num_tokens = haystack.num_tokens_of(f"{asked} {names}") + _ANSWER_TOKENS
            if best and num_tokens > _EXAMPLE_TOKENS:
                break
            solved = f"{asked} {' '.join(names)}"
            if not best or self.version == "head" or num_lines % 5 == 0:
                best = f"{solved}\n\n" if self.version == "head" else f" {solved}\n\n\n\n"
        return best

    def _asked_as_there(self, rng: np.random.Generator, num_lines: int) -> tuple[str, list[str]]:
        """The text of RULER's example with that many lines of noise, and its answer (variable_tracking.py)."""
        names = draws.distinct(lambda: _variable(rng, 3), self.num_hops + 1, "task.num_hops")
        value = str(rng.integers(10_000, 99_999))
        is_package = self.version == "package"
        lines = [SENTENCES + "\n" if is_package else SENTENCES] * num_lines
        places = sorted(rng.choice(num_lines, len(names), replace=False))
        assigned = [_assignments(names, value)[0], *(f"{line} " for line in _assignments(names, value)[1:])]
        for shift, (place, line) in enumerate(zip(places, assigned, strict=True)):
            lines.insert(int(place) + shift, line)
        words = {"value": value, "count": len(names)}
        shown = draws.filled(
            self.template, instruction=self.instruction, context=(" " if is_package else "\n").join(lines),
            question=draws.filled(self.question or _QUESTION, **words),
        )
        return f"{shown} {draws.filled(self._prefix, **words)} ", names

    def _solved(self, rng: np.random.Generator) -> str:
        """A short solved example with variables of three letters."""
        names = draws.distinct(lambda: _variable(rng, 3), self.num_hops + 1, "task.num_hops")
        value = str(rng.integers(10_000, 99_999))
        lines = [SENTENCES] * _EXAMPLE_LINES
        places = sorted(rng.integers(0, _EXAMPLE_LINES + 1, len(names)))
        for shift, (place, line) in enumerate(zip(places, _assignments(names, value), strict=True)):
            lines.insert(int(place) + shift, line)
        words = {"value": value, "count": len(names)}
        shown = draws.filled(
            self.template, instruction=self.instruction, context="\n".join(lines),
            question=draws.filled(self.question or _QUESTION, **words),
        )
        return f"{shown} {draws.filled(self._prefix, **words)} {' '.join(names)}\n\n\n"


def _variable(rng: np.random.Generator, num_letters: int) -> str:
    return "".join(rng.choice(list(string.ascii_uppercase), num_letters))


def _assignments(names: list[str], value: str) -> list[str]:
    return [f"VAR {names[0]} = {value}", *(f"VAR {b} = VAR {a}" for a, b in pairwise(names))]


_QUESTION = "Question: Find all variables that are assigned the value {value} in the text above."
_PREFIX = (
    "Answer: According to the chain(s) of variable assignment in the text above, {count} variables are assigned "
    "the value {value}, they are:"
)

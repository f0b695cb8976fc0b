"""Shapes of one trial put to open engines: each is asked once, kept as a line of probes.jsonl, and never again."""

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from niah.commands.budget import Budget, parse
from niah.commands.shrink.failure import WRONG, Answer, Criterion, Judge
from niah.commands.shrink.pieces import Pieces, num_tokens
from niah.commands.shrink.reduction import Spent
from niah.commands.shrink.shape import Shape
from niah.commands.shrink.sides import Side
from niah.disk import Lines
from niah.errors import NiahError
from niah.planner.hardware import Hardware
from niah.records import Prompt

_CONTROL_SIZES = (0, 1, 2, 3)
"""Tokens of filler of the controls: several, for a fault may sit at one residue of the length."""
_PROBES = re.compile(r"(\d+)\s*probes?", re.IGNORECASE)


@dataclass
class Allowance:
    """What a command may spend: a Budget, and a number of probes, 0 for any."""

    budget: Budget
    most: int = 0
    num: int = 0

    def take(self) -> None:
        """Raises Spent where nothing is left."""
        if self.budget.is_spent() or (self.most and self.num >= self.most):
            raise Spent("shrink.budget is spent")
        self.num += 1


def allowance(text: str | None, hardware: Hardware) -> Allowance:
    """``shrink.budget`` as read. Raises NiahError for another form."""
    match = _PROBES.fullmatch((text or "").strip())
    if match and int(match[1]):
        return Allowance(Budget(), most=int(match[1]))
    try:
        return Allowance(parse(text, hardware, "shrink.budget"))
    except NiahError as error:
        raise NiahError(str(error).replace("expected minutes,", "expected probes (200 probes), minutes,")) from error


@dataclass
class Prober:
    """``first`` is the side that fails; ``second`` the one it is held against: another engine, or itself without what
    came before (``is_cold``). ``times``: how often a shape must fail to count as failing. ``say`` is told of each
    probe."""

    pieces: Pieces
    judge: Judge
    first: Side
    second: Side | None
    is_cold: bool
    criterion: Criterion
    lines: Lines
    mark: str
    allowance: Allowance
    say: Callable[[str], None]
    times: int = 1
    has_control: bool = False
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)
    _controls: dict[tuple[Any, ...], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for line in self.lines.read():
            if line.get("mark") == self.mark and {"key", "fails"} <= line.keys():
                self._known[str(line["key"])] = line

    @property
    def num_known(self) -> int:
        return len(self._known)

    def check_control(self, shape: Shape) -> bool:
        """Whether the question can be answered at all, without filler: then a wrong answer says something of other
        questions and answer budgets too. Against another side that one's answer says so."""
        self.has_control = self.criterion.kind != WRONG or self._answerable(shape)
        return self.has_control

    def fails(self, shape: Shape, words: str) -> bool:
        """Raises Spent where the budget is."""
        line = self._asked(shape, words)
        if not line["fails"]:
            return False
        return self.criterion.kind != WRONG or not self.has_control or self._answerable(shape)

    def answers(self, shape: Shape) -> dict[str, Any]:
        """The last answers to a shape that was asked, by side."""
        found: dict[str, Any] = self._known[self._key(shape)]["answers"][-1]
        return found

    def _answerable(self, shape: Shape) -> bool:
        key = (shape.head, shape.tail, shape.max_tokens)
        if key not in self._controls:
            rest = (0,) * (len(shape.gaps) - 1)
            self._controls[key] = any(
                not self._asked(
                    replace(shape, gaps=(size, *rest), earlier=(0,) * len(shape.earlier)), "control", once=True
                )["fails"]
                for size in _CONTROL_SIZES
            )
        return self._controls[key]

    def _asked(self, shape: Shape, words: str, *, once: bool = False) -> dict[str, Any]:
        """The line of a shape, asked if need be: until it does not fail, or has failed ``times``."""
        key = self._key(shape)
        if key in self._known:
            return self._known[key]
        begun = time.perf_counter()
        found: list[tuple[Answer, Answer | None]] = []
        before, prompt = self.pieces.before(shape), self.pieces.prompt(shape)
        if self.criterion.kind == WRONG:
            prompt = replace(prompt, forced=None)  # nobody looks at a grade
        while len(found) < (1 if once else self.times) and (not found or self.criterion.fails(*found[-1])):
            self.allowance.take()
            found.append(self.both(before, prompt, f"{key[:16]}-{len(found)}"))
        return self.keep(shape, words, found, time.perf_counter() - begun)

    def keep(
        self, shape: Shape, words: str, found: Sequence[tuple[Answer, Answer | None]], seconds: float
    ) -> dict[str, Any]:
        """Writes the line of a shape that was asked, and says so."""
        before, prompt = self.pieces.before(shape), self.pieces.prompt(shape)
        is_failing = self.criterion.fails(*found[-1])
        line = {
            "mark": self.mark, "key": self._key(shape), "words": words, "shape": shape.plain, "sha256": prompt.sha256,
            "length": len(prompt.ids), "earlier": [len(one.ids) for one in before], "fails": is_failing,
            "answers": [
                {"first": one.plain, **({} if two is None else {"second": two.plain})} for one, two in found
            ],
            "seconds": round(seconds, 4),
        }
        self.lines.append(line)
        self._known[self._key(shape)] = line
        verdict = "fails" if is_failing else "does not fail"
        self.say(f"{words}: {len(prompt.ids):,} tokens: {verdict} ({found[-1][0].outcome})")
        return line

    def both(self, before: Sequence[Prompt], prompt: Prompt, salt: str) -> tuple[Answer, Answer | None]:
        """What the first side says after the requests before, and the second without them."""
        first = self.first.ask([*before, prompt], self.judge, f"niah-shrink-{salt}")
        self.allowance.budget.add(num_tokens([*before, prompt]))
        if self.second is None:
            return first, None
        self.allowance.budget.add(len(prompt.ids))
        return first, self.second.ask([prompt], self.judge, f"niah-shrink-{salt}-cold")

    def _key(self, shape: Shape) -> str:
        """What names a probe: all ids, and the tokens of the answer."""
        prompts = [*self.pieces.before(shape), self.pieces.prompt(shape)]
        text = "\n".join(f"{one.sha256} {one.max_tokens}" for one in prompts)
        return hashlib.sha256(text.encode()).hexdigest()

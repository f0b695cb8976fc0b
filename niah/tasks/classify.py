"""How many messages are of one kind, where the kind of each has to be read: nothing to find, all to judge and count.

The form of Oolong's synthetic counts (Bertsch et al. 2025, arXiv:2511.02817): labels are not in the text, and the
answer takes all of its items.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.limits import limited
from niah.records import Problem
from niah.scorers.tally import Tally
from niah.tasks import Task, draws

KINDS = ("praise", "complaint", "enquiry")
_BLOCK = 32
"""Messages whose tokens are counted together, where many fit."""
_MARGIN = 8
"""Tokens by which messages may have more together than counted apart."""
_SPARE = 64
"""Tokens of dots beyond those that fit, of which the end is cut off."""
_DOTS = " ..."


@dataclass(frozen=True, kw_only=True)
class Classify(Task):
    """The task writes the whole text: messages, a line each, of praise, complaint or enquiry, in shares that are drawn
    for each repeat; one kind is asked for. There are ``num_items`` messages (0: as many as fit), and dots behind them.

    Deviates from Oolong: messages of niah's own, made of six sentences a kind with a thing and a name in them, instead
    of classified data sets; counts alone, neither comparisons nor questions of time or user; one question a text.
    """

    name: str = "classify"
    num_items: int = limited(0, at_least=0)

    unshared = "it asks about the whole text"
    writes_context = True
    has_depth = False
    default_tokens = 16
    scorer = Tally()

    def fill(
        self, rng: np.random.Generator, language: str, num_tokens: int, num_tokens_of: Callable[[str], int]
    ) -> Problem:
        """A problem whose text has at least ``num_tokens`` tokens; only dots may be cut off."""
        phrases = self.phrases_in(language)
        own = phrases["classify"]
        asked, shares = int(rng.integers(len(KINDS))), rng.dirichlet([2.0] * len(KINDS))
        lines: list[str] = []
        kinds: list[int] = []
        total, size, room = 0, _BLOCK, num_tokens - _MARGIN
        while len(lines) < self.num_items or not self.num_items:
            size = min(size, self.num_items - len(lines)) if self.num_items else size
            drawn = rng.choice(len(KINDS), size, p=shares).tolist()
            block = [_line(rng, phrases, own, KINDS[kind]) for kind in drawn]
            cost = num_tokens_of("".join(f"{line}\n" for line in block))
            if total + cost <= room:
                lines, kinds, total = lines + block, kinds + drawn, total + cost
            elif size == 1:
                break
            else:
                size = 1
        if len(lines) < max(self.num_items, 1):
            raise NiahError(
                f"task=classify: {max(self.num_items, 1):,} messages do not fit; got room for {num_tokens:,} tokens, "
                f"and {len(lines):,} take {total:,}; expected a longer length, or a smaller task.num_items"
            )
        dots = num_tokens - total + _SPARE
        label = own["labels"][asked]
        return Problem(
            (), draws.filled(own["question"], label=label), (str(kinds.count(asked)),),
            draws.filled(own["prefix"], label=label), text="\n".join(lines) + "\n" + _DOTS * dots,
        )


def _line(rng: np.random.Generator, phrases: dict, own: dict, kind: str) -> str:
    name, thing = (str(rng.choice(some)) for some in (phrases["latent"]["names"], phrases["words"]))
    return draws.filled(own["line"], name=name, message=draws.filled(str(rng.choice(own[kind])), thing=thing))

"""No model: answers right where every needle lies in the last ``window`` tokens of the prompt.

Its heatmap is a known staircase, so a run of it tests everything but the engine, in a second. Of drafts it takes all
where it answers right, and none where it does not.
"""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from niah import __version__
from niah.engines import Case, Engine, Job, Session
from niah.limits import NEW, limited
from niah.models.settings import Model
from niah.models.speculation import Speculation
from niah.records import Completion, Drafts, Failure, Outcome, Prompt
from niah.scorers import thinking
from niah.tokens.tokenizer import Tokenizer

_TAIL = 32
"""Tokens of a prompt's end that are looked at for a thought."""
_ENDED = re.compile(r"</think>\s*\Z")
_SCRIPT = '''\
"""A failing prompt for engine=fake, which holds no model. Needs numpy."""
import json
from pathlib import Path

import numpy as np

TITLE = {title}
WINDOW = {window}
NEEDLES = {places}
EXPECTED = {expected}
FOUND = {found}
ASKED = {asked}

texts = []
for file, max_tokens, salt in ASKED:
    ids = np.load(Path(__file__).parent / file)
    sees_all = all(start >= len(ids) - WINDOW for start in NEEDLES)
    texts.append(EXPECTED if sees_all else "I do not know.")
print(TITLE, f"expected: {{EXPECTED}}", f"then: {{FOUND}}", f"now: {{texts[-1]}}", sep="\\n")
print(json.dumps({{"texts": texts, "num_tokens": len(ids)}}))
'''


@dataclass(frozen=True)
class Fake(Engine):
    """``fail_at`` numbers the requests of a session that fail; ``seconds`` is how long each takes. ``thinks`` are the
    words that it thinks, between <think> and </think>, before each answer: cut short, it does not know."""

    name: str = "fake"
    window: int = limited(2048, at_least=0, unit="tokens")
    seconds: float = 0.0
    fail_at: list[int] = field(default_factory=list)
    thinks: int = limited(0, at_least=0, known_as=NEW)
    prefix_caching: bool = True
    replicas: int = limited(1, at_least=1, decides=False)

    def open(self, job: Job) -> Session:
        if self.replicas > 1:
            from niah.engines.replicas import start

            return start.opened(self, job)
        return FakeSession(self, job.speculation.num_speculative_tokens, job.tokenizer)

    def check_speculation(self, speculation: Speculation, model: Model) -> None:
        """It drafts whatever it is told to."""

    def script(self, job: Job, case: Case) -> str:
        """What FakeSession does, with the needles' places written down."""
        return _SCRIPT.format(
            title=ascii(case.title), window=self.window, places=list(case.visible), found=ascii(case.found),
            expected=ascii(case.expected), asked=[list(one) for one in case.asked],
        )


class FakeSession(Session):
    def __init__(self, settings: Fake, num_speculative_tokens: int = 0, tokenizer: Tokenizer | None = None):
        self.served = {"engine": "fake", "niah": __version__}
        self._settings = settings
        self._num_requests = 0
        self._num_speculative_tokens = num_speculative_tokens
        self._tokenizer = tokenizer
        self._begun, self._num_tokens = 0.0, 0

    def generate(
        self, prompts: Iterable[tuple[int, Prompt]]
    ) -> Iterator[tuple[int, Completion | Failure]]:
        for key, prompt in prompts:
            yield key, self._answer(prompt)

    def _answer(self, prompt: Prompt) -> Completion | Failure:
        self._begun, self._num_tokens = time.monotonic(), len(prompt.ids)
        time.sleep(self._settings.seconds)
        number = self._num_requests
        self._num_requests += 1
        if number in self._settings.fail_at:
            return Failure(Outcome.ENGINE_ERROR, "engine=fake was asked to fail here", self._settings.seconds)
        visible = len(prompt.ids) - self._settings.window
        # nothing planted: nothing missed
        sees_all = not prompt.num_missing and all(
            start >= visible for start, _ in prompt.spans[: prompt.num_needed]
        )
        text = " ".join(prompt.targets) if sees_all else "I do not know."
        if self._settings.thinks and self._tokenizer:
            return self._thought(prompt, text, self._tokenizer)
        num_tokens = len(text.split())
        return Completion(
            text, num_tokens, len(prompt.ids), 0, "stop", self._settings.seconds, self._settings.seconds,
            drafts=self._drafts(num_tokens, is_right=sees_all),
        )

    def _thought(self, prompt: Prompt, text: str, tokenizer: Tokenizer) -> Completion:
        """The answer behind a thought, as much of both as has room; where the prompt ends a thought already, that was
        too short, and it does not know."""
        before = tokenizer.decode(prompt.ids[-_TAIL:])
        if thinking.left_open(before):
            text = f"{' hm' * self._settings.thinks}</think>{text}"
        elif _ENDED.search(before):
            text = "I do not know."
        else:
            text = f"<think>{' hm' * self._settings.thinks}</think>{text}"
        ids = tokenizer.reference(text)
        is_cut = len(ids) > prompt.max_tokens
        kept = ids[: prompt.max_tokens]
        seconds = self._settings.seconds
        return Completion(
            tokenizer.decode(kept), len(kept), len(prompt.ids), 0, "length" if is_cut else "stop", seconds, seconds,
            ids=tuple(kept),
        )

    def _drafts(self, num_tokens: int, *, is_right: bool) -> Drafts | None:
        """Of an answer whose first token comes without one, as an engine's does that has just read the prompt."""
        size = self._num_speculative_tokens
        if not size:
            return None
        num_left = num_tokens - 1
        num_steps = -(-num_left // (size + 1)) if is_right else num_left
        return Drafts(num_steps, num_steps * size, num_left - num_steps if is_right else 0)

    def reading(self) -> tuple[int, int] | None:
        """As if it read evenly for as long as an answer takes."""
        share = min(1.0, (time.monotonic() - self._begun) / self._settings.seconds) if self._settings.seconds else 1.0
        return round(share * self._num_tokens), self._num_tokens

    def facts(self) -> dict[str, Any]:
        return {"engine": "fake", "niah": __version__, "window": self._settings.window}

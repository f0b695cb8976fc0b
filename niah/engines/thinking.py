"""A budget for thinking, held by any engine that reads ids: what it may think, then the end of its thinking is forced.

Budget forcing (Muennighoff et al. 2025, s1, arXiv:2501.19393): a first request writes up to the budget; where the
thinking is still open then, its end is put behind it and a second request goes on from there. So every engine holds the
budget to the token, and all budgets are asked the same prompt.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from niah.engines import Session
from niah.engines.reply import LENGTH, Unusable, finish_reason, left_open
from niah.errors import NiahError
from niah.records import Completion, Failure, Grade, Prompt
from niah.scorers import thinking
from niah.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Forced:
    """What is put behind ids, and the text of it; before that ``drop`` of them are taken away."""

    ids: tuple[int, ...]
    text: str
    drop: int = 0


@dataclass(frozen=True)
class Ending:
    """How a model's thinking is ended. ``late``: behind a thought; ``at_once``: behind the prompt, where nothing may be
    thought at all, as the model's own template has it with its switch off, if it has one."""

    late: Forced
    at_once: Forced


@dataclass(frozen=True)
class _Begun:
    """A prompt whose first request is under way, and what that request was."""

    prompt: Prompt
    sent: Prompt
    forced: str = ""
    first: Completion | None = None


def _by_budget(result: Completion) -> bool:
    """Whether an answer ended by its budget of tokens, in whatever words the engine has for it."""
    try:
        return finish_reason(result.finish_reason) == LENGTH
    except Unusable:
        return False


class BudgetedSession(Session):
    """``session`` with at most ``budget`` tokens of thinking in an answer, its forced end counted, and
    ``answer_tokens`` behind it. Raises NiahError for one that tokenises text itself."""

    def __init__(
        self, session: Session, budget: int, answer_tokens: int, ending: Ending, tokenizer: Tokenizer,
        delimiters: Sequence[thinking.Pair],
    ):
        if not session.counts_exactly:
            session.close()
            raise NiahError(
                "model.thinking_budget: this server takes no ids, so that no answer can be gone on with; expected "
                "engine.prompts=ids, or a budget of its own in engine.body"
            )
        self._session, self._budget, self._answer_tokens = session, budget, answer_tokens
        self._ending, self._tokenizer, self._delimiters = ending, tokenizer, delimiters
        self.served = {**session.served, "thinking_budget": budget}
        self.counts_exactly, self.can_skip_cache = session.counts_exactly, session.can_skip_cache
        self.retried = session.retried

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        source = iter(prompts)
        again: deque[tuple[int, Prompt]] = deque()
        begun: dict[int, _Begun] = {}

        def requests() -> Iterator[tuple[int, Prompt]]:
            """Second requests first; then new prompts."""
            while True:
                if again:
                    yield again.popleft()
                    continue
                if (found := next(source, None)) is None:
                    return
                key, prompt = found
                begun[key] = self._begin(prompt)
                yield key, begun[key].sent

        while True:
            for key, result in self._session.generate(requests()):
                step = begun.pop(key)
                if isinstance(result, Completion) and (second := self._second(step, result)):
                    begun[key] = second
                    again.append((key, second.sent))
                    continue
                yield key, self._whole(step, result)
            if not again:
                return

    def _begin(self, prompt: Prompt) -> _Begun:
        room = self._budget - len(self._ending.late.ids)
        if room > 0:
            return _Begun(prompt, replace(prompt, max_tokens=room))
        end = self._ending.at_once
        return _Begun(prompt, self._gone_on(prompt, end, (), 0), end.text)

    def _second(self, step: _Begun, result: Completion) -> _Begun | None:
        """The second request of a prompt whose first ended by its budget; None where the answer is there."""
        if step.first or step.forced or not _by_budget(result):
            return None
        ids = result.ids or self._ids(result.text)
        opened = left_open(self._tokenizer, self._delimiters, step.prompt)
        is_open = thinking.cut(result.text, self._delimiters, opened).is_open
        end = self._ending.late if is_open else Forced((), "")
        return _Begun(step.prompt, self._gone_on(step.prompt, end, ids, len(ids)), end.text, replace(result, ids=ids))

    def _gone_on(self, prompt: Prompt, end: Forced, written: Sequence[int], num_written: int) -> Prompt:
        """The prompt with what was written behind it and the end of thinking."""
        kept = prompt.ids[: len(prompt.ids) - end.drop]
        ids = np.concatenate([kept, np.array([*written, *end.ids], dtype=np.int32)], dtype=np.int32)
        num_left = self._budget + self._answer_tokens - num_written - max(0, len(end.ids) - end.drop)
        return replace(prompt, ids=ids, max_tokens=max(1, num_left), forced=None if written else prompt.forced)

    def _ids(self, text: str) -> tuple[int, ...]:
        """Of an engine that gives text alone."""
        return tuple(int(one) for one in self._tokenizer.reference(text))

    def _whole(self, step: _Begun, result: Completion | Failure) -> Completion | Failure:
        """The result of all requests of a prompt, as one."""
        if isinstance(result, Failure):
            return replace(result, seconds=result.seconds + (step.first.seconds if step.first else 0.0))
        if result.num_prompt_tokens != len(step.sent.ids):
            raise NiahError(
                f"model.thinking_budget: the engine read {result.num_prompt_tokens:,} tokens of the "
                f"{len(step.sent.ids):,} sent; expected all of them"
            )
        num_prompt_tokens, first = len(step.prompt.ids), step.first
        if not first:
            text = step.forced + result.text
            return replace(
                result, text=text, num_prompt_tokens=num_prompt_tokens, is_thinking_cut=self._budget > 0, ids=(),
            ) if step.forced else result
        ids = (*first.ids, *(self._ending.late.ids if step.forced else ()), *(result.ids or self._ids(result.text)))
        grade: Grade | None = first.grade or result.grade
        return replace(
            result, text=first.text + step.forced + result.text, ids=ids, num_tokens=len(ids), grade=grade,
            not_graded=first.not_graded, num_prompt_tokens=num_prompt_tokens,
            num_cached_tokens=first.num_cached_tokens, seconds=first.seconds + result.seconds,
            first_token_seconds=first.first_token_seconds, is_thinking_cut=bool(step.forced),
            drafts=first.drafts.plus(result.drafts) if first.drafts and result.drafts else None,
        )

    def stop_grading(self) -> None:
        self._session.stop_grading()

    def facts(self) -> dict[str, Any]:
        return {**self._session.facts(), "thinking_budget": self._budget}

    def counters(self) -> dict[str, int]:
        return self._session.counters()

    def reading(self) -> tuple[int, int] | None:
        return self._session.reading()

    def close(self) -> None:
        self._session.close()

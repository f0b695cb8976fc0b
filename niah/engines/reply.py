"""The door: what came from an engine, checked once and made an answer or a failure, the same for every engine.

An engine hands over what it got (``Completion``, ``Failure``); here the reason that ended it is read, the thinking is
cut off, and what is no answer becomes a failure that says what came.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from niah.engines import Session, noted
from niah.records import Completion, Failure, Outcome, Prompt, Row
from niah.scorers import thinking
from niah.tokens.tokenizer import Tokenizer

STOP, LENGTH, FILTERED = "stop", "length", "content_filter"
"""How an answer ends: by itself, by its budget, or by a filter, which is a refusal."""
_REASONS = {
    **dict.fromkeys((
        "stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_token", "stop_str", "stop_word", "complete",
        "completed", "word",
    ), STOP),
    **dict.fromkeys((
        "length", "max_tokens", "max_new_tokens", "max_output_tokens", "max_length", "model_length", "limit",
        "model_context_window_exceeded", "token_limit",
    ), LENGTH),
    **dict.fromkeys((
        "content_filter", "content_filtered", "filtered", "safety", "refusal", "recitation", "blocklist",
        "prohibited_content", "spii", "language", "error_toxic", "guardrail_intervened", "sensitive",
    ), FILTERED),
}
"""The words of OpenAI, vLLM, SGLang, TGI (eos_token), llama.cpp (word, limit), Anthropic (end_turn), Cohere (COMPLETE),
Gemini (MAX_TOKENS, SAFETY), Mistral (model_length) and Bedrock (guardrail_intervened)."""
TRANSIENT = frozenset(("abort", "aborted", "cancelled", "canceled", "error", "timeout", "network_error", "overloaded"))
"""Reasons that another try may not give."""
_MAX_COUNT = 2**31
_END_OF_PROMPT = 64
"""Tokens of a prompt's end that are looked at for what its template left open."""
_MAX_SHOWN = 80


def left_open(tokenizer: Tokenizer, delimiters: Sequence[thinking.Pair], prompt: Prompt) -> str | None:
    """What ends the thinking that the prompt's template has begun; None where it has begun none."""
    return thinking.left_open(tokenizer.decode(prompt.ids[-_END_OF_PROMPT:]), delimiters)


class Unusable(Exception):
    """What came is no answer, and another try would bring the same; the message says what came."""


def shown(value: Any) -> str:
    """A foreign value for a message: on one line, cut, without what no file could hold."""
    text = whole(value if isinstance(value, str) else repr(value))
    return " ".join(text.split())[:_MAX_SHOWN]


def finish_reason(told: Any) -> str:
    """STOP, LENGTH or FILTERED. Raises Unusable for any other word, and for what is none."""
    if isinstance(told, str) and (known := _REASONS.get(told.strip().casefold())):
        return known
    named = repr(shown(told)) if isinstance(told, str) else f"{type(told).__name__} {shown(told)}"
    raise Unusable(f"it ended with the finish reason {named}; expected stop or length")


def whole(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates replaced, so that it can be written as UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", errors="replace")


def count(told: Any, what: str) -> int | None:
    """A number of tokens, None where it is not told. Raises Unusable for what is no such number."""
    if told is None:
        return None
    is_number = isinstance(told, int | float) and not isinstance(told, bool)
    if not is_number or told != told or not 0 <= told < _MAX_COUNT or told != int(told):
        raise Unusable(f"{what} is {shown(told)}; expected a number of tokens")
    return int(told)


def apart(row: Row) -> tuple[str, str]:
    """Thinking and answer of a stored row; rows of older versions hold both in ``response``."""
    if row.thinking:
        return row.thinking, row.response
    found = thinking.cut(row.response)
    return found.thinking, found.answer


@dataclass(frozen=True)
class Door:
    """Every result of a session passes it. ``delimiters`` are those that the model's own chat template names."""

    tokenizer: Tokenizer
    delimiters: Sequence[thinking.Pair] = ()

    def answers(
        self, session: Session, prompts: Iterable[tuple[int, Prompt]]
    ) -> Iterator[tuple[int, Completion | Failure]]:
        """What ``session.generate`` yields for these prompts, each result checked."""
        sent: dict[int, Prompt] = {}
        for key, result in session.generate(noted(prompts, sent)):
            yield key, self.checked(result, sent.pop(key))

    def checked(self, result: Completion | Failure, prompt: Prompt) -> Completion | Failure:
        """The answer, its thinking apart; a failure for what is none."""
        if isinstance(result, Failure):
            return replace(result, message=whole(result.message))
        if not isinstance(result, Completion):
            return Failure(Outcome.ENGINE_ERROR, f"no answer: the engine gave {shown(result)}", 0.0)
        try:
            if not isinstance(result.text, str):
                raise Unusable(f"its text is {type(result.text).__name__} {shown(result.text)}; expected text")
            ended = finish_reason(result.finish_reason)
        except Unusable as error:
            return Failure(Outcome.ENGINE_ERROR, f"no answer: {error}", result.seconds)
        return self._cut(replace(result, text=whole(result.text), finish_reason=ended), prompt)

    def _cut(self, result: Completion, prompt: Prompt) -> Completion:
        opened = None if result.thinking else left_open(self.tokenizer, self.delimiters, prompt)
        found = thinking.cut(result.text, self.delimiters, opened)
        if opened and found.is_open and result.finish_reason != LENGTH and not thinking.cut(result.text).sections:
            found = thinking.cut("", ())  # it never ended the section, and ended by itself: that is an answer
            found = replace(found, answer=result.text)
        thought = "\n\n".join(filter(None, (whole(result.thinking), found.thinking)))
        num_tokens = result.num_thinking_tokens
        if thought and not num_tokens:
            num_tokens = self._num_tokens(result, found, thought)
        is_thought = found.is_open or (bool(thought or num_tokens or found.sections) and not found.answer.strip())
        return replace(
            result, text=found.answer, thinking=thought, num_thinking_tokens=num_tokens,
            ended_in_thinking=result.finish_reason == LENGTH and is_thought,
        )

    def _num_tokens(self, result: Completion, found: thinking.Cut, thought: str) -> int:
        """Tokens of the sections with their delimiters, by the ids where the engine gave them."""
        if not result.ids:
            return len(self.tokenizer.encode(thought).ids)

        def num_up_to(place: int) -> int:
            """Ids that make the first ``place`` characters."""
            return bisect_left(
                range(len(result.ids)), place, key=lambda num: len(self.tokenizer.decode(result.ids[:num]))
            )

        return sum(num_up_to(stop) - num_up_to(start) for start, stop in found.sections)

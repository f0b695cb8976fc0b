"""Chat template around a view of the context, in ids; nothing is decoded and tokenised again."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from niah.errors import NiahError
from niah.prompts import sandbox
from niah.records import Message, Problem, Prompt, View
from niah.scorers.thinking import Pair, cut
from niah.tokens.splice import Control, Piece, Spliced, SpliceError, is_canonical, splice
from niah.tokens.tokenizer import Tokenizer

_CONTENT, _THOUGHT, _ANSWER = "NIAHxCONTENTx7f3a", "NIAHxTHOUGHTx7f3a", "NIAHxANSWERx7f3a"
_MARK = r"(?:<{1,2}[^<>\n]{1,40}>{1,2}|\[[^\[\]\n]{1,40}\]|◁[^◁▷\n]{1,40}▷)"
_LAST_MARK, _FIRST_MARK = re.compile(rf"({_MARK})\w*\s*\Z"), re.compile(rf"\A\s*({_MARK})")
"""A delimiter as templates write them, right before a thought and right after it."""
VERIFIED_UP_TO = 65_536
"""Prompts up to this many tokens are tokenised again as a whole before they are sent."""


@dataclass(frozen=True)
class Frame:
    """What stands before and after the context: control tokens and text, in reading order.

    ``message`` holds the user's own words among them, without the context; None where this is no chat message.
    ``reply`` ends a context of turns that was cut to its length in a turn of the user's; empty where there are none.
    """

    before: tuple[Piece, ...]
    after: tuple[Piece, ...]
    message: Message | None = None
    reply: str = ""

    def around(self, pieces: Iterable[Piece]) -> list[Piece]:
        return [*self.before, *pieces, *self.after]

    @property
    def num_before(self) -> int:
        """Place of the first context piece in what ``around`` returns."""
        return len(self.before)


def frame(
    tokenizer: Tokenizer, template: str, problem: Problem, *, chat: bool, answer_prefix: bool,
    system: str | None, template_arguments: dict[str, Any], where: str, prefix_lead: str = "\n",
) -> Frame:
    """The frame of one problem.

    ``template`` is the task's text with {context}, {question} and perhaps {instruction}. With ``chat`` it becomes a
    user message in the model's own chat template, else plain text after the tokenizer's first ids. With
    ``answer_prefix`` the model is given the beginning of its answer, after ``prefix_lead`` where there is no chat.
    Raises NiahError when the assembled ids differ from what the model's tokenizer makes of the same text.
    """
    opening, closing = around(template, problem)
    if chat:
        rendered = render_chat(tokenizer, opening + _CONTENT + closing, system, template_arguments, where)
        if answer_prefix:
            rendered += problem.answer_prefix
    else:
        closing += f"{prefix_lead}{problem.answer_prefix}" if answer_prefix else "\n"
        rendered = opening + _CONTENT + closing
    if rendered.count(_CONTENT) != 1:
        raise NiahError(f"{where}: the chat template does not show the user's message once; use model.chat=false")
    head, tail = rendered.split(_CONTENT)
    if chat:  # many templates trim a message: then the white space around it is not read by any model
        opening = next((text for text in (opening, opening.lstrip()) if head.endswith(text)), opening)
        closing = next((text for text in (closing, closing.rstrip()) if tail.startswith(text)), closing)
    if not (head.endswith(opening) and tail.startswith(closing)):
        raise NiahError(f"{where}: the chat template changes the user's message; use model.chat=false")
    # The user's own words stand next to the context: control tokens in them stay plain text.
    head = head[: len(head) - len(opening)] if chat else ""
    tail = tail[len(closing) :] if chat else ""
    first = () if chat else tuple(Control(i) for i in tokenizer.first_ids)
    is_message = chat and not (answer_prefix and problem.answer_prefix)
    result = Frame(
        before=(*first, *split_controls(tokenizer, head), opening),
        after=(closing, *split_controls(tokenizer, tail)),
        message=Message(opening, (), closing, system, template_arguments) if is_message else None,
    )
    said = f"question {problem.question_id}" if problem.question_id else "task.question, task.template"
    _check_frame(tokenizer, result, first, head + opening, closing + tail, where, said)
    return result


def around(template: str, problem: Problem) -> tuple[str, str]:
    """The task's text before and after the context."""
    opening, closing = template.strip().split("{context}")
    for mark, text in (("{instruction}", problem.instruction), ("{question}", problem.question)):
        opening, closing = opening.replace(mark, text), closing.replace(mark, text)
    return problem.preamble + opening, closing


def render_chat(
    tokenizer: Tokenizer, content: str, system: str | None, arguments: dict[str, Any], where: str
) -> str:
    """The conversation as text, as Hugging Face's apply_chat_template renders it.

    Dates are pinned (``strftime_now`` gives 1 January 2025), so a prompt is the same on every day.
    """
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": content})
    return rendered(tokenizer, messages, arguments, where)


def rendered(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], arguments: dict[str, Any], where: str
) -> str:
    """The messages, and the beginning of the model's turn behind them, as the chat template has them."""
    return _rendered(tokenizer, messages, {"add_generation_prompt": True, **arguments}, where)


def _rendered(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], arguments: dict[str, Any], where: str
) -> str:
    if not tokenizer.chat_template:
        raise NiahError(f"{where}: this model has no chat template; use model.chat=false")
    variables = {
        "tools": None, "documents": None, **tokenizer.template_variables, **arguments, "messages": list(messages),
    }
    try:
        return sandbox.rendered(tokenizer.chat_template, variables)
    except sandbox.TemplateFaultError as error:
        place = f"{tokenizer.template_name}{f', line {error.line}' if error.line else ''}"
        what = "refused the conversation" if error.is_refusal else "cannot be rendered"
        raise NiahError(
            f"{where}: the chat template ({place}) {what}: {error}; expected text around the user's message; use "
            "model.chat=false, or another template"
        ) from error


def thinking_delimiters(tokenizer: Tokenizer, arguments: dict[str, Any]) -> tuple[Pair, ...]:
    """What the model's own chat template puts around the thinking of an answer: one pair, or none.

    None where the template shows no thinking, and where it has the delimiters of a family that is known anyway
    (scorers/thinking.py). The template is given a turn with a thought in it, by each of the names that templates know.
    """
    for before, between in _thoughts(tokenizer, arguments):
        if _THOUGHT in cut(before + _THOUGHT + between + _ANSWER).thinking:
            return ()
        opening, closing = _LAST_MARK.search(before), _FIRST_MARK.search(between)
        return ((opening[1], closing[1]),) if opening and closing else ()
    return ()


def around_a_thought(tokenizer: Tokenizer, arguments: dict[str, Any]) -> tuple[str, str, str] | None:
    """What opens a thought in the model's own chat template, what closes it, and all that stands between it and its
    answer; None where the template shows none."""
    for before, between in _thoughts(tokenizer, arguments):
        opening, closing = _LAST_MARK.search(before), _FIRST_MARK.search(between)
        return (opening[1], closing[1], between) if opening and closing else None
    return None


def _thoughts(tokenizer: Tokenizer, arguments: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the template has before a thought, and between it and the answer; nothing where it shows none."""
    if not tokenizer.chat_template:
        return
    thought, answer = _THOUGHT, _ANSWER
    turns: list[dict[str, Any]] = [
        {"content": answer, "reasoning_content": thought, "reasoning": thought, "thinking": thought},
        {"content": [{"type": "thinking", "thinking": thought}, {"type": "text", "text": answer}]},
    ]
    for turn in turns:
        messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", **turn}]
        try:
            shown = _rendered(tokenizer, messages, {"add_generation_prompt": False, **arguments}, "model.chat")
        except Exception:  # this form is none of its own: whatever it does with it says nothing
            continue
        before, found, rest = shown.partition(thought)
        between, is_whole, _ = rest.partition(answer)
        if found and is_whole:
            yield before, between
            return


def check_plain(tokenizer: Tokenizer, text: str, where: str) -> None:
    """Raises NiahError for a text in which the model's own tokenizer sees a control token."""
    if name := next((name for name in tokenizer.controls if name in text), ""):
        raise NiahError(
            f"{where}: holds {name!r}, which is a control token of this model; expected text without it; write it "
            "in another way, with a space in it"
        )


def split_controls(tokenizer: Tokenizer, text: str) -> list[Piece]:
    """A rendered template as text and control tokens."""
    names = sorted(tokenizer.controls, key=len, reverse=True)
    if not names:
        return [text] if text else []
    parts = re.split("(" + "|".join(map(re.escape, names)) + ")", text)
    return [
        Control(tokenizer.controls[part]) if number % 2 else part
        for number, part in enumerate(parts)
        if part
    ]


def render(
    tokenizer: Tokenizer, frame: Frame, view: View, problem: Problem, max_tokens: int,
    whole: Spliced | None = None,
) -> Prompt:
    """The prompt for a view; ``whole`` is it assembled, where that was done before.

    Raises NiahError when its ids are not canonical.
    """
    whole = whole or _spliced(tokenizer, frame, view)
    spans = tuple(whole.spans[frame.num_before + place] for place in view.needles if place is not None)
    if len(whole.ids) <= VERIFIED_UP_TO and not is_canonical(tokenizer, whole.ids):
        raise NiahError(
            "model.tokenizer: the assembled prompt is not what the tokenizer makes of its own text; "
            "it rewrites text on decoding, so exact prompts cannot be built with it"
        )
    return Prompt(
        whole.ids, spans, max_tokens, digest(whole.ids), problem.targets, len(spans), view.kept.count(False),
        message=frame.message and replace(frame.message, pieces=view.pieces),
        context=(
            whole.spans[frame.num_before - 1][1] if frame.num_before else 0,
            whole.spans[frame.num_before + len(view.pieces)][0],
        ),
    )


def _spliced(tokenizer: Tokenizer, frame: Frame, view: View) -> Spliced:
    """The view in its frame; as text where a cut has no canonical seam."""
    try:
        return splice(tokenizer, frame.around(view.pieces))
    except SpliceError:
        texts = [piece if isinstance(piece, str) else tokenizer.decode(piece) for piece in view.pieces]
        return splice(tokenizer, frame.around(texts))


def digest(ids: np.ndarray) -> str:
    """sha256 of the ids as little-endian int32: the identity of a prompt."""
    return hashlib.sha256(np.ascontiguousarray(ids, dtype="<i4").data).hexdigest()


def _check_frame(
    tokenizer: Tokenizer, frame: Frame, first: Sequence[Control], before: str, after: str, where: str, said: str
) -> None:
    """``said`` names the user's own words in the frame, which may be what the tokenizer takes for more than text."""
    sample = "The lamp was lit at seven. Nobody came."
    ours = splice(tokenizer, frame.around([sample])).ids.tolist()
    theirs = [control.id for control in first] + list(tokenizer.reference(before + sample + after))
    if ours != theirs:
        check_plain(tokenizer, f"{frame.before[-1]}{frame.after[0]}", said)
        place = next(
            (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
            min(len(ours), len(theirs)),
        )
        raise NiahError(
            f"{where}: prompt ids differ from the tokenizer's own at {place}; got {ours[place : place + 4]}; "
            f"expected {theirs[place : place + 4]}; this chat template needs tokens that span its marks"
        )

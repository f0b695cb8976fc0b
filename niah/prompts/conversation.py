"""A conversation in the model's own chat template: what it puts between two turns, and the frame around all of them."""

from typing import Any

import numpy as np

from niah.config import Run
from niah.errors import NiahError
from niah.grid import APART
from niah.prompts import template
from niah.prompts.template import Frame
from niah.readers.full import Full
from niah.records import Context, Problem
from niah.tokens.splice import Control, splice
from niah.tokens.tokenizer import Tokenizer
from niah.tokens.turns import NEXT, REPLY, TurnTokenizer, plain

_WHERE = "haystack=conversation"
_TURNS = [f"NIAHxTURN{number}x7f3a" for number in range(5)]
_SAMPLE = ("The lamp was lit at seven.", "Nobody came.")
_NOTED = "..."
"""What the assistant says where a context is cut to its length in a turn of the user's."""


def tokenizer(base: Tokenizer, run: Run) -> TurnTokenizer:
    """The model's tokenizer, which knows turns. Raises NiahError for a run whose prompts cannot be a conversation."""
    if run.model.chat is False or not base.chat_template:
        raise NiahError(f"{_WHERE}: {run.model.name} has no chat template, or model.chat=false; expected one")
    if not isinstance(run.reader, Full):
        raise NiahError(f"{_WHERE}: reader={run.reader.name} shows parts of a text, not turns; expected reader=full")
    if run.ctx.share != APART or run.ctx.stem:
        raise NiahError(f"{_WHERE}: expected ctx.share=none, and no ctx.stem")
    messages = [{"role": ("user", "assistant")[number % 2], "content": turn} for number, turn in enumerate(_TURNS)]
    rendered = _rendered(base, messages, run)
    between = []
    for turn in _TURNS:
        before, found, rendered = rendered.partition(turn)
        if not found:
            raise NiahError(f"{_WHERE}: the chat template leaves out earlier turns; expected one that shows them all")
        between.append(before)
    _, reply, next_turn, *again = between
    if [reply, next_turn] != again:
        raise NiahError(
            f"{_WHERE}: the chat template has other words between later turns ({again[0][:40]!r} for {reply[:40]!r}); "
            "expected one that treats turns alike"
        )
    ids = [_ids(base, text) for text in (reply, next_turn)]
    if not all(any(isinstance(piece, Control) for piece in template.split_controls(base, one)) for one in between[1:3]):
        raise NiahError(f"{_WHERE}: the chat template has no control token between turns; expected one in each place")
    return TurnTokenizer(base, *ids)


def frame(turns: TurnTokenizer, run: Run, problem: Problem) -> Frame:
    """All turns but those of the context: what stands before the first, and the last turn of the user's, which asks.

    Raises NiahError where the assembled ids differ from those of the rendered conversation.
    """
    if problem.left_out:
        raise NiahError(
            f"{_WHERE}: task={run.task.name} moves whole documents, which are turns here; expected another task"
        )
    opening, closing = (plain(text) for text in template.around(run.task.template, problem))
    opening, question = opening.lstrip(), closing.strip()
    prefix = problem.answer_prefix if run.model.answer_prefix else ""
    rendered = _conversation(turns, run, [opening + _TURNS[0], _TURNS[1]], question, prefix)
    head, tail = rendered.partition(_TURNS[0])[0], rendered.partition(_TURNS[1])[2]
    if not head.endswith(opening) or question not in tail:
        raise NiahError(f"{_WHERE}: the chat template changes a message; expected one that shows it as it is")
    tail = tail.partition(question)[2]
    made = Frame(
        before=(*template.split_controls(turns, head[: len(head) - len(opening)]), opening),
        after=(NEXT + question, *template.split_controls(turns, tail)), reply=f"{REPLY}{_NOTED}",
    )
    check(turns, run, made, [REPLY.join(_SAMPLE)], problem, splice(turns, made.around([REPLY.join(_SAMPLE)])).ids)
    return made


def check(
    turns: TurnTokenizer, run: Run, made: Frame, pieces: Any, problem: Problem, ids: np.ndarray
) -> None:
    """Raises NiahError where ``ids``, those of the context's ``pieces`` in their frame, are not what the model's own
    tokenizer makes of the conversation as its own template renders it."""
    text = "".join(piece if isinstance(piece, str) else turns.decode(piece) for piece in pieces)
    said = [turn for exchange in text.split(NEXT) for turn in exchange.split(REPLY)]
    opening = made.before[-1]
    question = str(made.after[0]).removeprefix(NEXT)
    prefix = problem.answer_prefix if run.model.answer_prefix else ""
    rendered = _conversation(turns, run, [f"{opening}{said[0]}", *said[1:]], question, prefix)
    theirs = turns.reference(rendered)
    if len(said) % 2 or ids.tolist() != [*theirs]:
        differ = (number for number, (a, b) in enumerate(zip(ids.tolist(), theirs, strict=False)) if a != b)
        place = next(differ, min(len(ids), len(theirs)))
        template.check_plain(turns, f"{opening}{text}{question}", f"{_WHERE}: a text, question or needle")
        got, expected = (turns.decode(one[max(0, place - 4) : place + 4]) for one in (ids, theirs))
        raise NiahError(
            f"{_WHERE}: prompt ids differ from those of the rendered conversation at {place}; got {got!r}; expected "
            f"{expected!r}; this chat template changes turns"
        )


def of_context(turns: TurnTokenizer, run: Run, made: Frame, built: Context, problem: Problem, ids: np.ndarray) -> None:
    """``check`` of a prompt, where it is short enough to be rendered."""
    if len(ids) <= template.VERIFIED_UP_TO:
        check(turns, run, made, built.pieces, problem, ids)


def _conversation(turns: Tokenizer, run: Run, said: list[str], question: str, prefix: str) -> str:
    spoken = [*said, question]
    messages = [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(spoken)]
    return _rendered(turns, messages, run) + prefix


def _rendered(base: Tokenizer, messages: list[dict[str, str]], run: Run) -> str:
    system = [{"role": "system", "content": run.model.system}] if run.model.system else []
    return template.rendered(base, [*system, *messages], run.model.template_arguments, _WHERE)


def _ids(base: Tokenizer, text: str) -> list[int]:
    return [int(one) for one in splice(base, template.split_controls(base, text)).ids]

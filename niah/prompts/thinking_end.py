"""How a model's thinking is ended in its own words: found in its chat template, in ids."""

import re

from niah.engines.thinking import Ending, Forced
from niah.errors import NiahError
from niah.models.settings import Model
from niah.prompts import template
from niah.scorers import thinking
from niah.tokens.splice import Control, splice
from niah.tokens.tokenizer import Tokenizer

_CLOSING_TAG = re.compile(r"</((?:\w+:)?(?:think|thinking|thought|reasoning))>")
_HARMONY = ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>")
_WHERE = "model.thinking_budget"


def ending(tokenizer: Tokenizer, model: Model) -> Ending:
    """Raises NiahError for a model whose chat template knows no thinking, or that is asked without one."""
    if model.chat is False or not tokenizer.chat_template:
        raise NiahError(
            f"{_WHERE}: {model.name} is asked without a chat template, so that it does not think; expected a model "
            "that does, or no budget"
        )
    rendered = template.render_chat(tokenizer, "Hello", model.system, model.template_arguments, _WHERE)
    opening, closing, between = _marks(tokenizer, model, rendered)
    is_opened = thinking.left_open(rendered[-200:], [(opening, closing)]) is not None
    late = between or (closing if closing == _HARMONY[1] else f"\n{closing}\n\n")
    begun = "" if is_opened else opening + ("" if closing == _HARMONY[1] else "\n")
    return Ending(Forced(_ids(tokenizer, late), late), _at_once(tokenizer, model, rendered, begun + late))


def _marks(tokenizer: Tokenizer, model: Model, rendered: str) -> tuple[str, str, str]:
    """What opens thinking, what closes it, and what stands between a thought and its answer, empty where the template
    does not show it."""
    source = " ".join([tokenizer.chat_template or "", *tokenizer.controls])  # some templates leave it to the model
    if "<|channel|>" in source:
        return *_HARMONY, ""
    if found := template.around_a_thought(tokenizer, model.template_arguments):
        return found
    if opened := thinking.left_open(rendered[-200:]):
        known = dict(thinking.FAMILIES)
        closing = next((known[one] for one in known if one == opened), f"</{opened}")
        return (opened if opened in known else f"<{opened}"), closing, ""
    if tag := _CLOSING_TAG.search(source):
        return f"<{tag[1]}>", tag[0], ""
    for opening, closing in thinking.FAMILIES:
        if opening in source and closing in source:
            return opening, closing, ""
    raise NiahError(
        f"{_WHERE}: the chat template of {model.name} knows no thinking; expected a model that thinks, or no budget"
    )


def _at_once(tokenizer: Tokenizer, model: Model, rendered: str, usual: str) -> Forced:
    """The end that follows the prompt at once: as the template has it with thinking off, where that is the same prompt
    but for its end; else the ``usual`` one."""
    if off := model.thinking_arguments.get("off"):
        without = template.render_chat(
            tokenizer, "Hello", model.system, {**model.chat_template_arguments, **off}, _WHERE
        )
        if without != rendered and without.startswith(rendered):
            on_ids, off_ids = _ids(tokenizer, rendered), _ids(tokenizer, without)
            differs = (number for number, (a, b) in enumerate(zip(on_ids, off_ids, strict=False)) if a != b)
            same = next(differs, len(on_ids))
            return Forced(off_ids[same:], without[len(rendered) :], len(on_ids) - same)
    return Forced(_ids(tokenizer, usual), usual)


def _ids(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    pieces = template.split_controls(tokenizer, text)
    if all(isinstance(piece, Control) for piece in pieces):
        return tuple(piece.id for piece in pieces if isinstance(piece, Control))
    return tuple(int(one) for one in splice(tokenizer, pieces).ids)

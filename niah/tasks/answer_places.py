"""Where the answers of the user's questions stand: in what is planted, as they have to, or elsewhere too."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from niah.errors import NiahError
from niah.haystacks.documents import find
from niah.scorers.match import place
from niah.scorers.normal_form import normal
from niah.tasks.question_file import Question

_ALL = ("contains", "only", "ordered")
"""Scorers by which a right answer holds all of a question's answers."""
_LITERAL = ("", "any_of", "exact", "copied", *_ALL)
"""Those by which an answer is a text that has to stand where it is taken from, as it is."""
_MOST_PLACES = 3


@dataclass(frozen=True)
class AnswerFault:
    """A sentence about a question that would measure nothing. ``kind`` is document (there is none of that name),
    missing (what is planted does not hold the answer), elsewhere (another text does too) or asked (the question
    itself does)."""

    kind: str
    text: str


def faults(
    questions: Sequence[Question], names: Sequence[str], documents: Iterable[tuple[str, str]], where: str,
) -> list[AnswerFault]:
    """All that is wrong with the answers, by question; ``documents`` are names and texts, read once, ``names`` those
    names again, and ``where`` says in messages what holds them.

    Answers are looked for as scorers do: whole words in normal form (scorers/match.py).
    """
    found: dict[Question, list[AnswerFault]] = {one: [] for one in questions}
    own: dict[Question, int] = {}
    for one in questions:
        if one.document:
            try:
                own[one] = find(names, one.document, f"{one.place}: document: {where}")
            except NiahError as error:
                found[one].append(AnswerFault("document", str(error)))
    answers = {one: [(answer, normal(answer)) for answer in one.answers] for one in questions}
    held: dict[Question, set[str]] = {
        one: {answer for answer, form in answers[one] if place(normal(one.needle), form) is not None}
        for one in questions if one.needle
    }
    others: dict[Question, list[str]] = {one: [] for one in questions}
    for number, (name, text) in enumerate(documents):
        whole = normal(text)
        for one in questions:
            there = [(answer, form) for answer, form in answers[one] if place(whole, form) is not None]
            if own.get(one) == number:
                held[one] = {answer for answer, _ in there}
            elif there:
                others[one].append(_shown(name, text, *there[0]))
    for one in questions:
        if (one.needle or one in own) and (what := _missing(one, held.get(one, set()))):
            found[one].append(AnswerFault("missing", what))
        for distractor in one.distractors:
            if any(place(normal(distractor), form) is not None for _, form in answers[one]):
                others[one].append(f"in its own distractor {_quoted(distractor)}")
        if (one.needle or one in own) and (places := others[one]):
            more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
            found[one].append(AnswerFault(
                "elsewhere", f"{one.place}: {one.id}: an answer stands {'; '.join(places[:_MOST_PLACES])}{more}, so "
                "that finding it proves nothing; expected it in what is planted alone; ask for something else, or "
                "leave that document out",
            ))
        asked = normal(one.question)
        if said := [answer for answer, form in answers[one] if place(asked, form) is not None]:
            found[one].append(AnswerFault(
                "asked", f"{one.place}: {one.id}: the question itself holds the answer {said[0]!r}; expected one that "
                "does not, as a model that repeats it would be right",
            ))
    return [fault for one in questions for fault in found[one]]


def _missing(one: Question, held: set[str]) -> str:
    """What to say where the text that is planted does not hold the answer; else empty."""
    if one.scorer not in _LITERAL:
        return ""
    lacking = [answer for answer in one.answers if answer not in held]
    if not lacking or (one.scorer not in _ALL and held):
        return ""
    what = f"document {one.document!r}" if one.document else f"needle {_quoted(one.needle)}"
    which = "the answer" if len(one.answers) == 1 else "any of its answers"
    if one.scorer in _ALL:
        which = f"all answers, as scorer {one.scorer} wants"
    return (
        f"{one.place}: {one.id}: {what} does not hold {which} ({lacking[0]!r}); expected it there word by word; add "
        "the form in which it stands there to answers"
    )


def _shown(name: str, text: str, answer: str, form: str) -> str:
    """The document and its first line that holds an answer; an answer may go over several."""
    for number, line in enumerate(text.split("\n"), 1):
        if place(normal(line), form) is not None:
            return f"in {name}, line {number}: {_quoted(line.strip(), answer)}"
    return f"in {name}: {answer!r}"


def _quoted(text: str, answer: str = "") -> str:
    """Some of the text, with the answer in it."""
    at = max(0, text.casefold().find(answer.casefold()) - 30) if answer else 0
    return repr(("..." if at else "") + text[at : at + 70] + ("..." if len(text) > at + 70 else ""))

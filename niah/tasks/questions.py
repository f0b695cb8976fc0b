"""The user's own questions over the user's own documents, one after the other.

A question either has a needle, a text that is planted, or names the document of the haystack that holds its answer:
then that document is what moves to the depth, and the others are the haystack.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from niah import languages
from niah.errors import NiahError
from niah.haystacks.documents import Documents
from niah.limits import free_text, one_of
from niah.records import Problem
from niah.scorers.by_question import ByQuestion
from niah.scorers.match import place
from niah.scorers.normal_form import normal
from niah.tasks import Surroundings, Task, answer_places, question_file
from niah.tasks.question_file import Question

_BETWEEN = "\n\n"
_NUDGE, _STEP = 3e-7, 1e-9
"""Percent of a depth by which the parts of a document follow each other: none is so long that it is a token."""


@dataclass(frozen=True, kw_only=True)
class Questions(Task):
    """``path`` is a file of JSON lines with id, question, answers, and needle or document; also distractors, language
    and scorer (docs/questions.md). Repeat number r asks its question number r, and begins again behind the last.

    ``answer_elsewhere`` forbid refuses questions whose answer does not stand in what is planted, or stands in another
    text too; allow asks all. ``question`` (with {question}) and ``answer_prefix`` are put around it, empty ones in the
    question's own language.
    """

    name: str = "questions"
    path: str = free_text("")
    answer_elsewhere: str = one_of("forbid", "allow")
    question: str = free_text("")
    answer_prefix: str = free_text("")

    all_targets = False
    default_tokens = 64
    scorer = ByQuestion()
    goes_through_a_list = True
    unshared = "a document that one question asks about is part of the haystack of the others"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.question and "{question}" not in self.question:
            raise NiahError(f"task.question: got {self.question!r}; expected {{question}} in it")

    def source_sha256(self) -> str | None:
        return question_file.read(self.path).sha256

    def notes(self, num_repeats: int) -> list[str]:
        num = len(question_file.read(self.path).sound())
        if num_repeats == num:
            return []
        if num_repeats < num:
            return [
                f"task.path: {num:,} questions, of which ctx.repeats={num_repeats} asks the first {num_repeats:,}; "
                f"ctx.repeats={num} asks each once"
            ]
        return [
            f"task.path: {num:,} questions, so ctx.repeats={num_repeats} asks some again with another part of the "
            f"haystack, and intervals count them as further questions; ctx.repeats={num} asks each once"
        ]

    def check_against(self, haystack: Surroundings) -> None:
        """Raises NiahError for the first question that would measure nothing, and says how many there are."""
        found = _faults(self.path, question_file.read(self.path).sha256, haystack.documents)
        if self.answer_elsewhere == "allow":
            found = [fault for fault in found if fault.kind == "document"]
        if found := [fault for fault in found if fault.kind != "asked"]:
            more = f" (the first of {len(found)}; niah questions check names all)" if found[1:] else ""
            allowed = "" if found[0].kind == "document" else "; or task.answer_elsewhere=allow"
            raise NiahError(f"{found[0].text}{allowed}{more}")

    def problem_of(self, repeat: int, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        questions = question_file.read(self.path).sound()
        self.check_against(haystack)
        one = questions[repeat % len(questions)]
        words = (languages.load(one.language) if one.language else self.phrases(haystack))["questions"]
        planted = [one.needle]
        together: tuple[int, ...] = ()
        if one.document:
            before, passage, behind = passages(haystack.documents.text(haystack.documents.find(one.document)), one)
            planted = [text for text in (passage, before, behind) if text]
            numbers = {text: number for number, text in enumerate(planted)}
            together = tuple(numbers[text] for text in (before, passage, behind) if text)
        return Problem(
            needles=(*planted, *one.distractors),
            question=(self.question or words["around"]).replace("{question}", one.question),
            targets=one.answers,
            answer_prefix=self.answer_prefix or words["prefix"],
            in_order=True,
            as_paragraphs=bool(one.document),
            num_needed=1,
            together=together,
            left_out=one.document,
            question_id=one.id,
            scorer=one.scorer,
        )

    def arranged(self, problem: Problem, depths: Sequence[float]) -> tuple[Problem, Sequence[float]]:
        """The parts of a document follow each other at the trial's depth; distractors stay where they were drawn."""
        placed = list(depths)
        for step, number in enumerate(problem.together):
            placed[number] = depths[0] + _NUDGE + step * _STEP
        return problem, placed


def passages(text: str, one: Question) -> tuple[str, str, str]:
    """What of a document stands before the paragraph with the answer, that paragraph, and what follows; a blank line
    is between any two. What readers have to find is the paragraph; a text without blank lines is one."""
    parts = text.split(_BETWEEN)
    forms = [normal(answer) for answer in one.answers]
    at = next((at for at, part in enumerate(parts) if any(place(normal(part), form) is not None for form in forms)), -1)
    if at < 0 or not parts[at].strip():  # the answer goes over several paragraphs, or is none of its words
        return "", text, ""
    return _BETWEEN.join(parts[:at]), parts[at], _BETWEEN.join(parts[at + 1 :])


@lru_cache(maxsize=4)
def _faults(path: str, sha256: str, documents: Documents) -> list[answer_places.AnswerFault]:
    """Those of all questions of a file, looked for once."""
    names = [documents.name(number) for number in range(len(documents))]
    return answer_places.faults(
        question_file.read(path).sound(), names, documents.named(), f"haystack={documents.haystack}"
    )

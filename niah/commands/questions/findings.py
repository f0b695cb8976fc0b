"""All that can be said against a file of questions and its haystack, without a model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from niah.commands.questions.duplicates import Shingles, collected
from niah.errors import NiahError
from niah.haystacks import Haystack, NamedText
from niah.haystacks.corpus import clean
from niah.records import Row, RunRecord
from niah.tasks import answer_places, question_file
from niah.tasks.question_file import Question, QuestionFile


@dataclass(frozen=True)
class Findings:
    """Sentences by what they are about; ``num_documents`` is None where no haystack was looked at."""

    lines: Sequence[str]
    answers: Sequence[str] = ()
    repeated: Sequence[str] = ()
    duplicates: Sequence[str] = ()
    known: Sequence[str] = ()
    num_documents: int | None = None

    def __len__(self) -> int:
        return sum(map(len, (self.lines, self.answers, self.repeated, self.duplicates, self.known)))


def of_file(file: QuestionFile) -> Findings:
    """What the lines alone tell: those that are no question, and those that ask the same."""
    return Findings(file.faults, repeated=[
        f"{one.place}: {one.id}: asks the same as {first.id} ({first.place}); expected it once"
        for first, one in question_file.repeated(file.questions)
    ])


def documents_of(haystack: Haystack, skipped: list[str]) -> list[tuple[str, str]]:
    """Names and texts, as a run has them; documents that are left out are added to ``skipped``. Raises NiahError for
    one without end."""
    if haystack.endless:
        raise NiahError(
            f"haystack={haystack.name}: is made without end; expected one that has documents, as haystack=files "
            "haystack.path=FOLDER"
        )
    texts = clean(haystack.documents(skipped.append), haystack.name)
    named = ((text.name if isinstance(text, NamedText) else "", text) for text in texts)
    return [*_whole(named)]


def _whole(parts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Documents whose parts are joined; those without a name have their number."""
    number = 0
    for name, group in groupby(parts, key=lambda part: part[0]):
        texts = [text for _, text in group]
        for text in ["\n".join(texts)] if name else texts:
            number += 1
            yield name or str(number), text


def of_haystack(file: QuestionFile, haystack: Haystack, documents: Sequence[tuple[str, str]]) -> Findings:
    """What its documents tell: answers that stand elsewhere or nowhere, and documents that are the same."""
    shingles = Shingles()
    found = answer_places.faults(
        file.questions, [name for name, _ in documents], collected(documents, shingles), f"haystack={haystack.name}"
    )
    return Findings(
        (), [fault.text for fault in found], duplicates=[str(pair) for pair in shingles.duplicates()],
        num_documents=len(documents),
    )


def of_run(questions: Sequence[Question], record: RunRecord, rows: Sequence[Row], path: str) -> list[str]:
    """A sentence for each question that the run answered right without a context. Raises NiahError for a run of other
    questions, or of a reader that shows any of it."""
    if record.task != "questions" or record.reader != "none":
        raise NiahError(
            f"{path}: is a run of task={record.task} reader={record.reader}; expected task=questions reader=none, "
            "which asks without a context"
        )
    known = {one.id: one for one in questions}
    answered = [row for row in rows if row.is_answered]
    if strange := [row.question_id for row in answered if row.question_id not in known]:
        raise NiahError(
            f"{path}: asked {strange[0]!r}, which is no question of this file; expected the run of this file; run it "
            "again with another name="
        )
    if not answered:
        raise NiahError(f"{path}: no trial has an answer; expected answers; see its engine.log, then run it again")
    lines = []
    for name, one in known.items():
        own = [row for row in answered if row.question_id == name]
        right = [row for row in own if (row.score or 0.0) >= 1]
        if right:
            said = " ".join(right[0].answer.split())
            said = said if len(said) < 60 else f"{said[:57]}..."
            lines.append(
                f"{one.place}: {one.id}: answered right without a context in {len(right)} of {len(own)} trials "
                f"({said!r}); expected a question that needs the documents"
            )
    return lines

"""From readers of the same instances to numbers: accuracy, paired tests, misses, crossing lengths, costs."""

from dataclasses import dataclass, field, replace

from niah.commands.compare.pairs import answers
from niah.commands.rag.gather import Group, Place, ReaderRun, place_of
from niah.commands.rag.settings import RagSettings
from niah.errors import NiahError
from niah.records import Outcome, Row
from niah.runs import columns
from niah.stats import cells, costs, crossing, misses
from niah.stats.cells import CellStats
from niah.stats.comparison import Answers, Comparison, comparisons
from niah.stats.costs import Cost, Price
from niah.stats.crossing import Crossing
from niah.stats.misses import Misses

Question = tuple[int | str, ...]
"""Repeat and right answers: trials of a repeat with the same answers ask the same, whatever their length and depth."""


@dataclass(frozen=True)
class ReaderResult:
    """The numbers of one reader.

    ``cells``, ``cost`` and ``misses`` are by length, that of 0 over the lengths that all readers answer (misses: over
    all lengths). ``unfit`` lengths have no room for what it reads. ``against`` is the comparison with ``full``, of the
    answers in ``pair``; both are None where the reader does not retrieve or has no answered trial in common with it.
    """

    run: ReaderRun = field(repr=False)
    cells: dict[int, CellStats]
    cost: dict[int, Cost]
    misses: dict[int, Misses]
    unfit: tuple[int, ...]
    against: Comparison | None = None
    crossings: tuple[Crossing, ...] = ()
    pair: tuple[Answers, Answers] | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        return self.run.label


@dataclass(frozen=True)
class GroupResult:
    """The numbers of all readers of a group.

    ``shared`` lengths are answered by every reader. ``num_known`` of ``num_questions`` questions are answered right
    without the context, None where the reader ``none`` was not run; ``num_dropped`` of them are left out of all
    numbers. ``known`` are their trials as (repeat, length, depth).
    """

    group: Group
    readers: tuple[ReaderResult, ...]
    lengths: tuple[int, ...]
    shared: tuple[int, ...]
    num_repeats: int
    num_questions: int
    num_known: int | None
    num_dropped: int
    known: tuple[tuple[int, int, float], ...]

    def of(self, reader: str) -> ReaderResult | None:
        return next((one for one in self.readers if one.run.reader == reader), None)

    @property
    def retrieving(self) -> list[ReaderResult]:
        return [one for one in self.readers if one.run.retrieves]


def measure(group: Group, settings: RagSettings, price: Price | None) -> GroupResult:
    """Raises NiahError where dropping known questions leaves nothing."""
    known = _known(group)
    dropped = known if settings.drop_known and known else set()
    instances = {place: _question(row) for run in group.readers for place, row in run.answered().items()}
    questions = {*instances.values()}
    if not questions - dropped:
        raise NiahError(
            f"rag.drop_known: all {len(questions)} questions of {group.label} are answered right without the context; "
            "expected some that are not"
        )
    rows = {run.folder: [row for row in run.rows if _question(row) not in dropped] for run in group.readers}
    by_reader = [{length for length, _, _ in _answered(rows[run.folder])} for run in group.readers]
    common = set.intersection(*by_reader)
    readers = [
        _result(run, rows[run.folder], common or set.union(*by_reader), price) for run in group.readers
    ]
    repeats = {repeat for part in rows.values() for _, _, repeat in _answered(part)}
    return GroupResult(
        group, tuple(_compared(readers, rows, group.full, settings)), tuple(group.lengths), tuple(sorted(common)),
        len(repeats), len(questions), None if known is None else len(known & questions), len(dropped & questions),
        tuple(sorted(
            (repeat, length, depth) for (length, depth, repeat), asked in instances.items() if asked in (known or ())
        )),
    )


def _question(row: Row) -> Question:
    return row.repeat, *row.targets


def _known(group: Group) -> set[Question] | None:
    """Questions that the reader ``none`` answers right at any length; None where it was not run."""
    floor = [run for run in group.readers if run.reader == "none"]
    if not floor:
        return None
    return {_question(row) for run in floor for row in run.answered().values() if (row.score or 0.0) >= 1}


def _result(run: ReaderRun, rows: list[Row], shared: set[int], price: Price | None) -> ReaderResult:
    lengths = sorted({row.length for row in rows})
    parts: dict[int, list[Row]] = {length: [] for length in lengths}
    for row in rows:
        parts[row.length].append(row)
    parts[0] = [row for row in rows if row.length in shared]
    return ReaderResult(
        run=run,
        cells={cell.length: cell for cell in (*cells.by_length(rows), cells.overall(parts[0]))},
        cost={length: costs.cost(part, run.answer_tokens, price) for length, part in parts.items()},
        misses={one.length: one for one in misses.by_length(rows)} if run.retrieves else {},
        unfit=tuple(
            length for length in lengths if all(row.outcome == Outcome.DOES_NOT_FIT for row in parts[length])
        ),
    )


def _compared(
    readers: list[ReaderResult], rows: dict[str, list[Row]], full: ReaderRun | None, settings: RagSettings
) -> list[ReaderResult]:
    """With the paired comparison of each retrieving reader with ``full``; Holm over them all, as ``compare`` does."""
    if not full:
        return readers
    base = _answered(rows[full.folder])
    pairs: dict[str, tuple[Answers, Answers]] = {}
    for one in readers:
        if one.run.retrieves:
            other = _answered(rows[one.run.folder])
            if common := [place for place in base if place in other]:
                pairs[one.label] = _columns(base, common), _columns(other, common)
    found = comparisons([(*pair, True) for pair in pairs.values()], settings.confidence) if pairs else []
    against = dict(zip(pairs, found, strict=True))
    return [
        replace(
            one, against=against[one.label], pair=pairs[one.label],
            crossings=tuple(crossing.crossings(
                *pairs[one.label], against[one.label], settings.margin, settings.confidence
            )),
        ) if one.label in pairs else one
        for one in readers
    ]


def _columns(rows: dict[Place, Row], places: list[Place]) -> Answers:
    return answers(columns.of_rows(rows[place] for place in places))


def _answered(rows: list[Row]) -> dict[Place, Row]:
    return {place_of(row): row for row in rows if row.is_answered}

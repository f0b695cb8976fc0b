"""From readers of the same instances to numbers: accuracy, paired tests, misses, crossing lengths, costs."""

from dataclasses import dataclass, field

from niah.commands.compare.pairs import answers
from niah.commands.rag.gather import Arm, Group, Key, key
from niah.commands.rag.settings import RagSettings
from niah.errors import NiahError
from niah.records import Outcome, Row
from niah.runs import columns
from niah.stats import cells, costs, crossing, misses
from niah.stats.cells import CellStats
from niah.stats.compared import Answers, Comparison, compared
from niah.stats.costs import Cost, Price
from niah.stats.crossing import Crossing
from niah.stats.misses import Misses


@dataclass(frozen=True)
class Found:
    """One reader. ``cells``, ``cost`` and ``misses`` are by length, that of 0 over the lengths that all readers answer
    (misses: all). ``unfit`` lengths have no room for what it reads; ``against`` is the comparison with ``full``."""

    arm: Arm = field(repr=False)
    cells: dict[int, CellStats]
    cost: dict[int, Cost]
    misses: dict[int, Misses]
    unfit: tuple[int, ...]
    against: Comparison | None = None
    crossings: tuple[Crossing, ...] = ()
    pair: tuple[Answers, Answers] | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        return self.arm.label


@dataclass(frozen=True)
class Measured:
    """All readers of a group. ``shared`` lengths are answered by every reader; ``num_known`` of ``num_questions`` questions are
    answered right without the context, None where reader ``none`` was not run."""

    group: Group
    found: tuple[Found, ...]
    lengths: tuple[int, ...]
    shared: tuple[int, ...]
    num_repeats: int
    num_questions: int
    num_known: int | None
    num_dropped: int
    known: tuple[tuple[int, int, float], ...]

    def of(self, reader: str) -> Found | None:
        return next((one for one in self.found if one.arm.reader == reader), None)

    @property
    def retrieving(self) -> list[Found]:
        return [one for one in self.found if one.arm.retrieves]


def measure(group: Group, settings: RagSettings, price: Price | None) -> Measured:
    """Raises NiahError where dropping known questions leaves nothing."""
    known = _known(group)
    dropped = known if settings.drop_known and known else set()
    rows = {arm.folder: [row for row in arm.rows if _question(row) not in dropped] for arm in group.arms}
    instances = {key(row): _question(row) for arm in group.arms for row in arm.answered().values()}
    questions = {*instances.values()}
    if not questions - dropped:
        raise NiahError(f"rag.drop_known: all {len(questions)} questions of {group.label} are answered right without the context; expected some that are not")
    by_arm = [{row.length for row in rows[arm.folder] if Outcome(row.outcome).is_answer} for arm in group.arms]
    shared = set.intersection(*by_arm) or set.union(*by_arm)
    found = [_found(arm, rows[arm.folder], shared, price) for arm in group.arms]
    found = _tested(found, rows, group, settings)
    repeats = {row.repeat for part in rows.values() for row in part if Outcome(row.outcome).is_answer}
    return Measured(
        group, tuple(found), tuple(group.lengths), tuple(sorted(set.intersection(*by_arm))), len(repeats), len(questions),
        None if known is None else len(known & questions), len(dropped & questions),
        tuple(sorted((place[2], place[0], place[1]) for place, asked in instances.items() if asked in (known or ()))),
    )


def _question(row: Row) -> tuple:
    """Trials of a repeat with the same answers ask the same, whatever their length and depth."""
    return row.repeat, *row.targets


def _known(group: Group) -> set[tuple] | None:
    floor = [arm for arm in group.arms if arm.reader == "none"]
    return {_question(row) for arm in floor for row in arm.answered().values() if (row.score or 0.0) >= 1} if floor else None


def _found(arm: Arm, rows: list[Row], shared: set[int], price: Price | None) -> Found:
    lengths = sorted({row.length for row in rows})
    parts = {length: [row for row in rows if row.length == length] for length in lengths}
    parts[0] = [row for row in rows if row.length in shared]
    return Found(
        arm=arm,
        cells={cell.length: cell for cell in (*cells.by_length(rows), cells.overall(parts[0]))},
        cost={length: costs.cost(part, arm.answer_tokens, price) for length, part in parts.items()},
        misses={one.length: one for one in misses.by_length(rows)} if arm.retrieves else {},
        unfit=tuple(length for length in lengths if all(row.outcome == Outcome.DOES_NOT_FIT for row in parts[length])),
    )


def _tested(found: list[Found], rows: dict[str, list[Row]], group: Group, settings: RagSettings) -> list[Found]:
    """With the paired comparison of each retrieving reader with ``full``; Holm over them all, as ``compare`` does."""
    if not group.full:
        return found
    base, pairs = _answered(rows[group.full.folder]), {}
    for one in found:
        if one.arm.retrieves:
            other = _answered(rows[one.arm.folder])
            common = [place for place in base if place in other]
            if common:
                pairs[one.label] = tuple(answers(columns.of_rows(side[place] for place in common)) for side in (base, other))
    results = dict(zip(pairs, compared([(*pair, True) for pair in pairs.values()], settings.confidence), strict=True)) if pairs else {}
    tested = []
    for one in found:
        if one.label in results:
            against = results[one.label]
            crossed = crossing.crossings(*pairs[one.label], against.lengths, settings.margin, settings.confidence)
            one = Found(one.arm, one.cells, one.cost, one.misses, one.unfit, against, tuple(crossed), pairs[one.label])
        tested.append(one)
    return tested


def _answered(rows: list[Row]) -> dict[Key, Row]:
    return {key(row): row for row in rows if Outcome(row.outcome).is_answer}

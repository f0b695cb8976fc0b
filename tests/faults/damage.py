"""Files that are cut at a byte, or have a bit flipped: what reads them refuses in a line or mends them."""

import itertools
import random
from dataclasses import dataclass
from pathlib import Path

from tests.faults.ledger import Ledger, check_rows, comparable, rows_of
from tests.faults.testbed import BASE, PICTURES, Ended, Testbed, copied

_READS = (
    ("show", "outputs/a"),
    ("report", "outputs/a", *PICTURES),
    ("rescore", "outputs/c"),
    ("compare", "outputs/a", "outputs/c"),
)
_BUILDS = (("show", "outputs/a"), ("prepare", *BASE))
_RUN = (*BASE, "name=a")
_DONE = 9
"""Trials that are answered before the damage: the others have to be built."""
_LOOKED_AT = 0.4
"""The share of damages that another verb meets before the run goes on."""


@dataclass(frozen=True)
class Target:
    """A file of the work folder or the cache, by its name within; ``words`` read it and nothing else."""

    name: str
    words: tuple[tuple[str, ...], ...] = _READS


class Damage:
    """The base of both: a step damages one or two files at a place each, the files in turn. ``may_pass``: a row may
    read otherwise than it was written, and be a sound row."""

    may_pass = False

    def __init__(self, bed: Testbed, ledger: Ledger, rng: random.Random):
        self.bed, self.ledger, self.rng = bed, ledger, rng
        for words in (_RUN, (*BASE, "engine.window=200", "name=c")):
            ended = bed.run(*words)
            if ended.code:
                raise RuntimeError(f"{words} failed undisturbed: {ended.err}")
        place = bed.work.parent
        self.golden, self.caches = copied(bed.work, place / "golden"), copied(bed.cache, place / "golden-cache")
        self.lines, _ = rows_of(self.golden / "outputs/a/rows.jsonl")
        self.rows = comparable(self.lines)
        (corpus,) = [path.parent for path in self.caches.rglob("meta.json")]
        inside = f"cache/{corpus.relative_to(self.caches)}"
        of_run = [Target(f"work/outputs/a/{name}") for name in ("rows.jsonl", "run.json")]
        cached = [Target(f"{inside}/{name}", _BUILDS) for name in ("meta.json", "ids.npy", "text.txt", ".sha256.json")]
        of_model = [
            Target(f"work/model/{name}", _BUILDS) for name in ("config.json", "tokenizer.json", "tokenizer_config.json")
        ]
        self._places: dict[Target, list[int]] = {target: [] for target in (*of_run, *cached, *of_model)}
        # a run's file and one of the cache are damaged at once: neither hides behind the other
        pairs = [(one, other) for one in of_run for other in cached]
        self._turns = itertools.cycle([*pairs, *((one,) for one in of_model)])

    def _place(self, target: Target) -> int:
        """Another of the file's places each time until all were used."""
        left = self._places[target]
        if not left:
            left += range(self.num_places(self._golden(target).stat().st_size))
            self.rng.shuffle(left)
        return left.pop()

    def num_places(self, size: int) -> int:
        raise NotImplementedError

    def damaged(self, data: bytes, place: int) -> bytes:
        raise NotImplementedError

    def _golden(self, target: Target) -> Path:
        root, _, name = target.name.partition("/")
        return (self.golden if root == "work" else self.caches) / name

    def step(self) -> None:
        targets, bed = next(self._turns), self.bed
        folder = bed.work / "outputs/a"
        rows_file = folder / "rows.jsonl"
        copied(self.golden, bed.work)
        copied(self.caches, bed.cache)
        rows_file.write_bytes(b"".join(line + b"\n" for line in self.lines[:_DONE]))
        told = []
        for target in targets:
            root, _, name = target.name.partition("/")
            file, place = (bed.work if root == "work" else bed.cache) / name, self._place(target)
            if file == rows_file:
                place %= self.num_places(rows_file.stat().st_size)
            file.write_bytes(self.damaged(file.read_bytes(), place))
            told.append(f"{file.name} at {place}")
        has_other_rows = targets[0].name.endswith("rows.jsonl")
        case = f"{type(self).__name__.lower()} of {' and '.join(told)}"
        before = [line for line in rows_of(rows_file)[0] if line in self.lines]
        if self.rng.random() < _LOOKED_AT:
            words = self.rng.choice(self.rng.choice(targets).words)
            self.ledger.judge(bed.run(*words), f"{case}, {words[0]}", bed)
            if lost := [line for line in before if line not in rows_of(rows_file)[0]]:
                self.ledger.fault("lost", f"{case}, {words[0]}", bed, None, f"{lost[0][:80]!r}", len(lost))
        ended = bed.run(*_RUN)
        fine = self.ledger.judge(ended, f"{case}, run", bed)
        for target in targets:
            self.ledger.event(f"{Path(target.name).name} {'read or mended' if ended.code == 0 else 'refused'}")
        if ended.code == 0 or not has_other_rows:
            check_rows(self.ledger, f"{case}, run", bed, folder, before, ended)
        if fine and ended.code == 0:
            self._compare(f"{case}, run", ended, before if has_other_rows and self.may_pass else self.lines)

    def _compare(self, case: str, ended: Ended, told: list[bytes]) -> None:
        """The run went on: to the same prompts and answers. ``told``: rows that cannot read otherwise than they were
        written; another may, and nobody can tell."""
        now = comparable(rows_of(self.bed.work / "outputs/a/rows.jsonl")[0])
        sure = comparable(told)
        other = [key for key, row in self.rows.items() if now.get(key) != row and (key in sure or key not in now)]
        if other:
            self.ledger.fault("wrong", case, self.bed, ended, f"other rows: {other[:3]}, {len(now)} in all", len(other))


class Cuts(Damage):
    """Each file cut at each of its bytes."""

    def num_places(self, size: int) -> int:
        return size

    def damaged(self, data: bytes, place: int) -> bytes:
        return data[:place]


class Flips(Damage):
    """Each file with each of its bits flipped."""

    may_pass = True

    def num_places(self, size: int) -> int:
        return 8 * size

    def damaged(self, data: bytes, place: int) -> bytes:
        return data[: place // 8] + bytes([data[place // 8] ^ (1 << place % 8)]) + data[place // 8 + 1 :]

"""Files that are cut at a byte, or have a bit flipped: what reads them refuses in a line or mends them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.ledger import Ledger, check_rows, comparable, rows_of
from tests.faults.testbed import BASE, PICTURES, Testbed, copied

_READS = (
    ("show", "outputs/a"),
    ("report", "outputs/a", *PICTURES),
    ("rescore", "outputs/c"),
    ("compare", "outputs/a", "outputs/c"),
)
_RUN = (*BASE, "name=a")
_PREPARE = ("prepare", *BASE)
_DONE = 9
"""Trials that are answered before a cache or a model's file is damaged: the others have to be built."""


@dataclass(frozen=True)
class Target:
    """A file of the work folder or the cache, by its name within; ``words`` read it and nothing else."""

    name: str
    words: tuple[tuple[str, ...], ...] = _READS
    is_of_rows: bool = False


class Damage:
    """The base of both: a step damages one place of one file, the files in turn."""

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
        self.targets = [
            Target("work/outputs/a/rows.jsonl", is_of_rows=True),
            Target("work/outputs/a/run.json"),
            *(
                Target(f"{inside}/{name}", (("show", "outputs/a"), _PREPARE))
                for name in ("meta.json", "ids.npy", "text.txt")
            ),
            *(
                Target(f"work/model/{name}", (("show", "outputs/a"), _PREPARE))
                for name in ("config.json", "tokenizer.json", "tokenizer_config.json")
            ),
        ]
        self._turns = self._order()

    def _order(self) -> Iterator[tuple[Target, int]]:
        """The files in turn, each at another of its places until all were used."""
        sizes = {target: self._golden(target).stat().st_size for target in self.targets}
        places: dict[Target, list[int]] = {target: [] for target in self.targets}
        while True:
            for target in self.targets:
                if not places[target]:
                    places[target] = list(range(self.num_places(sizes[target])))
                    self.rng.shuffle(places[target])
                yield target, places[target].pop()

    def num_places(self, size: int) -> int:
        raise NotImplementedError

    def damaged(self, data: bytes, place: int) -> bytes:
        raise NotImplementedError

    def _golden(self, target: Target) -> Path:
        root, _, name = target.name.partition("/")
        return (self.golden if root == "work" else self.caches) / name

    def step(self) -> None:
        target, place = next(self._turns)
        bed, folder = self.bed, self.bed.work / "outputs/a"
        copied(self.golden, bed.work)
        copied(self.caches, bed.cache)
        root, _, name = target.name.partition("/")
        file = (bed.work if root == "work" else bed.cache) / name
        whole = file.read_bytes()
        file.write_bytes(self.damaged(whole, place))
        if not target.is_of_rows and not name.endswith("run.json"):
            (folder / "rows.jsonl").write_bytes(b"".join(line + b"\n" for line in self.lines[:_DONE]))
        kind = f"{Path(name).name}"
        case = f"{type(self).__name__.lower()} of {target.name} at {place}"
        words = self.rng.choice(target.words)
        before = self._kept(file, target)
        self.ledger.judge(bed.run(*words), f"{case}, {words[0]}", bed)
        if lost := [line for line in before if line not in rows_of(folder / "rows.jsonl")[0]]:
            self.ledger.fault("lost", f"{case}, {words[0]}", bed, None, f"{lost[0][:80]!r}", len(lost))
        ended = bed.run(*_RUN)
        fine = self.ledger.judge(ended, f"{case}, run", bed)
        self.ledger.event(f"{kind} {'read or mended' if ended.code == 0 else 'refused'}")
        if ended.code == 0 or not target.is_of_rows:
            check_rows(self.ledger, f"{case}, run", bed, folder, before, ended)
        if fine and ended.code == 0:
            self._compare(target, case, ended, before)

    def _kept(self, file: Path, target: Target) -> list[bytes]:
        """The rows that a damage to this file leaves whole."""
        if not target.is_of_rows:
            return rows_of(self.bed.work / "outputs/a/rows.jsonl")[0]
        return [line for line in rows_of(file)[0] if line in self.lines]

    def _compare(self, target: Target, case: str, ended, before: list[bytes]) -> None:
        """The run went on: to the same prompts and answers."""
        lines, _ = rows_of(self.bed.work / "outputs/a/rows.jsonl")
        now = comparable(lines)
        if target.is_of_rows:  # a row that reads otherwise now cannot be told from one that was written so
            kept = comparable(before)
            now = {key: row for key, row in now.items() if key in kept or row == self.rows.get(key)}
            wanted = {key: self.rows[key] for key in now}
        else:
            wanted = self.rows
        if now != wanted:
            other = [key for key in wanted if now.get(key) != wanted[key]]
            self.ledger.fault("wrong", case, self.bed, ended, f"other rows: {other[:3]}, {len(now)} in all")


class Cuts(Damage):
    """Each file cut at each of its bytes."""

    def num_places(self, size: int) -> int:
        return size

    def damaged(self, data: bytes, place: int) -> bytes:
        return data[:place]


class Flips(Damage):
    """Each file with each of its bits flipped."""

    def num_places(self, size: int) -> int:
        return 8 * size

    def damaged(self, data: bytes, place: int) -> bytes:
        return data[: place // 8] + bytes([data[place // 8] ^ (1 << place % 8)]) + data[place // 8 + 1 :]

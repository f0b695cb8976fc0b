"""Commands that are ended at random moments by SIGKILL, SIGTERM or SIGINT, and go on with the same words."""

import hashlib
import json
import random
import signal
from pathlib import Path

from tests.faults.ledger import Ledger, check_rows, comparable, files_below, rows_of
from tests.faults.testbed import BASE, NUM_TRIALS, PICTURES, Ended, Testbed, copied, emptied

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
RUN = (*BASE, "engine.seconds=0.03")
_STALE = 1
"""A version of the scorers' rules that rows are said to be judged by, so that ``rescore`` has something to do."""


class Disturbed:
    """Each ``step`` disturbs one command, which is given again until it is done; then all is compared with what the
    same commands made undisturbed."""

    def __init__(self, bed: Testbed, ledger: Ledger, rng: random.Random):
        self.bed, self.ledger, self.rng = bed, ledger, rng
        self.outputs = bed.work / "outputs"
        self.words = {
            "run": (*RUN, "name=a"), "prepare": ("prepare", *BASE), "build": ("build", *BASE, "out=outputs/contexts"),
            "report": ("report", "outputs/b", *PICTURES), "rescore": ("rescore", "outputs/b"),
            "compare": ("compare", "outputs/b", "outputs/c"),
        }
        self._make_golden()
        self.verb = "run"
        self.is_fresh = True

    def _make_golden(self) -> None:
        """What every command leaves where nothing disturbs it, and how long it takes."""
        bed, done = self.bed, {}
        done["prepare"] = bed.run(*self.words["prepare"])
        done["run"] = bed.run(*self.words["run"])
        other = bed.run(*BASE, "engine.window=200", "name=c")
        _unjudged(self.outputs / "a", self.outputs / "b")
        self.golden = copied(self.outputs, bed.work.parent / "golden")
        self.caches = copied(bed.cache, bed.cache.parent / "golden-cache")
        for verb in ("build", "rescore", "report", "compare"):
            done[verb] = bed.run(*self.words[verb])
        self.seconds = {verb: ended.seconds for verb, ended in done.items()}
        for ended in (*done.values(), other):
            if ended.code:
                raise RuntimeError(f"{ended.words} failed undisturbed: {ended.err}")
        self.finished = copied(self.outputs, bed.work.parent / "finished")
        self.rows = comparable(rows_of(self.golden / "a/rows.jsonl")[0])
        self.judged = rows_of(self.finished / "b/rows.jsonl")[0]

    def disturb(self, words: tuple[str, ...]) -> tuple[Ended, str, int | None]:
        """The command, disturbed; what was done to it; the signal it was sent, if any."""
        raise NotImplementedError

    def restore(self) -> None:
        """Takes away what disturbs."""

    def step(self) -> None:
        if self.is_fresh:
            self._begin()
        folder = self.outputs / ("a" if self.verb == "run" else "b")
        before, _ = rows_of(folder / "rows.jsonl")
        ended, what, sent = self.disturb(self.words[self.verb])
        case = f"{self.verb}, {what}"
        self.ledger.event(f"{self.verb} {what.split()[0]}")
        self.ledger.judge(ended, case, self.bed, codes=(0,) if sent else (0, 1, 5), sent=sent)
        self.restore()
        if self.verb == "rescore":
            self._check_rescored(case, ended)
        else:
            check_rows(self.ledger, case, self.bed, folder, before, ended)
        if ended.code == 0 or self.rng.random() < (0.1 if self.verb == "run" else 0.4):
            self._finish(case)

    def _begin(self) -> None:
        """Another command, its files as they were before it."""
        self.verb = self.rng.choices(list(self.words), weights=[10, 2, 2, 2, 2, 2])[0]
        copied(self.golden, self.outputs)
        if self.verb == "run":
            emptied(self.outputs / "a").rmdir()
        if self.verb == "prepare" or self.rng.random() < 0.3:
            emptied(self.bed.cache)
        self.is_fresh = False

    def _finish(self, case: str) -> None:
        """Lets the command end, then compares everything with the undisturbed one."""
        folder = self.outputs / ("a" if self.verb == "run" else "b")
        before, _ = rows_of(folder / "rows.jsonl")
        ended = self.bed.run(*self.words[self.verb])
        case = f"{case}, then to its end"
        fine = self.ledger.judge(ended, case, self.bed, codes=(0,))
        if self.verb == "rescore":
            self._check_rescored(case, ended)
        else:
            check_rows(self.ledger, case, self.bed, folder, before, ended)
        if fine:
            self._compare(case, ended)
        self.is_fresh = True

    def _compare(self, case: str, ended: Ended) -> None:
        if self.verb == "run":
            now = comparable(rows_of(self.outputs / "a" / "rows.jsonl")[0])
            if now != self.rows:
                self.ledger.fault("wrong", case, self.bed, ended, f"other rows: {len(now)} of {NUM_TRIALS}")
        if self.verb == "build":
            there, made = self.finished / "contexts", self.outputs / "contexts"
            if _hashes(there) != _hashes(made):
                self.ledger.fault("wrong", case, self.bed, ended, "other contexts")
        kept = files_below(self.finished)
        for name in files_below(self.outputs) - kept:
            self.ledger.fault("left over", case, self.bed, ended, f"outputs/{name}")
        for name in files_below(self.bed.cache) - files_below(self.caches):
            self.ledger.fault("left over", case, self.bed, ended, f"cache/{name}")
        if self.verb == "prepare" and _hashes(self.bed.cache) != _hashes(self.caches):
            self.ledger.fault("wrong", case, self.bed, ended, "another cache")

    def _check_rescored(self, case: str, ended: Ended) -> None:
        """Either all old scores or all new ones."""
        now, _ = rows_of(self.outputs / "b" / "rows.jsonl")
        old, _ = rows_of(self.golden / "b/rows.jsonl")
        if now not in (old, self.judged):
            self.ledger.fault("lost", case, self.bed, ended, "rows of neither version", abs(len(now) - len(old)) or 1)


class Kills(Disturbed):
    """By a signal, at any moment of what the command takes undisturbed."""

    def disturb(self, words: tuple[str, ...]) -> tuple[Ended, str, int | None]:
        sent = self.rng.choice(SIGNALS)
        after = self.rng.uniform(0, 1.05 * self.seconds[self.verb])
        return self.bed.run(*words, after=after, sent=sent), f"{signal.Signals(sent).name} after {after:.3f} s", sent


def _unjudged(source: Path, target: Path) -> None:
    """A copy of a run whose every third row has another verdict, by older rules."""
    copied(source, target)
    file = target / "rows.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows[::3]:
        row["score"], row["outcome"] = (0.0, "wrong") if row["score"] else (1.0, "correct")
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    content = json.loads((target / "run.json").read_text())
    content["scorer_version"] = _STALE
    (target / "run.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _hashes(folder: Path) -> dict[str, str]:
    """sha256 of each file but those that hold times: locks, and a cache's own record of its files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*") if path.is_file() and not path.name.endswith((".lock", ".sha256.json"))
    }

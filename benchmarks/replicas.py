"""Work stealing between replicas against a static split by repeat, side by side.

    python benchmarks/replicas.py            the dealer simulated on many grids, then a run through Ray (a minute)
    python benchmarks/replicas.py simulated  only the first part

Simulated: a replica computes a fixed number of tokens a second, of a prompt those that it does not share with the one
it read before. Grids are 8K to 128K (five lengths) at eleven depths, in the order in which a run sends them. In the
static split repeat r is replica r % N's, and one that has none left waits. "best" is all work divided by N.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from niah import grid  # noqa: E402 - a script finds the checkout it lies in
from niah.engines.replicas.dealer import Dealer, Dealt  # noqa: E402
from niah.records import Prompt, Trial  # noqa: E402

LENGTHS = [1024 * n for n in (8, 16, 32, 64, 128)]
DEPTHS = [10.0 * n for n in range(11)]
TOKENS_OF_AN_ID = 64
"""Of what is simulated: 128K are 2,048 ids, so that a grid takes a fraction of a second."""
CASES = (
    (2, 2), (3, 2), (4, 2), (5, 2), (9, 2), (4, 4), (5, 4), (6, 4), (8, 4), (9, 4), (8, 8), (9, 8), (12, 8), (16, 8),
    (1, 2), (3, 4),
)
"""Repeats and replicas."""


class Split(Dealer):
    """The static split: nobody takes what is another's."""

    def _steal(self, replica: int) -> None:
        pass


def prompts(repeats: int, replicas: int) -> list[tuple[int, Prompt]]:
    """A grid's prompts in running order; those of a repeat are alike up to the shallower of their needles."""
    cells = [(length, depth, repeat) for repeat in range(repeats) for length in LENGTHS for depth in DEPTHS]
    trials = [Trial(index, *cell) for index, cell in enumerate(cells)]
    ordered = grid.side_by_side(grid.in_running_order(trials), replicas)
    return [(trial.index, prompt(trial)) for trial in ordered]


def prompt(trial: Trial) -> Prompt:
    ids = np.full(trial.length // TOKENS_OF_AN_ID, trial.repeat, np.int32)
    ids[round(trial.depth / 100 * len(ids)) :] = 1000 + trial.index
    return Prompt(ids, (), 1, str(trial.index), repeat=trial.repeat)


def seconds(dealer: Dealer, replicas: int, *, caches: bool, speeds: list[float]) -> float:
    """When the last replica is done. Whoever is free first asks first."""
    free = [0.0] * replicas
    last: list[Prompt | None] = [None] * replicas
    done: set[int] = set()
    while len(done) < replicas:
        replica = min((n for n in range(replicas) if n not in done), key=lambda n: free[n])
        dealt = dealer.deal(replica)
        if dealt is None:
            done.add(replica)
            continue
        free[replica] += work(last[replica], dealt, caches) / speeds[replica]
        last[replica] = dealt.prompt
    return max(free)


def work(before: Prompt | None, dealt: Dealt, caches: bool) -> float:
    """Tokens (in ids) to compute: those that differ from what was read before."""
    if before is None or not caches:
        return dealt.cold
    size = min(len(before.ids), len(dealt.prompt.ids))
    differing = np.flatnonzero(before.ids[:size] != dealt.prompt.ids[:size])
    return dealt.cold - int(differing[0] if len(differing) else size)


def simulated(cases: Iterable[tuple[int, int]] = CASES) -> None:
    print(f"{'':32}{'with prefix cache':>32}{'without':>32}{'one replica at 0.8':>32}")
    columns = f"{'static':>10}{'stealing':>10}{'gain':>12}"
    print(f"{'repeats':>8}{'replicas':>10}{'best':>14}{columns}{columns}{columns}")
    for repeats, replicas in cases:
        sent = prompts(repeats, replicas)
        alone = seconds(Split(prompts(repeats, 1), 1, {}), 1, caches=True, speeds=[1.0])
        line = f"{repeats:>8}{replicas:>10}{1:>14.2f}"
        for caches, slowest in ((True, 1.0), (False, 1.0), (True, 0.8)):
            speeds = [1.0] * (replicas - 1) + [slowest]
            owners = {repeat: repeat % replicas for repeat in range(repeats)}
            static = seconds(Split(sent, replicas, owners), replicas, caches=caches, speeds=speeds)
            stealing = seconds(Dealer(sent, replicas, {}), replicas, caches=caches, speeds=speeds)
            best = alone / replicas if caches else sum(4 + len(p.ids) for _, p in sent) / replicas
            line += f"{static / best:>10.2f}{stealing / best:>10.2f}{1 - stealing / static:>12.1%}"
        print(line)


def measured(repeats: int = 3, replicas: int = 2) -> None:
    """engine=fake, a fifth of a second a prompt, through Ray; and what its busiest replica has by the static split."""
    words = [
        "engine=fake", "engine.seconds=0.2", "haystack=noise", "ctx.lengths=[512,1k]", "ctx.depths=[0,25,50,75,100]",
    ]
    with tempfile.TemporaryDirectory() as folder:
        stealing = run([*words, f"ctx.repeats={repeats}", f"engine.replicas={replicas}"], Path(folder) / "stealing")
        static = run([*words, f"ctx.repeats={-(-repeats // replicas)}"], Path(folder) / "static")
    print(
        f"\nthrough Ray, {repeats} repeats of 10 trials on {replicas} replicas: {stealing:.1f} s; "
        f"static split (its busiest replica, alone): {static:.1f} s; gain {1 - stealing / static:.1%}"
    )


def run(words: list[str], folder: Path) -> float:
    """Seconds of the trials, without starting."""
    command = [sys.executable, "-m", "niah", *words, f"outputs={folder}", "name=a", "report.formats=[]"]
    subprocess.run(command, check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    record = json.loads((folder / "a" / "run.json").read_text())
    return float(sum(record["sessions"][-1]["trials_seconds"].values()))


if __name__ == "__main__":
    simulated()
    if sys.argv[1:] != ["simulated"]:
        measured()

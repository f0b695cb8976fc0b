"""How long 100,000 responses take to be judged, one after another on one core: ``python benchmarks/scoring.py [N]``.

Four in five are answers as models give them, half of these right and in many forms; the rest are claims of absence,
refusals, hedges and longer talk (tests/scorers/absence.tsv). Each kind is timed alone too.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from niah.records import Problem
from niah.scorers.contains import Contains
from niah.scorers.outcome import judge

LIST = Path(__file__).parents[1] / "tests/scorers/absence.tsv"
PROBLEM = Problem(
    (), "What is the special magic number for Lisbon?", ("4829173",), distractors=("1234567", "2222222", "7654321")
)
RIGHT = (
    "4829173", "The special magic number for Lisbon is 4829173.", "**4,829,173**", "It is 4 829 173.",
    "数字是４８２９１７３。",
    "La respuesta es 4.829.173.", "The special magic number for Lisbon mentioned in the text is **4829173**.",
    "٤٨٢٩١٧٣",
)
WRONG = (
    "1234567", "The special magic number for Lisbon is 1234567.", "**7,654,321**", "It is 48291730.", "数字是1111111。",
    "La respuesta es 2.222.222.", "The text says that the best startups launch early and talk to users.",
    "",
)
_TALK = "The essay argues that founders do not know what users want, and that nobody can tell before a launch. "


def seconds(responses: Sequence[str], count: int) -> float:
    """Processor time of judging ``count`` responses, these in turn."""
    begun = time.process_time()
    for number in range(count):
        judge(f"{responses[number % len(responses)]} [{number}]", PROBLEM, Contains(), "stop")  # none is like another
    return time.process_time() - begun


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    said = [line.split("\t")[4] for line in LIST.read_text(encoding="utf-8").splitlines()[1:]]
    talk = [_TALK * 5]
    mixed = [one for number, last in enumerate(said) for one in (
        RIGHT[number % 8], WRONG[number % 8], RIGHT[(number + 1) % 8], WRONG[(number + 1) % 8], last,
    )]
    seconds(mixed, len(mixed))  # patterns are compiled
    print(f"{count:,} mixed: {seconds(mixed, count):.1f} s")
    for name, kind in {"right": RIGHT, "wrong": WRONG, "of the list": said, "500 characters of talk": talk}.items():
        few = max(1, count // 20)
        print(f"{name}: {seconds(kind, few) / few * 1e6:.0f} microseconds each")
    begun = time.process_time()
    judge(_TALK * (2**20 // len(_TALK)), PROBLEM, Contains(), "stop")
    print(f"one of a megabyte: {time.process_time() - begun:.1f} s")


if __name__ == "__main__":
    main()

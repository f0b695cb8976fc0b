"""How well claims of absence and refusals are told, by language: ``python benchmarks/absence.py``.

The list is tests/scorers/absence.tsv. Its sentences are our own, each with the outcome that is right where Lisbon was
asked for (in the language's own words) and another value than those named is the target. The patterns were written
after part ``first``; ``second`` was kept apart until they were done, ``third`` and ``fourth`` were written after that.
Also the share of tests/scorers/natural.txt that counts as a claim; with an earlier niah on PYTHONPATH, that alone.
"""

from collections import Counter
from pathlib import Path

from niah.scorers.claims_absence import claims_absence

KINDS = {"absent-claimed": "absence", "refused": "refusal"}
LISTS = Path(__file__).parents[1] / "tests/scorers"


def outcomes() -> list[tuple[str, str, str, str, str, str]]:
    """(language, part, right outcome, kind, response, outcome found) of each line."""
    from niah import languages
    from niah.records import Problem
    from niah.scorers.contains import Contains
    from niah.scorers.outcome import judge

    found = []
    for line in (LISTS / "absence.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        code, part, right, kind, response = line.split("\t")
        own = languages.load(code)
        question = own["keyed"]["number"]["question"].replace("{key}", own["keys"][0])
        outcome = judge(response, Problem((), question, ("5550123",)), Contains(), "stop")[1]
        found.append((code, part, right, kind, response, outcome.value))
    return found


def recall_and_precision(lines: list[tuple[str, str, str, str, str, str]], kind: str) -> tuple[float, float, int]:
    """Of the outcome ``kind``, and how many lines should have it."""
    right = sum(line[2] == kind for line in lines)
    told = sum(line[5] == kind for line in lines)
    both = sum(line[2] == line[5] == kind for line in lines)
    return both / right, both / told if told else 1.0, right


def main() -> None:
    natural = (LISTS / "natural.txt").read_text(encoding="utf-8").splitlines()
    told = sum(map(claims_absence, natural))
    print(f"natural claims of absence that are told: {told} of {len(natural)}")
    try:
        lines = outcomes()
    except (ImportError, KeyError):
        return
    print(f"{len(lines)} sentences: {dict(Counter(line[2] for line in lines))}")
    print(f"{'language':<10}" + "".join(f"{one + ': recall':>18}{'precision':>11}{'of':>5}" for one in KINDS.values()))
    for code in dict.fromkeys(line[0] for line in lines):
        own = [line for line in lines if line[0] == code]
        told_of = (recall_and_precision(own, kind) for kind in KINDS)
        print(f"{code:<10}" + "".join(f"{one[0]:>18.3f}{one[1]:>11.3f}{one[2]:>5}" for one in told_of))
    for code, part, right, kind, response, outcome in lines:
        if right != outcome:
            print(f"{code} {part} {kind}: {outcome}, right is {right}: {response}")


if __name__ == "__main__":
    main()

"""What a gate found as text, JSON, JUnit XML and Markdown."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from niah import __version__
from niah.commands.gate.candidates import Candidate
from niah.commands.gate.findings import FAILED, GO, INCONCLUSIVE, MET, NO_GO, OPEN, Finding, verdict_of
from niah.commands.gate.policy import Policy
from niah.commands.results import without_nan
from niah.report import labels
from niah.report.text_table import aligned
from niah.terminal import line
from niah.units import format_count

SCHEMA = 1
EXIT_CODES = {GO: 0, NO_GO: 3, INCONCLUSIVE: 4}


@dataclass(frozen=True)
class Gate:
    """A policy, what it was held against, and what came of each bound."""

    policy: Policy
    candidates: Sequence[Candidate]
    findings: Sequence[Finding]
    notes: Sequence[str]

    @property
    def verdict(self) -> str:
        return verdict_of(self.findings)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    @property
    def made_up(self) -> str:
        return labels.made_up("fake" if any(one.is_fake for one in self.candidates) else "")

    @property
    def sentence(self) -> str:
        """The verdict, and what hangs on what."""
        required = [one for one in self.findings if one.is_required]
        counts = {state: sum(one.state == state for one in required) for state in (MET, FAILED, OPEN)}
        told = ", ".join(f"{num} {state}" for state, num in counts.items() if num) or "none"
        beside = [one for one in self.findings if not one.is_required and one.state != MET]
        advice = f"; {len(beside)} advisory not met" if beside else ""
        return f"{self.verdict}{self.made_up}: of {len(required)} required bounds {told}{advice}"

    @property
    def decided_by(self) -> list[str]:
        """What would decide the required bounds that are open, once each: the most repeats of all that need some."""
        opened = [one for one in self.findings if one.is_required and one.state == OPEN]
        needed = [one.repeats for one in opened if one.repeats]
        why = dict.fromkeys(one.why for one in opened if one.why and not one.repeats)
        return [*([f"ctx.repeats={max(needed)}"] if needed else []), *why]


def text(gate: Gate) -> str:
    """A line a bound, the verdict last."""
    rows = [(one.bound.tier, one.state, f"{one.name}: {one.words}") for one in gate.findings]
    policy = gate.policy
    return "\n".join([
        f"policy {policy.name}: {format_count(len(gate.findings), 'bound')}, intervals of {policy.confidence:.0%}"
        f"{gate.made_up}",
        *(f"note: {note}" for note in gate.notes), *aligned(rows, [-8, -12, 0]), gate.sentence,
        *([f"what would decide it: {'; '.join(gate.decided_by)}"] if gate.decided_by else []),
    ]) + "\n"


def as_json(gate: Gate) -> str:
    """All of it as data."""
    policy = gate.policy
    content = {
        "schema": SCHEMA, "niah": __version__, "verdict": gate.verdict, "exit_code": gate.exit_code,
        "sentence": gate.sentence, "decided_by": gate.decided_by, "is_fake": bool(gate.made_up),
        "policy": {"name": policy.name, "sha256": policy.sha256, "confidence": policy.confidence},
        "runs": [_run(one) for one in gate.candidates], "findings": [_finding(one) for one in gate.findings],
        "notes": list(gate.notes),
    }
    return json.dumps(without_nan(content), indent=2, ensure_ascii=False) + "\n"


def _run(one: Candidate) -> dict[str, Any]:
    record = one.side.record
    return {
        "label": one.label, "run": one.side.label, "variant": one.side.variant, "task": one.tasks[0],
        "model": record.model_title, "engine": record.engine_name, "num_trials": one.num_planned,
        "num_answers": int(one.side.columns.answered.sum()), "prompts_sha256": one.prompts_sha256(),
        "fingerprint": record.fingerprint, "baseline": one.pair.base.label if one.pair else None,
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "bound": one.bound.kind, "limit": one.bound.limit, "tier": one.bound.tier, "line": one.bound.line or None,
        "candidate": one.candidate, "length": one.length or None, "state": one.state, "value": one.value,
        "low": one.low, "high": one.high, "num_trials": one.num_trials, "num_repeats": one.num_repeats,
        "name": one.name, "words": one.words, "why": one.why, "repeats_needed": one.repeats,
    }


def junit(gate: Gate) -> str:
    """A test case a bound: a required one that failed is a failure, one that is open an error, an advisory one that is
    not met is skipped, with its reason."""
    states = [(one.is_required, one.state) for one in gate.findings]
    suite = ElementTree.Element("testsuite", {
        "name": line(f"niah gate {gate.policy.name}"), "tests": str(len(states)),
        "failures": str(states.count((True, FAILED))), "errors": str(states.count((True, OPEN))),
        "skipped": str(sum(not is_required and state != MET for is_required, state in states)), "time": "0",
    })
    for one in gate.findings:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": f"niah.gate.{one.bound.tier}", "name": line(one.name), "time": "0"}
        )
        if one.state == MET:
            ElementTree.SubElement(case, "system-out").text = line(one.words)
            continue
        tag = ("failure" if one.state == FAILED else "error") if one.is_required else "skipped"
        attributes = {"message": line(f"{one.state}: {one.words}")} | ({"type": one.state} if one.is_required else {})
        ElementTree.SubElement(case, tag, attributes)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def markdown(gate: Gate) -> str:
    """For the summary of a CI job: the verdict and a table."""
    lines = [f"### niah gate {_cell(gate.policy.name)}: {gate.verdict}", "", _cell(f"{gate.sentence}."), ""]
    if gate.decided_by:
        lines += [_cell(f"What would decide it: {'; '.join(gate.decided_by)}."), ""]
    lines += ["| tier | | bound | seen |", "|---|---|---|---|"]
    for one in gate.findings:
        state = f"**{one.state}**" if one.state != MET else one.state
        lines.append(f"| {one.bound.tier} | {state} | {_cell(one.name)} | {_cell(one.words)} |")
    return "\n".join([*lines, *(f"\n{_cell(note)}" for note in gate.notes)]) + "\n"


def _cell(words: str) -> str:
    """The words as text on one line of a table: nothing in them is markup."""
    marks = {"\\": "\\\\", "|": "\\|", "<": "&lt;", ">": "&gt;", "`": "\\`", "[": "\\[", "*": "\\*", "_": "\\_"}
    return "".join(marks.get(one, one) for one in line(words))


FORMATS: dict[str, tuple[str, Callable[[Gate], str]]] = {
    "text": ("gate.txt", text), "json": ("gate.json", as_json), "junit": ("gate.xml", junit),
    "markdown": ("gate.md", markdown),
}
"""Each format's file and how it is made."""

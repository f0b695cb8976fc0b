"""``gate``: verdicts follow intervals alone, all four formats say the same, a policy's errors name their line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from niah.cli import main
from niah.commands.gate import policy
from niah.errors import NiahError
from tests.helpers.command import REPOSITORY, said
from tests.helpers.ruler_sweeps import sweep
from tests.helpers.runs import grid, rows, run

FP8 = {"kv": {"name": "fp8", "dtype": "fp8_e4m3"}}
TASK = {"task": {"name": "single"}}


def gate(capfd, place: Path, text: str, *words: str, code: int = 0) -> tuple[str, dict]:
    """What it said, and gate.json."""
    (place / "policy.yaml").write_text(text)
    told = said(capfd, "gate", str(place / "policy.yaml"), *words, f"out={place}/out", code=code)
    content = json.loads((place / "out/gate.json").read_text())
    assert content["exit_code"] == code and content["sentence"] in told
    return told, content


def states(content: dict) -> list[tuple[str, int | None, str]]:
    return [(one["bound"], one["length"], one["state"]) for one in content["findings"]]


def test_a_bound_is_met_or_failed_only_where_its_interval_decides(tmp_path, capfd):
    # 8K always right, 16K right in three of four repeats, 32K never
    shares = {8192: lambda trial: True, 16384: lambda trial: trial.repeat % 4 < 3, 32768: lambda trial: False}
    run(tmp_path / "a", rows(grid(24), lambda trial: shares[trial.length](trial)), **TASK)
    told, content = gate(capfd, tmp_path, """
name: "by <length> | one"
bounds:
  - task: single
    lengths: each
    min_accuracy: 0.85
  - {min_effective_length: 8k, threshold: 0.8}
  - {min_effective_length: 16k, threshold: 0.7}
  - {min_effective_length: 32k, threshold: 0.7, tier: advisory}
  - {task: multikey, min_accuracy: 0.5, tier: advisory}
""", str(tmp_path / "a"), code=3)
    assert states(content) == [
        ("min_accuracy", 8192, "met"), ("min_accuracy", 16384, "inconclusive"), ("min_accuracy", 32768, "failed"),
        ("min_effective_length", None, "met"), ("min_effective_length", None, "inconclusive"),
        ("min_effective_length", None, "failed"), ("min_accuracy", None, "inconclusive"),
        ("max_failures", None, "met"),
    ]
    low, high = content["findings"][1]["low"], content["findings"][1]["high"]
    assert low < 0.75 < 0.85 < high and content["findings"][1]["repeats_needed"] > 24
    assert content["verdict"] == "NO-GO" and content["is_fake"]
    assert "(engine=fake: no model was asked): of 6 required bounds 3 met, 1 failed, 2 inconclusive; 2 advisory" in told
    suite = ElementTree.parse(tmp_path / "out/gate.xml").getroot()[0]
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "8", "failures": "1", "errors": "2", "skipped": "2",
    }
    assert [len(case.findall("failure")) for case in suite][2] == 1
    summary = (tmp_path / "out/gate.md").read_text()
    assert summary.startswith("### niah gate by &lt;length&gt; \\| one: NO-GO\n")
    assert [line.count(" | ") for line in summary.splitlines() if line.startswith("| required")] == [3] * 6


def test_what_decides_is_told_and_decides(tmp_path, capfd):
    bounds = "bounds: [{task: single, min_accuracy: 0.9}]"
    run(tmp_path / "a", rows(grid(8), lambda trial: True), **TASK)
    _, content = gate(capfd, tmp_path, bounds, str(tmp_path / "a"), code=4)
    needed = content["findings"][0]["repeats_needed"]
    assert content["verdict"] == "INCONCLUSIVE" and content["decided_by"] == [f"ctx.repeats={needed}"]
    for repeats, code in ((needed - 1, 4), (needed, 0)):
        run(tmp_path / "b", rows(grid(repeats), lambda trial: True), **TASK)
        gate(capfd, tmp_path, bounds, str(tmp_path / "b"), code=code)


def test_losses_are_those_of_compare(tmp_path, capfd):
    def lost(trial):
        return not (trial.length == 32768 and trial.repeat % 2)

    base = run(tmp_path / "bf16", rows(grid(24), lambda trial: True), **TASK)
    same = run(tmp_path / "same", rows(grid(24), lambda trial: True), **TASK, **FP8)
    worse = run(tmp_path / "worse", rows(grid(24), lost), **TASK, **FP8)
    bounds = "bounds: [{max_loss: 0.2, lengths: each}, {max_loss: 0.08, lengths: 8k, tier: advisory}]"
    _, content = gate(capfd, tmp_path, bounds, same, base)
    assert [one["state"] for one in content["findings"]] == ["met", "met", "met", "inconclusive", "met"]
    found = content["findings"][3]
    assert found["words"].startswith("+0.0 [") and content["runs"][0]["baseline"] == "bf16"
    assert found["low"] < -0.08 < found["value"] == 0 and found["repeats_needed"] > 24
    _, content = gate(capfd, tmp_path, bounds, worse, base, code=3)
    assert [one["state"] for one in content["findings"][:3]] == ["met", "met", "failed"]
    told = said(capfd, "gate", str(tmp_path / "policy.yaml"), same, code=1)
    assert "policy.yaml:1: max_loss: there is nothing to compare" in told


def test_variants_of_one_run_against_one_of_them(tmp_path, capfd):
    both = [*rows(grid(6), lambda trial: True, variant="bf16"), *rows(grid(6), lambda trial: False, variant="fp8")]
    a = run(tmp_path / "a", both, **TASK)
    head = "baseline: bf16\nbounds: [{max_loss: 0.05}]"
    record = (tmp_path / "a/run.json").read_text()
    (tmp_path / "a/run.json").write_text(record.replace('"num_trials": 108', '"num_trials": 54'))
    _, content = gate(capfd, tmp_path, head, a, code=3)
    assert [(one["candidate"], one["state"]) for one in content["findings"]] == [
        ("single fp8", "failed"), ("single fp8", "met")
    ]
    told = said(capfd, "gate", str(tmp_path / "policy.yaml"), a, "format=markdown", f"out={tmp_path}/md", code=3)
    assert told == (tmp_path / "md/gate.md").read_text()
    (tmp_path / "policy.yaml").write_text("baseline: fp4\nbounds: [{max_loss: 0.05}]")
    told = said(capfd, "gate", str(tmp_path / "policy.yaml"), a, code=1)
    assert "policy.yaml: baseline: got 'fp4', no variant of" in told and "expected bf16 or fp8" in told


def test_a_sweep_of_several_tasks_and_its_baseline(tmp_path, capfd):
    few = ("niah_single_1", "vt")
    base = sweep(tmp_path / "bf16", lambda setting, trial: 1.0, few, repeats=8)
    new = sweep(tmp_path / "fp8", lambda setting, trial: float(setting != "vt"), few, repeats=8, **FP8)
    _, content = gate(
        capfd, tmp_path, "bounds:\n- max_loss: 0.4\n- {task: niah_single_1, min_accuracy: 0.5}\n", new, base, code=3
    )
    assert [(one["candidate"], one["bound"], one["state"]) for one in content["findings"]][:3] == [
        ("niah_single_1", "max_loss", "met"), ("vt", "max_loss", "failed"), ("niah_single_1", "min_accuracy", "met"),
    ]


def test_failures_unfinished_runs_calibration_and_pinned_prompts(tmp_path, capfd):
    a = run(tmp_path / "a", rows(grid(8), lambda trial: None if trial.index == 3 else True), **TASK)
    bounds = "bounds: [{max_failures: %s}, {calibration: verified}, {prompts_sha256: '%s'}, {min_accuracy: 0.5}]"
    _, content = gate(capfd, tmp_path, bounds % ("0", "0" * 64), a, code=3)
    assert [one["state"] for one in content["findings"]] == ["failed", "inconclusive", "failed", "met"]
    assert content["findings"][0]["words"] == "1 of 72 without (1 engine-error)"
    own = content["runs"][0]["prompts_sha256"]
    record = json.loads((tmp_path / "a/run.json").read_text())
    calibrated = {**record, "calibration": ["engine verified at 8K: 65/65"]}
    (tmp_path / "a/run.json").write_text(json.dumps(calibrated))
    gate(capfd, tmp_path, bounds % ("0.02", own), a)
    calibrated["plan"]["num_trials"] = 80
    (tmp_path / "a/run.json").write_text(json.dumps(calibrated))
    told, content = gate(capfd, tmp_path, bounds % ("0.02", own), a, code=4)
    assert [one["state"] for one in content["findings"]] == ["inconclusive", "met", "met", "inconclusive"]
    assert "what would decide it: 8 of 80 trials were not asked yet; the run's own command goes on" in told
    once = run(tmp_path / "once", rows(grid(1), lambda trial: False), **TASK)
    told, _ = gate(capfd, tmp_path, "bounds: [{min_accuracy: 0.9}]", once, code=4)
    assert "1 repeat is one needle in one text" in told


ENTRY = r"bounds\[0\]"


@pytest.mark.parametrize(("text", "expected"), [
    ("bounds:\n  - min_acuracy: 0.9\n", rf":2: {ENTRY}.min_acuracy: unknown key; .*did you mean {ENTRY}.min_accuracy"),
    ("bounds:\n  - task: single\n    min_accuracy: 90\n", rf":3: {ENTRY}.min_accuracy: got 90; expected a share"),
    ("bounds:\n  - {}\n  - task: x\n", rf":2: {ENTRY}: bounds nothing; expected one or more of min_accuracy, "),
    ("name: x\nconfidance: 0.9\nbounds: [{max_loss: 0.1}]\n", ":2: confidance: unknown key; .*mean confidence"),
    ("bounds:\n  - min_accuracy: 0.9\n    tier: must\n", rf":3: {ENTRY}.tier: got 'must'; expected required or adv"),
    ("bounds:\n  - min_accuracy: 0.9\n    min_accuracy: 0.8\n", rf":3: {ENTRY}.min_accuracy: stands there twice"),
    ("bounds:\n  - min_accuracy: 0.9\n    lengths: [8k, long]\n", rf":3: {ENTRY}.lengths: not a length; got 'long'"),
    ("bounds:\n  - calibration: maybe\n", rf":2: {ENTRY}.calibration: got 'maybe'; expected verified, or null"),
    ("bounds: 3\n", ":1: bounds: got 3; expected a list"),
    ("bounds: [\n", "line 2: not YAML"),
    ("bounds:\n- [1]\n", rf":2: {ENTRY}: got \[1\]; expected keys"),
])
def test_errors_of_a_policy_are_one_line_with_its_place(tmp_path, text, expected):
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(NiahError, match=expected) as caught:
        policy.read(str(file))
    assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)


def test_a_task_that_is_none_is_named_with_what_was_meant(tmp_path, capfd):
    a = run(tmp_path / "a", rows(grid(2), lambda trial: True), **TASK)
    (tmp_path / "p.yaml").write_text("bounds:\n- task: multikye\n  min_accuracy: 0.5\n")
    told = said(capfd, "gate", str(tmp_path / "p.yaml"), a, code=1)
    assert "p.yaml:2: task: got 'multikye'" in told and "did you mean multikey?" in told
    assert "expected gate POLICY RUN" in said(capfd, "gate", a, code=1)


def steps(kind: str) -> list[str]:
    """What a CI example has a shell do, without what sets niah up."""
    content = yaml.safe_load((REPOSITORY / f"deploy/ci/{kind}.yml").read_text())
    if kind == "gitlab":
        return content["niah"]["script"]
    found = {step["name"]: step["run"] for step in content["jobs"]["gate"]["steps"] if "run" in step}
    return [found[name] for name in ("measure", "gate", "summary")]


@pytest.mark.parametrize(("kind", "schema"), [("github", "vendor.github-workflows"), ("gitlab", "vendor.gitlab-ci")])
def test_ci_examples_meet_their_vendors_schemas(kind, schema):
    tool = Path(sys.executable).parent / "check-jsonschema"
    file = REPOSITORY / f"deploy/ci/{kind}.yml"
    done = subprocess.run([tool, "--builtin-schema", schema, file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_steps_of_the_ci_examples_run(place, capfd, monkeypatch):
    assert steps("gitlab") == steps("github")[:2]
    measure, gated, summary = steps("github")
    monkeypatch.setenv("NIAH_WORDS", "engine=fake report.formats=[]")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    shutil.copytree(REPOSITORY / "deploy/ci", "deploy/ci")
    for step in (measure, gated):
        said(capfd, *os.path.expandvars(step).removeprefix(".venv/bin/python -m niah ").split())
    subprocess.run(["bash", "-c", summary], check=True)
    assert Path("summary.md").read_text().startswith("### niah gate SmolLM2 on this engine: GO\n")
    found = json.loads((place / "ci/gate.json").read_text())["findings"]
    assert found[0]["bound"] == "prompts_sha256" and found[0]["state"] == "met"


def test_the_policies_that_ship_are_read():
    for file in (REPOSITORY / "deploy/ci").glob("*policy.yaml"):
        assert policy.read(str(file)).bounds[0].line


@pytest.mark.slow
def test_what_frontier_proved_decides_on_the_effective_length(place, capfd):
    """engine=fake answers from its last tokens, so that needles at the beginning are lost at 4K."""
    ladder = ("engine=fake", "haystack=noise", "ctx.lengths=[512,1k,2k,4k]", "ctx.depths=[0,50,100]")
    said(capfd, "frontier", *ladder, "name=f", "frontier.threshold=0.85", "report.formats=[]", "report.page=false")
    asked = "bounds:\n- {{min_effective_length: {}, threshold: {}}}\n"
    _, content = gate(capfd, place, asked.format("2k", 0.85), "outputs/f")
    assert content["findings"][0]["state"] == "met"
    assert "frontier: effective length at 85.0%" in str(content["findings"])
    told, content = gate(capfd, place, asked.format("4k", 0.85), "outputs/f", code=4)
    assert "frontier has proven neither for 4K; the same command goes on with a larger frontier.most" in told
    _, content = gate(capfd, place, asked.format("2k", 0.8), "outputs/f", code=0)
    assert "frontier" not in str(content["findings"])  # another threshold: an interval over the rows
    proven = json.loads((place / "f/frontier.json").read_text())
    proven["variants"]["bf16"] |= {"low": 1024, "high": 1024, "high_is_open": False}
    (place / "f/frontier.json").write_text(json.dumps(proven))
    assert gate(capfd, place, asked.format("2k", 0.85), "outputs/f", code=3)[1]["findings"][0]["state"] == "failed"
    (place / "f/frontier.json").write_text("Hello, world")
    assert "frontier" not in str(gate(capfd, place, asked.format("512", 0.85), "outputs/f")[1]["findings"])


def rescored(folder: Path) -> None:
    """As if rescore had found one answer wrong that was right."""
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    row = next(line for line in lines if line["score"] == 1)
    row["scored_before"] = {"score": 1.0, "outcome": row["outcome"], "answer": row["answer"], "version": 1}
    row |= {"score": 0.0, "outcome": "wrong"}
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.slow
def test_what_was_proven_of_other_scores_does_not_count(place, capfd):
    ladder = ("engine=fake", "haystack=noise", "ctx.lengths=[512,1k,2k,4k]", "ctx.depths=[0,50,100]", "name=f")
    proof = ("frontier", *ladder, "frontier.threshold=0.85", "report.formats=[]", "report.page=false")
    said(capfd, *proof)
    asked = "bounds:\n- {min_effective_length: 1k, threshold: 0.85}\n"
    rescored(place / "f")
    (place / "p.yaml").write_text(asked)
    assert main(["gate", str(place / "p.yaml"), "outputs/f"]) in (0, 3, 4)
    told = capfd.readouterr().out
    note = "outputs/f/frontier.json: does not count: it was proven of other scores than those that rescore left"
    assert told.count(note) == 1 and "frontier: effective" not in told
    said(capfd, *proof)
    told, _ = gate(capfd, place, asked, "outputs/f")
    assert "does not count" not in told and "frontier: effective length" in told


def test_a_decision_on_other_scores_does_not_count(tmp_path, capfd):
    a = run(tmp_path / "a", rows(grid(2), lambda trial: True), **TASK)
    (tmp_path / "a/decide.json").write_text('{"settings": {"margin": 0.1}, "pairs": []}')
    bounds = "bounds: [{max_failures: 0}]"
    assert "does not count" not in gate(capfd, tmp_path, bounds, a)[0]
    rescored(tmp_path / "a")
    assert f"{a}/decide.json: does not count: it was proven of other scores" in gate(capfd, tmp_path, bounds, a)[0]


@pytest.mark.slow
def test_what_decide_proved_decides_on_the_loss(place, capfd):
    pair = ("engine=fake", "haystack=noise", "kv=[bf16,fp8]", "ctx.lengths=[512,1k]", "ctx.depths=[0,50,100]")
    said(capfd, "decide", *pair, "name=d", "decide.margin=0.1", "decide.confidence=0.975", "report.formats=[]")
    text = "baseline: bf16\nbounds:\n- max_loss: 0.1\n"
    told, content = gate(capfd, place, text, "outputs/d")
    assert content["findings"][0]["state"] == "met"
    assert "decide: not worse by 10 points, with 97.5% confidence" in told
    assert "decide: " not in gate(capfd, place, f"confidence: 0.99\n{text}", "outputs/d", code=4)[0]
    assert "decide: " not in gate(capfd, place, text.replace("0.1", "0.05"), "outputs/d", code=4)[0]

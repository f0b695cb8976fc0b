"""What ``compare`` concludes, and what it refuses."""

import dataclasses
import json
import random
import re
import shutil
from pathlib import Path

import pytest

from niah.commands.compare.compare import compare
from niah.commands.compare.pairs import CompareSettings, measure, pairs, sides
from niah.errors import NiahError
from niah.stats.power import Assumptions, power
from tests.helpers.command import is_one_line
from tests.helpers.runs import DEPTHS, LENGTHS, grid, rows, run

FAKE = (
    "engine=fake", "haystack=noise", "ctx.lengths=[512,1k,4k]", "ctx.depths=[0,50,100]", "ctx.repeats=20",
    "engine.window=8000",
)


def broken(folder: Path, into: Path, share: float, seed: int = 0) -> None:
    """A copy of a run in which that share of the answers is wrong, as by hand."""
    into.mkdir()
    (into / "run.json").write_bytes((folder / "run.json").read_bytes())
    lines = (folder / "rows.jsonl").read_text().splitlines()
    chosen = set(random.Random(seed).sample(range(len(lines)), round(share * len(lines))))
    with (into / "rows.jsonl").open("w") as file:
        for number, line in enumerate(lines):
            row = json.loads(line)
            if number in chosen:
                row |= {"outcome": "wrong", "score": 0.0, "answer": "broken"}
            file.write(json.dumps(row) + "\n")


@pytest.mark.slow
def test_equal_runs_do_not_differ_and_broken_ones_are_caught(niah, tmp_path):
    for name in ("a", "b"):
        assert niah(*FAKE, f"name={name}").returncode == 0
    folder = tmp_path / "outputs"
    done = niah("compare", "outputs/a", "outputs/b", "compare.fail_on=worse")
    assert done.returncode == 0, done.stdout
    assert "No significant difference: b is +0.0 [" in done.stdout and "no discordant trials" in done.stdout
    assert power(0.1, 20, 9, Assumptions(0.0, 0.0), 0.05) > 0.97  # known before: 20 repeats of 9 pairs
    broken(folder / "a", folder / "c", 0.1)
    done = niah("compare", "outputs/a", "outputs/c", "compare.fail_on=worse", "report.formats=[png]")
    assert done.returncode == 2 and "regression (compare.fail_on=worse): exit code 2" in done.stdout
    assert re.search(r"^c loses \d+\.\d points \[", done.stdout, re.MULTILINE)
    assert "discordant trials: 18" in done.stdout
    shown = [json.loads(line) for line in (folder / "compare-a-c" / "discordant.jsonl").read_text().splitlines()]
    assert len(shown) == 18 and {trial["change"] for trial in shown} == {"lost"}
    command = shown[0]["other"]["show"].removeprefix("python -m niah ").split()
    assert niah(*command).returncode == 0
    files = {file.name for file in (folder / "compare-a-c").iterdir()}
    assert files == {"compare.json", "discordant.jsonl", "difference.png", "report.html", "report.json"}


def test_breakages_are_caught_as_often_as_predicted(tmp_path):
    trials, runs = grid(10), 40
    base = run(tmp_path / "a", rows(trials, lambda t: True))
    predicted = power(0.1, 10, 9, Assumptions(0.0, 0.0), 0.05)
    caught = 0
    for seed in range(runs):
        rng = random.Random(seed)
        other = run(tmp_path / f"b{seed}", rows(trials, lambda t, rng=rng: rng.random() >= 0.1))
        found, _ = sides([base, other], CompareSettings())
        caught += measure(pairs(found, CompareSettings()), CompareSettings())[0].overall.p <= 0.05
    assert 0.6 < predicted < 0.75 and caught / runs == pytest.approx(predicted, abs=3 * (0.25 / runs) ** 0.5)


def two(tmp_path, right_a, right_b, repeats=12, words=(), **fields):
    trials = grid(repeats)
    a = run(tmp_path / "bf16", rows(trials, right_a, **fields))
    b = run(tmp_path / "fp8", rows(trials, right_b, **fields), kv={"dtype": "fp8_e4m3"})
    lines, code = compare([a, b], [f"compare.out={tmp_path}/out", "report.formats=[svg]", *words])
    return lines, code, json.loads((tmp_path / "out" / "compare.json").read_text())


def test_a_loss_at_the_longest_length_is_said_plainly(tmp_path):
    lines, code, content = two(tmp_path, lambda t: True, lambda t: t.length < 32768 or t.repeat < 2)
    (sentence,) = [line for line in lines if " loses " in line and "discordant" not in line]
    assert sentence.startswith("fp8 loses 83.3 points [")
    assert " at 32K; below, taken together, it loses less than " in sentence
    assert code == 0 and "what differs: kv.dtype 'bfloat16' -> 'fp8_e4m3'" in lines
    (one,) = content["comparisons"]
    longest = one["lengths"][-1]
    assert (longest["num_lost"], longest["num_gained"], longest["num_pairs"], longest["num_repeats"]) == (30, 0, 36, 12)
    assert longest["decided_by"] == "sign flips by repeat" and longest["p"] == pytest.approx(2 / 2**10)
    assert longest["adjusted_p"] == pytest.approx(3 * 2 / 2**10) and longest["mcnemar_p"] == pytest.approx(2 / 2**30)
    assert [d["adjusted_p"] for d in one["lengths"][:2]] == [1, 1]
    assert one["verdict"] == sentence and content["exit_code"] == 0


def test_lengths_and_above(tmp_path):
    lines, *_ = two(tmp_path, lambda t: True, lambda t: t.length < 16384 or t.repeat < 1)
    assert any(" at 16K and above; below it loses less than" in line for line in lines)


def test_a_gain_is_no_regression(tmp_path):
    lines, code, _ = two(tmp_path, lambda t: t.repeat < 2, lambda t: True, words=["compare.fail_on=worse"])
    (sentence,) = [line for line in lines if line.startswith("fp8 gains 83.3 points [")]
    assert code == 0 and "at every length; not worse by" in sentence


def test_non_inferiority_needs_enough_trials(tmp_path):
    word = "compare.fail_on=not_noninferior"
    _, code, _ = two(tmp_path, lambda t: True, lambda t: True, words=[word])
    assert code == 2  # 36 equal pairs a length do not rule out 2 points
    lines, code, _ = two(tmp_path, lambda t: True, lambda t: True, words=[word, "compare.margin=0.3"])
    assert code == 0 and any("not worse by 30.0 points or more at any length" in line for line in lines)


@pytest.mark.parametrize("repeats", [1, 2, 3, 4])
def test_unpaired_runs_have_no_verdict_below_4_repeats(tmp_path, repeats):
    # worse by half in a third of the grid: Fisher's test of the trials would call it significant
    trials = grid(repeats)
    a = run(tmp_path / "a", rows(trials, lambda t: True, salt="a"))
    b = run(tmp_path / "b", rows(trials, lambda t: t.length < 16384, salt="b"))
    lines, code = compare([a, b], [f"compare.out={tmp_path}/out", "report.formats=[svg]", "compare.fail_on=worse"])
    (one,) = json.loads((tmp_path / "out" / "compare.json").read_text())["comparisons"]
    overall, longest = one["overall"], one["lengths"][-1]
    assert code == (0 if repeats < 4 else 2)
    if repeats < 4:
        assert one["verdict"].startswith(f"No verdict: {repeats} repeat") and "from ctx.repeats=4 on" in one["verdict"]
        assert (overall["p"], overall["adjusted_p"], longest["p"], overall["decided_by"]) == (None,) * 3 + ("no test",)
        assert longest["low"] < 0 <= longest["high"] and any("no test, ctx.repeats=4" in line for line in lines)
        assert ">*<" not in (tmp_path / "out" / "difference.svg").read_text()
    else:
        assert overall["p"] == pytest.approx(2 / 70) and overall["high"] < 0
        assert longest["adjusted_p"] == pytest.approx(3 * 2 / 70) and longest["high"] == 0  # Holm's p decides


def test_one_repeat_has_no_verdict(tmp_path):
    words = ["compare.fail_on=worse"]
    _, code, content = two(tmp_path, lambda t: True, lambda t: False, repeats=1, words=words)
    (one,) = content["comparisons"]
    assert code == 0 and one["verdict"].startswith("No verdict: 1 repeat is one needle in one text")
    assert one["overall"]["p"] is None and one["overall"]["low"] < 0 <= one["overall"]["high"]
    _, code, _ = two(tmp_path, lambda t: True, lambda t: True, repeats=1, words=["compare.fail_on=not_noninferior"])
    assert code == 2  # nothing is ruled out


@pytest.mark.parametrize("seed", range(8))
def test_sentence_interval_picture_and_exit_code_say_the_same(tmp_path, seed):
    rng = random.Random(seed)
    repeats, loss = rng.choice([2, 5, 6, 7, 9, 12]), rng.choice([0.0, 0.1, 0.2, 0.3])
    hit = {repeat: rng.random() for repeat in range(repeats)}  # some repeats lose far more than others
    words = ["compare.fail_on=worse"]
    _, code, content = two(
        tmp_path, lambda t: rng.random() < 0.95, lambda t: rng.random() > 2 * loss * hit[t.repeat], repeats, words
    )
    (one,) = content["comparisons"]
    found = [one["overall"], *one["lengths"], *one["cells"]]
    for d in found:
        is_out = d["low"] > 0 or d["high"] < 0
        assert is_out == (d["adjusted_p"] <= 0.05), d
    lost = [d for d in found[: 1 + len(one["lengths"])] if d["high"] < 0]
    is_said = re.search(r" loses \d+\.\d points \[", one["verdict"]) is not None
    assert (code == 2) == bool(lost) == is_said, one["verdict"]
    assert one["verdict"].startswith("No significant difference") == (one["could_find"] is not None)
    svg = (tmp_path / "out" / "difference.svg").read_text()
    assert svg.count(" *<") == sum(d["adjusted_p"] <= 0.05 for d in one["cells"])


def test_what_could_have_been_found_is_said(tmp_path):
    _, _, content = two(tmp_path, lambda t: t.index % 23 != 5, lambda t: t.index % 23 != 9)
    (one,) = content["comparisons"]
    could = one["could_find"]
    assert 0.02 < could["loss"] < 0.3 and could["repeats_by_points"]["10"] < could["repeats_by_points"]["5"]
    assert "points or more would have been found with 80% (10 points need ctx.repeats=" in one["verdict"]


def test_a_run_and_itself_are_one_line(tmp_path):
    a = run(tmp_path / "a", rows(grid(6), lambda t: True))
    copy = shutil.copytree(a, tmp_path / "copy")
    linked = tmp_path / "linked"
    linked.symlink_to(a)
    for other, message in (
        (a, "named twice"), (str(linked), "named twice"), (f"{a}/", "named twice"), (str(copy), "is a copy of"),
    ):
        with pytest.raises(NiahError, match=rf"^compare: .*{message}.*; expected two runs, as compare A B$"):
            compare([a, other], [f"compare.out={tmp_path}/out"])
    assert not (tmp_path / "out").exists()
    b = run(tmp_path / "b", rows(grid(6), lambda t: t.repeat > 0))
    lines, _ = compare([a, b, str(copy)], [f"compare.out={tmp_path}/out", "report.formats=[svg]"])
    (note,) = (line for line in lines if line.startswith(f"note: {copy} is a copy of {a}"))
    assert note.endswith("; left out")
    assert sum(line.endswith("of the same prompt, 6 repeats") for line in lines) == 1


@pytest.mark.parametrize(("repeats", "test", "note"), [
    (1, "no test", "1 repeat: everything is about one needle in one text, so there is no test"),
    (4, "McNemar with effective trials", "4 repeats: p is that of a cautious test"),
    (
        6, "sign flips by repeat",
        "6 repeats: no single length can be significant among 3 (Holm); from 7 repeats on it can",
    ),
])
def test_few_repeats_are_said(tmp_path, repeats, test, note):
    lines, _, content = two(tmp_path, lambda t: True, lambda t: t.depth < 100, repeats)
    assert content["comparisons"][0]["overall"]["decided_by"] == test
    assert any(note in line for line in lines), lines


def test_graded_signal_is_compared(tmp_path):
    trials = grid(8)
    a = rows(trials, lambda t: True, logprob=-1.0)
    b = [dataclasses.replace(one, logprob=-1.5 - 0.01 * one.repeat) for one in a]
    runs = [run(tmp_path / "a", a), run(tmp_path / "b", b)]
    lines, _ = compare(runs, [f"compare.out={tmp_path}/out", "report.formats=[svg]"])
    shown = [line for line in lines if line.endswith("sign flips by repeat")]
    assert len(shown) == 4 and "-0.535 [-0.555, -0.515]" in shown[-1] and "0.0078" in shown[-1]
    assert (
        "Graded signal (secondary, accuracy decides): b's log-probability of the right answer falls by 0.535 [0.515, "
        "0.555] nats over all lengths together (falls at every length by itself); its probability goes from 0.37 to "
        "0.22 on average."
    ) in lines


def graded(tmp_path, shift, repeats=8, words=(), right=lambda t: True):
    """Two runs whose log-probabilities differ by ``shift`` of a trial, in nats; None where the second has none."""
    trials = grid(repeats)
    a = rows(trials, lambda t: True, logprob=-1.0)
    b = [
        dataclasses.replace(row, logprob=None if shift(trial) is None else -1.0 + shift(trial))
        for row, trial in zip(rows(trials, right), trials, strict=True)
    ]
    runs = [run(tmp_path / "a", a), run(tmp_path / "b", b)]
    lines, code = compare(
        runs, [f"compare.out={tmp_path}/out", "report.formats=[svg]", "compare.fail_on=worse", *words]
    )
    (one,) = json.loads((tmp_path / "out" / "compare.json").read_text())["comparisons"]
    return lines, code, one


def uneven(trial) -> float:
    """A fall in all repeats but the fourth, of equal size but for a little."""
    return (0.2 if trial.repeat == 3 else -0.5) + 0.001 * trial.index


@pytest.mark.parametrize(("words", "code", "first"), [
    ([], 0, "No significant difference: b is +0.0"),
    (["compare.primary=graded"], 2, "Graded signal (decides, as declared): b's log-probability"),
])
def test_the_declared_question_decides(tmp_path, words, code, first):
    lines, found, one = graded(tmp_path, lambda t: uneven(t) - 0.3, words=words)
    told = [line for line in lines if line.startswith(("No significant", "Graded signal", "Accuracy (second"))]
    assert found == code and len(told) == 2 and told[0].startswith(first)
    assert one["verdict"].startswith("No significant difference: b is +0.0")  # for readers of earlier files
    assert "falls by" in one["graded_verdict"] and one["could_find_nats"] is None
    assert one["signal"]["adjusted_p"] == one["signal"]["p"] == pytest.approx(2 / 2**8)


def test_accuracy_is_not_claimed_behind_a_closed_gate(tmp_path):
    lines, code, one = graded(
        tmp_path, lambda t: 0.1 * (-1) ** t.repeat, words=["compare.primary=graded"], right=lambda t: t.repeat == 0
    )
    assert one["overall"]["adjusted_p"] <= 0.05 and code == 0
    no_claim = "Accuracy (second, no claim as the first shows nothing): b loses 87.5"
    assert any(line.startswith(no_claim) for line in lines)
    assert one["could_find_nats"] == pytest.approx(0.128, abs=0.01) and "0.13 nats" in one["graded_verdict"]


def test_accuracy_is_claimed_behind_an_open_gate(tmp_path):
    lines, code, _ = graded(tmp_path, lambda t: 0.5, words=["compare.primary=graded"], right=lambda t: t.repeat == 0)
    assert code == 2 and any("rises by 0.500" in line for line in lines)
    assert any(line.startswith("Accuracy (second, asked as the first was answered): b loses 87.5") for line in lines)


def test_a_graded_verdict_needs_grades(tmp_path):
    trials = grid(6)
    runs = [run(tmp_path / "a", rows(trials, lambda t: True)), run(tmp_path / "b", rows(trials, lambda t: False))]
    with pytest.raises(NiahError, match=r"^compare\.primary: got graded, but a and b have no log-probability"):
        compare(runs, ["compare.primary=graded"])


@pytest.mark.parametrize(("repeats", "test"), [(1, "no test"), (4, "t by repeat"), (6, "sign flips by repeat")])
def test_the_graded_test_by_repeats(tmp_path, repeats, test):
    _, _, one = graded(tmp_path, uneven, repeats=repeats)
    assert one["signal"]["test"] == test
    if repeats == 1:
        assert one["signal"]["p"] is None and one["graded_verdict"].startswith(
            "Graded signal (secondary, accuracy decides): no verdict"
        )


def test_pairs_without_a_grade_are_counted(tmp_path):
    _, _, one = graded(tmp_path, lambda t: None if t.index == 0 else -0.5)
    assert one["graded_verdict"].endswith("; measured in 71 of 72 pairs.")


def test_variants_of_one_folder_and_many_runs(tmp_path):
    trials = grid(8)
    content = []
    for variant, good in (("bf16", 8), ("fp8", 8), ("int4", 1)):
        content += rows(trials, lambda t, good=good: t.repeat < good, variant=variant)
    folder = run(tmp_path / "kv", content)
    out = [f"compare.out={tmp_path}/out", "report.formats=[svg]"]
    lines, code = compare([folder], [*out, "compare.fail_on=worse"])
    assert code == 2 and any(line.startswith("int4 loses 87.5 points") for line in lines)
    assert any(line.startswith("No significant difference: fp8 is +0.0") for line in lines)
    with pytest.raises(NiahError, match=r"compare.variant: .* has no variant 'x'; expected one of bf16, fp8, int4"):
        compare([folder], ["compare.variant=x"])


def test_other_prompts_are_compared_unpaired_aloud(tmp_path):
    trials = grid(8)
    a = run(tmp_path / "a", rows(trials, lambda t: True, salt="a"))
    b = run(tmp_path / "b", rows(trials, lambda t: t.length < 30000, salt="b"))
    lines, _ = compare([a, b], [f"compare.out={tmp_path}/out", "report.formats=[svg]"])
    assert any("NO COMMON PROMPTS" in line for line in lines) and "b against a (baseline): not paired" in lines
    assert any(line.startswith("b loses 100.0 points") and "at 32K" in line for line in lines)


def test_unanswered_trials_are_left_out_and_counted(tmp_path):
    lines, _, content = two(tmp_path, lambda t: None if t.index < 5 else True, lambda t: True)
    assert content["comparisons"][0]["overall"]["num_pairs"] == 103
    assert any("5 trials have no answer to the same prompt" in line for line in lines)


def test_different_models_need_leave(tmp_path):
    trials = grid(6)
    a = run(tmp_path / "a", rows(trials, lambda t: True, salt="a"))
    b = run(tmp_path / "b", rows(trials, lambda t: True, salt="b", model="other"))
    with pytest.raises(NiahError, match=r"different models, a has m and b other; expected one; compare.across=model"):
        compare([a, b], [])
    lines, _ = compare([a, b], ["compare.across=model", f"compare.out={tmp_path}/out", "report.formats=[svg]"])
    assert "b against a (baseline): 54 pairs of the same length, depth and repeat, 6 repeats" in lines


@pytest.mark.slow
def test_protocols_need_leave(niah, tmp_path):
    """A trial with a context of its own and one that shares it are paired by cell, and only where that was asked."""
    words = ("engine=fake", "haystack=noise", "ctx.lengths=[1k,4k]", "ctx.depths=[0,50,100]", "ctx.repeats=6")
    for share in ("none", "depths"):
        assert niah(*words, "outputs=o", f"ctx.share={share}", f"name={share}", "report.formats=[]").returncode == 0
    folders = [str(tmp_path / "o" / share) for share in ("none", "depths")]
    with pytest.raises(NiahError, match=r"different protocols, none has ctx.share=none and depths depths"):
        compare(folders, [])
    lines, code = compare(folders, ["compare.across=share", f"compare.out={tmp_path}/out", "report.formats=[svg]"])
    assert "depths against none (baseline): 36 pairs of the same length, depth and repeat, 6 repeats" in lines
    assert any("across protocols (ctx.share=none and depths)" in line for line in lines) and not code


def test_nothing_in_common(tmp_path):
    a = run(tmp_path / "a", rows(grid(2), lambda t: True))
    b = run(tmp_path / "b", rows(grid(2, (1024,)), lambda t: True))
    c = run(tmp_path / "c", rows(grid(2), lambda t: True, task="other"))
    for other in (b, c):
        with pytest.raises(NiahError, match="nothing in common"):
            compare([a, other], [])


def test_bad_folders_are_one_line(tmp_path):
    good = run(tmp_path / "a", rows(grid(2), lambda t: True))
    failed = run(tmp_path / "failed", rows(grid(2), lambda t: None))
    twice = run(tmp_path / "twice", rows(grid(2), lambda t: True) + rows(grid(2)[:3], lambda t: False))
    old = Path(run(tmp_path / "old", rows(grid(2), lambda t: True)))
    (old / "run.json").write_text(json.dumps({**json.loads((old / "run.json").read_text()), "schema": 7}))
    for other, message in (
        (failed, "failed: no trial has an answer \\(18 engine-error\\)"),
        (twice, r"rows.jsonl:19: a second row of trial 0, other than that of line 1; expected one row a trial"),
        (str(old), "schema 7; expected 1 or 2"), (str(tmp_path / "none"), "no run here"),
    ):
        with pytest.raises(NiahError, match=message):
            compare([good, other], [])
    with pytest.raises(NiahError, match="only one run"):
        compare([good], [])


def test_a_torn_line_is_said(tmp_path):
    a, b = (run(tmp_path / name, rows(grid(6), lambda t: True)) for name in "ab")
    with (tmp_path / "b" / "rows.jsonl").open("a") as file:
        file.write('{"trial": 99, "len')
    lines, _ = compare([a, b], [f"compare.out={tmp_path}/out", "report.formats=[svg]"])
    assert any(line.startswith(f"note: {b}: the last line of rows.jsonl is torn") for line in lines)


def test_a_run_of_a_sweep_without_a_finished_trial_is_left_out(tmp_path):
    sweep, words = str(tmp_path / "sweep"), ["report.formats=[svg]"]
    a, b, c = (run(tmp_path / "sweep" / name, rows(grid(6), lambda t: True) if name != "a" else []) for name in "abc")
    lines, _ = compare([sweep], words)
    assert f"note: {a}: no finished trial yet; left out" in lines
    assert any(line.startswith("c against b (baseline)") for line in lines)
    with pytest.raises(NiahError, match=f"{a}: no finished trial yet; run it first"):
        compare([a, b, c], words)
    Path(c, "rows.jsonl").write_text("")
    with pytest.raises(NiahError, match=rf"compare: only one run \({b}\)"):
        compare([sweep], words)
    Path(b, "rows.jsonl").write_text("")
    with pytest.raises(NiahError, match=rf"compare: no run with a finished trial \({sweep}\)"):
        compare([sweep], words)


@pytest.mark.parametrize(("word", "message"), [
    ("compare.margin=1.5", "compare.margin: got 1.5; expected a share"),
    ("compare.margin=-0.1", "compare.margin: got -0.1"),
    ("compare.fail_on=x", "compare.fail_on: got 'x'; expected worse or not_noninferior"),
    ("compare.across=task", "compare.across: got 'task'"),
    ("compare.confidence=95", "compare.confidence: got 95"),
    ("compare.foo=1", "compare.foo: unknown key"),
    ("margin=1", "expected compare.key=value"),
])
def test_bad_settings_are_one_line(tmp_path, word, message):
    with pytest.raises(NiahError, match=message):
        compare([str(tmp_path)], [word])


@pytest.mark.slow
def test_bad_input_on_the_command_line(niah, tmp_path):
    run(tmp_path / "a", rows(grid(2), lambda t: True))
    for words in (("compare",), ("compare", "a", "gone"), ("compare", "a", "a", "compare.margin=7")):
        done = niah(*words)
        assert done.returncode == 1 and is_one_line(done), done.stderr


def test_difference_heatmap_shows_what_was_found(tmp_path):
    two(tmp_path, lambda t: True, lambda t: t.length < 32768 or t.depth < 100)
    svg = (tmp_path / "out" / "difference.svg").read_text()
    for text in ("-100 *", "-12 +0 of 12", "n=12", "32K", "points against bf16"):
        assert f">{text}<" in svg, text
    assert svg.count("-100 *") == 1 and len(LENGTHS) * len(DEPTHS) - 1 == svg.count(">n=12<")

"""``compare`` of sweeps: which runs belong together, the mean's verdict beside one for each setting, one meaning."""

import json
import re
import shutil
from pathlib import Path

import pytest

from niah.commands.compare.compare import compare
from niah.errors import NiahError
from niah.tasks.ruler import SETTINGS
from tests.helpers.ruler_sweeps import sweep
from tests.helpers.runs import grid, rows, run

FP8 = {"kv": {"name": "fp8", "dtype": "fp8_e4m3"}}
FEW = ("niah_single_1", "niah_multikey_2", "vt", "cwe")


def right(setting, trial):
    return 1.0


def two(tmp_path, worse, words=(), **other):
    """bf16 against fp8, whose answers are ``worse``."""
    a = sweep(tmp_path / "bf16", right)
    b = sweep(tmp_path / "fp8", worse, **{**FP8, **other})
    lines, code = compare([a, b], [f"compare.out={tmp_path}/out", "report.formats=[svg]", *words])
    return lines, code, json.loads((tmp_path / "out" / "compare.json").read_text())


def test_a_loss_in_some_settings_and_the_mean(tmp_path):
    def worse(setting, trial):
        return 0.0 if setting in ("vt", "niah_single_3") or (trial.length == 4096 and trial.depth == 50) else 1.0

    lines, code, content = two(tmp_path, worse, ["compare.fail_on=worse"])
    (suite,) = content["suites"]
    assert suite["mean_of"] == list(SETTINGS) == list(suite["settings"]) and code == content["exit_code"] == 2
    overall = suite["overall"]
    expected = -(2 + 9 / 9) / 13
    assert overall["difference"] == pytest.approx(expected, abs=1e-9)
    assert overall["p"] == pytest.approx(2 / 2**6) and overall["low"] < overall["difference"] < overall["high"] < 0
    assert overall["num_pairs"] == sum(one["overall"]["num_pairs"] for one in suite["settings"].values())
    (sentence,) = [line for line in lines if line.startswith("fp8, RULER's mean of 13, loses ")]
    assert sentence == suite["verdict"] and f"{-100 * expected:.1f} points [" in sentence
    assert "not drawn, having no depths: cwe, fwe" in lines
    assert any(line.startswith("what differs: kv.dtype 'bfloat16' -> 'fp8_e4m3'") for line in lines)
    # six repeats cannot survive Holm over 13 settings: that is said of each, and of all
    assert "note: 6 repeats: no single setting can be significant among 13 (Holm); from 10 repeats on it can" in lines
    assert all(one["overall"]["adjusted_p"] == pytest.approx(min(1, 13 * one["overall"]["p"]))
               for name, one in suite["settings"].items() if name in ("vt", "niah_single_3"))
    assert "The 13 settings one by one (Holm): no significant difference in any." in lines
    table = [line for line in lines if line.startswith("vt ")]
    assert len(table) == 1 and table[0].endswith("no significant difference")
    trials = [json.loads(line) for line in (tmp_path / "out" / "discordant.jsonl").read_text().splitlines()]
    assert len(trials) == overall["num_lost"] and {"vt", "niah_single_1"} < {trial["setting"] for trial in trials}


@pytest.mark.parametrize("engine", ("fake", "vllm"))
def test_the_picture_says_where_no_model_was_asked(tmp_path, engine):
    folders = [
        sweep(tmp_path / name, right, FEW[:2], repeats=2, engine={"name": engine}, kv={"name": name})
        for name in ("bf16", "fp8")
    ]
    compare(folders, [f"compare.out={tmp_path}/out", "report.formats=[svg]"])
    picture = (tmp_path / "out/difference.svg").read_text()
    assert "fp8: difference to bf16" in picture and ("no model was asked" in picture) == (engine == "fake")


def test_enough_repeats_name_the_settings(tmp_path):
    a = sweep(tmp_path / "bf16", right, FEW, repeats=12)
    b = sweep(tmp_path / "fp8", lambda setting, trial: float(setting != "vt"), FEW, repeats=12, **FP8)
    lines, code = compare([a, b], [f"compare.out={tmp_path}/out", "report.formats=[]", "compare.fail_on=worse"])
    assert code == 2 and not any("no single setting" in line for line in lines)
    told = next(line for line in lines if line.startswith("The 4 settings"))
    assert re.fullmatch(
        r"The 4 settings one by one \(Holm\): worse in vt \(-100\.0 \[.*\] points\); no significant difference in the "
        r"other 3\.", told,
    )
    assert any(line.startswith("fp8, mean of 4, loses 25.0 points [") for line in lines)


def test_equal_sweeps_do_not_differ(tmp_path):
    lines, code, content = two(tmp_path, right, ["compare.fail_on=worse"])
    assert code == 0
    (sentence,) = [line for line in lines if line.startswith("No significant difference: fp8, RULER's mean of 13, is ")]
    assert "+0.0 [" in sentence and "would have been found with 80%" in sentence
    assert 0 < content["suites"][0]["could_find"]["loss"] < 0.4


def test_settings_of_one_sweep_alone_are_left_out(tmp_path):
    a, b = sweep(tmp_path / "a", right, SETTINGS[:4]), sweep(tmp_path / "b", right, SETTINGS[2:7], **FP8)
    lines, _ = compare([a, b], [f"compare.out={tmp_path}/out", "report.formats=[]"])
    assert "note: left out, as only a has them: niah_single_1, niah_single_2" in lines
    assert "note: left out, as only b has them: niah_multikey_2, niah_multikey_3, niah_multivalue" in lines
    assert any(line.startswith("mean of 2, each") for line in lines)


def test_settings_that_asked_different_things_are_left_out(tmp_path):
    a = sweep(tmp_path / "a", right, FEW)
    b = sweep(tmp_path / "b", right, FEW[:2], **FP8)
    sweep(tmp_path / "b", right, FEW[2:], salt="other", **FP8)
    lines, _ = compare([a, b], [f"compare.out={tmp_path}/out", "report.formats=[]"])
    assert "note: left out, as the two asked different things: vt, cwe" in lines
    c = sweep(tmp_path / "c", right, FEW, salt="other", **FP8)
    with pytest.raises(NiahError, match=r"compare: a and c asked different things in every setting \(niah_single_1, "):
        compare([a, c], [])


def test_nothing_in_common_is_refused(tmp_path):
    a, b = sweep(tmp_path / "a", right, FEW[:2]), sweep(tmp_path / "b", right, FEW[2:])
    with pytest.raises(NiahError, match=r"no run of the same settings \(niah_single_1, niah_multikey_2 against vt"):
        compare([a, b], [])


def test_one_sweep_under_two_variants(tmp_path):
    for name in ("bf16", "fp8"):
        sweep(tmp_path / "s", right, FEW, name=name, kv={"name": name}, fields={"variant": name})
    lines, _ = compare([str(tmp_path / "s")], ["report.formats=[]"])
    assert lines[0].startswith("fp8 against bf16 (baseline): 4 settings")
    assert (tmp_path / "s" / "compare.json").is_file()


def test_one_sweep_of_one_variant_is_refused(tmp_path):
    with pytest.raises(NiahError, match="has one run of each setting; expected two sweeps, as compare A B"):
        compare([sweep(tmp_path / "s", right, FEW)], [])


def test_a_sweep_and_its_copy_are_refused(tmp_path):
    a = sweep(tmp_path / "a", right, FEW)
    shutil.copytree(a, tmp_path / "b")
    with pytest.raises(NiahError, match="once more, its rows are the same to the last measured time"):
        compare([a, str(tmp_path / "b")], [])


def test_sweeps_over_anything(tmp_path):
    def sweep_of(folder: Path, kv: str) -> str:
        for reader in ("full", "bm25"):
            for num in (4, 16):
                made = rows(grid(6), lambda trial: True, salt=f"{reader}{num}")
                run(folder / f"{folder.name}{reader}{num}", made, reader={"name": reader},
                    task={"name": "t", "num_keys": num}, kv={"name": kv, "dtype": kv})
        return str(folder)

    a, b = sweep_of(tmp_path / "a", "bf16"), sweep_of(tmp_path / "b", "fp8")
    shutil.rmtree(tmp_path / "b" / "bfull16")
    lines, _ = compare([a, b], [f"compare.out={tmp_path}/out", "report.formats=[]"])
    content = json.loads((tmp_path / "out" / "compare.json").read_text())["suites"][0]
    assert set(content["settings"]) == {"full num_keys 4", "bm25 num_keys 4", "bm25 num_keys 16"}, lines
    assert "note: left out, as only a has them: full num_keys 16" in lines
    assert any(line.startswith("mean of 3, each") for line in lines)


def test_three_sweeps(tmp_path):
    names = ("a", "b", "c")
    paths = [sweep(tmp_path / n, right, FEW[:2], kv={"name": n, "dtype": n}) for n in names]
    lines, _ = compare(paths, [f"compare.out={tmp_path}/out", "report.formats=[]"])
    assert [line.split(" against")[0] for line in lines if "(baseline)" in line] == ["b", "c"]


def test_the_graded_signal_of_sweeps_is_refused(tmp_path):
    with pytest.raises(NiahError, match=r"compare\.primary: got graded for sweeps; expected accuracy"):
        two(tmp_path, right, ["compare.primary=graded"])


def test_answers_of_one_sweep_alone_are_counted(tmp_path):
    lines, _, _ = two(tmp_path, lambda setting, trial: None if setting == "vt" and trial.repeat == 0 else 1.0)
    assert "note: vt: 9 trials have no answer to the same prompt in the other run and were left out" in lines

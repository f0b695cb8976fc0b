"""crosscheck: whose failure it is, where two answers part, and that nothing is lost."""

import dataclasses
import json
import shutil
import signal
import subprocess
import time

import pytest

from niah import cli
from niah import config as configuration
from niah.commands.crosscheck.crosscheck import crosscheck
from niah.commands.crosscheck.first_difference import STOP, first_difference, stored_answer
from niah.commands.crosscheck.sample import sample
from niah.commands.crosscheck.settings import CrosscheckSettings
from niah.commands.crosscheck.summary import summary
from niah.disk import Lines
from niah.errors import NiahError
from niah.prompts.recipe import Recipe
from niah.runs import store
from niah.runs.console import Console
from niah.stats.agreement import VERDICTS, agreement, verdict
from tests.helpers import runs
from tests.helpers.command import command, environment_with, rows
from tests.helpers.tokenizers import load_tokenizer

GRID = ("ctx.lengths=[512]", "ctx.depths=[0,50,100]", "task=multikey")


def ids_of(text: str) -> list[int]:
    return load_tokenizer("smollm2").encode(text).ids.tolist()


def steps_of(ids: list[int], rival: dict[int, float]) -> list[dict[int, float]]:
    return [{token: -0.1, **rival} for token in ids]


def test_verdicts_are_the_four_ways_to_fall():
    assert [verdict(a, b) for a, b in ((1, 1), (0, 0), (0.5, 1), (1, 0))] == list(VERDICTS)


def test_shares_have_wilsons_interval_and_repeats_count():
    alone = agreement(range(20), [True] * 18 + [False] * 2, ["both right"] * 20, 0.95)
    assert (alone.n, alone.same) == (20, 18) and (round(alone.low, 3), round(alone.high, 3)) == (0.699, 0.972)
    shared = agreement([n // 10 for n in range(20)], [True] * 10 + [False] * 10, ["both fail"] * 20, 0.95)
    assert shared.high - shared.low > 0.6  # two repeats, not twenty trials
    assert agreement([], [], [], 0.95).n == 0


def test_the_first_token_that_differs_and_how_close_it_was():
    tokenizer = load_tokenizer("smollm2")
    stop = tokenizer.stop_ids[0]
    first, second = ids_of(" 12345."), [*ids_of(" 12945."), stop]
    steps = steps_of(second, {first[3]: -0.35})
    answer = stored_answer(tokenizer, " 12345.", len(first) + 1, True, second)
    assert answer.ids == (*first, STOP) and answer.is_counted
    found = first_difference(tokenizer, answer, second, steps)
    assert (found.place, found.first, found.second) == (3, "3", "9")
    assert found.gap == pytest.approx(0.25) and not found.is_at_least
    same = stored_answer(tokenizer, " 12945.", len(second), True, second)
    assert first_difference(tokenizer, same, second, steps) is None


def test_an_end_is_a_difference_too():
    tokenizer = load_tokenizer("smollm2")
    stop = tokenizer.stop_ids[0]
    second = [*ids_of(" 12"), stop]
    longer = stored_answer(tokenizer, " 12.", len(ids_of(" 12.")) + 1, True, second)
    found = first_difference(tokenizer, longer, second, steps_of(second, {ids_of(" 12.")[-1]: -0.2}))
    assert (found.place, found.first, found.second) == (len(second) - 1, ".", "") and found.gap == pytest.approx(0.1)
    shorter = stored_answer(tokenizer, " 1", len(ids_of(" 1")) + 1, True, second)
    found = first_difference(tokenizer, shorter, second, steps_of(second, {stop: -0.4}))
    assert found.first == "" and found.gap == pytest.approx(0.3)
    unknown = first_difference(tokenizer, shorter, second, steps_of(second, {0: -3.0}))
    assert unknown.is_at_least and unknown.gap == pytest.approx(2.9)


def test_another_splitting_of_the_same_text_is_no_difference():
    tokenizer = load_tokenizer("smollm2")
    plain = ids_of(" the number")
    pieces = [token for letter in " the number" for token in ids_of(letter)]
    assert len(pieces) > len(plain) and tokenizer.decode(pieces) == " the number"
    for ids in (plain, pieces):
        answer = stored_answer(tokenizer, " the number", len(ids), False, ids)
        assert answer.ids == tuple(ids) and answer.is_counted
    assert not stored_answer(tokenizer, " the number", 3, False, []).is_counted  # no way to split it into three


def test_discordant_trials_first_then_wrong_and_right_in_turn():
    trials = runs.grid(4)
    plain = runs.rows(trials, lambda trial: trial.repeat != 0, variant="bf16")
    other = runs.rows(trials, lambda trial: trial.repeat not in (0, 1), variant="fp8")
    chosen = sample([*plain, *other], 0)
    assert len(chosen) == len(trials) and all(len(group) == 2 for _, group in chosen)
    kinds = [kind for kind, _ in chosen]
    assert kinds[:9] == ["discordant"] * 9 and {group[0].repeat for _, group in chosen[:9]} == {1}
    assert kinds[9:15] == ["wrong", "right"] * 3 and kinds[27:] == ["right"] * 9
    picked = [group[0].trial for _, group in sample([*other[::-1], *plain[::-1]], 12)]
    assert picked == [group[0].trial for _, group in chosen[:12]]  # whatever the order of the rows


def line(
    variant: str, trial: int, first: float, second: float, gap: float | None = None, at_least: bool = False
) -> dict:
    place = None if gap is None else {"place": 1, "first": "a", "second": "b", "gap": gap, "is_at_least": at_least}
    side = {"engine": "vllm", "outcome": "correct", "logprob": -1.0}
    return {
        "variant": variant, "trial": trial, "repeat": trial, "length": 1024, "depth": 50.0, "is_same": gap is None,
        "verdict": verdict(first, second), "first": {**side, "score": first}, "difference": place, "ids_counted": True,
        "second": {**side, "score": second, "logprob": -1.25},
    }


def test_the_sentences_name_model_dtype_and_engine():
    lines = [
        line("bf16", 0, 1, 1), line("bf16", 1, 0, 0), line("bf16", 2, 1, 1),
        line("fp8", 0, 0, 0, 2.0, True), line("fp8", 1, 0, 0, 0.3), line("fp8", 2, 0, 1, 1.5),
    ]
    found = summary(lines, CrosscheckSettings(), "outputs/a", "transformers sdpa", 9)
    text = "\n".join(found.lines)
    assert "bf16: of 1 failures of vllm, 1 fail on transformers too (the model) and 0 do not" in text
    assert (
        "fp8: of 3 failures of vllm, 2 fail on transformers too (the model, or for 1 of them, right under the first "
        "variant on both, this KV dtype) and 1 do not (the engine or its numerics)"
    ) in text
    assert "first differences: 3; 1 are near-ties" in text and ">= 2.000" in text
    assert "6 answers to 3 of 9 trials" in text
    assert "3/6 = 50%" in text and "mean shift -0.250" in text and "crosscheck.trials=0 asks for all" in text
    assert found.content["near_ties"] == 1 and found.content["overall"]["same"] == 3


def test_a_torn_line_is_cut_by_the_next(tmp_path):
    lines = Lines(tmp_path / "a.jsonl")
    lines.append({"n": 1})
    lines.path.write_bytes(lines.path.read_bytes() + b'{"n": 2')
    again = Lines(lines.path)
    assert again.read() == [{"n": 1}]
    again.append({"n": 3})
    assert Lines(lines.path).read() == [{"n": 1}, {"n": 3}]
    lines.path.write_text("no JSON\n")
    with pytest.raises(NiahError, match=r"a\.jsonl:1: not JSON"):
        Lines(lines.path).read()


def test_bad_input_is_one_line(niah, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert niah("engine=fake", "haystack=noise", "ctx.lengths=[512]", "ctx.depths=[50]", "name=fake").returncode == 0
    held = tmp_path / "outputs" / "held"
    shutil.copytree(tmp_path / "outputs" / "fake", held)
    content = json.loads((held / "run.json").read_text())
    content["config"]["engine"] = {"_target_": "niah.engines.transformers.Transformers", "name": "transformers"}
    (held / "run.json").write_text(json.dumps(content))
    cases = {
        (): "crosscheck: which run?",
        ("nowhere",): "nowhere: no run here; expected a folder with run.json",
        ("outputs/fake",): "was answered by engine=fake, which holds no model",
        ("outputs/held", "engine=fake"): "crosscheck engine=fake: holds no model; expected transformers or vllm",
        ("outputs/held", "engine=llama"): "engine=llama: no such choice; expected one of ",
        ("outputs/held", "kv=int4_per_token_head"):
            "kv.dtype: engine=transformers keeps no int4_per_token_head cache; expected one of bfloat16",
        ("outputs/held", "engine.attention=[sdpa,eager]"): "crosscheck: got several variants",
        ("outputs/held", "ctx=8k"): "crosscheck: got ctx=8k; expected engine=NAME",
        ("outputs/held", "crosscheck.trials=-1"): "crosscheck.trials: got -1",
        ("outputs/held", "crosscheck.trial=5"): "did you mean crosscheck.trials?",
        ("outputs/held", "outputs/fake"): "expected one run",
    }
    if not shutil.which("nvidia-smi"):
        cases["outputs/held", "engine.attention=flash_attention_2"] = "needs an NVIDIA GPU of compute capability 8.0"
    for words, message in cases.items():
        assert cli.main(["crosscheck", *words]) == 1
        said = capsys.readouterr().err
        assert message in said and len(said.strip().splitlines()) == 1, (words, said)


@pytest.mark.slow
def test_rows_of_one_trial_are_asked_their_own_prompts_and_facts_stay(niah, tmp_path):
    words = (
        "engine=fake", "haystack=noise", "ctx.lengths=[2k]", "ctx.depths=[0,10,20,30,40,50,60,70,80,90,100]",
        "reader=route", "reader.marker=do not know", "reader.chunk_tokens=64", "reader.top_k=1", "reader.split=fixed",
    )
    assert niah(*words, "name=a").returncode == 0
    folder, record, found = store.open_for_reading(str(tmp_path / "outputs" / "a"))
    engine = {"_target_": "niah.engines.transformers.Transformers", "name": "transformers"}
    record = dataclasses.replace(record, config={**record.config, "engine": engine})
    folder.write_record(record)
    recipe = Recipe(configuration.from_resolved(record.config))
    long = next(row for row in found if row.route == "long")
    retrieved = recipe.build(next(trial for trial in recipe.trials if trial.index == long.trial)).prompt.sha256
    both = [
        dataclasses.replace(long, variant="long"),
        dataclasses.replace(
            long, variant="rag", route="rag", prompt_sha256=retrieved, response="I do not know.", score=0.0,
            outcome="wrong",
        ),
    ]
    folder.rows_path.write_text("".join(json.dumps(dataclasses.asdict(row)) + "\n" for row in both))

    def checked(*words: str) -> dict:
        crosscheck(str(folder.path), ["engine._target_=niah.engines.fake.Fake", *words], Console())
        return json.loads((folder.path / "crosscheck.json").read_text())

    before = checked()
    answers = {line["variant"]: line["second"] for line in Lines(folder.path / "crosscheck.jsonl").read()}
    assert answers["long"]["response"] == long.response and answers["rag"]["response"] == "I do not know."
    assert before["facts"]["bf16"]["engine"] == "fake" and checked() == before
    assert checked("engine.window=4096")["second"] != before["second"]


@pytest.mark.slow
@pytest.mark.engine
def test_a_run_of_vllm_on_transformers(niah, tmp_path):
    assert niah(*GRID, "kv=[bf16,fp8]", "name=a").returncode == 0
    done = niah("crosscheck", "outputs/a", "crosscheck.trials=0")
    assert done.returncode == 0, done.stderr
    assert "6 answers to 3 of 3 trials, on the same prompt ids" in done.stdout
    assert "the same greedy answer" in done.stdout
    found = Lines(tmp_path / "outputs" / "a" / "crosscheck.jsonl").read()
    stored_rows = {(row["variant"], row["trial"]): row for row in rows(tmp_path / "outputs" / "a")}
    for one in found:
        row = stored_rows[one["variant"], one["trial"]]
        assert one["prompt_sha256"] == row["prompt_sha256"] and one["first"]["response"] == row["response"]
        assert one["second"]["served"]["kv_cache_dtype"] == row["kv_cache_dtype"] and one["ids_counted"]
        assert one["verdict"] == verdict(row["score"], one["second"]["score"])
        assert (one["difference"] is None) == one["is_same"]
        if one["variant"] == "bf16":
            assert one["second"]["logprob"] == pytest.approx(row["logprob"], abs=0.1)
    content = json.loads((tmp_path / "outputs" / "a" / "crosscheck.json").read_text())
    assert content["overall"]["n"] == 6 and content["facts"]["bf16"]["transformers"]
    assert content["lines"][0] in done.stdout
    again = niah("crosscheck", "outputs/a", "crosscheck.trials=0")
    assert "0 of 3 answers to ask" in again.stderr and again.stdout == done.stdout
    full = niah("crosscheck", "outputs/a", "crosscheck.trials=1", "kv=bf16", "engine.attention=eager")
    assert full.returncode == 0 and "transformers eager (kv=bf16)" in full.stdout
    lines = Lines(tmp_path / "outputs" / "a" / "crosscheck.jsonl").read()
    assert lines[:6] == found and len(lines) == 8  # other settings: beside the others; one prompt for both variants
    assert lines[6]["second"]["response"] == lines[7]["second"]["response"]


@pytest.mark.slow
def test_a_killed_check_loses_nothing(niah, tmp_path):
    assert niah(*GRID, "engine=transformers", "engine.attention=eager", "name=a").returncode == 0
    words = ("crosscheck", "outputs/a", "crosscheck.trials=0")
    process = subprocess.Popen(command(*words), cwd=tmp_path, env=environment_with(), stderr=subprocess.DEVNULL)
    file, deadline = tmp_path / "outputs" / "a" / "crosscheck.jsonl", time.monotonic() + 200
    while not (file.exists() and file.read_text().count("\n")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = file.read_text()
    done = niah(*words)
    assert done.returncode == 0, done.stderr
    num_kept = kept.count("\n")
    assert f"{3 - num_kept} of 3 answers to ask" in done.stderr and 1 <= num_kept <= 3
    assert file.read_text().startswith(kept[: kept.rindex("\n") + 1]) and len(Lines(file).read()) == 3
    assert "3 answers to 3 of 3 trials" in done.stdout

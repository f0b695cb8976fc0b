"""Speculation as a variant: the same prompts with and without drafts, and what was taken of them beside accuracy."""

import json

import numpy as np
import pytest

from niah.errors import NiahError
from niah.models.speculation import Speculation
from niah.planner import drafter, memory
from niah.runs import capacity, identity, record
from niah.runs.variants import variants
from niah.stats import acceptance
from tests.helpers import checkpoints
from tests.helpers.command import rows, said
from tests.helpers.configs import built
from tests.helpers.machines import eight

FAKE = ("engine=fake", "engine.window=900", "haystack=noise", "report.formats=[]")
GRID = ("task=multivalue", "ctx.lengths=[512,2k]", "ctx.depths=[0,100]")


def names(*words: str) -> list[str]:
    return [one.name for one in variants(built(*words))]


def test_variants_are_named_by_what_drafts():
    assert names() == names("spec=none") == ["bf16"] and names("spec=ngram") == ["bf16 ngram"]
    assert names("kv=[bf16,fp8]", "spec=[none,ngram]") == ["bf16", "bf16 ngram", "fp8", "fp8 ngram"]
    run = built("spec=[none,ngram,eagle3]", "spec.num_speculative_tokens=2", "spec.model=/a b/c")
    none, ngram, eagle = run.spec.each()
    assert not none.is_on and none == Speculation()
    assert ngram.arguments("") == {
        "method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 4, "prompt_lookup_min": 2
    }
    assert eagle.arguments("there") == {"method": "eagle3", "num_speculative_tokens": 2, "model": "there"}
    assert built("spec=[ngram]", "spec.prompt_lookup_min=1").spec.prompt_lookup_min == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["spec=[none,n]"], "spec=n: no such choice; expected one of draft_model, eagle, eagle3, mtp, ngram, none"),
        (["spec=[]"], "names none; expected at least one"),
        (["spec=[none,none]"], "spec: none is named twice"),
        (["spec=[none,eagle]"], "spec.model: not given; spec=eagle drafts with a model of its own"),
        (["spec=[none,ngram]", "spec.model=x"], "spec.model: none of none, ngram takes it"),
        (["spec=mtp", "spec.model=x"], r"spec.model: spec=mtp \(method mtp\) takes num_speculative_tokens; got 'x'"),
        (["spec=eagle", "spec.model=package:os:getcwd"], "spec.model: got .*; expected a folder, a .gguf file or"),
        (["spec.method=ngram"], "spec.num_speculative_tokens: got 0; expected at least 1, or spec=none"),
        (["spec=ngram", "spec.prompt_lookup_min=5"], "spec.prompt_lookup_min: got 5 with prompt_lookup_max=4"),
        (["spec.also=[{name: a}]"], "spec.also: got .*; expected name, method and its settings"),
        (["spec.also=[{name: a, method: mtp, num_speculative_tokens: x}]"], "spec.also: .* whole numbers"),
    ],
)
def test_bad_speculation_is_refused(words, message):
    with pytest.raises(NiahError, match=message):
        variants(built(*words))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["engine=transformers"], "spec=ngram: engine=transformers drafts no tokens; expected spec=none"),
        (["engine=openai", "engine.base_url=http://127.0.0.1:9"], "spec=ngram: whether a server drafts is its own"),
        (["engine.args={speculative_config: {}}"], "engine.args.speculative_config: given beside spec=ngram"),
    ],
)
def test_engines_that_do_not_draft_say_so(words, message):
    with pytest.raises(NiahError, match=message):
        capacity.check(built("spec=ngram", *words))


def test_layers_of_its_own_are_counted_or_missing():
    with pytest.raises(NiahError, match="spec=mtp: model=smollm2_135m has no layers for more tokens than the next"):
        capacity.check(built("spec=mtp"))
    run = built("model=qwen3_5_27b", "spec=[none,mtp]", "ctx.lengths=[256k]")
    fits = capacity.check(run, eight("h100"))
    assert not fits["bf16"].unfit and not fits["bf16 mtp"].unfit
    shape = capacity._shape(run)
    own, more = (
        memory.need(drafter.added(shape, one, run.model), fits["bf16"].setup, 2**18) for one in run.spec.each()
    )
    assert own.total < more.total < 1.1 * own.total and own.cache < more.cache  # one layer of 65, one cache of 17


def test_what_drafts_takes_memory_or_is_said_not_to(tmp_path):
    draft = checkpoints.written(tmp_path / "draft")
    words = ("ctx.lengths=[8k]", "spec=[none,ngram,draft_model]", f"spec.model={draft}")
    run = built(*words)
    needs = [
        memory.need(drafter.added(capacity._shape(run), one, run.model), memory.Setup(weights="bf16"), 8192)
        for one in run.spec.each()
    ]
    assert needs[0] == needs[1]
    assert needs[2].weights - needs[0].weights == pytest.approx(2 * 49152 * 64, rel=0.1)  # its table above all
    a_token = 3 * 2 * 32 * 2  # three layers, keys and values of one head of 32
    assert needs[2].cache - needs[0].cache == a_token * (8192 + memory.Setup.block_size)
    drafter.check_weights(run.spec.each()[2], run.model)
    assert [note for note in capacity.notes(run) if "spec" in note] == []
    other = checkpoints.written(tmp_path / "other", config={"model_type": "medusa"})
    (note,) = [note for note in capacity.notes(built(*words[:2], f"spec.model={other}")) if "spec" in note]
    assert note.startswith("spec=draft_model: the plan does not count the memory of what drafts")
    with pytest.raises(NiahError, match=r"spec\.model: no such folder; got '/nowhere'"):
        capacity.check(built("spec=eagle3", "spec.model=/nowhere"))
    pickled = built("spec=draft_model", f"spec.model={checkpoints.pickled(tmp_path / 'pickled')}")
    with pytest.raises(NiahError, match=r"spec\.model: the weights in .* are pickled"):
        drafter.check_weights(pickled.spec, pickled.model)


def test_without_drafts_a_run_is_what_it_was():
    plain, other = built(), built("spec=[none,ngram]")
    assert "spec" not in plain.content and identity.of(plain.content) == identity.of(other.content)
    assert plain.content == {key: one for key, one in other.content.items() if key != "spec"}
    first, second = (record.name_of(one, "0" * 8) for one in (plain, other))
    assert first == second == "smollm2_135m-single-essays-full-bf16-00000000"
    assert record.name_of(built("spec=ngram"), "0" * 8).endswith("-bf16-ngram-00000000")


@pytest.mark.slow
def test_a_run_with_and_without_drafts(place, capfd):
    """An engine whose answers are known: right ones take all of their drafts, wrong ones none."""
    told = said(capfd, *FAKE, *GRID, "spec=none", "name=a")
    assert "acceptance" not in told
    before = (place / "a" / "rows.jsonl").read_bytes()
    assert b"spec" not in before and b"num_draft" not in before
    told = said(capfd, *FAKE, *GRID, "spec=[none,ngram]", "spec.num_speculative_tokens=2", "name=a")  # joins it
    assert "4 of 8 trials to run" in told and (place / "a" / "rows.jsonl").read_bytes().startswith(before)
    found = [row for row in rows(place / "a") if row["variant"] == "bf16 ngram"]
    assert {row["spec"] for row in found} == {"ngram"}
    for row in found:
        left = row["num_completion_tokens"] - 1
        assert row["num_accepted_tokens"] == (left - row["num_drafts"] if row["score"] == 1 else 0)
        assert row["num_draft_tokens"] == 2 * row["num_drafts"] > 0
    short, long = acceptance.by_length(
        (row["length"], row["num_drafts"], row["num_draft_tokens"], row["num_accepted_tokens"]) for row in found
    ).values()
    assert short.mean_length == 3.0 and long.mean_length == 1.0
    assert f"acceptance length  outcomes\n     512      1.00    0.34 to 1.00        2  {short!s:>17}" in told
    content = json.loads((place / "a" / "run.json").read_text())
    assert content["plan"]["variants"] == ["bf16", "bf16 ngram"]
    assert content["sessions"][0]["asked"]["variants"] == ["bf16"]

    said(capfd, *FAKE, *GRID, "kv=[bf16,fp8]", "name=a")  # a second way to grow: nobody asked for fp8 with drafts
    content = json.loads((place / "a" / "run.json").read_text())
    assert content["plan"]["variants"] == ["bf16", "bf16 ngram", "fp8"]
    differing = said(capfd, *FAKE, *GRID, "spec=ngram", "spec.num_speculative_tokens=3", "name=a", code=1)
    assert "other settings: spec.ngram (there " in differing

    page = json.loads((place / "a" / "report.json").read_text())["runs"]
    assert [run["spec"] for run in page] == ["", "ngram", ""]
    assert [cell["mean_acceptance_length"] for cell in page[1]["lengths"]] == [3.0, 1.0]
    assert "drafts" not in page[0]["overall"]
    table = said(capfd, "report", str(place / "a"), "format=csv").splitlines()
    assert table[0].endswith("drafts,draft_tokens,accepted_tokens,mean_acceptance_length") and table[1].endswith(",,,,")


def test_drafts_are_compared_within_a_run_and_between_runs(place, capfd):
    said(capfd, *FAKE, *GRID, "spec=[none,ngram]", "report.page=false", "name=a")
    said(capfd, *FAKE, *GRID, "spec=ngram", "report.page=false", "name=b", "engine.window=400")
    own = said(capfd, "compare", str(place / "a"), "report.page=false")
    assert "bf16 ngram against bf16 (baseline): 4 pairs of the same prompt" in own
    assert "drafts and answers: all 4 pairs have the same answer" in own and "acceptance length" in own
    content = json.loads((place / "compare-a" / "compare.json").read_text())["comparisons"][0]
    assert content["num_other_answers"] == 0 and content["drafts"][0] is None
    assert [one["length"] for one in content["drafts"][1]["lengths"]] == [512, 2048]
    both = said(capfd, "compare", str(place / "a"), str(place / "b"), "compare.variant=bf16 ngram", "report.page=false")
    assert "b against a (baseline): 4 pairs of the same prompt" in both and "pairs have another answer" in both


def test_mean_acceptance_length_is_that_of_vllm():
    """1 + accepted / drafts, over all of them; a request without a draft counts as an answer and changes nothing."""
    counts = [(512, 4, 20, 10), (512, 1, 5, 0), (512, 0, 0, 0), (1024, None, None, None), (2048, 0, 0, 0)]
    found = acceptance.by_length(counts)
    assert [*found] == [512, 2048] and found[512].num_answers == 3
    assert found[512].mean_length == 3.0 and found[512].rate == 0.4 and str(found[512]) == "3.00 (40% of 25)"
    assert found[2048].mean_length is None and str(found[2048]) == "-"
    assert acceptance.together(found.values()).mean_length == 3.0 and acceptance.together([]) is None
    assert np.isclose(found[512].num_accepted_tokens, 10)

"""What the plan decides on GPUs where nothing was asked for, at its edges; on CPUs nothing."""

import re
from dataclasses import replace
from itertools import product

import pytest

from niah.commands import plan
from niah.errors import NiahError
from niah.grid import Ladder
from niah.planner import defaults, estimate, memory, serving
from niah.planner.hardware import Hardware
from niah.planner.memory import Setup
from niah.planner.serving import Wish
from niah.records import EngineFacts, RunRecord
from niah.runs import capacity, expectation, resume
from tests.helpers.configs import built
from tests.helpers.machines import ARCHITECTURES, KNOWN, eight, shape

CPU = Hardware("auto", "this machine: no NVIDIA GPU", 4096.0)


def gpus(name: str, count: int = 8) -> Hardware:
    return replace(next(one for one in KNOWN if one.name == name), num_gpus=count)


def served(hardware: Hardware, *words: str) -> Setup:
    """How the first variant of a run is served there."""
    return next(iter(capacity.check(built(*words), hardware).values())).setup


@pytest.mark.parametrize(
    ("words", "hardware", "split", "at_once", "is_eager"),
    [
        ((), gpus("h100"), 1, 16, True),
        (("model=qwen3_5_9b", "ctx=128k"), gpus("h100"), 1, 1, True),
        (("model=qwen3_5_9b", "ctx=128k"), gpus("l40s"), 1, 1, True),
        (("model=gemma4_31b", "ctx=256k"), gpus("h100"), 2, 1, True),
        (("model=gemma4_31b", "ctx=256k"), gpus("h200"), 2, 1, True),
        (("model=scout", "ctx=1m"), gpus("h100"), 8, 1, False),
        (("model=scout", "ctx=10m", "kv=fp8"), gpus("h100"), 8, 1, False),
        (("model=scout", "ctx=10m"), gpus("h200"), 8, 1, False),
        (("model=scout",), gpus("h100"), 4, 16, True),
        (("model=deepseek_r1", "ctx=128k"), gpus("h200"), 8, 1, True),
        (("model=scout", "engine.tensor_parallel_size=8", "engine.enforce_eager=false"), gpus("h100"), 8, 16, False),
        (("engine.args.tensor_parallel_size=3", "engine.max_num_seqs=2"), gpus("h100"), 3, 2, True),
        (("model=qwen3_235b", "engine.decode_context_parallel_size=2"), gpus("h200"), 8, 16, True),
    ],
)
def test_choices_on_known_machines(words, hardware, split, at_once, is_eager):
    setup = served(hardware, *words)
    assert (setup.tensor_parallel, setup.max_num_seqs, setup.enforce_eager) == (split, at_once, is_eager)


def test_nothing_is_chosen_on_cpus():
    for words in ((), ("ctx.repeats=100",)):
        run = built(*words)
        fits = capacity.check(run, CPU)
        (fit,) = fits.values()
        assert (fit.setup.tensor_parallel, fit.setup.max_num_seqs, fit.setup.enforce_eager) == (1, 1, None)
        arguments = capacity.serving_arguments(run, fit, 8192)
        assert arguments["max_num_seqs"] == 1 and "enforce_eager" not in arguments
        assert capacity.choice_lines(run, fits, CPU) == [] and capacity.settled(run, fits) is run


SETUP = Setup(capability=9.0)


def taken(name: str, size: int, length: int) -> float:
    return memory.need(shape(name), replace(SETUP, tensor_parallel=size), length).total / memory.GIB


@pytest.mark.parametrize(("share", "expected"), [(0.949, 1), (0.951, 2), (1.001, 2)])
def test_one_gpu_holds_it_with_room_or_two_do(share, expected):
    """The GPU is made as large as the model's need is a share of what the engine may take of it."""
    length, name = 65_536, "qwen3_235b_a22b"  # full attention
    hardware = replace(gpus("h100"), memory_gib=taken(name, 1, length) / share / SETUP.utilization)
    assert defaults.split(shape(name), hardware, SETUP, [1, 2, 4], length).size == expected
    assert defaults.split(shape(name), hardware, SETUP, [1], length).size == 1


@pytest.mark.parametrize(("name", "is_kept"), [("gemma4_31b", True), ("qwen3_5_27b", True), ("llama4_scout", False)])
def test_a_beginning_is_kept_beside_a_prompt_where_layers_forget(name, is_kept):
    """The GPU holds one prompt of the longest length with room, and not two."""
    need = memory.need(shape(name), SETUP, 65_536)
    one, two = need.total / defaults.ROOM, (need.total + need.cache) / defaults.ROOM
    hardware = replace(gpus("b200"), memory_gib=(one + two) / 2 / memory.GIB / SETUP.utilization)
    assert defaults.split(shape(name), hardware, SETUP, [1, 2], 65_536).size == (2 if is_kept else 1)
    cold = replace(SETUP, prefix_caching=False)
    assert defaults.split(shape(name), hardware, cold, [1, 2], 65_536).size == 1


def test_two_that_hold_it_without_room_are_taken_where_there_are_no_more():
    length, name = 131_072, "qwen3_5_9b"
    hardware = replace(gpus("h100"), memory_gib=taken(name, 2, length) / 0.97 / SETUP.utilization)
    assert defaults.split(shape(name), hardware, SETUP, [1, 2], length).size == 2
    assert defaults.split(shape(name), hardware, SETUP, [1, 2, 4], length).size == 4


@pytest.mark.parametrize(("seconds", "expected"), [(59, 1), (61, 2), (115, 2), (1e6, 8)])
def test_a_prompt_that_takes_minutes_is_split_until_it_takes_one(seconds, expected):
    """The GPU is made as slow as one prompt takes ``seconds`` on it."""
    name, length = "qwen3_5_9b", 131_072
    work, hardware = estimate.operations(shape(name), length, 0), gpus("h200")
    slower = estimate.seconds_of(work, hardware, SETUP) / seconds
    slow = replace(hardware, bf16_tflops=hardware.bf16_tflops * slower)
    assert estimate.seconds_of(work, slow, SETUP) == pytest.approx(seconds)
    assert defaults.split(shape(name), slow, SETUP, [1, 2, 4, 8], length).size == expected


def test_more_gpus_are_not_taken_where_they_only_talk():
    name, length = "smollm2_135m", 8192
    work = estimate.operations(shape(name), length, 0)
    slow = replace(gpus("h100"), bf16_tflops=0.03, link_gb_s=0.001)
    assert estimate.seconds_of(work, slow, SETUP) > defaults.PATIENCE_SECONDS
    assert defaults.split(shape(name), slow, SETUP, [1, 3], length).size == 1


def load(*lengths: int, repeats: int = 1, tokens: int = 32) -> defaults.Load:
    return defaults.load(Ladder(lengths=list(lengths), repeats=repeats), lengths, tokens, cold_share=0.02)


MACHINES = ("l40s", "a100_80", "h200", "b200")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_more_gpus_never_make_a_run_slower(name):
    """By the plan's own estimate; and a model that one GPU holds with room is split only where a prompt takes long."""
    made, cases = shape(name), 0
    weights = "int4" if memory.weight_bytes(made, SETUP) > 5e11 else "bf16"  # of what eight GPUs cannot hold otherwise
    for machine, length in product(MACHINES, (8192, 131_072, 1_048_576)):
        if length > max(made.max_positions, 8192):
            continue
        of, before = load(length, repeats=3), None
        for count in (1, 2, 4, 8):
            hardware = gpus(machine, count)
            try:
                setup = serving.setup(made, hardware, Wish(), "bfloat16", weights, length, name)
            except NiahError:
                break  # no backend on this GPU
            if memory.need(made, setup, length).total > estimate.available_bytes(hardware, setup):
                continue
            setup = serving.settled(made, hardware, Wish(), setup, of, length)
            seconds = defaults.expected(made, hardware, setup, of)
            if before:
                assert seconds.total <= before.total * 1.0001, (machine, length, count)
            one = replace(setup, tensor_parallel=1)
            room, need = defaults.ROOM * estimate.available_bytes(hardware, one), memory.need(made, one, length)
            if need.total + need.cache <= room and setup.tensor_parallel > 1:
                work = estimate.operations(made, length, 0)
                assert estimate.seconds_of(work, hardware, one) > defaults.PATIENCE_SECONDS
            before, cases = seconds, cases + 1
    assert cases


@pytest.mark.parametrize("number", [1, 2, 5, 16])
def test_the_cache_holds_all_prompts_at_once(number):
    """The GPU is made as large as to hold so many, and no more."""
    name, length, of = "smollm2_135m", 8192, load(8192, repeats=10)
    made = shape(name)

    def need(at_once: int) -> float:
        setup = replace(SETUP, max_num_seqs=at_once)
        blocks = memory.pool(made, setup).blocks_per_request(length, setup.in_flight)
        fixed = memory.need(made, setup, length).fixed
        return (fixed + at_once * blocks * memory.pool(made, setup).block_bytes) / memory.GIB / defaults.ROOM

    hardware = replace(gpus("h100", 1), memory_gib=(need(number) + 0.001) / SETUP.utilization)
    assert defaults.prompts_at_once(made, hardware, SETUP, of, length) == number
    less = replace(hardware, memory_gib=(need(number) - 0.05) / SETUP.utilization)
    assert defaults.prompts_at_once(made, less, SETUP, of, length) == max(1, number - 1)
    few = replace(of, repeats=1, prompts=of.prompts[:1])
    assert defaults.prompts_at_once(made, hardware, SETUP, few, length) == 1


def test_a_given_cache_holds_what_it_holds():
    gib = 8192 * 2 * 30 * 3 * 64 * 2 / 2**30  # of one prompt of SmolLM2
    setup = served(gpus("h100"), "ctx.lengths=[8k]", f"engine.kv_cache_memory_gib={3.5 * gib}")
    assert setup.max_num_seqs == 3


def test_a_gpu_whose_speed_is_not_known_gets_one_prompt_and_the_fewest_gpus():
    unknown = Hardware("next", "a GPU of next year", 100.0, compute_capability="9.0", num_gpus=8)
    setup = served(unknown, "ctx.repeats=3")
    assert (setup.tensor_parallel, setup.max_num_seqs) == (1, 1)


def test_it_is_compiled_where_that_pays():
    """Twice the answers, and no more than a prompt at once: from some number of repeats on."""
    made, hardware = shape("smollm2_135m"), gpus("h100", 1)
    saved = [
        defaults.saved_by_compiling(made, hardware, SETUP, load(8192, repeats=repeats)) for repeats in (1, 2, 1000)
    ]
    assert 0 < saved[0] < saved[1] == pytest.approx(2 * saved[0]) and saved[2] > defaults.COMPILING_SECONDS
    eager = [defaults.is_eager(made, hardware, SETUP, load(8192, repeats=repeats)) for repeats in (1, 1000)]
    assert eager == [True, False]


def test_all_variants_are_served_alike():
    """An FP8 cache would do with one GPU, and would hold more prompts at once."""
    words = ("model=gemma4_31b", "ctx.lengths=[8k]", "ctx.repeats=20")
    alone = [served(gpus("h100"), *words, f"kv={kv}") for kv in ("bf16", "fp8")]
    assert len({setup.tensor_parallel for setup in alone}) == 2
    both = [fit.setup for fit in capacity.check(built(*words, "kv=[fp8,bf16]"), gpus("h100")).values()]
    assert {setup.cache_dtype for setup in both} == {"bfloat16", "fp8_e4m3"}
    assert len({(one.tensor_parallel, one.max_num_seqs, one.enforce_eager) for one in both}) == 1
    assert both[0].tensor_parallel == max(setup.tensor_parallel for setup in alone)


def begun_with(**facts) -> RunRecord:
    return replace(RunRecord(), engines={"bf16": EngineFacts(facts)})


def test_a_continued_run_keeps_what_it_began_with():
    hardware, stored = gpus("h100"), begun_with(tensor_parallel_size=3, max_num_seqs=1, enforce_eager=False, vllm="x")
    run = resume.as_begun(built(), stored)
    (fit,) = capacity.check(run, hardware).values()
    assert (fit.setup.tensor_parallel, fit.setup.max_num_seqs, fit.setup.enforce_eager) == (3, 1, False)
    assert run.resolved == built().resolved and run.content == built().content
    asked = resume.as_begun(built("engine.max_num_seqs=5", "engine.args={tensor_parallel_size: 1}"), stored)
    (fit,) = capacity.check(asked, hardware).values()
    assert (fit.setup.tensor_parallel, fit.setup.max_num_seqs, fit.setup.enforce_eager) == (1, 5, False)
    for other in (RunRecord(), begun_with()):
        assert resume.as_begun(built(), other) == built()


def test_what_is_made_of_a_run_is_served_as_it_is():
    """Another model, as calibrate runs it, would choose otherwise."""
    run = built("model=scout", "ctx=1m")
    made = capacity.settled(run, capacity.check(run, gpus("h100")))
    assert (made.engine.tensor_parallel_size, made.engine.max_num_seqs, made.engine.enforce_eager) == (8, 1, False)
    kept = {name: made.resolved["engine"][name] for name in ("tensor_parallel_size", "max_num_seqs", "enforce_eager")}
    assert kept == {"tensor_parallel_size": 8, "max_num_seqs": 1, "enforce_eager": False}


def test_identity_of_a_run_is_that_of_earlier_versions():
    engine = built().content["engine"]
    assert engine["max_num_seqs"] == 1 and "batch_invariant" not in engine
    assert built("engine.max_num_seqs=4").content["engine"]["max_num_seqs"] == 4
    assert built("engine.batch_invariant=true").content["engine"]["batch_invariant"] is True
    assert built().resolved["engine"]["max_num_seqs"] == 0


@pytest.mark.parametrize(
    ("words", "hardware", "message"),
    [
        ((), CPU, "engine.batch_invariant: vLLM has such kernels on NVIDIA GPUs alone"),
        (("model=qwen3_5_9b",), gpus("h100"), "linear attention is not batch-invariant"),
        (("engine.attention=flashinfer",), gpus("h100"), "FLASHINFER is not batch-invariant here; expected "
         "engine.attention=flash_attn or triton_attn or flex_attention"),
        (("engine.flash_attn_version=4",), gpus("b200"), "FlashAttention 4 is not batch-invariant"),
        (("kv=fp8",), gpus("b200"), "FLASH_ATTN is not batch-invariant here; expected engine.attention=triton_attn"),
        (("model=gemma4_31b",), gpus("h100"), "FLASH_ATTN is not batch-invariant here; expected engine.attention="),
        (("model=deepseek_r1", "kv=fp8"), gpus("h200"), "TRITON_MLA has no prefix cache then; expected engine.prefix"),
        (("model=glm_5",), gpus("h200"), "no batch-invariant attention backend keeps a bfloat16 cache"),
    ],
)
def test_batch_invariance_that_vllm_has_not_is_refused(words, hardware, message):
    with pytest.raises(NiahError, match=message) as caught:
        capacity.check(built(*words, "engine.batch_invariant=true"), hardware)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "hardware"),
    [
        ((), gpus("h100")), (("kv=fp8",), gpus("h100")), (("model=scout", "kv=[bf16,fp8]"), gpus("h100")),
        (("model=gemma4_31b", "engine.attention=triton"), gpus("h100")),
        (("model=deepseek_r1",), gpus("h200")), ((), gpus("a100_80")),
        (("model=deepseek_r1", "kv=fp8", "engine.prefix_caching=false"), gpus("h200")),
    ],
)
def test_batch_invariance_that_vllm_has_is_planned(words, hardware):
    assert served(hardware, *words, "engine.batch_invariant=true").batch_invariant


def test_batch_invariant_backends_are_vllms():
    from vllm.v1.attention.backends.registry import AttentionBackendEnum

    from niah.planner.backends import BACKENDS

    for one in BACKENDS:
        try:
            theirs = AttentionBackendEnum[one.name].get_class()
        except (ImportError, AssertionError):
            continue
        assert theirs.supports_batch_invariance() == (one.name in serving.BATCH_INVARIANT), one.name


def test_lines_say_what_was_chosen_and_what_is_left():
    run = built("model=qwen3_5_9b", "ctx=128k", "ctx.repeats=16")
    lines = capacity.choice_lines(run, capacity.check(run, eight("h100")), eight("h100"))
    assert "tensor parallel 1 (128K takes 24.0 of 72.8 GiB), 1 prompt at once" in lines[0]
    assert re.match(r"the whole run takes [\d.]+ to [\d.]+ min, an estimate: start ", lines[1])
    assert "control sample again" in lines[1]
    assert lines[2] == (
        "1 of 8 GPUs used; engine.replicas=8 shares the trials: about 8.0 times as fast (needs niah[ray])"
    )
    chosen = capacity.choice_lines(run, capacity.check(run, eight("h100")), eight("h100"), has_seconds=False)
    assert chosen == [lines[0], "1 of 8 GPUs used"]
    run = built("model=scout", "ctx=1m", "engine.enforce_eager=true")
    lines = capacity.choice_lines(run, capacity.check(run, eight("h100")), eight("h100"))
    assert "33 to 75 s, 1 to 2.3 min on 4, the fewest that hold it" in lines[0]
    assert "not compiled (as asked for)" in lines[0]
    assert len(lines) == 2


def test_a_small_cache_is_told_with_what_it_costs():
    def line(hardware: Hardware, *words: str) -> str:
        run = built(*words)
        return expectation.cache_line(run, capacity.check(run, hardware), hardware)

    forgets, keeps = line(eight("h100"), "model=scout", "ctx=1m"), line(CPU, "ctx=8k")
    assert "room for 6.6 prompts of 1M" in forgets and "about 89% of what prompts share is found" in forgets
    assert "room for 2.0 prompts of 8K" in keeps and "no beginning is computed twice" in keeps
    half = line(CPU, "ctx=8k", "engine.kv_cache_memory_gib=0.2")
    assert "room for 1." in half and "no beginning is computed twice" in half
    for words in (("ctx.lengths=[8k]", "ctx.depths=[50]"), ("ctx=8k", "engine.prefix_caching=false"),
                  ("ctx=8k", "reader=bm25"), ("ctx=8k", "engine=fake")):
        assert line(CPU, *words) == "", words
    assert line(eight("h200"), "model=qwen3_5_9b", "ctx.lengths=[8k,16k]") == ""


def test_a_budget_is_told_in_repeats():
    scout = built("model=scout", "ctx=1m", "hardware=8xh100")
    found = re.fullmatch(r"budget=6h: (\d+) to (\d+) repeats of .* \(an estimate\)", plan.of_budget(scout, "6h"))
    assert found and 1 < int(found[1]) < int(found[2])
    assert "less than one repeat" in plan.of_budget(scout, "1s") and "repeats" in plan.of_budget(scout, "$100")
    small = built("ctx=8k")
    assert "about 10 repeats" in plan.of_budget(small, "1e6 tokens")
    assert "about 1 repeat of" in plan.of_budget(small, "100000 tokens")
    assert "nothing of this run fits" in plan.of_budget(built("model=scout", "hardware=1xh100"), "1h")
    assert "knows no seconds" in plan.of_budget(built("engine=fake"), "30m")
    with pytest.raises(NiahError, match="plan budget: got 'soon'"):
        plan.of_budget(small, "soon")

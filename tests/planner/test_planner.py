"""The plan against vLLM's own classes, and against figures that were measured."""

import json
from dataclasses import replace

import pytest

from niah import planner
from niah.engines.vllm import exact
from niah.errors import NiahError
from niah.grid import Ladder
from niah.planner import cpu, estimate, fit, flops, kv, machine, memory
from niah.planner.hardware import Hardware, counted
from niah.planner.memory import GIB, Setup
from tests.helpers.command import is_one_line
from tests.helpers.configs import built
from tests.helpers.machines import ARCHITECTURES, KNOWN, eight, raw, shape

AVAILABLE = 200 * GIB


def compared(name: str, splits: tuple[int, ...], dtypes: tuple[str, ...]) -> tuple[int, list]:
    """Cases in which blocks, tokens and concurrency were compared, and those that differ."""
    made, length = shape(name), min(65_536, shape(name).max_positions)
    allowed = [split for split in splits if split in memory.splits(made, max(splits))]
    questions = [exact.Question(length, dtype, split, 32, 8192, AVAILABLE) for dtype in dtypes for split in allowed]
    different, cases = [], 0
    for question, theirs in zip(questions, exact.ask(raw(name), questions), strict=True):
        has_state = any(layer.kind == "state" for layer in made.layers)
        setup = Setup(
            tensor_parallel=question.tensor_parallel, cache_dtype=question.cache_dtype,
            block_size=32 if has_state else theirs["block_size"],  # MLA on CPUs insists on 16
            steps_in_flight=theirs["in_flight"] // 8192, prefix_caching=theirs["prefix_caching"],
        )
        weights = memory.weight_bytes(made, setup)
        if abs(weights / theirs["parameter_bytes"] - 1) > 0.01:
            different.append((question, weights, theirs["parameter_bytes"]))
        for hybrid, answer in ((True, theirs["hybrid"]), (False, theirs["whole"])):
            cases += 1
            if "refused" in answer:  # vLLM has no way to serve states without the hybrid manager
                if not (has_state and not hybrid):
                    different.append((question, hybrid, answer))
                continue
            pool = memory.pool(made, replace(setup, hybrid=hybrid))
            how = {"prefix_caching": setup.prefix_caching}
            ours = (
                pool.num_blocks(AVAILABLE), pool.num_tokens(AVAILABLE, length, setup.in_flight, **how),
                pytest.approx(pool.concurrency(AVAILABLE, length, setup.in_flight, **how), rel=1e-12),
            )
            if ours != (answer["num_blocks"], answer["num_tokens"], answer["concurrency"]):
                different.append((question, hybrid, ours, answer))
    return cases, different


@pytest.mark.engine
@pytest.mark.parametrize("name", ["gemma4_e4b", "qwen3_5_9b"])
def test_fast_plan_equals_vllms_own(name):
    cases, different = compared(name, (1, 8), ("fp8_e4m3",))
    assert cases and not different


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_fast_plan_equals_vllms_own_everywhere(name):
    cases, different = compared(name, (1, 2, 4, 8), ("bfloat16", "fp8_e4m3"))
    print(f"{name}: {cases - len(different)} of {cases} exact")
    assert cases >= 4 and not different


@pytest.mark.engine
@pytest.mark.parametrize(("name", "length"), [
    ("qwen3_5_9b", 512), pytest.param("deepseek_r1", 8192, marks=pytest.mark.slow),
])
def test_cache_of_a_run_on_cpus_holds_two_prompts_by_vllms_own_word(name, length):
    """States are as large as the cache of thousands of tokens, and a latent as small as one head's."""
    room = cpu.cache_bytes(raw(name), length, "fp8_e4m3")
    (theirs,) = exact.ask(raw(name), [exact.Question(length, "fp8_e4m3", 1, cpu.CHUNK, cpu.CHUNK, room)])
    assert 2 <= theirs["hybrid"]["concurrency"] < 3


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_are_those_of_the_facts(name):
    facts = raw(name)["niah"]
    text = facts["total_parameters"] - facts["other_parameters"]
    assert memory.weight_bytes(shape(name), Setup()) / 2 == pytest.approx(text, rel=0.004)  # two bytes each in bf16
    assert shape(name).active_parameters <= facts["active_parameters"] * 1.005


def served(name: str, hardware: Hardware, length: int, dtype: str = "bfloat16") -> estimate.Cell:
    setup = estimate.setup_for(shape(name), hardware, Setup(cache_dtype=dtype))
    return estimate.cell(shape(name), hardware, setup, length, 10 * 2**20)


@pytest.mark.parametrize(
    ("machine_name", "dtype", "fits"),
    [("h100", "fp8_e4m3", True), ("h100", "bfloat16", False), ("h200", "bfloat16", True), ("h200", "fp8_e4m3", True)],
)
def test_scout_at_ten_million(machine_name, dtype, fits):
    cell = served("llama4_scout", eight(machine_name), 10 * 2**20, dtype)
    assert cell.fits == fits and cell.setup.tensor_parallel == 8
    assert (cell.longest == 10 * 2**20) == fits
    assert memory.need(shape("llama4_scout"), replace(cell.setup, hybrid=False), 10 * 2**20).total > cell.available


def test_least_hardware_holds_the_length_and_cheaper_does_not():
    made, setup = shape("qwen3_5_27b"), Setup()
    priced = [one for one in KNOWN if one.dollars_per_gpu_hour]
    machines = [replace(one, num_gpus=count) for one in priced for count in (1, 2, 4, 8)]
    least = estimate.least(made, machines, setup, 262_144)

    def holds(one: Hardware) -> bool:
        split = estimate.setup_for(made, one, setup)
        return memory.need(made, split, 262_144).total <= estimate.available_bytes(one)

    def price(one: Hardware) -> float:
        return one.total_gpus * one.dollars_per_gpu_hour

    def is_used_whole(one: Hardware) -> bool:
        return estimate.setup_for(made, one, setup).tensor_parallel == one.num_gpus

    cheaper = [one for one in machines if price(one) < price(least) and is_used_whole(one)]
    assert cheaper and holds(least) and not any(map(holds, cheaper))


def test_longest_is_the_edge():
    hardware = eight("h100")
    longest = served("llama4_scout", hardware, 8192).longest
    at, above = (served("llama4_scout", hardware, n) for n in (longest, longest + 8192))
    assert at.fits and not above.fits


def test_attention_grows_with_the_square_and_windows_do_not():
    full, window = flops.Attention(1, 8, 256), flops.Attention(1, 8, 256, 1024)
    for layer, growth, rel in ((full, 4, 1e-4), (window, 2, 0.01)):
        twice, once = (flops.prefill(length, 0, 0, [layer]).attention for length in (200_000, 100_000))
        assert twice / once == pytest.approx(growth, rel=rel)
    for layer in (full, window, flops.Attention(1, 8, 256, 1000, is_chunk=True)):
        cold, kept = flops.prefill(5000, 0, 7.0, [layer]), flops.prefill(5000, 3210, 7.0, [layer])
        assert cold.attention == pytest.approx(kept.attention + flops.prefill(3210, 0, 7.0, [layer]).attention)
    pairs = sum(min(i + 1, 300) for i in range(777, 2000))  # counted one by one
    assert flops._pairs(2000, 777, 300, False) == pairs
    assert flops._pairs(2000, 777, 300, True) == sum(i % 300 + 1 for i in range(777, 2000))


def test_prefill_of_scout_is_what_is_published():
    work = estimate.operations(shape("llama4_scout"), 10 * 2**20, 0)
    assert work.attention == pytest.approx(122_880 * (10 * 2**20) ** 2, rel=0.03)  # full layers alone
    assert work.linear == pytest.approx(32_276_817_920 * 10 * 2**20, rel=0.001)


def test_prefix_reuse_saves_time_never_costs_it():
    made, hardware = shape("llama4_scout"), eight("h200")
    setup, ladder = estimate.setup_for(made, hardware, Setup()), Ladder(lengths=[8192, 2**20])
    sweep = estimate.sweep(made, hardware, setup, ladder, 2**20)
    assert sweep.num_trials == 22 and 0 < sweep.seconds < sweep.cold_seconds


def test_states_raise_the_block_until_a_page_holds_one():
    layers = [kv.Layers("full", 8, 4096), kv.Layers("state", 24, state_bytes=2_100_000)]
    assert kv.pool(layers, 16).block_size == 16 * 33


@pytest.mark.parametrize(("word", "parts"), [("8xh100", ("h100", 8, 1)), ("2x8xh200", ("h200", 8, 2)), ("h100", None)])
def test_counted_hardware(word, parts):
    assert counted(word) == parts
    if parts:
        run = built(f"hardware={word}")
        assert (run.hardware.name, run.hardware.num_gpus, run.hardware.num_nodes) == parts
        assert str(run.hardware) == word


def test_refusal_says_what_is_needed_what_is_here_and_what_would_do():
    run = built("model=scout", "ctx=1m")
    here = Hardware("auto", "this machine: no NVIDIA GPU, 24 GiB of memory", 24.0)
    text = fit.check(run.model, run.ctx.lengths, run.kv.dtype, here, KNOWN).refusal
    assert "no length of this run fits; the shortest, 8K, needs 20" in text
    assert "here: this machine: no NVIDIA GPU" in text
    assert "would do: hardware " in text and text.count(";") >= 4 and "\n" not in text


def test_lengths_that_do_not_fit_are_named_and_the_rest_run():
    found = fit.check(built("model=scout").model, [2**20, 10 * 2**20], "bfloat16", eight("h100"), KNOWN)
    assert list(found.unfit) == [10 * 2**20] and "KV cache" in found.unfit[10 * 2**20]
    assert found.setup.tensor_parallel == 8


def test_unknown_architectures_are_left_to_the_engine(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba9", "architectures": ["Mamba9ForCausalLM"]}))
    run = built(f"model.path={tmp_path}", "model.max_length=8k")
    found = fit.check(run.model, [8192], "bfloat16", KNOWN[0], KNOWN)
    assert not found.unfit and not found.refusal
    with pytest.raises(NiahError, match=r"architecture .mamba9. is not known to the fast plan; .*exact=true"):
        planner.make(run.model, run.ctx, KNOWN[0], KNOWN)


def test_auto_reads_this_machine():
    here = machine.resolve(Hardware(), KNOWN)
    assert here.memory_gib > 1 and here.label


def test_plan_is_quick_and_loads_no_torch(niah, tmp_path):
    done = niah("plan", "model=scout", "ctx=10m", "hardware=8xh200", "format=json", "out=made")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["hardware"]["name"] == "h200" and len(content["cells"]) == 22
    assert {f.name for f in (tmp_path / "made").iterdir()} == {"plan.json", "plan.png"}


def test_a_reader_that_leaves_text_out_is_planned_with_what_the_model_reads(niah):
    done = niah("plan", "model=scout", "ctx.lengths=[8k,10m]", "hardware=8xh100", "reader=bm25", "format=json")
    cells = json.loads(done.stdout)["cells"]
    assert {cell["length"] for cell in cells} == {8192, 10 * 2**20} and all(cell["fits"] for cell in cells)
    assert len({cell["need"]["cache"] for cell in cells if cell["cache_dtype"] == "bfloat16"}) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("hardware=8xh900",), "hardware=h900: no such choice; did you mean hardware=h"),
        (("hardware=0xh100",), "hardware.num_gpus: got 0"),
        (("format=xml",), "plan format: got 'xml'; expected text or json"),
        (("model.weights=int3",), "model.weights: got 'int3'"),
    ],
)
def test_bad_plans_are_one_line(niah, words, message):
    done = niah("plan", "model=scout", *words)
    assert done.returncode == 1 and message in done.stderr and is_one_line(done)


@pytest.mark.parametrize("field", ["num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size"])
def test_a_config_that_lacks_a_field_is_told_by_its_name(field):
    from niah.planner import architecture

    config = {name: value for name, value in raw("smollm2_135m").items() if name != field}
    with pytest.raises(NiahError, match=f"its config.json lacks {field}; expected every field that a llama model has"):
        architecture.read(config, "model.path=x")
    with pytest.raises(NiahError, match="cannot be counted"):
        architecture.read({**config, field: None}, "model.path=x")


@pytest.mark.parametrize("num_layers", [4, 27, 61, 62, 94])
@pytest.mark.parametrize("num", [1, 2, 3, 4])
def test_pipeline_stages_are_vllms_own(num_layers, num):
    from vllm.distributed.utils import get_pp_indices

    assert [len(stage) for stage in memory.stages(range(num_layers), num)] == [
        stop - start for start, stop in (get_pp_indices(num_layers, rank, num) for rank in range(num))
    ]


@pytest.mark.parametrize("name", ["deepseek_r1", "deepseek_v3_2", "glm_5", "llama3_1_70b", "gemma3_4b"])
def test_a_stage_is_no_smaller_than_any_by_itself(name):
    made, setup = shape(name), Setup(weights="fp8", pipeline_parallel=2, cache_dtype="fp8_e4m3")
    alone, first, last = replace(setup, pipeline_parallel=1), *memory.stages(made.layers, 2)
    none = {"embedding_parameters": 0, "head_parameters": 0, "lookup_parameters": 0, "other_parameters": 0}
    head = made.head_parameters or made.embedding_parameters
    of_first = replace(made, layers=first, **{**none, "embedding_parameters": made.embedding_parameters})
    of_last = replace(made, layers=last, **{**none, "head_parameters": head})
    weights = memory.weight_bytes(made, setup)
    assert weights >= max(memory.weight_bytes(of_first, alone), memory.weight_bytes(of_last, alone)) - 2**20
    assert weights < memory.weight_bytes(made, alone)
    pools = [memory.pool(replace(made, layers=stage), alone) for stage in (first, last)]
    assert memory.pool(made, setup) in pools
    assert memory.pool(made, setup).block_bytes == max(one.block_bytes for one in pools)


def test_a_task_without_depth_is_planned_as_one_trial_a_length_and_repeat(niah):
    words = ("plan", "model=qwen3_8b", "hardware=h100", "ctx=32k", "ctx.repeats=2", "format=json")
    trials = [json.loads(niah(*words, f"task={task}").stdout)["sweeps"]["bfloat16"]["num_trials"]
              for task in ("single", "aggregate")]
    assert trials == [2 * 3 * 11, 2 * 3]


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name", "code", "told"), [
    ("olmo2", "Olmo2ForCausalLM", 0, "vLLM's own classes, tensor parallel 1: 2.77 GiB of weights"),
    ("mamba9", "Mamba9ForCausalLM", 1, "vLLM refuses this model: The checkpoint you are trying to load has model type"),
])
def test_an_architecture_that_the_fast_plan_does_not_know_is_asked_of_vllm(niah, tmp_path, kind, name, code, told):
    (tmp_path / "config.json").write_text(json.dumps({
        "architectures": [name], "model_type": kind, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 100_352,
        "max_position_embeddings": 4096, "torch_dtype": "bfloat16",
    }))
    done = niah("plan", f"model={tmp_path}", "hardware=h100", "ctx.lengths=[2k]")
    assert done.returncode == code and told in done.stdout + done.stderr
    assert f"architecture '{kind}' is not known to the fast plan: vLLM itself is asked" in done.stdout
    several = niah("plan", f"model={tmp_path}", "hardware=[h100,h200]", "ctx.lengths=[2k]")
    assert is_one_line(several) and "is not known to the fast plan" in several.stderr
    assert "take exact=true" in several.stderr

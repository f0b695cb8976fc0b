"""The graded signal of engine=vllm: whole wherever a prompt ends, and equal to a computation of everything."""

import json
import re
import subprocess
import sys
from functools import cache
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from niah.engines.vllm.grading import Grading
from niah.engines.vllm.process import environment
from niah.errors import NiahError
from niah.records import Forced, Prompt
from tests.helpers.command import environment_with, rows, run_in
from tests.helpers.engines import HAS_FP8, exact_on_cpus, needs_fp8
from tests.helpers.grades import tiny

pytestmark = pytest.mark.engine
GRID = ("task=multikey", "ctx.lengths=[512]", "ctx.depths=[0,50,100]")
VOCABULARY = 64


# A whole run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graded")
    kv = "kv=[bf16,fp8,fp8_e5m2]" if HAS_FP8 else "kv=[bf16]"
    done = run_in(folder, *GRID, kv, "name=warm", "engine.cold_check=0.5")
    assert done.returncode == 0, done.stderr
    same = r"control without prefix cache: (\d) of \1 answers the same, .* by at most 0$"
    assert re.search(same, done.stderr, re.MULTILINE)
    return folder


def test_every_answer_is_graded(place):
    found = rows(place / "outputs" / "warm")
    assert len(found) == (9 if HAS_FP8 else 3)
    for row in found:
        assert row["logprob"] <= 0 and row["worst_rank"] >= 1 and row["num_target_tokens"] >= 7
        assert row["margin"] is not None and "not_graded" not in row
        assert row["served"]["kv_cache_dtype"] == row["kv_cache_dtype"]
        assert row["served"]["attention_backend"] == "CPU_ATTN" and row["served"]["torch"]
        if row["outcome"] == "correct" and row["response"].strip().startswith(row["targets"][0]):
            assert row["worst_rank"] == 1 and row["margin"] > 0  # greedy: each token was the first choice


@needs_fp8
def test_quantized_kv_caches_read_the_same_prompts(place):
    found = rows(place / "outputs" / "warm")
    engines = json.loads((place / "outputs" / "warm" / "run.json").read_text())["engines"]
    prompts, grades = [], []
    for kv, stored in (("bf16", "bfloat16"), ("fp8", "fp8_e4m3"), ("fp8_e5m2", "fp8_e5m2")):
        own = [row for row in found if row["variant"] == kv]
        assert {row["kv_cache_dtype"] for row in own} == {engines[kv]["kv_cache_dtype"]} == {stored}
        prompts.append([row["prompt_sha256"] for row in own])
        grades.append([row["logprob"] for row in own])
    assert prompts[0] == prompts[1] == prompts[2]
    assert grades[0] != grades[1] != grades[2] != grades[0]


@exact_on_cpus
def test_a_prefix_hit_gives_the_value_of_a_full_computation(place):
    words = ("task=multikey", "ctx.lengths=[512]", "ctx.depths=[0,50,100]", "name=cold")
    done = run_in(place, *words, "engine.prefix_caching=false", "engine.graded=true")
    assert done.returncode == 0, done.stderr
    warm = {
        row["prompt_sha256"]: row for row in rows(place / "outputs" / "warm") if row["variant"] in ("", "bf16")
    }
    cold = rows(place / "outputs" / "cold")
    assert len(cold) == 3 and any(warm[row["prompt_sha256"]]["num_cached_tokens"] for row in cold)
    for row in cold:
        assert row["num_cached_tokens"] == 0
        for name in ("logprob", "worst_rank", "margin", "response"):
            assert row[name] == warm[row["prompt_sha256"]][name], name


# Cases of one engine: tests/helpers/grades.py


def graded(processes: int = 1, **asked) -> list[dict]:
    """What each case came to."""
    own = environment_with(**{**environment(), "VLLM_ENABLE_V1_MULTIPROCESSING": str(processes - 1)})
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.grades", json.dumps(asked)], env=own, capture_output=True, text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line.removeprefix("GRADE ")) for line in done.stdout.splitlines() if line.startswith("GRADE ")]


def check(found: list[dict], num_cases: int) -> dict[str, float]:
    """Every case has its grade; the largest differences to the full computation, in nats and places."""
    assert len(found) == num_cases
    for case in found:
        assert case["not_graded"] == "" and case["logprob"] is not None and case["counted"], case
        assert case["num_tokens"] == case["target"] and (case["margin"] is None) == (case["full_margin"] is None), case
    return {
        name: max(abs(case[name] - case[f"full_{name}"]) for case in found if case[name] is not None)
        for name in ("logprob", "rank", "margin")
    }


FEW = (
    {"residue": 0, "num_target": 8, "lead": 0, "right": True},
    {"residue": 0, "num_target": 40, "lead": 0, "right": True},
    {"residue": 31, "num_target": 40, "lead": 5, "right": True},
    {"residue": 0, "num_target": 1, "lead": 0, "right": False},
    {"residue": 0, "num_target": 10, "lead": 6, "right": False, "again": True},
    {"residue": 9, "num_target": 1, "lead": 0, "right": True},
)
EXACT, ROUNDED = 0.0, 0.2
"""Nats: a row that vLLM computes from what it has read is that of a full computation; where it reads what it has
written itself, token by token, the two differ by rounding."""


def is_exact(case: dict) -> bool:
    """Whether no block of the cache holds tokens that the model has written."""
    written = case["lead"] + (case["target"] if case["right"] else 0)
    return not case["again"] and case["prompt"] // case["block"] == (case["prompt"] + written) // case["block"]


def check_values(found: list[dict], num_cases: int) -> None:
    exact = [case for case in found if is_exact(case)]
    far = check(found, num_cases)
    assert far["logprob"] <= ROUNDED and far["margin"] <= ROUNDED
    if exact:
        assert check(exact, len(exact)) == {"logprob": EXACT, "rank": 0, "margin": EXACT}


@exact_on_cpus
@pytest.mark.slow
def test_every_place_of_a_prompt_and_a_right_answer():
    check_values(graded(block=32, cases=FEW), 7)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny(tmp_path_factory.mktemp("tiny")))


@exact_on_cpus
@pytest.mark.slow
def test_an_engine_in_another_process(model):
    check_values(graded(processes=2, block=64, model=model, cases=FEW), 7)


@pytest.mark.slow
@exact_on_cpus
def test_rows_from_the_cached_part_on(model):
    """As vLLM's second runner gives them, in blocks of 16 as on GPUs, several prompts at a time."""
    assert check(graded(block=16, model=model, cut=True, max_num_seqs=4, cases=FEW), 7)["rank"] <= 1


@pytest.mark.slow
def test_rows_that_make_no_sense_cost_the_grade_and_no_more(model):
    found = graded(block=32, model=model, broken=True, cases=FEW)
    assert len(found) == 7
    for case in found:
        assert case["logprob"] is None and case["num_written"] > 0 and case["counted"]
        assert re.match(r"vLLM gave \d+ rows of log-probabilities for \d+ tokens, \d+ ", case["not_graded"])


@pytest.mark.slow
def test_an_answer_without_room_for_the_right_one_says_so(place):
    """And so does the run at its end, and again when it is finished."""
    words = ("ctx.lengths=[512]", "ctx.depths=[50]", "task.max_tokens=8", "name=narrow")
    told = "graded signal: missing in 1 of 1 answers; the first, bf16 trial 0: no room for the right answer within "
    for _ in range(2):
        done = run_in(place, *words)
        assert done.returncode == 0 and told in done.stderr, done.stderr
    (row,) = rows(place / "outputs" / "narrow")
    assert row["not_graded"].startswith("no room for the right answer") and row["logprob"] is None


TARGETS = (
    {"num_target": 1, "lead": 0, "right": True}, {"num_target": 1, "lead": 5, "right": False},
    {"num_target": 8, "lead": 0, "right": True}, {"num_target": 8, "lead": 5, "right": False},
    {"num_target": 36, "lead": 0, "right": True}, {"num_target": 36, "lead": 5, "right": True},
    {"num_target": 100, "lead": 0, "right": True},
)


@exact_on_cpus
@pytest.mark.slow
@pytest.mark.parametrize(("block", "cut"), [(16, True), (32, False), (64, True), (128, False)])
def test_every_residue_of_a_block(block, cut, model):
    """Every third residue alone for the longest target, which takes half of the time."""
    cases = [
        {"residue": residue, **target} for residue in range(block) for target in TARGETS
        if target["num_target"] < 100 or residue % 3 == 0
    ]
    found = graded(block=block, model=model, cut=cut, max_num_seqs=8, cases=cases)
    far = check(found, len(cases))
    print(f"blocks of {block}: {len(found)} cases, at most {far} from a full computation")
    assert far["logprob"] <= ROUNDED and far["margin"] <= ROUNDED


# Rows as vLLM's runners give them


@cache
def logprobs(position: int) -> np.ndarray:
    """What a model holds of each token at a position, (VOCABULARY,), in nats."""
    raw = np.random.default_rng(position).normal(0, 3, VOCABULARY)
    return raw - np.log(np.exp(raw).sum())


@cache
def rank(position: int, token: int) -> int:
    return int((logprobs(position) >= logprobs(position)[token]).sum())


@cache
def listed(position: int, token: int, most: int, wrong: float = 0.0) -> tuple[list[int], list[float], int]:
    """Ids and values of a row, its own token first as in vLLM, and that token's rank."""
    top = np.argsort(-logprobs(position), kind="stable")[:most].tolist()
    ids = [token, *top]
    return ids, (logprobs(position)[ids] + wrong).tolist(), rank(position, token)


def table(positions: torch.Tensor) -> torch.Tensor:
    """Logits after each position, (positions, VOCABULARY): the row of a token is that of the one before it."""
    return torch.tensor(np.stack([logprobs(int(position) + 1) for position in positions]))


def scores(logits: torch.Tensor, most: int, ids: torch.Tensor, **_: bool):
    """What vLLM's Triton kernels compute (v1/worker/gpu/sample/logprob.py, compute_topk_scores)."""
    from vllm.v1.outputs import LogprobsTensors

    chosen = torch.cat([ids[:, None], torch.topk(logits, most).indices], dim=1)
    return LogprobsTensors(chosen, logits.gather(1, chosen), (logits >= logits.gather(1, ids[:, None])).sum(-1))


def second_runner(ids: list[int], hit: int, most: int, chunk: int, monkeypatch) -> object:
    """Rows of a prompt as vLLM's second runner makes them, its own class run with its two Triton kernels in torch."""
    from vllm import SamplingParams
    from vllm.v1.engine.logprobs import LogprobsProcessor
    from vllm.v1.worker.gpu.sample import prompt_logprob

    def following(num_tokens, query_start_loc, idx_mapping, num_computed, all_ids):
        wanted = torch.arange(num_tokens) + int(num_computed[0]) + 1
        return all_ids[0][wanted.clamp(max=len(ids) - 1)]

    monkeypatch.setattr(prompt_logprob, "compute_topk_scores", scores)
    monkeypatch.setattr(prompt_logprob, "get_prompt_logprobs_token_ids", following)
    parameters = SamplingParams(prompt_logprobs=most, flat_logprobs=True)
    worker = prompt_logprob.PromptLogprobsWorker(1, torch.device("cpu"))
    worker.add_request("one", 0, parameters)
    made = LogprobsProcessor.from_new_request(None, SimpleNamespace(sampling_params=parameters))
    for begin in range(hit, len(ids), chunk):
        size = min(chunk, len(ids) - begin)
        batch = SimpleNamespace(
            idx_mapping_np=np.array([0]), idx_mapping=torch.tensor([0]), req_ids=["one"], num_tokens=size,
            num_computed_prefill_tokens_np=np.array([begin]), prefill_len_np=np.array([len(ids)]),
            num_scheduled_tokens=np.array([size]), query_start_loc_np=np.array([0, size]),
            query_start_loc=torch.tensor([0, size]),
        )
        found = worker.compute_prompt_logprobs(
            table, torch.arange(begin, begin + size), batch, torch.tensor([ids]), torch.tensor([begin]),
            np.array([len(ids)]),
        )
        if "one" in found:
            made._update_prompt_logprobs(found["one"])
    return made.prompt_logprobs


class Emulated:
    """vLLM as Grading sees it: ``cached`` tokens of the text are in its prefix cache, by whole blocks.

    Rows are in vLLM's own containers, by the first runner's arithmetic (a row a token; what was cached holds old
    numbers of the same tokens) or by the second's; ``patched`` is pytest's monkeypatch.
    """

    patched: pytest.MonkeyPatch
    chunk = 50

    def __init__(self, prompt: Prompt, cached: int, block: int, runner: int):
        self.prompt, self.cached, self.block, self.runner = prompt, cached, block, runner
        self.num_requests = 0

    def answered(self) -> SimpleNamespace:
        """The answer's first step: the likeliest token, and the 20 likeliest."""
        position = len(self.prompt.ids)
        steps = self._rows([(position, int(np.argmax(logprobs(position))), 20, 0.0)])
        return SimpleNamespace(outputs=[SimpleNamespace(logprobs=steps)])

    def run(self, request) -> SimpleNamespace:
        ids, asked = request.ids.tolist(), request.parameters
        self.num_requests += 1
        hit = min(self.cached, len(ids) - 1) // self.block * self.block
        rows = None
        if asked.prompt_logprobs is not None:
            assert asked.skip_reading_prefix_cache is False
            rows = second_runner(ids, hit, asked.prompt_logprobs, self.chunk, self.patched) if self.runner == 2 else (
                self._rows([(i, ids[i], asked.prompt_logprobs, 5.0 * (i <= hit)) for i in range(1, len(ids))], empty=1)
            )
        step = None
        if asked.logprobs is not None:
            (token,) = asked.allowed_token_ids
            step = self._rows([(len(ids), token, asked.logprobs, 0.0)])
        return SimpleNamespace(
            prompt_token_ids=ids, num_cached_tokens=hit, prompt_logprobs=rows, outputs=[SimpleNamespace(logprobs=step)]
        )

    @staticmethod
    def _rows(wanted, empty=0):
        from vllm.logprobs import append_logprobs_for_next_position, create_prompt_logprobs, create_sample_logprobs

        made = create_prompt_logprobs(True) if empty else create_sample_logprobs(True)
        for position, token, most, wrong in wanted:
            ids, values, place = listed(position, token, most, wrong)
            append_logprobs_for_next_position(made, ids, values, [None] * len(ids), place, most)
        return made


def case(num_prompt: int, num_ids: int, start: int, rivals: bool) -> tuple[Prompt, Forced]:
    rng = np.random.default_rng(num_ids)
    ids = rng.integers(0, VOCABULARY, num_ids).astype(np.int32)
    places = ((start, int(ids[start] + 1) % VOCABULARY), (num_ids - 1, int(ids[-1] + 3) % VOCABULARY)) if rivals else ()
    forced = Forced(ids, start, places)
    return Prompt(np.arange(num_prompt, dtype=np.int32) % VOCABULARY, (), 200, "", forced=forced), forced


def weighed(engine: Emulated, forced: Forced):
    """The grade, each request answered in its turn."""
    grading = Grading(engine.prompt, forced, engine.answered(), 20)
    while request := grading.next():
        assert engine.num_requests < 200
        grading.take(engine.run(request))
    return grading.grade(0.0)


def expected(prompt: Prompt, forced: Forced) -> tuple[float, int, float | None]:
    start, ids = len(prompt.ids), forced.ids.tolist()
    places = range(forced.start, len(ids))
    margins = []
    for place, token in forced.rivals:
        values = logprobs(start + place)
        margins.append(values[ids[place]] - max(values[token], np.sort(values)[-20]))
    total = sum(logprobs(start + place)[ids[place]] for place in places)
    return total, max(rank(start + place, ids[place]) for place in places), min(margins, default=None)


@pytest.fixture(autouse=True)
def patched(monkeypatch):
    Emulated.patched = monkeypatch


@pytest.mark.parametrize("runner", [1, 2])
@pytest.mark.parametrize(("num_ids", "start"), [(1, 0), (7, 0), (13, 6), (40, 0), (46, 6), (100, 0)])
def test_a_grade_is_the_same_wherever_the_cache_ends(runner, num_ids, start):
    """Every hit a block can make, up to all of the forced answer but its last token."""
    num_cases = 0
    for block, residue, rivals in product((1, 16, 32, 128), (0, 7), (False, True)):
        prompt, forced = case(128 + residue, num_ids, start, rivals)
        total, worst, margin = expected(prompt, forced)
        hits = {hit // block * block for hit in range(len(prompt.ids) - 20, len(prompt.ids) + num_ids)}
        for cached in sorted(hits if block > 1 else {len(prompt.ids) - 1, len(prompt.ids), max(hits)}):
            engine = Emulated(prompt, cached, block, runner)
            engine.chunk = 2 + cached % 60
            grade = weighed(engine, forced)
            assert grade.logprob == pytest.approx(total, abs=1e-9) and grade.worst_rank == worst
            assert grade.margin == (None if margin is None else pytest.approx(margin, abs=1e-9))
            assert grade.num_tokens == num_ids - start
            assert engine.num_requests <= 3 + num_ids // block
            num_cases += 1
    assert num_cases > 20


def test_a_prompt_that_ends_on_a_block_costs_one_request():
    prompt, forced = case(128, 7, 0, True)
    engine = Emulated(prompt, 128, 16, 2)
    weighed(engine, forced)
    assert engine.num_requests == 1  # the first place is that of the answer's own first step


def test_margins_beyond_a_million_tokens(monkeypatch):
    monkeypatch.setattr("niah.engines.vllm.grading._TOP_UP_TO", 100)
    prompt, forced = case(130, 7, 0, True)
    for runner in (1, 2):
        engine = Emulated(prompt, 130, 16, runner)
        assert weighed(engine, forced).margin == pytest.approx(expected(prompt, forced)[2])
        assert engine.num_requests == 2  # the first rival's place is in the answer, the second's in one more


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt_logprobs": [None]}, None),  # nothing but what the next requests give
        ({"prompt_logprobs": [None] * 300}, "300 rows of log-probabilities for 135 tokens, 112 of them cached"),
        ({"prompt_logprobs": [None] * 34}, "34 rows of log-probabilities for 135 tokens, 112 of them cached"),
        ({"num_cached_tokens": None}, "135 rows of log-probabilities for 135 tokens, None of them cached"),
        ({"num_cached_tokens": -1}, "135 rows of log-probabilities for 135 tokens, -1 of them cached"),
    ],
)
def test_rows_that_cannot_be_told_apart_are_refused(change, message):
    prompt, forced = case(128, 7, 0, True)
    grading = Grading(prompt, forced, Emulated(prompt, 0, 16, 1).answered(), 20)
    output = SimpleNamespace(**{**vars(Emulated(prompt, 112, 16, 1).run(grading.next())), **change})
    if message is None:
        grading.take(output)
        assert grading.next() is not None
        return
    with pytest.raises(NiahError, match=re.escape(message)):
        grading.take(output)


@pytest.mark.parametrize("runner", [1, 2])
def test_a_rival_below_the_likeliest_is_taken_at_the_last_of_them(runner):
    """Also where the right token is below them itself: it is listed too, and is not the last of the likeliest."""
    seen = set()
    for num_prompt in range(128, 168):
        prompt, forced = case(num_prompt, 7, 0, True)
        assert weighed(Emulated(prompt, 0, 16, runner), forced).margin == pytest.approx(expected(prompt, forced)[2])
        seen.add(rank(num_prompt, int(forced.ids[0])) > 20)
    assert seen == {False, True}


def test_a_place_that_no_request_gives_is_named():
    prompt, forced = case(128, 7, 0, True)
    engine = Emulated(prompt, 128, 16, 2)
    grading = Grading(prompt, forced, engine.answered(), 20)
    with pytest.raises(NiahError, match="vLLM gave no log-probability of token 7 of the right answer"):
        while request := grading.next():
            nothing = SimpleNamespace(logprobs=[{}])
            grading.take(SimpleNamespace(prompt_token_ids=request.ids, num_cached_tokens=0, prompt_logprobs=None,
                                         outputs=[nothing]))

"""vLLM's own scheduler and prefix cache without a model: which part of each prompt it would find in the cache.

    python -m tests.helpers.scheduling ARCHITECTURE [PROMPTS.json] NUM_AT_ONCE:ROOM ...

Prompts are those of a ladder in running order, or the lists of ids of a file, admitted as ``VLLMSession`` does, and the
cache has room for so many of the longest. Prints one JSON list a case: [cached tokens of each prompt, most prompts in a
step, preemptions].
"""

import json
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from niah.engines.vllm import exact
from niah.grid import Ladder, in_running_order, trials
from tests.helpers.machines import raw

ANSWER_TOKENS, LENGTHS, BATCH, BLOCK = 24, (4096, 8192), 2048, 16
STEPS_AT_ONCE = 2
"""As on GPUs: a step is scheduled before the one before it has come back."""


def prompts(num_repeats: int = 2) -> list[tuple[int, list[int]]]:
    """Trial and ids: text of the repeat with a needle of 16 tokens at its depth, a question at the end."""
    ladder = Ladder(lengths=list(LENGTHS), depths=[0, 25, 50, 75, 100], repeats=num_repeats)
    made = []
    for trial in in_running_order(trials(ladder)):
        text = np.random.default_rng(trial.repeat).integers(10, 30_000, max(LENGTHS))
        own = np.random.default_rng(1000 + trial.index)
        room = trial.length - ANSWER_TOKENS - 16 - 32
        place = round(trial.depth / 100 * room)
        needle, question = own.integers(10, 30_000, 16), own.integers(10, 30_000, 32)
        made.append((trial.index, [*text[:place], *needle, *text[place:room], *question]))
    return [(index, [int(token) for token in ids]) for index, ids in made]


def config_of(folder: Path, num_at_once: int, longest: int = max(LENGTHS)) -> Any:
    from vllm.platforms import current_platform

    question = exact.Question(longest, "bfloat16", 1, BLOCK, BATCH, 0)
    config, _ = exact.network(folder, question)
    current_platform.update_block_size_for_backend(config)
    config.scheduler_config.max_num_seqs = num_at_once
    config.scheduler_config.async_scheduling = True
    config.cache_config.prefix_cache_retention_interval = None
    config.cache_config.kv_cache_layout = "LBNHC"
    return config


def scheduler_of(config: Any, room: float) -> tuple[Any, Any]:
    """A scheduler whose cache holds ``room`` of the longest prompts, and the function that hashes a prompt's blocks."""
    from vllm.utils.hashing import get_hash_fn_by_name
    from vllm.v1.core import kv_cache_utils
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler
    from vllm.v1.structured_output import StructuredOutputManager

    specs = exact.cache_specs(config)
    large = kv_cache_utils.get_kv_cache_configs(config, [dict(specs)], [2**36])
    cache = kv_cache_utils.generate_scheduler_kv_cache_config(large)
    _, concurrency = kv_cache_utils.get_kv_cache_capacity(config, cache)
    made = kv_cache_utils.get_kv_cache_configs(config, [dict(specs)], [int(2**36 * room / concurrency)])
    cache = kv_cache_utils.generate_scheduler_kv_cache_config(made)
    config.cache_config.num_gpu_blocks = cache.num_blocks
    block, hashed = kv_cache_utils.resolve_kv_cache_block_sizes(cache, config)
    function = get_hash_fn_by_name(config.cache_config.prefix_caching_hash_algo)
    kv_cache_utils.init_none_hash(function)
    scheduler = AsyncScheduler(
        vllm_config=config, kv_cache_config=cache, structured_output_manager=StructuredOutputManager(config),
        block_size=block, hash_block_size=hashed, log_stats=True,
    )
    return scheduler, kv_cache_utils.get_request_block_hasher(hashed, function)


def run(
    config: Any, num_at_once: int, room: float, asked: list[tuple[int, list[int]]]
) -> tuple[dict[int, int], int, int]:
    """Cached tokens of each prompt, the most prompts of one step, and how often one was thrown out."""
    from vllm import SamplingParams
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request

    scheduler, hasher = scheduler_of(config, room)
    waiting, running, cached = iter(asked), {}, {}
    preempted, most = 0, 0
    in_flight: deque[Any] = deque()
    parameters = SamplingParams(temperature=0.0, max_tokens=ANSWER_TOKENS, ignore_eos=True)
    while True:
        while len(running) < num_at_once and (one := next(waiting, None)) is not None:
            request = Request(str(one[0]), one[1], parameters, None, block_hasher=hasher)
            running[request.request_id] = request
            scheduler.add_request(request)
        if not running and not in_flight:
            return cached, most, preempted
        step = scheduler.schedule()
        preempted += len(step.preempted_req_ids or ())
        for new in step.scheduled_new_reqs:
            cached.setdefault(int(new.req_id), new.num_computed_tokens)
        most = max(most, len(step.num_scheduled_tokens))
        if step.total_num_scheduled_tokens:
            in_flight.append(step)
            if len(in_flight) < STEPS_AT_ONCE:
                continue
        if not in_flight:
            raise RuntimeError("the scheduler has requests and schedules none")
        step = in_flight.popleft()
        names = list(step.num_scheduled_tokens)
        answered = answering(step, running)
        tokens = [[7] if name in answered else [] for name in names]
        output = ModelRunnerOutput(names, {name: number for number, name in enumerate(names)}, tokens)
        scheduler.update_from_output(step, output)
        for name in [name for name, request in running.items() if request.is_finished()]:
            del running[name]


def answering(step: Any, running: dict[str, Any]) -> set[str]:
    """Requests whose prompt is read to its end by this step."""
    starts = {new.req_id: new.num_computed_tokens for new in step.scheduled_new_reqs}
    starts |= dict(zip(step.scheduled_cached_reqs.req_ids, step.scheduled_cached_reqs.num_computed_tokens, strict=True))
    return {
        name for name, number in step.num_scheduled_tokens.items()
        if starts[name] + number >= running[name].num_prompt_tokens
    }


def main(name: str, cases: list[tuple[int, float]], asked: list[tuple[int, list[int]]]) -> None:
    longest = max(len(ids) for _, ids in asked) + ANSWER_TOKENS
    exact.stand_in_for_torchvision()
    with tempfile.TemporaryDirectory() as place:
        own = {key: value for key, value in raw(name).items() if key != "niah"}
        (Path(place) / "config.json").write_text(json.dumps(own))
        for architecture in own.get("architectures", ()):
            exact.register(architecture)
        for number, room in cases:
            config = config_of(Path(place), number, longest)
            cached, most, preempted = run(config, number, room, asked)
            print(json.dumps([[cached[index] for index in sorted(cached)], most, preempted]), flush=True)


if __name__ == "__main__":
    files = [word for word in sys.argv[2:] if word.endswith(".json")]
    pairs = [word.split(":") for word in sys.argv[2:] if word not in files]
    given = [*enumerate(json.loads(Path(files[0]).read_text()))] if files else prompts()
    main(sys.argv[1], [(int(number), float(room)) for number, room in pairs], given)

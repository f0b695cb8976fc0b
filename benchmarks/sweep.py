"""The default sweep against a plain vLLM loop over the same 44 prompts, side by side.

    python benchmarks/sweep.py [overrides]      about 8 minutes on two cores

Runs, one after the other: this project; a hand-written ``LLM.generate`` loop with the same engine
arguments (those that vLLM's own log shows) and order; the same prompts in grid order given to one
``generate`` call of vLLM as it comes. Prints seconds and ratios, and whether the first two gave the
same answers.
"""

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

PLAIN = """
import json, sys, time
def main():
    job = json.load(open(sys.argv[1]))
    from vllm import LLM, SamplingParams, TokensPrompt
    started = time.perf_counter()
    llm = LLM(**job["arguments"])
    ready = time.perf_counter()
    parameters = SamplingParams(
        temperature=0, max_tokens=job["max_tokens"], stop_token_ids=job["stop"], detokenize=False,
    )
    prompts = [TokensPrompt(prompt_token_ids=ids) for ids in job["prompts"]]
    if job["at_once"]:
        outputs = llm.generate(prompts, parameters, use_tqdm=False)
    else:
        outputs = [llm.generate([prompt], parameters, use_tqdm=False)[0] for prompt in prompts]
    done = time.perf_counter()
    json.dump({"start": ready - started, "trials": done - ready,
               "cached": sum(o.num_cached_tokens or 0 for o in outputs),
               "ids": [list(o.outputs[0].token_ids) for o in outputs]}, open(sys.argv[2], "w"))
if __name__ == "__main__":
    main()
"""


def main(overrides: list[str]) -> None:
    from omegaconf import DictConfig

    from niah import grid
    from niah.commands import hydra
    from niah.config import build
    from niah.engines.vllm import process
    from niah.prompts.recipe import Recipe

    recipes: list[Recipe] = []

    def keep(config: DictConfig) -> int:
        recipes.append(Recipe(build(config)))
        return 0

    hydra.run(hydra.adapted(overrides), keep)
    recipe = recipes[0]
    ordered = grid.in_running_order(recipe.trials)
    prompts = {trial.index: recipe.build(trial).prompt.ids.tolist() for trial in ordered}
    extra = process.environment()

    with tempfile.TemporaryDirectory() as folder:
        ours, our_wall, our_rows = run_niah(overrides, Path(folder))
        arguments = {
            "model": recipe.files.engine_path, "dtype": recipe.run.model.dtype, "kv_cache_dtype": recipe.run.kv.dtype,
            "max_model_len": max(recipe.run.ctx.lengths), "enable_prefix_caching": True,
        }
        if "float32" in arguments.values():  # vLLM has no such name: auto is the model's
            arguments["kv_cache_dtype"] = "auto"
        same = {**shown(Path(folder) / "niah" / "engine.log"), "disable_log_stats": False}
        # at vLLM's own 0.92 it refuses a machine as small as those without a GPU
        modest = {**arguments, **({"gpu_memory_utilization": 0.5} if process.is_cpu_build() else {})}
        stop = list(recipe.tokenizer.stop_ids)
        job = {"max_tokens": recipe.run.task.answer_tokens, "stop": stop}
        in_order = {"at_once": False, "prompts": [prompts[trial.index] for trial in ordered]}
        as_given = {"at_once": True, "prompts": [prompts[trial.index] for trial in recipe.trials]}
        plain = run_plain({**job, "arguments": same, **in_order}, extra, Path(folder))
        default = run_plain({**job, "arguments": modest, **as_given}, {}, Path(folder))

    answers = [recipe.tokenizer.decode([i for i in ids if i not in stop]) for ids in plain["ids"]]
    equal = sum(a == row["response"] for a, row in zip(answers, our_rows, strict=True))
    print(f"{len(ordered)} trials, {sum(map(len, prompts.values())):,} prompt tokens")
    print(f"{'':34}{'engine start':>13}{'trials':>9}{'in all':>9}{'cached':>10}")
    ours_cached = sum(row["num_cached_tokens"] for row in our_rows)
    our_start, our_trials = ours["engine"]["start_seconds"], ours["sessions"][-1]["trials_seconds"][recipe.run.kv.name]
    for name, start, trials, wall, cached in (
        ("niah", our_start, our_trials, our_wall, ours_cached),
        ("plain loop, same arguments", plain["start"], plain["trials"], plain["wall"], plain["cached"]),
        ("vLLM defaults, one generate call", default["start"], default["trials"], default["wall"], default["cached"]),
    ):
        print(f"{name:34}{start:>11.1f} s{trials:>7.1f} s{wall:>7.1f} s{cached:>10,}")
    to_plain, to_default = our_trials / plain["trials"], our_trials / default["trials"]
    print(f"trials: niah / plain loop = {to_plain:.3f}; niah / vLLM defaults = {to_default:.3f}")
    print(f"engine start: niah / vLLM defaults = {our_start / default['start']:.3f}")
    to_plain, to_default = our_wall / plain["wall"], our_wall / default["wall"]
    print(f"in all: niah / plain loop = {to_plain:.3f}; niah / vLLM defaults = {to_default:.3f}")
    print(f"same answers as the plain loop: {equal} of {len(ordered)}")


def run_niah(overrides: list[str], folder: Path) -> tuple[dict[str, Any], float, list[dict[str, Any]]]:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "niah", *overrides, f"outputs={folder}", "name=niah"], check=True, cwd=REPOSITORY,
        stdout=subprocess.DEVNULL, env=clean(),
    )
    wall = time.perf_counter() - started
    run = json.loads((folder / "niah" / "run.json").read_text())
    rows = [json.loads(line) for line in (folder / "niah" / "rows.jsonl").read_text().splitlines()]
    print({"trials": run["sessions"][-1]["trials_seconds"], "wall": round(wall, 1)}, file=sys.stderr)
    return run, wall, rows


def shown(log: Path) -> dict[str, Any]:
    """The engine arguments that vLLM's log says it was given, without niah's own extension of its workers."""
    found = re.search(r"non-default args: (\{.*\})", log.read_text())
    if not found:
        sys.exit(f"sweep: {log}: vLLM shows no arguments")
    arguments: dict[str, Any] = ast.literal_eval(found[1])
    return {name: value for name, value in arguments.items() if name != "worker_extension_cls"}


def run_plain(job: dict[str, Any], extra: dict[str, str], folder: Path) -> dict[str, Any]:
    (folder / "plain.py").write_text(PLAIN)
    (folder / "job.json").write_text(json.dumps(job))
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, folder / "plain.py", folder / "job.json", folder / "out.json"],
        capture_output=True, text=True, env={**clean(), "VLLM_NO_USAGE_STATS": "1", **extra},
    )
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    result = {**json.loads((folder / "out.json").read_text()), "wall": time.perf_counter() - started}
    print({name: round(result[name], 1) for name in ("start", "trials", "wall")}, file=sys.stderr)
    return result


def clean() -> dict[str, str]:
    """The environment without what a run of niah or vLLM left in it."""
    left = ("NIAH_RE", "VLLM_", "LD_PRELOAD", "HYDRA")
    return {name: value for name, value in os.environ.items() if not name.startswith(left)}


if __name__ == "__main__":
    main(sys.argv[1:])

"""The same trials in process and on servers: vLLM's, llama.cpp's with three KV types. docs/servers.md holds the table.

    python benchmarks/servers.py [ENGINE ...]     all, or some of here vllm f16 q8_0 q4_0; then the table of those done

SmolLM2 from 1K to 4K, one of four keys asked for (task=multikey), so that a cache that loses detail shows. llama.cpp
reads the GGUF file as it is (Q4_1), vLLM the same weights in bfloat16. Runs are in outputs/servers and continue where
they stopped.
"""

import json
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from niah.records import Row
from niah.runs import store
from niah.stats.cells import by_length, overall
from niah.units import format_length
from tests.helpers import servers

GRID = ("task=multikey", "ctx.lengths=[1k,2k,4k]", "ctx.depths=[0,25,50,75,100]", "outputs=outputs/servers")
ENGINES = {
    "here": ("vLLM in process, bf16 KV", None, "bf16"),
    "vllm": ("vLLM server, bf16 KV", lambda log: servers.vllm(log, 4096, port=18471), "bf16"),
    "f16": ("llama.cpp server, f16 KV", lambda log: servers.llamacpp(log, 4096, "f16", port=18472), "f16"),
    "q8_0": ("llama.cpp server, q8_0 KV", lambda log: servers.llamacpp(log, 4096, "q8_0", port=18473), "q8_0"),
    "q4_0": ("llama.cpp server, q4_0 KV", lambda log: servers.llamacpp(log, 4096, "q4_0", port=18474), "q4_0"),
}
OUTPUTS = Path("outputs/servers")


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopped from outside, it stops its server too
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    for key in sys.argv[1:] or ENGINES:
        _, server, kv = ENGINES[key]
        with server(OUTPUTS / f"{key}.log") if server else nullcontext() as url:
            engine = ("engine=openai", f"engine.base_url={url}") if url else ("engine.graded=false",)
            words = (f"kv={kv}", f"name={key}", *engine)
            started = time.time()
            subprocess.run([sys.executable, "-m", "niah", *GRID, *words], check=True)
            print(f"{key}: {time.time() - started:.0f} s")
    done = [key for key in ENGINES if (OUTPUTS / key / "run.json").is_file()]
    print("\n".join(table(done)))


def table(engines: list[str]) -> list[str]:
    """Accuracy by length, what was read, cached and waited for; then how many answers are those of the first engine."""
    lines: list[str] = []
    first: dict[int, Row] = {}
    for key in engines:
        _, record, rows = store.open_for_reading(str(OUTPUTS / key))
        cells = by_length(rows)
        if not lines:
            lengths = " | ".join(format_length(cell.length) for cell in cells)
            lines += [
                f"| engine | {lengths} | all | prompt tokens, ours / counted | from the cache | first token at 4K, s "
                "| same answers |",
                "|---|" + "---:|" * (len(cells) + 5),
            ]
            first = {row.trial: row for row in rows}
        values = " | ".join(f"{cell.mean:.2f}" for cell in [*cells, overall(rows)])
        read, cached = sum(row.num_prompt_tokens for row in rows), sum(row.num_cached_tokens or 0 for row in rows)
        sent = sum(row.length - record.scope.answer_tokens for row in rows)
        cold = [row.first_token_seconds for row in rows if row.length == 4096 and row.first_token_seconds]
        same = sum(
            (row.answer, row.prompt_sha256) == (first[row.trial].answer, first[row.trial].prompt_sha256) for row in rows
        )
        lines.append(
            f"| {ENGINES[key][0]} | {values} | {sent:,} / {read:,} | {cached / read:.0%} "
            f"| {sorted(cold)[len(cold) // 2]:.2f} | {same} of {len(rows)} |"
        )
        assert {row.prompt_sha256 for row in rows} == {row.prompt_sha256 for row in first.values()}, json.dumps(key)
    return lines


if __name__ == "__main__":
    main()

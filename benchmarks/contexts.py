"""Contexts of 10,485,760 tokens, side by side with needlehaystack 2.0 and a plain loop; first tokenisation; ordering.

    python benchmarks/contexts.py       about 3 minutes on two cores

All legs use Llama 4's tokenizer and Paul Graham's essays, over and over (the peer has no other text of that
length), each in a process of its own. The peer is measured where its package can be imported:

    pip install --no-deps --ignore-requires-python needlehaystack==2.0.0
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from niah.prompts.recipe import Recipe

REPOSITORY = Path(__file__).resolve().parent.parent
LENGTH = 10 * 2**20
DEPTHS = [0, 25, 50, 75, 100]

COMMON = """
import json, re, statistics, sys, time
def peak():  # of this program alone: ru_maxrss would count the process that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
LENGTH, DEPTHS = json.loads(sys.argv[1])
NEEDLE = "The special magic number for Lisbon is 4827163."
def report(label, start, once, cells, extra=""):
    print(json.dumps({"label": label, "once": once, "first": cells[0], "median": statistics.median(cells),
                      "start_mib": start, "peak_mib": peak(), "note": extra}))
"""
OURS = COMMON + """
from niah.prompts.recipe import Recipe
from niah.config import build
from niah.choices import conf_folder
from hydra import compose, initialize_config_dir
source = sys.argv[2]
with initialize_config_dir(str(conf_folder()), version_base="1.3"):
    run = build(compose("config", overrides=[
        "model=scout", f"haystack={source}", f"++ctx.lengths=[{LENGTH}]", f"++ctx.depths={DEPTHS}",
    ]))
recipe = Recipe(run)
recipe.tokenizer.encode("warm")
start = peak()
begun = time.perf_counter()
recipe.corpus, recipe.of_repeat(0)
once = time.perf_counter() - begun
cells, share = [], 0
for trial in recipe.trials:
    begun = time.perf_counter()
    built = recipe.build(trial)
    cells.append(time.perf_counter() - begun)
    assert len(built.prompt.ids) == LENGTH - 32 and len(built.prompt.sha256) == 64
    share = built.stretch.repeated_share
    del built
report(f"niah, haystack={source}", start, once, cells, f"exact length, hash, chat template; {share:.0%} repeated")
"""
PEER = COMMON + """
import tiktoken
from niah.tokens.tiktokens import llama4_tokenizer
own = llama4_tokenizer()._encoding
tiktoken.get_encoding = lambda name: own  # the same tokenizer for all
from needlehaystack.core import tokens
from needlehaystack.haystacks.files import FilesHaystack
from needlehaystack.inserters.single_depth import SingleDepthInserter
tokens.encode("warm")
start = peak()
begun = time.perf_counter()
context = tokens.encode(FilesHaystack().load(LENGTH))[:LENGTH]
once = time.perf_counter() - begun
cells = []
for depth in DEPTHS:
    begun = time.perf_counter()
    made = SingleDepthInserter().insert(context, [NEEDLE], float(depth))
    text = tokens.decode(made.new_tokens)
    cells.append(time.perf_counter() - begun)
report("needlehaystack 2.0", start, once, cells, "about the length, sent as text; 98% repeated")
"""
PLAIN = COMMON + """
from niah.haystacks.essays import Essays
from niah.tokens.tiktokens import llama4_tokenizer
encoding = llama4_tokenizer()._encoding
encoding.encode_ordinary("warm")
start = peak()
begun = time.perf_counter()
(essay,) = Essays().documents(print)
text = essay * 20
once = time.perf_counter() - begun
cells = []
for depth in DEPTHS:
    begun = time.perf_counter()
    parts = [text[n:n + 300_000] for n in range(0, len(text), 300_000)]
    ids = [i for part in encoding.encode_ordinary_batch(parts) for i in part][:LENGTH]
    place = int(len(ids) * depth / 100)
    made = encoding.decode(ids[:place] + encoding.encode_ordinary(NEEDLE) + ids[place:])
    cells.append(time.perf_counter() - begun)
report("tokenise, insert, decode", start, once, cells, "about the length, sent as text")
"""


def main() -> None:
    sys.path.insert(0, str(REPOSITORY))
    print("one context of 10,485,760 tokens, Llama 4's tokenizer")
    print(f"{'':32} {'once':>8} {'first':>8} {'median':>8} {'memory over start':>18}")
    prepare()
    legs = [
        leg(OURS, "essays"), leg(OURS, "generated"), leg(OURS, "code"), leg(PLAIN), leg(PEER),
    ]
    base = next(made["median"] for made in legs if made and made["label"].startswith("niah"))
    for made in legs:
        if made is None:
            print("needlehaystack 2.0: not installed here, see the top of this file")
            continue
        print(
            f"{made['label']:32} {made['once']:6.2f} s {1000 * made['first']:5.0f} ms {1000 * made['median']:5.0f} ms "
            f"{made['peak_mib'] - made['start_mib']:10.0f} MiB      x{made['median'] / base:.1f}  {made['note']}"
        )
    growth()
    throughput()
    ordering()


def leg(program: str, *words: str) -> dict[str, Any] | None:
    """What the program prints, None where the peer is not installed."""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps([LENGTH, DEPTHS]), *words], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])},
    )
    if done.returncode:
        if "No module named 'needlehaystack'" in done.stderr:
            return None
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def recipe_of(*words: str) -> "Recipe":
    from hydra import compose, initialize_config_dir

    from niah.choices import conf_folder
    from niah.config import build
    from niah.prompts.recipe import Recipe

    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return Recipe(build(compose("config", overrides=["model=scout", *words])))


def prepare() -> None:
    """Tokenises the sources once, so that the legs find them in the cache."""
    for source in ("essays", "generated", "code"):
        _ = recipe_of(f"haystack={source}", f"++ctx.lengths=[{LENGTH}]").corpus


def growth() -> None:
    """Milliseconds a context by its length: memory traffic, nothing that grows faster."""
    lengths = [2**16, 2**18, 2**20, 2**22, LENGTH]
    recipe = recipe_of("haystack=generated", f"++ctx.lengths={lengths}", "++ctx.depths=[10,30,50,70,90]")
    seconds: dict[int, list[float]] = {}
    for trial in [*recipe.trials, *recipe.trials]:
        begun = time.perf_counter()
        recipe.build(trial)
        seconds.setdefault(trial.length, []).append(time.perf_counter() - begun)
    shown = [f"{length:,}: {1000 * sorted(found)[len(found) // 2]:.1f} ms" for length, found in seconds.items()]
    print(f"\nby length (up to 65,536 tokenised again as a whole to verify them): {', '.join(shown)}")


def throughput() -> None:
    """The first tokenisation of 45 MB of text, hashing and writing included, against the tokenizer library alone."""
    from dataclasses import dataclass, field
    from itertools import islice

    from niah.haystacks import Skip, corpus
    from niah.haystacks.wikipedia import Wikipedia
    from niah.tokens.tiktokens import TiktokenTokenizer
    from niah.tokens.tokenizer import HuggingFaceTokenizer
    from tests.helpers.tokenizers import load_tokenizer  # real tokenizers by name

    documents = list(Wikipedia().documents(print))
    chunks = list(corpus.chunks(documents, "\n\n"))
    num_bytes = sum(len(chunk.encode()) for chunk in chunks)

    @dataclass(frozen=True, kw_only=True)
    class Held(Wikipedia):
        texts: list[str] = field(default_factory=list, repr=False)

        def documents(self, skip: Skip) -> Iterator[str]:
            return iter(self.texts)

    print(f"\nfirst tokenisation of {num_bytes / 1e6:.0f} MB (wikipedia, in memory), MB/s")
    for name in ("llama4", "qwen3_5", "smollm2"):
        tokenizer = load_tokenizer(name)
        part = chunks if name != "smollm2" else list(islice(chunks, len(chunks) // 4))
        held = Held(texts=documents if name != "smollm2" else documents[: len(documents) // 4])
        theirs, ours = [], []
        for _ in range(3):
            begun = time.perf_counter()
            if isinstance(tokenizer, TiktokenTokenizer):
                tokenizer._encoding.encode_ordinary_batch(part, num_threads=os.cpu_count() or 1)
            else:
                assert isinstance(tokenizer, HuggingFaceTokenizer)
                tokenizer._plain.encode_batch_fast(part, add_special_tokens=False)
            theirs.append(time.perf_counter() - begun)
            with tempfile.TemporaryDirectory() as folder:
                os.environ["NIAH_CACHE"] = folder
                begun = time.perf_counter()
                corpus.load(held, tokenizer)
                ours.append(time.perf_counter() - begun)
                del os.environ["NIAH_CACHE"]
        size = sum(len(chunk.encode()) for chunk in part) / 1e6
        print(
            f"  {name:8} library, all threads {size / min(theirs):6.1f}   niah {size / min(ours):6.1f}   "
            f"ratio {min(theirs) / min(ours):.2f}"
        )


def ordering() -> None:
    """Seconds to list and to order a large grid."""
    from niah import grid

    ladder = grid.Ladder(lengths=[2**n for n in range(13, 23)], depths=[float(d) for d in range(0, 100, 4)], repeats=40)
    begun = time.perf_counter()
    ordered = grid.in_running_order(grid.trials(ladder))
    grid.expected_work(ordered, 32, True)
    print(f"\nordering {len(ordered):,} trials: {time.perf_counter() - begun:.3f} s")


if __name__ == "__main__":
    main()

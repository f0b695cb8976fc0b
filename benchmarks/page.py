"""The page over 10,000 and 100,000 trials: its size, the seconds to write it, and what a browser takes to show it.

    python benchmarks/page.py [trials ...]      a minute or two on two cores; needs Chromium and playwright

Rows and excerpts are those of a run of engine=fake, again and again, each with answers and texts of its own. First
picture: from opening the file to the drawn heatmap; all: until trials can be clicked; a cell: from a click to the text
of one of its trials.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
GRID = ("ctx.lengths=[1k,2k,4k,8k]", "ctx.depths=[0,10,20,30,40,50,60,70,80,100]", "ctx.repeats=1")
SETTINGS = ("model=smollm2_135m", "engine=fake", "engine.window=3000", "task=multikey", "name=one")


def main(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        niah("run", *SETTINGS, *GRID, f"outputs={folder}", cwd=folder)
        print(f"{'trials':>8}{'rows':>10}{'page':>10}{'report':>10}{'picture':>10}{'all':>8}{'a cell':>8}{'memory':>9}")
        for num in sizes:
            run = grown(folder / "one", folder / f"of{num}", num)
            begun = time.perf_counter()
            niah("report", str(run), "report.formats=[svg]", cwd=folder)
            seconds = time.perf_counter() - begun
            page = run / "report.html"
            picture, everything, cell, memory = looked_at(page)
            print(
                f"{num:>8,}{(run / 'rows.jsonl').stat().st_size / 1e6:>7.1f} MB{page.stat().st_size / 1e6:>7.1f} MB"
                f"{seconds:>8.1f} s{picture:>8.2f} s{everything:>6.2f} s{cell:>6.2f} s{memory:>6.0f} MB"
            )


def niah(*words: str, cwd: Path) -> None:
    subprocess.run([sys.executable, "-m", "niah", *words], cwd=cwd, env=environment(), check=True, capture_output=True)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "NIAH_RESTARTED": "1"}


def grown(one: Path, run: Path, num: int) -> Path:
    """A run of so many trials, each with its own numbers, answer and text."""
    shutil.copytree(one, run)
    rng, rows = random.Random(0), [json.loads(line) for line in (one / "rows.jsonl").read_text().splitlines()]
    texts = {json.loads(line)["prompt_sha256"]: json.loads(line) for line in (one / "excerpts.jsonl").open()}
    with (run / "rows.jsonl").open("w") as to_rows, (run / "excerpts.jsonl").open("w") as to_texts:
        for trial in range(num):
            row = dict(rows[trial % len(rows)])
            text, sha256, code = dict(texts[row["prompt_sha256"]]), f"{rng.getrandbits(256):064x}", rng.randrange(10**7)
            row |= {"trial": trial, "repeat": trial // len(rows), "prompt_sha256": sha256, "seconds": rng.random()}
            row |= {"response": f"The number is {code}.", "targets": [str(code)], "logprob": -rng.random()}
            before, needle, after = text["needles"][0]
            words = before.split(" ")
            rng.shuffle(words)  # texts of repeats differ
            text |= {"prompt_sha256": sha256, "needles": [[" ".join(words), needle, after], *text["needles"][1:]]}
            to_rows.write(json.dumps(row) + "\n")
            to_texts.write(json.dumps(text, separators=(",", ":")) + "\n")
    record = json.loads((run / "run.json").read_text())
    record["plan"]["num_trials"] = num
    (run / "run.json").write_text(json.dumps(record))
    return run


def looked_at(page: Path) -> tuple[float, float, float, float]:
    """Seconds to the first picture, to all of it, from a click on a cell to its trial; megabytes of the tab's heap."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        path = next(filter(None, map(shutil.which, NAMES)))
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = browser.new_page()
        begun = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="commit")
        wait(tab, "document.documentElement.dataset.drawn !== undefined")
        picture = time.perf_counter() - begun
        wait(tab, "document.documentElement.dataset.ready === 'yes'")
        everything = time.perf_counter() - begun
        begun = time.perf_counter()
        tab.click('rect.cell[data-place="4096|50"]')
        wait(tab, "document.querySelector('mark') !== null")
        cell = time.perf_counter() - begun
        memory = tab.evaluate("performance.memory.usedJSHeapSize") / 1e6
        browser.close()
    return picture, everything, cell, memory


def wait(tab, expression: str) -> None:
    begun = time.perf_counter()
    while not tab.evaluate(expression):
        if time.perf_counter() - begun > 60:
            raise SystemExit(f"not within a minute: {expression}")
        time.sleep(0.01)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [10_000, 100_000])

"""``build``: the exact contexts as files, equal to what a run would send."""

import json
import signal
import subprocess
import time

import numpy as np
import pytest

from niah.commands import build
from niah.errors import NiahError
from niah.prompts import template
from niah.prompts.recipe import Recipe
from tests.helpers.command import command, environment_with
from tests.helpers.configs import built as configured
from tests.helpers.tokenizers import load_tokenizer

SETTINGS = ("model=smollm2_135m", "haystack=essays", "ctx.lengths=[1k,2k]", "ctx.depths=[0,50]")


def written(folder, *words, formats=("ids", "text", "jsonl")):
    recipe = Recipe(configured(*SETTINGS, *words))
    return recipe, list(build.write(recipe, str(folder), formats))


def test_files_hold_what_a_run_would_send(tmp_path):
    recipe, lines = written(tmp_path / "out", "task=multikey")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    tokenizer = load_tokenizer("smollm2")
    rows = [json.loads(line) for line in (tmp_path / "out" / "prompts.jsonl").read_text().splitlines()]
    assert len(manifest["contexts"]) == len(rows) == 4 and "4 contexts" in lines[-1]
    for entry, trial, row in zip(manifest["contexts"], recipe.trials, rows, strict=True):
        ids = np.load(tmp_path / "out" / entry["ids"])
        assert ids.dtype == np.int32 and len(ids) == entry["length"] - entry["max_tokens"] == entry["num_prompt_tokens"]
        assert template.digest(ids) == entry["sha256"] == recipe.build(trial).prompt.sha256
        text = (tmp_path / "out" / entry["text"]).read_text()
        assert text == tokenizer.decode(ids) == row["prompt"]
        for needle, (start, stop) in zip(entry["needles"], entry["needle_spans"], strict=True):
            assert needle in tokenizer.decode(ids[start:stop])
        (message,) = row["messages"]
        assert message["role"] == "user" and message["content"] in text and entry["question"] in message["content"]
    assert manifest["sources"]["haystack_sha256"] and manifest["sources"]["tokenizer_sha256"]


def test_no_engine_and_no_weights_are_needed(niah, tmp_path):
    done = niah("build", "model=scout", "haystack=noise", "ctx.lengths=[8k]", "ctx.depths=[50]", "out=made")
    assert done.returncode == 0, done.stderr
    assert "1 context, 8,192 tokens" in done.stdout
    assert len(np.load(tmp_path / "made" / "00000.npy")) == 8192 - 32
    assert "torch" not in done.stderr


def test_a_sweep_gives_each_config_a_folder(niah, tmp_path):
    words = ("model=scout", "haystack=noise", "ctx.lengths=[2k]", "ctx.depths=[50]", "task=single,absent", "out=made")
    done = niah("build", "-m", *words)
    assert done.returncode == 0, done.stderr
    names = sorted(file.name.rsplit("-", 1)[0] for file in (tmp_path / "made").iterdir())
    assert names == ["scout-absent-noise", "scout-single-noise"]


def test_settings_that_change_no_prompt_change_no_contexts(tmp_path):
    written(tmp_path / "out", formats=["ids"])
    written(tmp_path / "out", "kv=fp8", "scorer=exact", formats=["ids"])  # the same contexts: written again


@pytest.mark.parametrize(
    ("prepare", "words", "formats", "message"),
    [
        (None, ("seed=1",), ["ids"], "holds contexts of other settings; take another out="),
        ("foreign", (), ["ids"], r"holds other files \(thesis.tex\); expected a new or empty folder"),
        ("file", (), ["ids"], "cannot be written"),
        ("fresh", (), ["pdf"], "build format: got 'pdf'; expected some of ids, text, jsonl"),
    ],
)
def test_bad_places_are_refused(tmp_path, prepare, words, formats, message):
    folder = tmp_path / "out"
    if prepare is None:
        written(folder, formats=["ids"])
    elif prepare == "foreign":
        folder.mkdir()
        (folder / "thesis.tex").write_text("mine")
    elif prepare == "file":
        folder.write_text("a file")
    with pytest.raises(NiahError, match=message) as caught:
        written(folder, *words, formats=formats)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_full_disk_is_told_before_anything_is_written(tmp_path):
    """A grid of more tokens than any disk holds: 11 depths x 60000 repeats of 10M tokens are 27 TB."""
    words = ("model=scout", "haystack=noise", "ctx.lengths=[10m]", "ctx.repeats=60000")
    with pytest.raises(NiahError, match=r"not enough room; got .*B free, expected 27\.\d TB for 660000 contexts"):
        list(build.write(Recipe(configured(*words)), str(tmp_path / "out")))
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_what_a_killed_build_left_is_gone_on_with(niah, tmp_path):
    grid = ("model=scout", "haystack=noise", "ctx.lengths=[2k]", "ctx.repeats=40")
    words = ("build", *grid, "out=made", "format=[ids,jsonl]")
    begun = subprocess.Popen(command(*words), cwd=tmp_path, env=environment_with(), stdout=subprocess.DEVNULL)
    while not (tmp_path / "made" / "00003.npy").exists():
        assert begun.poll() is None
        time.sleep(0.01)
    begun.kill()
    assert begun.wait() == -signal.SIGKILL
    left = {file.name for file in (tmp_path / "made").iterdir()}
    assert ".prompts.jsonl.draft" in left and not left & {"prompts.jsonl", "manifest.json"}
    done = niah(*words)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "made" / "prompts.jsonl").read_text().splitlines()) == 440
    assert not [file for file in (tmp_path / "made").iterdir() if file.name.startswith(".")]


def test_where_to_is_asked_for(niah):
    done = niah("build", "model=scout")
    assert done.returncode == 1 and "build: where to? expected out=DIR" in done.stderr

"""Help, tables of choices and completion say what the classes and conf/ have; exit codes are those that are told."""

import dataclasses
import json
import os
import pty
import re
import select
import shutil
import sys
import time

import pytest

from niah import choices
from niah.cli import VERBS
from niah.commands import completion, fields, help, meant
from niah.errors import NiahError
from niah.limits import allowed
from tests.helpers import own
from tests.helpers.command import FAKE, environment_with, is_one_line, said


def classes() -> list[str]:
    """The dotted paths of all settings classes that a help may show."""
    targets = {node["_target_"] for group in choices.PLUG_INS for node in choices.choices(group)}
    return sorted({*help.OWN.values(), *help.CLASSES.values(), *targets})


@pytest.mark.parametrize("path", classes())
def test_settings_read_from_the_source_are_those_of_the_class(path):
    real = dataclasses.fields(choices.named(path))
    read = fields.settings(path)
    assert [one.name for one in read] == [one.name for one in real]
    for found, field in zip(read, real, strict=True):
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        assert found.default == ("???" if default is dataclasses.MISSING else fields.said(default))
        assert not allowed(field) or {*found.values} >= {fields.said(one) for one in allowed(field) if one != ""}


def test_each_verb_is_in_the_help_with_its_settings_and_examples(capsys):
    assert {verb for verb, _, _ in help.USAGE} == {*VERBS}
    told = said(capsys, "compare", "--help")
    assert "compare.margin=0.02 " in told and "worse or not_noninferior, or null" in told
    assert "python -m niah compare outputs/bf16" in told and "Exit codes: 0 done" in told and "frontier" not in told
    told = said(capsys, "help", "run")
    assert "  ctx=8k " in told and "quick.difference=10 " in told and "python -m niah kv=fp8 ctx.repeats=3" in told
    assert "power.from=null" in said(capsys, "power", "-h")
    assert "reader.top_k=8 " in said(capsys, "help", "reader=bm25")
    assert "ctx.repeats=1 " in said(capsys, "help", "ctx") and "GROUP" in said(capsys, "help", "choices")
    assert "did you mean plan" in said(capsys, "help", "plna", code=1)


def test_no_example_stands_twice():
    examples = [line.strip() for line in help._EXAMPLES.splitlines() if line.strip()]
    assert len(examples) > 20 and len({*examples}) == len(examples)


def test_a_note_is_a_whole_sentence(capsys):
    notes = {one["choice"]: one["note"] for one in json.loads(said(capsys, "experiments", "format=json"))}
    assert notes["scout_10m"] == "Llama 4 Scout up to its own limit of 10M tokens, text that never repeats"
    assert notes["rag_vs_long"].endswith("rag_vs_long, then python -m niah rag outputs/rag_vs_long")
    assert notes["my_documents"].endswith("file of questions") and all(notes.values())


def test_choices_are_told_with_folders_and_the_users_own(capsys, tmp_path):
    own.write(tmp_path / "own")
    (tmp_path / "own/task/broken.yaml").write_text("{{{")
    told = said(capsys, "--config-dir", str(tmp_path / "own"), "tasks")
    assert "multikey     One fact among others that look like it" in told
    assert "greeting" in told and "(your own)" in told and "not YAML" in told
    choices.use(None)
    found = json.loads(said(capsys, "experiments", "format=json"))
    names = [one["choice"] for one in found]
    assert {"ruler", "ruler/vt", "ruler_quick", "kamradt"} <= {*names} and len(names) == len({*names})
    model = {one["choice"]: one for one in json.loads(said(capsys, "models", "format=json"))}["scout"]
    assert model["settings"]["max_length"] == "10m" and model["file"].endswith("model/scout.yaml")
    assert "h100      NVIDIA H100 80 GB" in said(capsys, "hardware") and "q8_0" in said(capsys, "kv")
    assert "did you mean model" in said(capsys, "choices", "modle", code=1)


MEANT = [
    (("compair", "a", "b"), "compair: not understood; did you mean niah compare"),
    (("scout",), "scout: not understood; did you mean model=scout"), (("-m", "plan"), "did you mean niah plan"),
    (("--model", "scout"), "--model: no such option; settings are written as key=value; did you mean model=scout"),
    (("--ctx.repeats=3",), "did you mean ctx.repeats=3"), (("plan", "-x"), "-x: no such option here"),
    (("plan", "model=llama4"), "did you mean model=maverick or model=scout or model=calibration/scout; "),
    (("plan", "model=calibration/ful"), "did you mean model=calibration/full; "),
    (("plan", "hardware=8xa100"), "did you mean hardware=a100_40 or hardware=a100_80; "),
    (("plan", "experiment=rulr"), "did you mean experiment=ruler or "),
    (("plan", "kv=[bf16,fp9]"), "did you mean kv=fp8"),
    (("plan", "experiment=vt"), "did you mean experiment=ruler/vt; "), (("plan", "haystack=."), "haystack.path=.;"),
    (("plan", "-m", "model=scout,llama4"), "model=llama4: no such choice; did you mean"),
    (("plan", "mode=scout"), "mode: unknown key; did you mean model=..."),
    (("plan", "lengths=8k"), "lengths: unknown key; did you mean ctx.lengths=..."),
    (("plan", "hardware=8xh100", "hardware.price=3"), "did you mean hardware.dollars_per_gpu_hour?"),
    (("plan", "model=ORG/NAME"), "model.max_length: not given"), (("plan", "model=./x"), "model.path: no such folder"),
]


@pytest.mark.parametrize(("words", "message"), MEANT, ids=[" ".join(words) for words, _ in MEANT])
def test_what_was_meant_is_said_in_one_line(capsys, place, words, message):
    told = said(capsys, *words, code=1)
    assert message in told and len(told.splitlines()) == 1 and told.startswith("niah: "), told


def test_what_is_plainly_meant_is_done(capsys, place):
    right = said(capsys, "plan", "model=scout", "hardware=8xh100", "ctx=8k")
    for model in ("Scout", "meta-llama/Llama-4-Scout-17B-16E-Instruct"):
        assert said(capsys, "plan", f"model={model}", "hardware=8xH100", "ctx=8k") == right
    told = said(capsys, "power", "ctx.depths=3")
    assert "niah: ctx.depths=3 is one depth, at 3%; 3 depths are ctx.depths=[0,50,100]\n" in told
    assert "one depth" not in said(capsys, "power", "ctx.depths=[35]") and said(capsys, "version").strip()
    assert "no such folder" in said(capsys, "ls", code=1)
    assert meant.instead(["model=~/m"]) == ["model=custom", "model.path=~/m"]
    assert meant.instead(["seed=1", "model=a/b"]) == ["model=custom", "seed=1", "model.path=a/b"]


@pytest.mark.parametrize("words, model", [
    (["model.path=calibration:full"], "calibration/full"),
    (["model=calibration:margin@nats:12@heads:2"], "calibration/margin"),
    (["model=custom", "model.path='calibration:scout'"], "calibration/scout"),
    (["++model.path=calibration:window_4k"], "calibration/window_4k"),
    (["model.path=calibration:none"], "custom"),
    (["model.path=a/b", "model=custom"], "custom"),
])
def test_weights_without_a_file_of_their_own(words, model):
    found = meant.instead(words)
    assert found[0] == f"model={model}" and len(found) == 2 and found[1].lstrip("+").startswith("model.path=")


def test_another_model_with_a_path_stays_as_it_is():
    words = ["model=scout", "model.path=calibration:full"]
    assert meant.instead(words) == words


COMPLETED = [
    ("niah comp", ["compare", "completion"]), ("niah plan mod", ["model=", "model."]),
    ("niah plan model=sc", ["model=scout"]), ("niah -m kv=bf16,fp8_p", ["kv=bf16,fp8_per_token_head"]),
    ("niah compare compare.fail_on=", ["compare.fail_on=worse", "compare.fail_on=not_noninferior"]),
    ("niah reader=bm25 reader.me", ["reader.method="]), ("niah reader=bm25 reader.method=l", ["reader.method=lucene"]),
    ("niah experiment=ruler/v", ["experiment=ruler/vt"]), ("niah show a --t", ["--trial"]),
    ("niah help rep", ["report"]),
    ("niah compare ou", ["outputs/"]), ("niah 'open", []),
]


@pytest.mark.parametrize(("line", "words"), COMPLETED, ids=[line for line, _ in COMPLETED])
def test_words_that_complete_a_line(place, line, words):
    place.mkdir()
    assert completion.found(line) == words


def test_tab_in_bash(tmp_path):
    """In a terminal, as a user presses it; zsh 5.9 and fish 3.6 were tried by hand."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/niah").write_text(f'#!/bin/sh\nexec {sys.executable} -m niah "$@"\n')
    (tmp_path / "bin/niah").chmod(0o755)
    environment = environment_with(PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}", PS1="ready ", TERM="dumb")
    pid, terminal = pty.fork()
    if not pid:
        os.execve(shutil.which("bash") or "bash", ["bash", "--norc", "--noprofile", "-i"], environment)

    def until(text: str) -> None:
        seen, deadline = "", time.monotonic() + 120
        while text not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 4096).decode(errors="replace")

    try:
        until("ready ")
        os.write(terminal, b'eval "$(niah completion bash)"; echo do""ne\n')
        until("done")
        os.write(terminal, b"niah plan model=sco\t")
        until("niah plan model=scout ")
        os.write(terminal, b"\x15niah compare compare.fail_on=w\t")
        until("niah compare compare.fail_on=worse ")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def test_exit_codes(niah, tmp_path):
    failing = niah(*FAKE, "engine.fail_at=[2]", "name=a")
    assert failing.returncode == 5 and "1 of 15 trials ended without an answer" in failing.stderr
    refused = niah("plan", "--nothing")
    assert refused.returncode == 1 and is_one_line(refused)
    both = niah("-m", *FAKE, "engine.fail_at=[2]", "ctx.repeats=0,1")  # what was refused no second try mends
    assert both.returncode == 1 and both.stderr.splitlines()[-1].startswith("niah: ctx.repeats: got 0")
    for words, code in (("done", 0), ("refused", 1), ("regression", 2), ("without an answer", 5), ("stopped", 130)):
        assert f"{code} " in help.EXIT_CODES.partition(words)[0] and words in help.EXIT_CODES


@pytest.mark.parametrize(("words", "message"), [
    (["--info"], "--info: which? expected --info=..., all or defaults"),
    (["--cfg", "seed=1"], "--cfg: which? expected --cfg=..., job, hydra or all"),
    (["--resolve"], "--resolve: resolves nothing by itself"),
    (["--config-name", "foo"], "--config-name: no such option here"),
])
def test_options_of_hydras_are_refused_in_our_words(words, message):
    with pytest.raises(NiahError, match=re.escape(message)):
        meant.instead(words)

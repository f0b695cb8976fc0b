"""What a shell gives is what run.json holds: the words of a command, with and without -m."""

import json
import subprocess

import pytest

from niah import cli
from niah.commands.hydra import adapted
from niah.commands.words import own_words
from niah.errors import NiahError
from tests.helpers.command import command, environment_with
from tests.helpers.configs import built

ONE = ("engine=fake", "haystack=noise", "ctx.lengths=[512]", "ctx.depths=[50]")
MODEL = ("model.max_length=8k",)
BM25 = ("reader=bm25",)
OPENAI = ("engine=openai",)
FILES = ("haystack=files",)
VLLM = ("engine=vllm",)
AS_TYPED = [
    # paths and addresses
    ("model.path=~/m", MODEL, "~/m"), ("model.path=/data/模型/x.gguf", MODEL, "/data/模型/x.gguf"),
    ("model.path=/d/x(1).gguf", MODEL, "/d/x(1).gguf"), ("model.path=/d/epoch=3", MODEL, "/d/epoch=3"),
    ("model.path=C:\\new\\t", MODEL, "C:\\new\\t"), ("model.path=/d/a,b{c}[0]#1", MODEL, "/d/a,b{c}[0]#1"),
    ("haystack.path=/d/a, b's.txt", FILES, "/d/a, b's.txt"), ("outputs=/d/é", (), "/d/é"),
    ("outputs=$HOME/x y", (), "$HOME/x y"),
    ("engine.base_url=http://[::1]:8000/v1", OPENAI, "http://[::1]:8000/v1"),
    # names
    ("name=é", (), "é"), ("name=e\u0301", (), "e\u0301"), ("name=run=1", (), "run=1"), ("name=1e5", (), "1e5"),
    ("name=007", (), "007"),
    ("name=1_000", (), "1_000"), ("name=true", (), "true"), ("name=Null", (), "Null"), ("name=nan", (), "nan"),
    ("name=null", (), None),
    ("name='null'", (), "null"), ("model.label=12", (), "12"), ("model.revision=1e5", (), "1e5"),
    ("model.revision=null", (), None),
    # free text
    ("task.question='Tis what?", (), "'Tis what?"),
    ('task.question="Now," he said, "what?"', (), '"Now," he said, "what?"'),
    ("task.question=What's {this}, #1 ~ [a] (b) é=$x?", (), "What's {this}, #1 ~ [a] (b) é=$x?"),
    ("task.question='All of it?'", (), "All of it?"),
    ("task.question=One\\nline?", (), "One\nline?"), ("task.question='One\\nline?'", (), "One\\nline?"),
    ("task.question=back\\", (), "back\\"),
    ("task.question=${oc.env:SECRET} \\${a} \\\\${b}?", (), "${oc.env:SECRET} \\${a} \\\\${b}?"),
    ("task.question=null", (), "null"),
    ("model.system=${oc.env:SECRET}", (), "${oc.env:SECRET}"), ("model.system=null", (), None),
    ("haystack.separator=\\n", (), "\n"),
    # numbers, switches, lengths
    ("seed=7", (), 7), ("ctx.repeats=3", (), 3), ("task.max_tokens=1_0", (), 10),
    ("engine.seconds=1e-3", ("engine=fake",), 0.001),
    ("engine.stream=no", OPENAI, False), ("calibrate=True", (), True), ("model.chat=null", (), None),
    ("model.chat=false", (), False),
    ("reader.budget=2k", BM25, 2048), ("ctx.lengths=8k", (), [8192]), ("ctx.lengths=[8k, 16384]", (), [8192, 16384]),
    ("ctx.depths=[0,2.5]", (), [0.0, 2.5]), ("engine.fail_at=[]", ("engine=fake",), []),
    # lists of text, dicts, and what lies deeper
    ("report.formats=[png, 'svg']", (), ["png", "svg"]),
    ("haystack.paths=[1e5,007,模型/*.md]", FILES, ["1e5", "007", "模型/*.md"]),
    ("haystack.paths=a,b.txt", FILES, ["a,b.txt"]),
    ('engine.args={"a": 1, "b c": {"d": [true, null, "x,y"]}}', VLLM, {"a": 1, "b c": {"d": [True, None, "x,y"]}}),
    ("engine.args={a: 1, b: 1e5, c: '~/m', d: 007}", VLLM, {"a": 1, "b": 1e5, "c": "~/m", "d": "007"}),
    ("engine.args.x=1", VLLM, 1), ("engine.args.x=1e5", VLLM, 1e5), ("engine.args.x='1'", VLLM, "1"),
    ("engine.args.x=~/y(1)", VLLM, "~/y(1)"),
    ("engine.args.x=a,b", VLLM, "a,b"), ('engine.args.x={"rope": {"type a": "b"}}', VLLM, {"rope": {"type a": "b"}}),
    ("engine.args.x=${oc.env:SECRET}", VLLM, "${oc.env:SECRET}"),
    ("engine.args={x: '${oc.env:SECRET}'}", VLLM, {"x": "${oc.env:SECRET}"}),
    ("model.chat_template_arguments.y=true", (), True),
]


def setting(resolved: dict, key: str):
    for name in key.split("."):
        resolved = resolved[name]
    return resolved


@pytest.mark.parametrize(("word", "others", "meant"), AS_TYPED, ids=[word for word, *_ in AS_TYPED])
def test_a_value_is_what_was_typed(monkeypatch, word, others, meant):
    monkeypatch.setenv("SECRET", "s3cr3t")
    run = built(*others, word)
    found = setting(run.resolved, word.partition("=")[0])
    assert found == meant and type(found) is type(meant)
    assert "s3cr3t" not in json.dumps(run.resolved)


def test_a_home_folder_is_found(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert built("outputs=~/runs").outputs == "/home/somebody/runs"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed=-1", "seed: got -1; expected 0 to 4,294,967,295"),
        ("seed=99999999999", "seed: got 99999999999; expected 0 to"),
        ("seed=1e3", "seed: got '1e3'; expected int"), ("seed=true", "seed: got 'true'; expected int"),
        ("seed=null", "seed: got None"),
        ("outputs=null", "outputs: got None"), ("outputs=", "outputs: got ''"),
        ("calibrate=2", "calibrate: got '2'; expected true or false"),
        ("ctx.repeats=true", "ctx.repeats: Value 'true'"), ("ctx.repeats=1.5", "ctx.repeats: Value '1.5'"),
        ("ctx.repeats=", "ctx.repeats: Value ''"),
        ("ctx.repeats=2,3", "ctx.repeats: got '2,3'; expected one value, or -m before it"),
        ("ctx.lengths=512,1024", "ctx.lengths: got '512,1024'; expected [512,1024], or -m before it"),
        ("ctx.lengths=[8k", "ctx.lengths=[8k: not understood"), ("ctx.lengths={a: 1}", "ctx.lengths[0]: not a length"),
        ("engine.args=[1]", "engine.args"),
        ("model=scout,custom", "model=scout,custom: several choices; expected one, or -m before it"),
        ("name=.hidden", "name: got '.hidden'"), ("name=..", "name: got '..'"), ("name=a/b", "name: got 'a/b'"),
        ("name=", "name: got ''"),
        ("name=" + "n" * 300, "name: got 300 bytes"),
        ("word", "word: not understood; expected key=value, or a verb first"),
    ],
)
def test_a_wrong_value_is_one_line(word, message):
    with pytest.raises(NiahError) as caught:
        built(*VLLM, word)
    assert str(caught.value).startswith(message), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "word",
    ["ctx=2e5", "ctx=0", "ctx=-1", "kv=8", "task=7", "task=", "model=null", "hardware=8", "experiment=1e5"],
)
def test_a_group_given_a_number_lists_its_choices(capsys, word):
    assert cli.main(["plan", word]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"niah: {word}: no such choice; expected one of ") and len(said.splitlines()) == 1


def overrides(*words: str) -> list[str]:
    """What Hydra is given for the last word."""
    return adapted(words)[-1].removeprefix("++")


def test_with_m_commas_sweep_and_all_else_is_as_typed():
    assert overrides("-m", "model.path=a/b,c/d") == "model.path=a/b,c/d"
    assert overrides("-m", "ctx.repeats=range(1,4)") == "ctx.repeats=range(1,4)"
    assert overrides("-m", "name=1e5") == "outputs='outputs/1e5'"
    assert overrides("-m", "outputs=/d/é(1)") == "outputs='/d/é(1)'"
    assert adapted(["-m", "kv=bf16,fp8", "seed=1,2"]) == ["-m", "kv=bf16,fp8", "seed=1,2"]


def test_with_m_free_text_sweeps_only_in_quotes_or_by_choice():
    assert overrides("-m", "task.question=Who, when {or} where?") == "task.question='Who, when {or} where?'"
    assert overrides("-m", "task.question='Who?','When?'") == "task.question='Who?','When?'"
    assert overrides("-m", "task.question=choice('Who, now?','When?')") == "task.question='Who, now?','When?'"
    assert overrides("-m", "task.question='${oc.env:A}','B'") == "task.question='\\${oc.env:A}','B'"
    with pytest.raises(NiahError, match=r"model\.path: got .*a command looks nothing up"):
        adapted(["-m", "model.path=${oc.env:A},b"])


def test_one_word_of_many_runs_leaves_the_others_as_typed():
    words = adapted(["reader=bm25,dense", "reader.budget=[1k,4k]", "outputs=/d/a,b", "task.question=Who, when?"])
    assert words[0] == "-m" and "++reader.budget=1k,4k" in words and "reader=bm25,dense" in words
    assert "outputs='/d/a,b'" in words and "++task.question='Who, when?'" in words
    words = adapted(["experiment=my_documents", "reader=full,bm25"])  # its file is a sweep of readers
    assert words[0] == "-m" and "reader=full,bm25" in words
    with pytest.raises(NiahError, match="reader=full,bm25: several choices"):
        adapted(["experiment=kv_128k", "reader=full,bm25"])


@pytest.mark.parametrize(("words", "folder"), [
    (["-m", "seed=1,2", "name=x"], "outputs/x"), (["-m", "seed=1,2", "name=x", "outputs=/d e/f"], "/d e/f/x"),
    (["reader=bm25", "reader.budget=[1k,4k]", "name='x y'", "outputs='~/a'"], None),
    (["reader=bm25", "reader.budget=[1k,4k]", "name=北"], "outputs/北"), (["experiment=ruler", "name=x"], "outputs/x"),
    (["experiment=capacity", "name=x"], "outputs/x"),
])
def test_the_name_of_several_runs_is_the_folder_of_theirs(words, folder):
    if folder is None:
        with pytest.raises(NiahError, match="name: got 'x y'"):
            adapted(words)
        return
    found = adapted(words)
    assert f"outputs='{folder}'" in found and not any(word.startswith("name=") for word in found)


@pytest.mark.parametrize("words", [
    ["seed=1", "name=x"], ["-m", "seed=1,2", "name=null"], ["-m", "seed=1,2", "name=a,b"],
    ["-m", "outputs=a,b", "name=x"], ["experiment=kv_128k", "name=x"],
])
def test_the_name_of_one_run_is_its_own(words):
    assert any(word.startswith("name=") for word in adapted(words))


def test_a_run_that_has_the_name_of_several_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs/x").mkdir(parents=True)
    (tmp_path / "outputs/x/rows.jsonl").touch()
    assert "name='x'" in adapted(["-m", "seed=1", "name=x"])
    assert "outputs='outputs/y'" in adapted(["-m", "seed=1", "name=y"])


@pytest.mark.slow
def test_odd_words_from_the_shell_to_run_json(tmp_path):
    text = "Tides, it's {said}: ~ #1 [é] = \"5\" ${oc.env:SECRET} $HOME"
    place = tmp_path / "runs, (1) é=3 #a {b}"
    (tmp_path / "a, b's [1].txt").write_text("Nothing of note happened on the pier today. " * 400)
    words = (
        "engine=fake", "haystack=files", f"haystack.path={tmp_path}/a, b's [1].txt", "ctx.lengths=[512]",
        "ctx.depths=[50]",
        f"outputs={place}", "name=é=1e5,@+", f"task.needle={text} {{value}}.", "task.question='What, of the tides?'",
        "model.label=007",
    )
    environment = environment_with(SECRET="s3cr3t")
    for _ in range(2):  # the second finds the first
        done = subprocess.run(command(*words), cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "its one trial was done before" in done.stderr
    config = json.loads((place / "é=1e5,@+" / "run.json").read_text())["config"]
    assert config["name"] == "é=1e5,@+" and config["outputs"] == str(place) and config["model"]["label"] == "007"
    assert config["task"]["needle"] == f"{text} {{value}}." and config["task"]["question"] == "What, of the tides?"
    assert config["haystack"]["path"] == f"{tmp_path}/a, b's [1].txt"
    assert not any(b"s3cr3t" in file.read_bytes() for file in place.rglob("*") if file.is_file())
    shown = subprocess.run(command("show", str(place / "é=1e5,@+")), env=environment, capture_output=True, text=True)
    assert shown.returncode == 0 and text in shown.stdout and "verified" in shown.stdout, shown.stderr


@pytest.mark.slow
def test_a_sweep_into_an_odd_folder(niah, tmp_path):
    done = niah("-m", *ONE, "seed=1,2", "outputs=~/a (1) é=2", "task.question=Who, when?", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    runs = [json.loads(file.read_text())["config"] for file in (tmp_path / "a (1) é=2").glob("*/run.json")]
    assert sorted(run["seed"] for run in runs) == [1, 2] and {run["task"]["question"] for run in runs} == {"Who, when?"}
    assert not (tmp_path / "~").exists()


@pytest.mark.slow
def test_words_of_other_verbs_are_as_typed_too(niah, tmp_path):
    for name, window in (("a", 2048), ("b", 9)):
        assert niah(*ONE, f"engine.window={window}", f"name={name}").returncode == 0
    words = ("compare.out=c, (1) é=#2", "report.formats=[svg]", "compare.margin=5e-2")
    done = niah("compare", "outputs/a", "outputs/b", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "c, (1) é=#2" / "compare.json").read_text())["settings"]["margin"] == 0.05
    assert [file.suffix for file in (tmp_path / "c, (1) é=#2").iterdir() if file.stem == "difference"] == [".svg"]


def test_a_group_that_is_given_twice_is_said_to_be(capfd):
    adapted(["reader=bm25", "seed=1", "reader=none", "seed=2"])
    assert capfd.readouterr().err == "niah: reader is given twice (bm25, none); the last counts, reader=none\n"
    for first, second in (("kv=[bf16,fp8]", "kv=fp8"), ("ctx=24k", "ctx=8k"), ("hardware=8xh100", "hardware=h200"),
                          ("model=org/name", "model=scout"), ("spec=[none,ngram]", "spec=none")):
        assert adapted([first, second]) == adapted([second])
    assert adapted(["ctx.lengths=[1k]", "ctx=24k"])[-1] == "++ctx.lengths='[1k]'"
    assert adapted(["hardware.num_gpus=4", "hardware=8xh100"])[-1] == "++hardware.num_gpus='4'"
    capfd.readouterr()
    own, rest = own_words({"track": "", "budget": ""}, ["track=wandb", "track=mlflow", "budget=1h", "budget=1h", "x=1"])
    assert own == {"track": "mlflow", "budget": "1h"} and rest == ["x=1"]
    said = "track is given twice (wandb, mlflow); the last counts, track=mlflow; track=[wandb,mlflow] takes both"
    assert capfd.readouterr().err == f"niah: {said}\n"
    adapted(["reader=none", "reader=none", "ctx.repeats=1", "ctx.repeats=2"])
    assert capfd.readouterr().err == ""

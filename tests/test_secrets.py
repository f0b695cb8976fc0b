"""Keys, tokens and what settings took from the environment: known by name, masked wherever niah writes or says
anything, and refused where a setting would carry them into run.json."""

import json

import pytest

from niah import cli, secrets, values
from niah.engines.openai.settings import OpenAISettings
from niah.errors import NiahError
from tests.helpers.command import FAKE, rows
from tests.helpers.configs import built

KEY = "sk-canary-7c1f5a90b2"


@pytest.mark.parametrize("name", [
    "VLLM_API_KEY", "OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN", "PGPASSWORD", "db_password", "GITHUB_TOKEN", "AZURE_CLIENT_SECRET", "NETRC_PASSWD",
    "MY_CREDENTIALS",
])
def test_variables_of_secrets_are_known_by_their_names(name):
    assert secrets.names_one(name)


@pytest.mark.parametrize("name", ["PATH", "TOKENIZERS_PARALLELISM", "KEYBOARD", "VLLM_LOGGING_LEVEL", "MONKEYS"])
def test_others_are_not(name):
    assert not secrets.names_one(name)


@pytest.mark.parametrize(("name", "is_one"), [
    ("hf_token", True), ("api_key", True), ("X-Api-Key", True), ("Authorization", True), ("client_secret", True),
    ("token", True), ("db_password", True), ("eos_token", False), ("stop_token_ids", False), ("key_kind", False),
    ("num_key_value_heads", False), ("max_tokens", False), ("skip_special_tokens", False), ("api_key_env", False),
])
def test_settings_of_secrets_are_known_by_their_names(name, is_one):
    assert secrets.is_setting_of_one(name) is is_one


def test_what_is_masked(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", KEY)
    monkeypatch.setenv("A_TOKEN", "short")
    monkeypatch.setenv("B_TOKEN", "accuracy")
    monkeypatch.setenv("C_KEY", "131072131072")
    monkeypatch.setenv("DATABASE_URL", "postgres://me:p4ssw0rd-long@db/x")
    assert secrets.masked(f"a {KEY} b") == "a *** b"
    assert secrets.masked("short accuracy 131072131072") == "short accuracy 131072131072"  # words and numbers
    assert secrets.masked("got p4ssw0rd-long") == "got ***"
    assert secrets.masked("http://u:pw@h/v1?api_key=abc&x=1") == "http://u:***@h/v1?api_key=***&x=1"
    assert secrets.masked("Authorization: Bearer abcdefgh12") == "Authorization: Bearer ***"
    assert secrets.without_values("Bearer abcdefgh12") == "Bearer abcdefgh12"  # an answer is data
    assert secrets.scrubbed({"a": [KEY, 1], KEY: None}) == {"a": ["***", 1], "***": None}


@pytest.mark.parametrize("word", [
    "+engine.args.hf_token=x", "engine.args={api_key: x}", "model.engine_args.hf_token=x",
    "model.extended_environment={HF_TOKEN: x}",
])
def test_a_setting_that_would_hold_a_key_is_refused(word):
    with pytest.raises(NiahError, match="holds what looks like a key or a password"):
        built("engine=vllm", word.lstrip("+"))


def test_a_key_that_the_shell_put_into_a_setting_is_refused_and_not_repeated(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", KEY)
    with pytest.raises(NiahError, match=r"task\.question: holds what looks like a key") as refusal:
        built("engine=fake", f"task.question=What is {KEY}?")
    assert KEY not in str(refusal.value)


@pytest.mark.parametrize("address", [
    "http://h/v1?api_key=SECRET9", "ftp://me:SECRET9@h/v1", "http://h/v1#SECRET9", "http://me:SECRET9@h/v1", "http://[::1",
])
def test_an_address_is_refused_without_what_may_be_a_key_in_it(address):
    with pytest.raises(NiahError, match=r"engine\.base_url") as refusal:
        OpenAISettings.__post_init__(type("Any", (), {"base_url": address})())
    assert "SECRET9" not in str(refusal.value)


@pytest.mark.parametrize(("group", "name"), [
    ("model", "../../out"), ("haystack", "/abs"), ("task", "a/b"), ("reader", "a\\b"), ("engine", ".."),
    ("ctx", ".hidden"), ("model", "-x"), ("haystack", "a\nb"), ("task", "a\0b"), ("model", "x" * 200), ("haystack", ""),
    ("task", "\x1b[2J"), ("model", "a\u202eb"),
])
def test_a_name_that_would_leave_the_folder_of_runs_is_refused(group, name):
    with pytest.raises(NiahError, match=rf"{group}\.name: got .*; expected a name that a folder can have"):
        built("engine=fake", f"{group}.name={name}")


@pytest.mark.parametrize("name", ["测试", "a b", "x.y-z_1", "é"])
def test_other_names_are_taken(name):
    assert built("engine=fake", f"model.name={name}").model.name == name


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of settings that take a question and a label from the variable CANARY."""
    (tmp_path / "own/experiment").mkdir(parents=True)
    (tmp_path / "own/experiment/mine.yaml").write_text(
        "# @package _global_\nname: a\nseed: ${oc.decode:${oc.env:SEED}}\nmodel:\n  label: Model ${oc.env:CANARY}\n"
        "task:\n  question: Who has ${oc.env:CANARY}? {key}\n  needle: '{key} has {value}, ${oc.env:CANARY}.'\n"
        "report:\n  formats: [svg]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIAH_RESTARTED", "1")
    monkeypatch.setenv("CANARY", KEY)
    monkeypatch.setenv("SEED", "3")
    return ("--config-dir", "own", "experiment=mine", *FAKE[:2], "ctx.lengths=[512]", "ctx.depths=[0,50]",
            "engine.window=300")


def test_what_the_environment_gave_is_written_as_it_was_named(own, tmp_path, capfd, monkeypatch):
    assert cli.main([*own]) == 0
    out = capfd.readouterr()
    written = {file.name: file.read_bytes() for file in (tmp_path / "outputs/a").iterdir()}
    assert not [name for name, data in written.items() if KEY.encode() in data] and KEY not in out.out + out.err
    record = json.loads(written["run.json"])
    assert record["config"]["task"]["question"] == "Who has ${oc.env:CANARY}? {key}"
    assert record["config"]["seed"] == "${oc.env:SEED}"
    assert record["config"]["model"]["label"] == "Model ${oc.env:CANARY}"
    assert "Model ${oc.env:CANARY}" in written["heatmap.svg"].decode()
    assert cli.main(["--config-dir", "own", "show", "outputs/a"]) == 0
    shown = capfd.readouterr().out
    assert "as stored: verified" in shown and "Who has ${oc.env:CANARY}?" in shown and KEY not in shown
    assert cli.main([*own]) == 0 and "all 2 trials were done before" in capfd.readouterr().err
    for name, value in (("CANARY", "another-value-1"), ("SEED", "4")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert cli.main([*own]) == 1 and "holds a run with other settings" in capfd.readouterr().err
            assert cli.main(["show", "outputs/a"]) == 1
            assert f"the variable {name}, which holds another value now" in capfd.readouterr().err
    assert len(rows(tmp_path / "outputs/a")) == 2


def test_a_run_of_an_earlier_version_that_holds_the_values_is_gone_on_with(own, tmp_path, capfd):
    assert cli.main([*own]) == 0
    file = tmp_path / "outputs/a/run.json"
    record = json.loads(file.read_text())
    record["config"] = json.loads(
        json.dumps(record["config"]).replace("${oc.env:CANARY}", KEY).replace('"${oc.env:SEED}"', "3")
    )
    del record["environment_values"]
    file.write_text(json.dumps({**record, "fingerprint": "0" * 64}))
    capfd.readouterr()
    assert cli.main([*own]) == 0 and "all 2 trials were done before" in capfd.readouterr().err


def test_a_folder_from_elsewhere_learns_nothing_of_the_environment(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", KEY)
    settings = {"task": {"question": "${oc.env:HF_TOKEN}"}}
    assert values.as_recorded(settings, {}) == settings
    with pytest.raises(NiahError, match="the variable HF_TOKEN, which holds another value now"):
        values.as_recorded(settings, {"task.question": {"HF_TOKEN": "0" * 32}})


def test_replicas_are_given_no_key(monkeypatch):
    from niah.engines.replicas import start

    monkeypatch.setenv("VLLM_API_KEY", KEY)
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "INFO")
    given = start._environment(1)
    assert given["VLLM_LOGGING_LEVEL"] == "INFO" and KEY not in given.values()

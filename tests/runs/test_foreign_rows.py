"""What a rows.jsonl or a run.json from elsewhere, or from a disk that lost power, may hold: read, mended or refused in
one line by every verb that reads a run."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from niah import cli
from niah.commands.crosscheck import crosscheck
from niah.disk import Lines
from niah.errors import NiahError
from niah.runs.store import RunFolder, open_for_reading
from tests.helpers.command import FAKE, ran_here

GRID = (*FAKE[:2], "ctx.lengths=[512,1k]", "ctx.depths=[0,100]", "engine.window=700", "report.formats=[svg]", "name=a")
VERBS = {
    "run": (*GRID, "outputs=outputs"), "show": ("show", "outputs/a"), "report": ("report", "outputs/a"),
    "compare": ("compare", "outputs/a", "outputs/b"), "rag": ("rag", "outputs/a", "outputs/b"),
    "rescore": ("rescore", "outputs/a"), "crosscheck": ("crosscheck", "outputs/a", "engine=vllm"),
    "calibrate": ("calibrate", "outputs/a"), "power": ("power", *GRID, "power.from=outputs/a,outputs/b"),
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """A folder with outputs/a, a finished run, and outputs/b, a copy of it."""
    place = tmp_path_factory.mktemp("measured")
    ran_here(place, GRID)
    shutil.copytree(place / "outputs/a", place / "outputs/b")
    return place


@pytest.fixture
def outputs(measured, tmp_path, monkeypatch) -> Path:
    shutil.copytree(measured / "outputs", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NIAH_RESTARTED", "1")
    return tmp_path / "outputs"


def said(verb: str, capfd) -> tuple[int, str, list[str]]:
    """Exit code, stdout and the lines of stderr; never a traceback or what calls itself a bug."""
    capfd.readouterr()
    code = cli.main([*VERBS[verb]])
    out, err = capfd.readouterr()
    assert "Traceback" not in err and "; a bug at " not in err, (verb, err)
    return code, out, [line for line in err.splitlines() if "trials" not in line or not line[:1].isdigit()]


def changed(line: bytes, **fields) -> bytes:
    return json.dumps({**json.loads(line), **fields}).encode()


def deep(line: bytes) -> bytes:
    return line[:-1] + b', "served": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


REFUSED = {
    "NaN": (lambda line: line.replace(b'"score": 1.0', b'"score": NaN'), "NaN, which JSON does not have"),
    "score of 2": (lambda line: changed(line, score=2.0), "score is 2.0, expected a share from 0 to 1"),
    "infinite score": (lambda line: line.replace(b'"score": 1.0', b'"score": 1e999'), "score is inf"),
    "score as text": (lambda line: changed(line, score="1"), "score is '1', expected a number or null"),
    "score true": (lambda line: changed(line, score=True), "score is True"),
    "no score": (lambda line: changed(line, score=None), "score is None of a trial that is correct"),
    "unknown outcome": (lambda line: changed(line, outcome="fine"), "outcome is 'fine', expected one of"),
    "trial as text": (lambda line: changed(line, trial="0"), "trial is '0', expected an integer"),
    "trial below 0": (lambda line: changed(line, trial=-1), "trial is -1, expected 0 or more"),
    "length of 10^400": (lambda line: changed(line, length=10**400), "length is a number of many digits"),
    "5,000 digits": (lambda line: line.replace(b'"length": 512', b'"length": ' + b"9" * 5000), "Exceeds the limit"),
    "targets as text": (lambda line: changed(line, targets="x"), "targets is 'x', expected a list of text"),
    "spans of text": (lambda line: changed(line, needle_spans=[["a"]]), "needle_spans is a list of 1"),
    "a list": (lambda line: b"[1, 2]", "a list instead of an object"),
    "a field less": (lambda line: line.replace(b'"outcome"', b'"out"'), "outcome is missing"),
    "nested deep": (deep, "nested too deep to be read"),
    "binary": (lambda line: bytes(range(14, 256)), "codec can't decode"),
    "zeros within": (lambda line: line[:40] + b"\0" * 20 + line[60:], "not a row of this version"),
    "UTF-16": (lambda line: line.decode().encode("utf-16"), "not a row of this version"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_row_is_named(outputs, name):
    change, why = REFUSED[name]
    folder = RunFolder(outputs / "a")
    lines = folder.rows_path.read_bytes().splitlines()
    folder.rows_path.write_bytes(b"\n".join([lines[0], change(lines[1]), *lines[2:], b""]))
    for read in (folder.rows, folder.columns, folder.drop_retried):
        with pytest.raises(NiahError, match=r"rows\.jsonl:2: not a row of this version") as refusal:
            read()
        assert why in str(refusal.value) and len(str(refusal.value)) < 600


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_row_is_named_by_every_verb(outputs, capfd, name, verb):
    change, why = REFUSED[name]
    file = outputs / "a" / "rows.jsonl"
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([lines[0], change(lines[1]), *lines[2:], b""]))
    before = file.read_bytes()
    code, _, err = said(verb, capfd)
    (refusal,) = [line for line in err if line.startswith("niah: ")]
    assert code == 1 and why in refusal
    assert refusal.startswith("niah: outputs/a/rows.jsonl:2: not a row of this version")
    assert len(refusal) < 600 and file.read_bytes() == before


MENDED = {
    "a mark of Windows editors": lambda data: b"\xef\xbb\xbf" + data,
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "no end of the last line": lambda data: data[:-1],
    "CRLF without the last": lambda data: data.replace(b"\n", b"\r\n")[:-2],
    "empty lines": lambda data: data.replace(b"\n", b"\n\n \n"),
    "fields of a newer niah": lambda data: data.replace(b'{"trial"', b'{"new": {"x": [1]}, "trial"'),
    "zeros of a power cut": lambda data: data + b"\0" * 4096,
    "twice": lambda data: data + data,
    "half a line at the end": lambda data: data + data[:100],
}


@pytest.mark.parametrize("name", MENDED)
def test_what_says_the_same_is_read_the_same(outputs, name, capfd):
    folder = RunFolder(outputs / "a")
    wanted, data = folder.rows(), MENDED[name](folder.rows_path.read_bytes())
    folder.rows_path.write_bytes(data)
    assert folder.rows() == folder.drop_retried() == wanted
    assert folder.columns().trial.tolist() == [row.trial for row in wanted]
    folder.replace_rows([replace(row, answer="x") for row in wanted])
    assert (b'"new": {"x": [1]}' in folder.rows_path.read_bytes()) == ("newer niah" in name)
    assert capfd.readouterr().err.count("stand there twice") == (name == "twice")


@pytest.mark.slow
@pytest.mark.parametrize("name", MENDED)
def test_what_says_the_same_is_counted_the_same(outputs, capfd, name):
    file = outputs / "a" / "rows.jsonl"
    _, table, _ = said("report", capfd)
    data = MENDED[name](file.read_bytes())
    file.write_bytes(data)
    for verb in ("show", "report", "compare", "rescore", "run", "report"):
        code, out, err = said(verb, capfd)
        assert code == 0, err
        told = [line for line in err if "twice" in line]
        assert len(told) == (name == "twice" and verb not in ("rescore",)) or verb in ("rescore", "report", "run")
    assert out == table
    assert name != "fields of a newer niah" or file.read_bytes() == data  # kept, whatever was read


def test_two_rows_of_a_trial_that_differ_are_refused_and_kept(outputs, capfd):
    file = outputs / "a" / "rows.jsonl"
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([*lines, changed(lines[0], response="another"), b""]))
    for verb in ("run", "compare"):
        code, _, err = said(verb, capfd)
        assert code == 1 and "rows.jsonl:5: a second row of trial" in err[-1]
    assert len(file.read_bytes().splitlines()) == 5


def test_a_whole_last_row_without_its_end_is_kept_and_the_next_begins_a_line(outputs, capfd):
    file = outputs / "a" / "rows.jsonl"
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join(lines[:3]))
    code, _, err = said("run", capfd)
    assert code == 0 and any("1 of 4 trials to run" in line for line in err)
    assert file.read_bytes().splitlines()[:3] == lines[:3] and len(file.read_bytes().splitlines()) == 4


def test_rows_of_other_prompts_are_told(outputs, capfd):
    file = outputs / "a" / "rows.jsonl"
    lines = [changed(line, prompt_sha256="0" * 64) for line in file.read_bytes().splitlines()[:3]]
    file.write_bytes(b"\n".join([*lines, b""]))
    code, _, err = said("run", capfd)
    assert code == 0 and any("was asked with another prompt than is built now" in line for line in err)
    assert file.read_bytes().splitlines()[:3] == lines


def test_a_row_of_another_run_is_refused(outputs, capfd):
    file = outputs / "a" / "rows.jsonl"
    lines = file.read_bytes().splitlines()
    for strange in ({"trial": 99}, {"variant": "fp8", "trial": 1}, {"depth": 33.0}):
        file.write_bytes(b"\n".join([*lines[:3], changed(lines[3], **strange), b""]))
        code, _, err = said("run", capfd)
        assert code == 1 and "expected rows of this run alone" in err[-1]


def test_answers_of_crosscheck_that_are_none(tmp_path):
    half = b'{"mark": [], "variant": "", "trial": 0, "prompt_sha256": "", "first": {"response": ""}}'
    for line in (b'{"mark": 1}', half):
        (tmp_path / "a.jsonl").write_bytes(line + b"\n")
        with pytest.raises(NiahError, match=r"a\.jsonl: answer 1 is none of crosscheck's"):
            crosscheck._read(Lines(tmp_path / "a.jsonl"))


def test_a_line_of_200_mb_is_refused(outputs, capfd):
    file = outputs / "a" / "rows.jsonl"
    with file.open("ab") as lines:
        lines.write(b'{"trial": "')
        lines.truncate(lines.tell() + 200_000_000)
    code, _, err = said("report", capfd)
    assert code == 1 and "rows.jsonl:5: a line of more than 64 MiB" in err[-1]


@pytest.mark.parametrize("name", ["rows.jsonl", "run.json"])
def test_a_folder_in_the_place_of_a_file_is_one_line(outputs, capfd, name):
    (outputs / "a" / name).unlink()
    (outputs / "a" / ".run.json.copy").unlink()
    (outputs / "a" / name).mkdir()
    code, _, err = said("rescore", capfd)
    assert (code, len(err)) == (1, 1), err


DAMAGE = {
    "empty": lambda data: b"", "cut": lambda data: data[: len(data) // 2], "zeros": lambda data: b"\0" * len(data),
    "deleted": None, "a list": lambda data: b"[]", "deep": lambda data: b"[" * 100_000,
    "other types": lambda data: data.replace(b'"num_trials": 4', b'"num_trials": "4"'),
    "sessions of text": lambda data: data.replace(b'"sessions": [', b'"sessions": ["x", '),
    "no UTF-8": lambda data: b"\xff\xfe" + data,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_json_is_read_from_its_copy_else_from_rows(outputs, capfd, name):
    folder = RunFolder(outputs / "a")
    wanted, rows = folder.record(), folder.rows()
    if DAMAGE[name]:
        folder.run_path.write_bytes(DAMAGE[name](folder.run_path.read_bytes()))
    else:
        folder.run_path.unlink()
    assert open_for_reading("outputs/a")[1:] == (wanted, rows)
    (outputs / "a" / ".run.json.copy").unlink()
    with pytest.raises(NiahError, match="this needs the run's settings; the command that made the run writes it anew"):
        open_for_reading("outputs/a")
    _, found, same = open_for_reading("outputs/a", needs_settings=False)
    assert found.is_of_rows and same == rows and (found.lengths, found.depths) == (wanted.lengths, wanted.depths)
    assert "what follows is from rows.jsonl alone" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("has_copy", [True, False])
@pytest.mark.parametrize("name", DAMAGE)
def test_rows_outlive_a_run_json_that_is_damaged(outputs, capfd, name, has_copy):
    file, copy, rows = (outputs / "a" / one for one in ("run.json", ".run.json.copy", "rows.jsonl"))
    whole, lines = file.read_bytes(), rows.read_bytes()
    if DAMAGE[name]:
        file.write_bytes(DAMAGE[name](whole))
    else:
        file.unlink()
    if not has_copy:
        copy.unlink()
    for verb in ("show", "report", "compare", "rescore"):
        code, out, err = said(verb, capfd)
        if has_copy:
            assert code == 0 and ".run.json.copy; the next write mends it" in err[0]
        elif verb == "rescore":
            assert code == 1 and "this needs the run's settings; the command that made the run writes it anew" in err[0]
        else:
            assert code == 0 and "from rows.jsonl alone" in err[0] and (verb != "show" or "verified" not in out)
    assert rows.read_bytes() == lines
    code, _, err = said("run", capfd)
    assert code == 0 and any("all 4 trials were done before" in line for line in err)
    assert rows.read_bytes() == lines
    mended = json.loads(file.read_bytes())
    assert mended["config"] == json.loads(whole)["config"] and mended["fingerprint"] == json.loads(whole)["fingerprint"]
    assert copy.read_bytes() == file.read_bytes()


def test_every_cut_of_run_json_is_mended_from_its_copy(outputs):
    folder = RunFolder(outputs / "a")
    whole = folder.run_path.read_bytes()
    wanted = folder.record()
    for stop in range(0, len(whole) - 2, 7):
        folder.run_path.write_bytes(whole[:stop])
        assert folder.record() == wanted


@pytest.mark.parametrize("word", ["seed=1", "engine.window=800", "kv=fp8"])
def test_rows_without_run_json_are_not_taken_for_another_run(outputs, capfd, word):
    for name in ("run.json", ".run.json.copy"):
        (outputs / "a" / name).unlink()
    code = cli.main([*GRID, word])
    err = capfd.readouterr().err
    if word.startswith("engine"):  # what the engine was given is lost, and its rows are answers to the same prompts
        assert code == 0
    else:
        assert code == 1 and "run.json: is lost, and its rows" in err


def test_rows_that_are_gone_are_told(outputs, capfd):
    (outputs / "a" / "rows.jsonl").unlink()
    code, _, err = said("run", capfd)
    assert code == 0 and any("rows.jsonl: is gone, though this run began" in line for line in err)

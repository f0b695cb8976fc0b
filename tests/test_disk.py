"""What is on the disk after a kill, a full disk or a second writer."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from niah import disk
from niah.errors import NiahError
from tests.helpers.command import environment_with

HEAD = """
import os, resource, signal
from pathlib import Path
from niah import disk
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
"""
DIES = """
with disk.replacement(Path("run.json")) as draft:
    draft.write(b"new" * 9999)
    draft.flush()
    die()
"""
REFUSED = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    disk.replace(Path("run.json"), "new" * 9999)
except OSError as error:
    print(error.strerror)
"""
TORN = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 1000))
lines = disk.Lines(Path("a.jsonl"), "row")
lines.append({"n": 1})
try:
    lines.append({"n": "x" * 200})
except disk.NiahError as error:
    print(error)
print(lines.is_torn())
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
lines.append({"n": 2})
"""
KILLED = """
def make(folder):
    (folder / "weights").write_bytes(b"0" * 2**20)
    die()

"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A process of its own in ``folder``, with what the pieces of code below need."""
    return subprocess.run(
        [sys.executable, "-c", HEAD + code], cwd=folder, env=environment_with(), capture_output=True, text=True
    )


def test_a_kill_before_the_rename_leaves_the_old_file_whole(tmp_path):
    file = tmp_path / "run.json"
    disk.replace(file, "old")
    done = run(DIES, tmp_path)
    assert done.returncode == -signal.SIGKILL and file.read_text() == "old"
    assert disk.draft_of(file).read_bytes() == b"new" * 9999  # it died there and no sooner
    disk.replace(file, "newer")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("run.json", "newer")]


def test_a_full_disk_leaves_the_old_file_whole_and_nothing_beside_it(tmp_path):
    file = tmp_path / "run.json"
    disk.replace(file, "old")
    done = run(REFUSED, tmp_path)  # a limit on file size stands in for a full disk: the write fails half-way
    assert done.stdout == "File too large\n", done.stderr
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("run.json", "old")]


def test_an_error_of_ours_while_writing_leaves_the_old_file_whole(tmp_path):
    disk.replace(tmp_path / "a", "old")
    with pytest.raises(KeyError), disk.replacement(tmp_path / "a") as draft:
        draft.write(b"new")
        raise KeyError
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a", "old")]


def test_a_place_that_cannot_be_written_is_an_error_of_the_system(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        disk.replace(tmp_path / "file" / "a", "x")


@pytest.mark.parametrize("call", ['disk.fill(Path("models/key"), make)', 'disk.folder("models", "key", make)'])
def test_what_a_killed_conversion_left_goes_with_the_next(tmp_path, monkeypatch, call):
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path))
    for _ in range(3):
        assert run(KILLED + call, tmp_path).returncode == -signal.SIGKILL
        left = [path for path in tmp_path.rglob("weights")]
        assert len(left) == 1 and not (tmp_path / "models" / "key").exists()  # one draft, however often it was killed
    done = run(f'make = lambda folder: (folder / "weights").write_text("whole")\n{call}', tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.read_text() for path in tmp_path.rglob("weights")] == ["whole"]
    assert [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()] == ["key"]


def test_a_folder_of_the_users_own_is_filled_once_and_nothing_lies_beside_it(tmp_path):
    def make(folder: Path) -> None:
        (folder / "weights").write_text("whole")

    assert disk.fill(tmp_path / "below" / "here", make) and not disk.fill(tmp_path / "below" / "here", make)
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["here"]
    with pytest.raises(KeyError):
        disk.fill(tmp_path / "below" / "there", lambda folder: {}["missing"])
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["here"]


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "file"))
    with pytest.raises(NiahError, match=r"cannot be written; got Not a directory; .* set NIAH_CACHE to another folder"):
        disk.folder("models", "key", lambda folder: None)


@pytest.mark.parametrize("size", [10, 2**16 - 1, 2**16, 3 * 2**16])
def test_a_torn_line_of_any_size_is_cut_by_the_next(tmp_path, size):
    lines = disk.Lines(tmp_path / "a.jsonl")
    lines.append({"n": 1}, {"n": "é"})
    whole = lines.path.read_bytes()
    lines.path.write_bytes(whole + b'{"' + b"x" * size)
    again = disk.Lines(lines.path)
    assert again.is_torn() and again.read() == [{"n": 1}, {"n": "é"}]
    again.append({"n": 3})
    assert not again.is_torn() and lines.path.read_bytes() == whole + b'{"n": 3}\n'
    lines.path.write_bytes(b"x" * size)
    disk.Lines(lines.path).append({"n": 4})
    assert lines.path.read_bytes() == b'{"n": 4}\n'


def test_a_full_disk_keeps_the_lines_before_and_the_next_append_mends(tmp_path):
    done = run(TORN, tmp_path)
    said, is_torn = done.stdout.splitlines()
    assert said == (
        "a.jsonl: a row could not be written (File too large); the rows before it are safe; free some space, "
        "then the same command continues"
    )
    assert is_torn == "True" and disk.Lines(tmp_path / "a.jsonl").read() == [{"n": 1}, {"n": 2}]


def test_no_line_holds_what_json_has_not(tmp_path):
    lines = disk.Lines(tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="not JSON compliant"):
        lines.append({"n": float("nan")})
    assert not lines.path.exists()


def made(folder: Path) -> None:
    (folder / "ids.npy").write_bytes(bytes(range(256)) * 40)
    (folder / "below").mkdir()
    (folder / "below" / "text.txt").write_text("a text")


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    times = file.stat()
    file.write_bytes(data)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a disk does, which nobody sees writing


DAMAGES = {
    "a bit": lambda place: flip(place / "ids.npy"),
    "half": lambda place: os.truncate(place / "ids.npy", 100),
    "emptied": lambda place: (place / "below/text.txt").write_text(""),
    "gone": lambda place: (place / "below/text.txt").unlink(),
    "zeros": lambda place: (place / "ids.npy").write_bytes(b"\0" * 10240),
    "checksums cut": lambda place: os.truncate(place / ".sha256.json", 50),
    "checksums of text": lambda place: (place / ".sha256.json").write_text('{"ids.npy": "x"}'),
    "no checksums": lambda place: (place / ".sha256.json").unlink(),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_cache_is_made_anew_and_says_so_in_one_line(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path))
    place = disk.folder("corpora", "key", made)
    DAMAGES[name](place)
    assert disk.damage(place) and disk.folder("corpora", "key", made) == place
    assert (place / "ids.npy").read_bytes() == bytes(range(256)) * 40 and not disk.damage(place)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"niah: cache folder {place}: ") and "made anew" in line
    disk.folder("corpora", "key", made)
    assert not capsys.readouterr().err and sorted(one.name for one in tmp_path.rglob("*.draft")) == []


def test_a_cache_of_an_earlier_version_is_kept_where_it_cannot_be_made_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path))
    place = disk.folder("corpora", "key", made)
    (place / ".sha256.json").unlink()

    def offline(folder: Path) -> None:
        raise NiahError("no network")

    assert disk.folder("corpora", "key", offline) == place and "taken as it is" in capsys.readouterr().err
    assert not disk.damage(place) and (place / "ids.npy").exists()
    flip(place / "ids.npy")
    with pytest.raises(NiahError, match="no network"):
        disk.folder("corpora", "key", offline)
    assert disk.damage(place)  # what is damaged is never used


def test_of_large_files_the_bytes_are_read_where_something_was_written_or_all_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path))

    def large(folder: Path) -> None:
        with (folder / "weights").open("wb") as file:
            file.truncate(2**26 + 1)
        (folder / "tokenizer").write_text("{}")

    place = disk.folder("models", "key", large)
    with (place / "weights").open("r+b") as file:
        file.write(b"x")
    assert "other bytes" in disk.damage(place)
    sums = json.loads((place / ".sha256.json").read_text())
    os.utime(place / "weights", ns=(0, sums["weights"]["mtime_ns"]))
    assert not disk.damage(place) and "other bytes" in disk.damage(place, is_whole=True)
    os.utime(place / "tokenizer", ns=(1, 1))  # its being read again says nothing of the other
    assert not disk.damage(place) and "other bytes" in disk.damage(place, is_whole=True)


def test_a_copy_of_a_cache_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path))
    place = disk.folder("corpora", "key", made)
    os.utime(place / "ids.npy", ns=(1, 1))
    assert not disk.damage(place) and json.loads((place / ".sha256.json").read_text())["ids.npy"]["mtime_ns"] == 1


def test_drafts_that_killed_processes_left_go_with_the_next_use_of_that_cache(tmp_path):
    cache = f'os.environ["NIAH_CACHE"] = {str(tmp_path)!r}\n'
    use = 'disk.folder("models", "c", lambda folder: (folder / "weights").write_text("whole"))'
    assert run(f'{cache}{KILLED}disk.folder("models", "a", make)', tmp_path).returncode == -signal.SIGKILL
    models = tmp_path / "models"
    shutil.copytree(models / ".a.draft", models / ".b.draft")
    with FileLock(models / "b.lock"):  # another process fills it at this moment
        assert run(cache + use, tmp_path).returncode == 0
        assert {path.name for path in models.glob(".*")} == {".b.draft"}
    assert run(cache + use, tmp_path).returncode == 0
    assert not list(models.glob(".*")) and (models / "c/weights").read_text() == "whole"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o027, 0o640)])
def test_files_of_a_filled_folder_are_as_readable_as_the_folder(tmp_path, mask, mode):
    code = f"""
os.umask({mask})
def make(folder):
    os.close(os.open(folder / "weights", os.O_CREAT | os.O_WRONLY, 0o600))  # as the package safetensors writes them
disk.fill(Path("here"), make)
"""
    assert run(code, tmp_path).returncode == 0
    assert (tmp_path / "here/weights").stat().st_mode & 0o777 == mode


def test_processes_that_waited_for_one_that_failed_fill_one_after_the_other(tmp_path):
    """Each says when it is in; the first fails, so that the lock's file is taken away while the others wait."""
    code = """
import sys, time
def make(folder):
    with open("log", "ab", 0) as log:
        log.write(b"in\\n")
        time.sleep(0.3)
        log.write(b"out\\n")
    if sys.argv[1] != "last":
        raise OSError("full")
try:
    disk.fill(Path("here"), make)
except OSError:
    pass
"""
    names = ["first", "second", "third", "fourth", "last"]
    processes = [
        subprocess.Popen([sys.executable, "-c", HEAD + code, name], cwd=tmp_path, env=environment_with())
        for name in names
    ]
    assert [process.wait(timeout=60) for process in processes] == [0] * len(names)
    said = (tmp_path / "log").read_text().split()
    assert said == ["in", "out"] * (len(said) // 2)  # never two at once
    assert {path.name for path in tmp_path.iterdir()} == {"log", "here"}


@pytest.mark.parametrize(("variables", "expected"), [
    ({"NIAH_CACHE": "a", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "a"), ({"NIAH_CACHE": "~/a", "HOME": "/h"}, "/h/a"),
    ({"NIAH_CACHE": "", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/niah"), ({"HOME": "/h"}, "/h/.cache/niah"),
    ({"XDG_CACHE_HOME": "x", "HOME": "/h"}, "/h/.cache/niah"), ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/niah"),
    ({}, f"{pwd.getpwuid(os.getuid()).pw_dir}/.cache/niah"),
])
def test_where_the_cache_is(monkeypatch, variables, expected):
    for name in ("NIAH_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(disk.root()) == expected


def test_without_a_home_folder_the_cache_has_to_be_named(monkeypatch):
    for name in ("NIAH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "h")
    with pytest.raises(NiahError, match=r"cache folder: this user has no home folder; got HOME='h'; .* set NIAH_CACHE"):
        disk.root()


def test_a_cache_whose_name_is_too_long_is_one_line(monkeypatch):
    monkeypatch.setenv("NIAH_CACHE", "/" + "x" * 300)
    with pytest.raises(NiahError, match="cannot be written; got File name too long"):
        disk.folder("kind", "key", lambda folder: None)


def test_lines_that_something_else_moves_or_writes_are_told(tmp_path):
    def foreign(change) -> str:
        lines = disk.Lines(tmp_path / "a.jsonl", "row")
        lines.append({"n": 1})
        change(lines.path)
        with pytest.raises(NiahError) as error:
            lines.append({"n": 2})
        return str(error.value)

    assert "it is gone; put it back as it was" in foreign(lambda path: path.rename(tmp_path / "b.jsonl"))
    assert (tmp_path / "b.jsonl").read_text() == '{"n": 1}\n'
    assert "it has 0 bytes instead of 9" in foreign(lambda path: os.truncate(path, 0))
    assert "it has 13 bytes instead of 9" in foreign(lambda path: path.write_text('{"n": 1}\n{"n"'))

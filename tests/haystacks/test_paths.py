"""Which files a path names: folders, globs, links, and what may not be read."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from niah.haystacks.files import Files
from tests.helpers.sources import read, refused


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read everything: for tests of permissions it becomes nobody for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_which_files_a_path_names(tmp_path):
    for name in ("b.txt", "a.txt", "c.md", "sub/d.txt", "sub/e.data"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    for settings, expected in (
        ({"path": "."}, ["a.txt", "b.txt", "c.md", "sub/d.txt"]),
        ({"path": ".", "pattern": "**/*.data"}, ["sub/e.data"]),
        ({"path": ".", "pattern": "*.txt"}, ["a.txt", "b.txt"]),
        ({"path": "*.md"}, ["c.md"]),
        ({"path": "**/*.txt"}, ["a.txt", "b.txt", "sub/d.txt"]),
        ({"path": "s*/*"}, ["sub/d.txt", "sub/e.data"]),
        ({"path": "c.md, b.txt"}, ["c.md", "b.txt"]),
        ({"paths": ["c.md", "sub", "c.md"]}, ["c.md", "sub/d.txt"]),
        ({"path": "b.txt", "paths": ["a.*"]}, ["b.txt", "a.txt"]),
    ):
        with contextlib.chdir(tmp_path):
            assert read(Files(**settings)) == expected, settings
    refused(Files(), "not given")
    refused(Files(path=str(tmp_path / "none*")), "nothing to read")
    refused(Files(path=f"{tmp_path / 'a.txt'},{tmp_path / 'typo.txt'}"), "nothing to read", "typo.txt")
    (tmp_path / "empty").mkdir()
    refused(Files(path=str(tmp_path / "empty")), "nothing to read", "known text suffix")
    refused(Files(path="long name," * 500), "nothing to read")


def test_links_that_go_round_and_to_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("Once.")
    (tmp_path / "in" / "loop").symlink_to(tmp_path)
    (tmp_path / "in" / "self.txt").symlink_to(tmp_path / "in" / "self.txt")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "twin").symlink_to(tmp_path / "in")
    os.mkfifo(tmp_path / "pipe.txt")
    skipped: list[str] = []
    assert read(Files(path=str(tmp_path)), skipped) == ["Once."]
    assert len(skipped) == 3 and all("is not a readable file" in line for line in skipped)
    assert read(Files(path=str(tmp_path / "**" / "*.txt")), []) == ["Once."]


def test_what_may_not_be_read_is_skipped_or_refused():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "closed").mkdir()
        for file in ("good.txt", "secret.txt", "closed/x.txt"):
            (folder / file).write_text("Text.")
        (folder / "secret.txt").chmod(0)
        (folder / "closed").chmod(0)
        skipped: list[str] = []
        with ordinary_user():
            assert read(Files(path=name), skipped) == ["Text."]
            refused(Files(path=f"{name}/secret.txt"), "cannot be read", "Permission denied")
            refused(Files(path=f"{name}/closed"), "cannot be listed", "Permission denied")
        (folder / "closed").chmod(0o755)
        assert sorted(line.partition(": ")[0] for line in skipped) == [f"{name}/closed", f"{name}/secret.txt"]


def test_a_name_of_odd_bytes_is_one_line(tmp_path):
    place = os.fsencode(tmp_path)
    for name in (b"bad \xff.txt", b"two\nlines.txt"):
        (Path(os.fsdecode(place + b"/" + name))).write_bytes(b"\0")
    skipped: list[str] = []
    (tmp_path / "good.txt").write_text("Good.")
    source = Files(path=str(tmp_path))
    assert read(source, skipped) == ["Good."] and source.identity()
    assert len(skipped) == 2 and "\n" not in "".join(skipped) and "".join(skipped).encode()

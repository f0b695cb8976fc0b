"""Source code: which files are read, and needles as comments or constants."""

import os
import re

import pytest

from niah.errors import NiahError
from niah.haystacks.code import Code
from tests.helpers.sources import read, refused


def test_installed_packages_are_listed_and_read():
    source = Code(max_characters=20_000_000)
    identity = source.identity()
    documents = read(source, [])
    assert identity == source.identity()
    assert len(documents) == len(set(documents)) > 500
    assert 18e6 < sum(map(len, documents)) <= 20e6
    names = [document.partition("\n")[0] for document in documents]
    assert all(re.fullmatch(r"# file: \S.*\.py", name) for name in names)
    assert not any("/tests/" in name for name in names)


def test_a_tree_of_code_and_what_is_left_out_of_it(tmp_path):
    body = "".join(f"def function_{n}(argument):\n    return argument + {n}\n" for n in range(4))
    for name, data in {
        "b.py": body.encode(), "a/z.py": b"# other\r\n" + body.encode(), "copy.py": body.encode(),
        "tiny.py": b"x = 1\n", "empty.py": b"",
        "latin.py": b"# Gr\xf6\xdfe\n" + body.encode(), "nul.py": b"\0" + body.encode(),
        "large.py": b"x" * 1_000_001, "tests/t.py": b"# test\n" + body.encode(), "page.js": body.encode(),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    skipped: list[str] = []
    source = Code(path=str(tmp_path))
    assert read(source, skipped) == [f"# file: a/z.py\n# other\n{body}", f"# file: b.py\n{body}"]
    assert len(skipped) == 5
    for name, reason in (
        ("latin.py", "not UTF-8"), ("nul.py", "binary"), ("large.py", "1 MB"), ("", "1 files in test folders"),
        ("", "1 exact copies"),
    ):
        assert any(str(tmp_path / name) in line and reason in line for line in skipped), (reason, skipped)
    before = source.identity()
    os.utime(tmp_path / "b.py", ns=(1, 1))
    assert source.identity() != before != Code(path=str(tmp_path), max_characters=5).identity()
    assert len(read(Code(path=str(tmp_path), max_characters=5), [])) == 1
    assert read(Code(path=str(tmp_path / "*.js"))) == [f"// file: page.js\n{body}"]
    refused(Code(path=str(tmp_path), pattern="**/*.rs"), "nothing to read", "**/*.rs")
    refused(Code(path=str(tmp_path), pattern="tiny.py"), "no source code")


def test_needles_in_code():
    needle = 'The "magic" number\nis 7.'
    assert Code().planted(needle) == '# The "magic" number\n# is 7.'
    assert Code(pattern="src/**/*.rs").planted("x") == "// x"
    assert Code(path="a/*.sql").planted("x") == "-- x"
    assert Code(comment=";;").planted("x") == ";; x"
    line = Code(needle_form="constant").planted(needle)
    assert "\n" not in line
    scope: dict = {}
    exec(line, scope)
    assert scope["REMARK"] == needle
    with pytest.raises(NiahError, match="needle_form"):
        Code(needle_form="docstring")

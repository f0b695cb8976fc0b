"""The user's own files: the text in each kind of them, and what is wrong with a bad one."""

import os
import shutil
import zlib
from pathlib import Path

import pypdf
import pytest
import regex

from niah.errors import NiahError
from niah.haystacks.files import Files
from tests.helpers.sources import bare_python, never, read, refused


def pdf(*pages: str) -> bytes:
    """A small PDF, written by hand: one line of text on each page."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * n} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def encrypted(path: Path, password: str) -> None:
    plain = path.with_suffix(".plain")
    plain.write_bytes(pdf("A secret."))
    writer = pypdf.PdfWriter(clone_from=plain)
    writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    writer.write(path)
    plain.unlink()


PAGE = """<!DOCTYPE html><html><head><title>A page</title><style>p {color: red}</style></head><body>
<h1>Head
line</h1><p>One <b>bold </b> text,<br>two lines.</p><script>var hidden = 1;</script><ul><li>a</li><li>b</li></ul>
<p hidden>unseen</p><!-- a comment --><table><tr><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr></table>
<pre>def f():
    return  1
</pre>R&amp;D</body></html>"""


def test_files_of_every_kind(tmp_path):
    for name, data in {
        "a.txt": "\ufeffPlain\r\ntext.".encode(), "b.md": b"---\ntitle: x\n---\n# Head\n\n*kept* as written\n",
        "c.md": b"---\n\nA rule, no front matter.\n\n---\n", "d.md": b'+++\ntitle = "x"\n+++\nTOML.',
        "e.html": PAGE.encode(), "f.pdf": pdf("Page one.", "Page two."), "g.py": b"x = 1\n",
        "h.png": b"\x89PNG\0", "i.unknown": b"not taken",
        "j.txt": "In UTF-16: ö".encode("utf-16"), "k.htm": '<meta charset="latin-1"><p>Größe'.encode("latin-1"),
        ".hidden.txt": b"hidden", ".git/x.txt": b"hidden", "deep/er/l.rst": b"Deep.",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert read(Files(path=str(tmp_path))) == [
        "Plain\ntext.", "# Head\n\n*kept* as written\n", "---\n\nA rule, no front matter.\n\n---\n", "TOML.", "Deep.",
        "A page\n\nHead line\n\nOne bold text,\ntwo lines.\n\na\nb\n\n1 2\n3 4\n\ndef f():\n    return  1\n\nR&D",
        "Page one.\n\nPage two.", "x = 1\n", "In UTF-16: ö", "Größe",
    ]
    by_name = {name: read(Files(path=str(tmp_path / name)))[0] for name in ("e.html", "i.unknown", ".hidden.txt")}
    assert by_name["i.unknown"] == "not taken" and by_name[".hidden.txt"] == "hidden"


def test_identity_of_files_follows_them(tmp_path):
    file, source = tmp_path / "a.txt", Files(path=str(tmp_path))
    file.write_text("One day.")
    seen = [source.identity(), source.identity()]
    file.write_text("One night.")
    seen.append(source.identity())
    (tmp_path / "b.txt").write_text("More.")
    seen.append(source.identity())
    file.chmod(0o600)
    seen.append(source.identity())
    seen.append(Files(path=str(tmp_path), encoding="latin-1").identity())
    assert len(set(seen)) == len(seen) - 1


BAD = {
    "empty.txt": (b" \n", "is empty"), "nul.txt": (b"text\0", "is a binary file"),
    "latin.txt": ("Größe".encode("latin-1"), "is not UTF-8"), "broken.pdf": (pdf("x")[:200], "not a sound PDF"),
    "nothing.pdf": (b"", "is not a sound PDF"), "scan.pdf": (pdf("", ""), "without text"),
    "odd.html": (b'<meta charset="klingon"><p>x', "is not KLINGON"), "blank.html": (b"<script>x</script>", "is empty"),
}


@pytest.mark.parametrize("name", [*BAD, "locked.pdf"])
def test_a_bad_file_alone_is_refused_and_among_others_skipped(tmp_path, name, capfd):
    data, reason = BAD.get(name, (None, "is encrypted"))
    file = tmp_path / name
    if data is None:
        encrypted(file, "password")
    else:
        file.write_bytes(data)
    refused(Files(path=str(file)), "haystack.path", str(file), reason, ";")
    refused(Files(path=str(tmp_path)), str(file), reason)
    (tmp_path / "good.txt").write_text("Good.")
    skipped: list[str] = []
    assert read(Files(path=str(tmp_path)), skipped) == ["Good."]
    assert len(skipped) == 1 and str(file) in skipped[0] and reason in skipped[0] and ";" in skipped[0]
    assert capfd.readouterr() == ("", "")


def test_a_pdf_that_opens_without_a_password_is_read(tmp_path):
    encrypted(tmp_path / "open.pdf", "")
    assert read(Files(path=str(tmp_path))) == ["A secret."]


def test_nothing_usable_among_many_names_the_first(tmp_path):
    for name, (data, _) in BAD.items():
        (tmp_path / name).write_bytes(data)
    refused(Files(path=str(tmp_path)), f"in any of {len(BAD)} files", "blank.html")


def test_other_encodings_sizes_and_bad_settings(tmp_path):
    file = tmp_path / "latin.txt"
    file.write_bytes("Größe".encode("latin-1"))
    assert read(Files(path=str(file), encoding="latin-1")) == ["Größe"]
    refused(Files(path=str(file), max_file_mb=0), "haystack.max_file_mb")
    for encoding in ("klingon", "hex"):
        with pytest.raises(NiahError, match="encoding"):
            Files(encoding=encoding)


def test_long_texts_come_in_parts(tmp_path):
    for text in ("word " * 2_000_000, "x" * 9_000_000, "One paragraph.\n\n" * 700_000):
        (tmp_path / "long.txt").write_text(text)
        parts = read(Files(path=str(tmp_path)))
        assert len(parts) > 1 and max(map(len, parts)) <= 4_000_000 and "".join(parts) == text
        assert all(part.startswith(("word", " ", "x", "\n\n", "One")) for part in parts)


def test_deep_and_wide_html_is_read(tmp_path):
    for text in ("<div>x" * 20_000, "<p>One <b>line</b>.</p>" * 20_000):
        (tmp_path / "page.html").write_text(text)
        assert read(Files(path=str(tmp_path)))[0].count("\n") > 19_000


def test_readers_that_are_not_installed_are_named(tmp_path):
    (tmp_path / "a.html").write_text("<p>x")
    (tmp_path / "b.pdf").write_bytes(pdf("x"))
    (tmp_path / "c.txt").write_text("Text.")
    done = bare_python(tmp_path / "site", f"""
from niah.errors import NiahError
from niah.haystacks.files import Files
print(list(Files(path={str(tmp_path)!r}, pattern="*.*").documents(print)))
try:
    list(Files(path={str(tmp_path / "b.pdf")!r}).documents(print))
except NiahError as error:
    print(error)
""", regex)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all('pip install "niah[files]"' in line for line in (lines[0], lines[1], lines[3]))
    assert lines[2] == "['Text.']"


def test_a_page_that_unpacks_to_gigabytes_is_told(tmp_path):
    content = zlib.compress(b"BT (x) Tj ET\n" * 8_000_000, 9)
    marks = b"<< /Length 5 >>\nstream\nBOMB!\nendstream"
    page = pdf("BOMB!").replace(b"BT /F1 12 Tf 72 700 Td (BOMB!) Tj ET", b"BOMB!").replace(b"/Length 36", b"/Length 5")
    packed = b"<< /Filter /FlateDecode /Length %d >>\nstream\n%b\nendstream" % (len(content), content)
    assert marks in page
    (tmp_path / "bomb.pdf").write_bytes(page.replace(marks, packed))
    refused(Files(path=str(tmp_path / "bomb.pdf")), "unpacks to more than pypdf takes on page 1")


def test_a_large_file_that_changes_while_it_is_read_is_told(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("é".encode() * 32_500_000)
    documents = Files(path=str(file)).documents(never)
    next(documents)
    os.truncate(file, 20_000_001)
    with pytest.raises(NiahError, match=r"a\.txt: was changed or taken away while it was read"):
        list(documents)


def test_what_is_listed_and_then_gone_is_left_out(tmp_path):
    for name in ("a.txt", "b.txt", "c/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    skipped: list[str] = []
    documents = Files(path=str(tmp_path)).documents(skipped.append)
    assert next(documents) == "a.txt"
    shutil.rmtree(tmp_path / "c")
    assert list(documents) == ["b.txt"] and len(skipped) == 1 and "c/d.txt: cannot be read" in skipped[0]


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/full", "/proc/kmsg", "/proc/self/pagemap", "/proc/cpuinfo"])
def test_files_without_an_end_are_refused(place):
    refused(Files(path=place))

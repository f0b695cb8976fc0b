"""What is read of bytes in any encoding, and of what is no ordinary file."""

import os
import shlex
import socket
import subprocess

import pytest

from niah.haystacks.code import Code
from niah.haystacks.files import Files
from niah.haystacks.hub import Hub
from niah.haystacks.wikipedia import Wikipedia
from tests.helpers.sources import read, refused

ENGLISH = "The miller woke at dawn – café, naïve, Größe. He lit the stove.\n" * 20
TEXTS = {
    "euc_jp": "彼は海辺を長い間歩いた。空がだんだん暗くなり、灯台がともった。\n" * 20,
    "cp1251": "Он долго шёл вдоль берега моря. Небо понемногу темнело, и зажёгся маяк.\n" * 20,
    "gb18030": "他沿着海边走了很久。天色渐渐暗下来，灯塔亮了，渔夫们回到了家里。\n" * 20,
    "big5": "他沿著海邊走了很久。天色漸漸暗下來，燈塔亮了，漁夫們回到了家裡。\n" * 20,
    "cp932": "彼は海辺を長い間歩いた。空がだんだん暗くなり、灯台がともった。カモメが鳴いている。\n" * 20,
    "cp949": "그는 오랫동안 바닷가를 걸었다. 하늘이 점점 어두워지고 등대가 켜졌다.\n" * 20,
    "cp1252": ENGLISH,
}


@pytest.mark.parametrize("text", [ENGLISH, TEXTS["gb18030"], "a"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_what_is_certain_is_read(tmp_path, text, encoding):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert read(Files(path=str(tmp_path / "a.txt"))) == [text]


@pytest.mark.parametrize("encoding", TEXTS)
def test_the_likely_encoding_is_named_and_both_ways_out_work(tmp_path, encoding):
    file = tmp_path / "o d'd.txt"
    file.write_bytes(TEXTS[encoding].encode(encoding))
    message = refused(Files(path=str(file)), "is not UTF-8", str(file), "iconv")
    named = message.partition("haystack.encoding=")[2].partition(",")[0]
    assert read(Files(path=str(file), encoding=named)) == [TEXTS[encoding]]
    command = message.partition("convert it: ")[2]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert read(Files(path=str(tmp_path / "utf-8.txt"))) == [TEXTS[encoding]]


def test_two_encodings_in_one_file(tmp_path):
    file = tmp_path / "two.txt"
    file.write_bytes(TEXTS["gb18030"].encode() + "Größe".encode("utf-16") + b"\xff\xfe\xfd\n")
    refused(Files(path=str(file)), "is a binary file", "at byte")
    file.write_bytes(TEXTS["gb18030"].encode() + b"\x81\xff\x8d\n" + TEXTS["cp932"].encode("cp932"))
    message = refused(Files(path=str(file)), "is not UTF-8", "iconv")
    assert shlex.split(message.partition("> ")[0])[-1] == str(file)


def test_code_in_another_encoding_is_left_out(tmp_path):
    (tmp_path / "a.py").write_bytes(TEXTS["cp932"].encode("cp932"))
    (tmp_path / "b.py").write_bytes(("# UTF-16\n" + ENGLISH).encode("utf-16"))
    skipped: list[str] = []
    assert "miller" in read(Code(path=str(tmp_path)), skipped)[0] and "likely CP932" in skipped[0]


def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket.txt"))
    for place in (tmp_path / "pipe.txt", tmp_path / "socket.txt", "/dev/zero", "/dev/stdin", "/dev/tty"):
        if os.path.exists(place):
            for source in (Files(path=str(place)), Code(path=str(place)), Hub(dataset="text", data_files=[str(place)])):
                refused(source, "haystack.path", "a pipe, a socket or a device")
    skipped: list[str] = []
    refused(Files(path=str(tmp_path)), "nothing to read")
    (tmp_path / "good.txt").write_text("Good.")
    assert read(Files(path=str(tmp_path)), skipped) == ["Good."] and len(skipped) == 2
    listening.close()


def test_links_that_lead_nowhere_or_round(tmp_path):
    (tmp_path / "to-itself.txt").symlink_to("to-itself.txt")
    (tmp_path / "to-nothing.txt").symlink_to("nothing.txt")
    (tmp_path / "round").symlink_to(".")
    for name in ("to-itself.txt", "to-nothing.txt"):
        refused(Files(path=str(tmp_path / name)), "nothing to read")
    (tmp_path / "good.txt").write_text("Good.")
    skipped: list[str] = []
    assert read(Files(path=str(tmp_path)), skipped) == ["Good."] and len(skipped) == 2


def test_sizes_that_no_memory_holds(tmp_path):
    for name in ("huge.txt", "huge.html", "squad.json"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(100_000_000 if name == "huge.html" else 2**40)
    refused(Files(path=str(tmp_path / "huge.txt")), "holds 1,099,512 MB", "haystack.max_file_mb")
    refused(Files(path=str(tmp_path / "huge.html")), "of HTML", "split it")
    refused(Wikipedia(path=str(tmp_path), parts=["squad"]), "squad.json", "more than 1,000")
    refused(Files(path="/proc/self/status"), "is empty")


def test_a_large_text_is_read_in_blocks_as_a_small_one(tmp_path, monkeypatch):
    lines = "".join(f"Line {number}: Größe und Maß.\r\n" for number in range(400_000))
    (tmp_path / "a.txt").write_text(lines, newline="")
    whole = read(Files(path=str(tmp_path / "a.txt")))
    monkeypatch.setattr("niah.haystacks.files._LARGE_BYTES", 1000)
    assert read(Files(path=str(tmp_path / "a.txt"))) == whole and len(whole) > 2
    (tmp_path / "b.txt").write_bytes(lines.encode() + TEXTS["cp932"].encode("cp932") * 30)
    refused(Files(path=str(tmp_path / "b.txt")), "is not UTF-8")
    (tmp_path / "c.txt").write_bytes(lines.encode() + b"\0")
    refused(Files(path=str(tmp_path / "c.txt")), "NUL")
    (tmp_path / "d.txt").write_bytes(lines.encode("utf-16"))
    assert read(Files(path=str(tmp_path / "d.txt"))) == whole

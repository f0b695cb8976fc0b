"""Bytes to text: what is certain is read, the rest refused with the likely encoding and a command that converts it.

Certain are UTF-8, a byte order mark, and UTF-16 or UTF-32 without one where the zeros in it leave no doubt.
"""

import codecs
import shlex
import unicodedata
from collections.abc import Iterator
from contextlib import suppress

import regex

from niah.haystacks.paths import shown

_MARKS = (  # those of UTF-32 first: they begin as those of UTF-16 do
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_LOOKED_AT = 64_000
"""Bytes from which an encoding is guessed; from more it takes seconds."""
_COMMON = {
    "gb18030": regex.compile(
        "[，。、？！“”的一是不了在人有我他这中大来上个国到说们为子和你地出也时年得就那要下以生会自着去之过家学对可里后"
        "小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面]"
    ),
    "big5": regex.compile(
        "[，。、？！「」的一是不了在人有我他這中大來上個國到說們為子和你地出也時年得就那要下以生會自著去之過家學對可裡後"
        "小麼心多天而能好都然沒日於起還發成事只作當想看文無開手十用主行方又如前所本見經頭面]"
    ),
    "cp932": regex.compile(r"[\p{Hiragana}\p{Katakana}。、「」ー]"),
    "euc_jp": regex.compile(r"[\p{Hiragana}\p{Katakana}。、「」ー]"),
    "cp949": regex.compile(
        "[이다는을가의에고하를은로지도한기서어리나사자아그시해대있정들라니만인오수일보부제스것전주상장여게과까요세안거면"
        "원소구미모없려우마던와았었습네무중국성말때같않]"
    ),
}
"""What is frequent in texts of an encoding, and is not what the others make of its bytes."""
_ENOUGH = 0.2
_FEW_ACCENTS = 0.2
"""Of all bytes: more than that are no accents among Latin letters."""
_ICONV = {
    "big5hkscs": "BIG5-HKSCS", "euc_jis_2004": "EUC-JP", "euc_jisx0213": "EUC-JP", "euc_jp": "EUC-JP",
    "euc_kr": "EUC-KR", "latin_1": "LATIN1", "mac_roman": "MACINTOSH", "shift_jis_2004": "CP932",
    "shift_jisx0213": "CP932", "gb2312": "GBK",
}
"""What iconv calls encodings that it knows by another name than Python's."""


class UndecodableError(Exception):
    """Why bytes are no text of an encoding, and what to do about it."""


def decoded(raw: bytes, encoding: str, file: object) -> str:
    """The text. Raises UndecodableError, which says all but the file's name."""
    encoding = certain(raw) or encoding
    if b"\0" in raw and not _has_zeros(encoding):
        raise UndecodableError(
            f"is a binary file (it holds NUL bytes, the first at byte {raw.index(0)}); leave it out"
        )
    try:
        return raw.decode("utf-8-sig" if _plain(encoding) == "utf8" else encoding)
    except (UnicodeError, LookupError) as error:  # HTML may declare an encoding that there is not
        raise UndecodableError(_why(raw, encoding, error, file)) from error


def certain(raw: bytes) -> str:
    """The encoding where the bytes leave no doubt of one that is not UTF-8; else empty."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return encoding
    head = raw[:_LOOKED_AT]
    if b"\0" not in head:
        return ""
    for encoding in _WIDE:
        width = 4 if "32" in encoding else 2
        head = raw[: _LOOKED_AT // width * width]
        if len(raw) % width == 0 and _reads(head, encoding) and _zeros_stand_right(head, encoding):
            return encoding
    return ""


def _reads(raw: bytes, encoding: str) -> bool:
    """Whether it is text: no control characters but white space, no characters that there are not."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        if error.start < len(raw) - 4:
            return False
        text = raw[: error.start].decode(encoding)
    return bool(text) and all(
        one in "\t\n\r\f" or unicodedata.category(one) not in ("Cc", "Cn", "Co", "Cs") for one in set(text)
    )


def _zeros_stand_right(raw: bytes, encoding: str) -> bool:
    """Whether zeros are where characters of ASCII have them, and nowhere else."""
    if "32" in encoding:
        return True  # one wrong byte of four is no character: reading it is proof
    high, low = (raw[1::2], raw[::2]) if encoding.endswith("le") else (raw[::2], raw[1::2])
    return b"\0" in high and b"\0" not in low


def _has_zeros(encoding: str) -> bool:
    return "16" in encoding or "32" in encoding


def _plain(encoding: str) -> str:
    return encoding.lower().replace("_", "").replace("-", "")


def _why(raw: bytes, encoding: str, error: Exception, file: object) -> str:
    place = error.start if isinstance(error, UnicodeDecodeError) else 0
    named = f"is not {encoding.upper()} (byte {place})"
    quoted = shlex.quote(shown(file))
    if likely := _guess(raw, place):
        name = _ICONV.get(likely, likely.replace("_", "-").upper())
        return (
            f"{named}, likely {name}; set haystack.encoding={likely}, or convert it: "
            f"iconv -f {name} -t UTF-8 {quoted} > utf-8.txt"
        )
    return (
        f"{named}, nor all of another encoding that is known by its looks; set haystack.encoding, or leave out what is "
        f"not UTF-8: iconv -c -f UTF-8 -t UTF-8 {quoted} > utf-8.txt"
    )


def _guess(raw: bytes, place: int) -> str:
    """The likely encoding of bytes that are no UTF-8, by Python's name; empty where none can read them all."""
    start = max(0, place - _LOOKED_AT // 2)
    start = raw.rfind(b"\n", 0, start) + 1  # no character is cut in two there, in any encoding with ASCII in it
    stop = start + _LOOKED_AT
    end = raw.rfind(b"\n", start, stop) if stop < len(raw) else len(raw)
    sample = raw[start : end if end > start else stop]
    return next((name for name in _likely(sample) if _is_all(raw, name)), "")


def _likely(sample: bytes) -> Iterator[str]:
    """Encodings, the likeliest first."""
    shares = {name: _share(sample, name, common) for name, common in _COMMON.items()}
    yield from (name for name in sorted(shares, key=shares.__getitem__, reverse=True) if shares[name] > _ENOUGH)
    num_high = sum(one >= 0x80 for one in sample)
    if num_high < _FEW_ACCENTS * len(sample):
        yield "cp1252"
    with suppress(ImportError):
        from charset_normalizer import from_bytes

        if best := from_bytes(sample).best():
            yield best.encoding


def _share(sample: bytes, encoding: str, common: regex.Pattern) -> float:
    """The share of common characters of a script among those that are not ASCII."""
    others = [one for one in sample.decode(encoding, "replace") if one > "\x7f"]
    return len(common.findall("".join(others))) / len(others) if others else 0.0


def _is_all(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    return True

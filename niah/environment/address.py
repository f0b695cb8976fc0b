"""Addresses of servers, as settings hold them: checked before anything is sent, shown without what may be a key."""

import ipaddress
import unicodedata
from urllib.parse import SplitResult, urlsplit

from niah.errors import NiahError

_MOST_OF_A_LABEL, _MOST_OF_A_HOST = 63, 253
_MOST_SHOWN = 120


def check(address: str, where: str, key_setting: str, example: str = "http://host:8000/v1") -> None:
    """Raises NiahError for what is no address of a server, or holds a password. ``where`` is the setting that holds it,
    ``key_setting`` the one that names the variable of a key."""
    parts = _parts(address, where, example)
    if parts.username or parts.password:
        raise NiahError(
            f"{where}: holds a name or password; expected none; put the key into a variable and name it in "
            f"{key_setting}"
        )
    is_one = parts.scheme in ("http", "https") and parts.hostname
    if not is_one or (why := _fault(parts, address)):
        shown = repr(_shown(parts)[:_MOST_SHOWN]) + (f" ({why})" if is_one else "")
        raise NiahError(f"{where}: got {shown}; expected an address, as {example}")


def _parts(address: str, where: str, example: str) -> SplitResult:
    """Raises NiahError for what is no address at all, as http://[::1."""
    if unseen := next((one for one in address if one.isspace() or not one.isprintable()), ""):
        raise NiahError(
            f"{where}: no address (it holds {_name(unseen)}); expected one without spaces and control characters, as "
            f"{example}"
        )
    try:
        parts = urlsplit(address)
        _ = parts.port, parts.hostname
    except ValueError as error:
        raise NiahError(f"{where}: no address ({error}); expected one as {example}") from error
    return parts


def _fault(parts: SplitResult, address: str) -> str:
    """Why no server has such an address; empty where one may."""
    host = parts.hostname or ""
    if extra := next((one for one in "?#@" if one in address), ""):
        return f"it holds {extra}"
    if parts.port == 0:
        return "its port is 0"
    if ":" in host:  # an IPv6 address in brackets, which urlsplit has looked at
        return ""
    labels = host.removesuffix(".").split(".")
    if not all(labels):
        return "its host has nothing between two dots"
    if len(labels) == 4 and all(label.isdecimal() for label in labels):
        try:
            ipaddress.IPv4Address(host.removesuffix("."))
        except ValueError:
            return "its host is no IPv4 address"
    if strange := next((one for one in "".join(labels) if not _may_stand(one)), ""):
        return f"its host holds {_name(strange)}"
    try:
        written = [label if label.isascii() else label.encode("idna").decode() for label in labels]
        is_long = max(map(len, written)) > _MOST_OF_A_LABEL
    except UnicodeError:  # too long as it is sent
        is_long, written = True, labels
    if is_long:
        return f"a part of its host has more than {_MOST_OF_A_LABEL} characters"
    return f"its host has more than {_MOST_OF_A_HOST} characters" if len(".".join(written)) > _MOST_OF_A_HOST else ""


def _may_stand(one: str) -> bool:
    """Whether a host may have the character: a letter, with what belongs to it, a digit, a dash."""
    if one.isascii():
        return one.isalnum() or one in "-_"
    return unicodedata.category(one)[0] in "LM" and unicodedata.normalize("NFKC", one.lower()) == one.lower()


def _name(one: str) -> str:
    """A character by its number and name: most that are refused nobody sees."""
    return f"U+{ord(one):04X} {unicodedata.name(one, '')}".strip()


def _shown(parts: SplitResult) -> str:
    """An address without what may be a key in it: a password, a query, a fragment."""
    hidden = {"query": "***" if parts.query else "", "fragment": "***" if parts.fragment else ""}
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"***@{host}" if "@" in parts.netloc else host, **hidden).geturl()

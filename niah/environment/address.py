"""Addresses of servers, as settings hold them: checked before anything is sent, shown without what may be a key."""

from urllib.parse import SplitResult, urlsplit

from niah.errors import NiahError


def check(address: str, where: str, key_setting: str, example: str = "http://host:8000/v1") -> None:
    """Raises NiahError for what is no address of a server, or holds a password. ``where`` is the setting that holds it,
    ``key_setting`` the one that names the variable of a key."""
    parts = _parts(address, where, example)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise NiahError(f"{where}: got {_shown(parts)!r}; expected an address, as {example}")
    if parts.username or parts.password:
        raise NiahError(
            f"{where}: holds a name or password; expected none; put the key into a variable and name it in "
            f"{key_setting}"
        )


def _parts(address: str, where: str, example: str) -> SplitResult:
    """Raises NiahError for what is no address at all, as http://[::1."""
    try:
        parts = urlsplit(address)
        _ = parts.port, parts.hostname
    except ValueError as error:
        raise NiahError(f"{where}: no address ({error}); expected one as {example}") from error
    return parts


def _shown(parts: SplitResult) -> str:
    """An address without what may be a key in it: a password, a query, a fragment."""
    hidden = {"query": "***" if parts.query else "", "fragment": "***" if parts.fragment else ""}
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"***@{host}" if "@" in parts.netloc else host, **hidden).geturl()

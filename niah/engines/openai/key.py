"""The key of a server: read from the environment, sent in one header, never told."""

import os
import re

from niah.errors import NiahError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USUAL = re.compile(r"[A-Z0-9_]{1,64}")
"""A variable as most are called: any other name may be a key pasted by mistake, and is not repeated."""
_KEY = re.compile(r"[!-~]+")


def check_name(name: str | None) -> None:
    """Raises NiahError, without the name, for what names no variable."""
    if name is not None and not _NAME.fullmatch(name):
        raise NiahError(
            "engine.api_key_env: got what is no variable's name (not repeated: it may be the key itself); expected the name of the "
            "environment variable that holds the key; export OPENAI_API_KEY=..., then engine.api_key_env=OPENAI_API_KEY"
        )


def read(name: str | None) -> str | None:
    """Raises NiahError where the variable is missing, or holds what no header can carry."""
    if name is None:
        return None
    key, shown = os.environ.get(name, "").strip(), name if _USUAL.fullmatch(name) else None
    if not key:
        told = f"no {shown}" if shown else "no such variable (its name is not repeated: it may be the key itself)"
        raise NiahError(f"engine.api_key_env: the environment has {told}; expected the key in it; export {shown or 'NAME'}=...")
    if not _KEY.fullmatch(key):
        raise NiahError(
            f"engine.api_key_env: the key in {shown or 'that variable'} cannot be sent; got a space or a character outside ASCII in it; "
            f"expected letters, digits and signs alone; export {shown or 'NAME'}=... anew"
        )
    return key


def masked(text: str, key: str | None) -> str:
    """To be called before ``text`` is cut: half a key is not found."""
    return text.replace(key, "***") if key else text

"""Keys of servers: read from a variable of the environment that a setting names, never written anywhere.

A setting that was given the key itself, by mistake, is not repeated in a message.
"""

import os
import re

from niah import secrets
from niah.errors import NiahError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USUAL_VARIABLE = re.compile(r"[A-Z0-9_]{1,64}")
"""A variable as most are called: any other name may be a key pasted by mistake, and is not repeated."""
_KEY = re.compile(r"[!-~]+")


def check_name(name: str | None, where: str) -> None:
    """Raises NiahError, without the name, for what names no variable. ``where`` is the setting that holds it."""
    if name is not None and not _VARIABLE.fullmatch(name):
        raise NiahError(
            f"{where}: got what is no variable's name (not repeated: it may be the key itself); expected the "
            "name of the environment variable that holds the key; export OPENAI_API_KEY=..., then "
            f"{where}=OPENAI_API_KEY"
        )


def read(name: str | None, where: str) -> str | None:
    """The key in the variable, masked from now on in all that this process writes; None where no variable is named.

    Raises NiahError where the variable is missing, or holds what no header can carry.
    """
    if name is None:
        return None
    key, shown = os.environ.get(name, "").strip(), name if _USUAL_VARIABLE.fullmatch(name) else None
    if not key:
        missing = f"no {shown}" if shown else "no such variable (its name is not repeated: it may be the key itself)"
        raise NiahError(
            f"{where}: the environment has {missing}; expected the key in it; export {shown or 'NAME'}=..."
        )
    if not _KEY.fullmatch(key):
        raise NiahError(
            f"{where}: the key in {shown or 'that variable'} cannot be sent; got a space or a character "
            f"outside ASCII in it; expected letters, digits and signs alone; export {shown or 'NAME'}=... anew"
        )
    secrets.take(key, secrets.MASK)
    return key


def masked(text: str, key: str | None) -> str:
    """To be called before ``text`` is cut: half a key is not found."""
    return text.replace(key, secrets.MASK) if key else text

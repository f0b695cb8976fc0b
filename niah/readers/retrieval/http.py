"""JSON over HTTP to a server that a reader asks: a deadline, tries again, and one line for whatever went wrong."""

import json
import math
import random
import re
import ssl
import time
from contextlib import suppress
from typing import Any

from niah import __version__
from niah.environment import keys
from niah.errors import ServiceError, first_line

_AGAIN = frozenset((408, 409, 425, 429))
_CONNECT_SECONDS = 10.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 30.0
_MAX_BYTES = 2**28
"""Of an answer: 10,000 vectors of 4,096 dimensions take 200 MB as text."""
_MAX_SHOWN = 200
_MAY_BE_HALF = re.compile(rb"\\u[dD]")
"""The beginning of half a character that is written as an escape; all other bytes are decoded whole."""


class Http:
    """One server. ``where`` names in messages the setting that holds ``url``; ``key`` goes into one header, and to no
    other address: redirects are not followed."""

    def __init__(self, url: str, where: str, key: str | None, timeout_seconds: float, max_retries: int):
        import httpx2  # a reader that asks no server need not wait for it

        self.url = url.rstrip("/")
        self._where, self._key = where, key
        self._timeout_seconds, self._max_retries = timeout_seconds, max_retries
        authorization = {"authorization": f"Bearer {key}"} if key else {}
        self._client = httpx2.Client(
            headers={"user-agent": f"niah/{__version__}", "accept-encoding": "identity", **authorization},
            timeout=httpx2.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds)),
        )

    def get(self, path: str) -> dict[str, Any]:
        """As ``post``, of a page."""
        return self._answer("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON object that it answers. Raises ServiceError where it does not, after ``max_retries`` more tries of
        what may be over soon (no connection, a deadline, 408, 409, 425, 429, 5xx)."""
        return self._answer("POST", path, body)

    def unusable(self, what: str, status: int | None = None) -> ServiceError:
        """The error for an answer that is none, in ``what`` words."""
        return ServiceError(f"{self._where}: {self.url} {keys.masked(what, self._key)}", status)

    def _answer(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        import httpx2

        for attempt in range(self._max_retries + 1):
            wait = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0**attempt) * random.uniform(0.75, 1.25)
            try:
                status, content, asked = self._once(method, f"{self.url}/{path}", body)
            except TimeoutError:
                error = self.unusable(f"gave no whole answer to /{path} within {self._timeout_seconds:g} s")
            except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as reason:
                name = type(reason).__name__
                said = f"{name}: {first_line(reason)}"[:_MAX_SHOWN]
                error = self.unusable(f"does not answer /{path} ({said}); is it there?")
            else:
                if status == 200:
                    return self._parsed(content, path)
                error = self.unusable(f"answers /{path} with HTTP {status}: {self._words(content)}", status)
                if status not in _AGAIN and status < 500:
                    raise error
                wait = wait if asked is None else min(asked, _LONGEST_WAIT_SECONDS)
            if attempt < self._max_retries:
                time.sleep(wait)
        raise error

    def _once(self, method: str, url: str, body: dict[str, Any] | None) -> tuple[int, bytes, float | None]:
        """Status, content and the seconds that it asks to wait. Raises TimeoutError past the deadline."""
        import httpx2

        stop = time.monotonic() + self._timeout_seconds
        try:
            with self._client.stream(method, url, json=body) as response:
                pieces, size = [], 0
                for piece in response.iter_bytes():
                    size += len(piece)
                    if time.monotonic() > stop:
                        raise TimeoutError
                    if size > _MAX_BYTES:
                        raise self.unusable(f"answers with more than {_MAX_BYTES:,} bytes")
                    pieces.append(piece)
                asked = response.headers.get("retry-after", "")
                return response.status_code, b"".join(pieces), float(asked) if asked.isdecimal() else None
        except httpx2.TimeoutException as error:
            raise TimeoutError from error

    def _parsed(self, content: bytes, path: str) -> dict[str, Any]:
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self.unusable(f"answers /{path} with no JSON object: {self._words(content)}")
        return dict(_whole(found)) if _MAY_BE_HALF.search(content) else found

    def _words(self, content: bytes) -> str:
        """The beginning of what a server wrote, on one line; of an error its message alone."""
        text = content.decode(errors="replace")
        with suppress(ValueError, RecursionError):
            found = json.loads(text)
            error = found.get("error", found.get("detail", found)) if isinstance(found, dict) else found
            text = str(error.get("message", error) if isinstance(error, dict) else error)
        text = keys.masked(text, self._key)  # before it is cut
        return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:_MAX_SHOWN] or "nothing"


def is_number(value: Any) -> bool:
    """A finite one, which a float can hold: JSON may have whole numbers of hundreds of digits."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _whole(value: Any) -> Any:
    """With U+FFFD for halves of characters in all its texts, which no file could keep."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", errors="replace")
    if isinstance(value, dict):
        return {_whole(name): _whole(one) for name, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, list) else value

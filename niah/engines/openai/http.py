"""Requests to an OpenAI-compatible server: its key, deadlines, tries again with back-off, streams read to their end.

The key is read from the environment, sent in one header and masked in all that is shown of an answer.
"""

import asyncio
import random
import re
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from niah import __version__
from niah.engines.openai.wire import (
    Broken,
    Gathered,
    Reply,
    events,
    is_events,
    json_or_text,
    max_bytes,
    parsed,
    text_of,
)
from niah.engines.reply import Unusable, whole
from niah.environment import keys
from niah.errors import NiahError

KEY_SETTING = "engine.api_key_env"
_AGAIN = frozenset((408, 409, 425, 429))
_DENIED = frozenset((401, 403, 404))
_CONNECT_SECONDS = 10.0
_FIRST_WAIT_SECONDS = 0.5
_MAX_MESSAGE = 300
_MAX_PAGE_BYTES = 2**24
"""Of a page that describes the server, and of a refusal."""
_TELLING_BYTES = 8
"""So many show whether a reply is a stream of events."""
_BUDGETS, _USUAL_BUDGET = ("max_tokens", "max_completion_tokens"), 2**15
"""Keys of a request that limit its answer, and the tokens taken where it has none of them."""
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")


class Refused(Exception):
    """The server's own no to this request: the same request would get it again."""


class Denied(NiahError):
    """A no to every request: key, address or model are wrong. ``answer`` is what the server wrote."""

    def __init__(self, message: str, status: int, answer: str):
        super().__init__(message)
        self.status = status
        self.answer = answer


class Http:
    """One server. ``base_url`` ends in the API's version, as http://host:8000/v1; ``root`` is it without that.

    TLS certificates are checked (SSL_CERT_FILE and SSL_CERT_DIR name further authorities), HTTP_PROXY, HTTPS_PROXY and
    NO_PROXY are honoured, redirects are not followed: a key goes where it was meant to go. ``retried`` counts what was
    tried again, by its reason.
    """

    def __init__(self, base_url: str, key_name: str | None, max_retries: int, max_wait_seconds: float):
        self.base_url = base_url.rstrip("/")
        self.root = self.base_url.removesuffix("/v1")
        self.retried: Counter[str] = Counter()
        self._max_retries = max_retries
        self._max_wait_seconds = max_wait_seconds
        self._key = keys.read(key_name, KEY_SETTING)
        self._key_name = key_name
        authorization = {"authorization": f"Bearer {self._key}"} if self._key else {}
        plain = {"accept-encoding": "identity"}  # an answer is small, and one that unpacks to gigabytes is not read
        headers = {"user-agent": f"niah/{__version__}", **plain, **authorization}
        self._client = httpx2.AsyncClient(
            headers=headers, timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            # one request a connection: what a server sends too much is never taken for the next answer
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def get(self, url: str, timeout_seconds: float = 20.0) -> Any | None:
        """JSON, or text where it is none; None where the server has no such page. Raises Denied, Broken."""
        try:
            async with asyncio.timeout(timeout_seconds), self._client.stream("GET", url) as response:
                content = await self._all(response, _MAX_PAGE_BYTES)
        except (httpx2.HTTPError, TimeoutError, ssl.SSLError) as error:
            raise self._broken(error) from error
        if response.status_code in (401, 403):
            raise self._denied(response.status_code, content)
        if response.status_code in _AGAIN or (response.status_code >= 500 and response.status_code != 501):
            raise self._no(response, content)  # one that still loads its model
        return self._scrubbed(json_or_text(content)) if response.status_code == 200 else None

    async def answer(self, path: str, body: dict[str, Any], timeout_seconds: float) -> Reply:
        """POSTs until there is a whole answer. Raises Refused, Denied, Unusable, or Broken when no try is left."""
        attempt = 0
        while True:
            try:
                async with asyncio.timeout(timeout_seconds):
                    return await self._once(f"{self.base_url}/{path}", body)
            except TimeoutError:
                broken = Broken("timeout", f"no whole answer within {timeout_seconds:.0f} s")
            except Broken as error:
                broken = error
            except Unusable as error:
                raise Unusable(self._safe(str(error))) from error
            except (httpx2.HTTPError, ssl.SSLError) as error:
                broken = self._broken(error)
            if broken.wait_seconds is not None and broken.wait_seconds > self._max_wait_seconds:
                asks = f"it asks to wait {broken.wait_seconds:g} s, more than engine.max_wait_seconds"
                raise Broken(broken.name, f"{broken}; {asks}")
            if attempt == self._max_retries:
                raise broken
            self.retried[broken.name] += 1
            await asyncio.sleep(self._wait(attempt, broken.wait_seconds))
            attempt += 1

    def _wait(self, attempt: int, asked: float | None) -> float:
        """Seconds before the next try: what the server asked for, else doubling, spread so that clients part."""
        if asked is not None:
            return asked
        return min(self._max_wait_seconds, _FIRST_WAIT_SECONDS * 2.0**attempt) * random.uniform(0.75, 1.25)

    async def _once(self, url: str, body: dict[str, Any]) -> Reply:
        sent = time.perf_counter()
        max_tokens = next((body[key] for key in _BUDGETS if isinstance(body.get(key), int)), _USUAL_BUDGET)
        async with self._client.stream("POST", url, json=body) as response:
            if response.status_code != 200:
                raise self._no(response, await self._all(response, _MAX_PAGE_BYTES))
            pieces = self._pieces(response, max_bytes(max_tokens))
            begins = b""
            async for piece in pieces:
                begins += piece
                if len(begins.lstrip()) >= _TELLING_BYTES:
                    break
            if is_events(response.headers.get("content-type", ""), begins):
                return await self._streamed(begins, pieces, sent, max_tokens)
            return self._whole(b"".join([begins, *[piece async for piece in pieces]]), sent, max_tokens)

    async def _pieces(self, response: httpx2.Response, most: int) -> AsyncIterator[bytes]:
        """The bytes of a reply as they come. Raises Unusable past ``most`` of them."""
        num = 0
        async for piece in response.aiter_bytes():
            num += len(piece)
            if num > most:
                raise Unusable(f"it is larger than {most:,} bytes, far more than the tokens asked for can be")
            yield piece

    async def _all(self, response: httpx2.Response, most: int) -> bytes:
        try:
            return b"".join([piece async for piece in self._pieces(response, most)])
        except Unusable as error:
            raise Broken("too long", str(error), is_reply=True) from error

    async def _streamed(
        self, begins: bytes, rest: AsyncIterator[bytes], sent: float, max_tokens: int
    ) -> Reply:
        """An answer in pieces. Where the connection ends after the reason why it ended, it is whole."""
        gathered, first, is_ended = Gathered(), None, False
        try:
            async for event in events(_again(begins, rest)):
                if event.data.strip() == "[DONE]":
                    is_ended = True
                    break
                if not event.data.strip():
                    continue
                chunk = parsed(self._safe(event.data))
                if event.name == "error" or chunk.get("error"):
                    raise Broken("error in the stream", self._words(chunk), is_reply=True)
                if gathered.take(chunk) and first is None:
                    first = time.perf_counter() - sent
        except (httpx2.HTTPError, ssl.SSLError):
            if gathered.reason is None:
                raise
        return self._own(gathered.reply(time.perf_counter() - sent, first, max_tokens, is_ended=is_ended))

    def _whole(self, content: bytes, sent: float, max_tokens: int) -> Reply:
        answer = parsed(self._safe(text_of(content)))
        if answer.get("error"):
            raise Broken("error in the reply", self._words(answer), is_reply=True)
        gathered = Gathered()
        gathered.take(answer)
        return self._own(gathered.reply(time.perf_counter() - sent, None, max_tokens, is_ended=False))

    def _no(self, response: httpx2.Response, content: bytes) -> Exception:
        status = response.status_code
        if status in _DENIED:
            return self._denied(status, content)
        message = f"HTTP {status}: {self._words(json_or_text(content))}"
        if 300 <= status < 400:
            message += " (a redirect, which is not followed: engine.base_url is where the key goes)"
        if status in _AGAIN or status >= 500:
            return Broken(f"HTTP {status}", message, retry_after(response.headers))
        return Refused(message)

    def _denied(self, status: int, content: bytes) -> Denied:
        if status == 404:
            advice = "check engine.base_url and engine.model"
        elif self._key:
            advice = f"check the key in {self._key_name}"
        else:
            advice = "put the key into a variable and name it, as engine.api_key_env=OPENAI_API_KEY"
        answer = f"HTTP {status}: {self._words(json_or_text(content))}"
        return Denied(f"engine=openai: {self.base_url} answers {answer}; {advice}", status, answer)

    def _broken(self, error: Exception) -> Broken:
        name = "timeout" if isinstance(error, TimeoutError | httpx2.TimeoutException) else type(error).__name__
        is_half = isinstance(error, httpx2.RemoteProtocolError | httpx2.DecodingError)
        is_reply = is_half and "without sending a response" not in str(error)
        return Broken(name, self._safe(f"{name}: {error}".rstrip(": ")), is_reply=is_reply)

    def _words(self, content: Any) -> str:
        """The server's words on one line."""
        error = content.get("error", content) if isinstance(content, dict) else content
        words = error.get("message", error) if isinstance(error, dict) else error
        return " ".join(self._safe(whole(str(words))).split())[:_MAX_MESSAGE]

    def _safe(self, text: str) -> str:
        return keys.masked(text, self._key)

    def _own(self, reply: Reply) -> Reply:
        """The reply without the key, which pieces of it or escapes in its JSON may have hidden until now."""
        safe = self._safe
        return replace(reply, text=safe(reply.text), thinking=safe(reply.thinking), model=safe(reply.model))

    def _scrubbed(self, page: Any) -> Any:
        if isinstance(page, str):
            return self._safe(page)
        if isinstance(page, dict):
            return {self._safe(name): self._scrubbed(value) for name, value in page.items()}
        return [self._scrubbed(one) for one in page] if isinstance(page, list) else page

    async def close(self) -> None:
        await self._client.aclose()


async def _again(begins: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream of bytes whose beginning was read already."""
    yield begins
    async for piece in rest:
        yield piece


def retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds of Retry-After, which holds seconds or a date (RFC 9110, 10.2.3), by the server's clock where it tells
    it. None for what is neither, or over already."""
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    until, now = _date(value), _date(headers.get("date", "")) or datetime.now(UTC)
    return (until - now).total_seconds() if until and until > now else None


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

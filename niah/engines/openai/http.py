"""Requests to an OpenAI-compatible server: its key, deadlines, tries again with back-off, streams read to their end.

The key is read from the environment, sent in one header and masked in all that is shown of an answer.
"""

import asyncio
import json
import os
import random
import re
import ssl
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from niah import __version__
from niah.errors import NiahError

_AGAIN = frozenset((408, 409, 425, 429))
_DENIED = frozenset((401, 403, 404))
_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 2.0
"""A connection that idles longer is not used again: servers close theirs after five."""
_FIRST_WAIT_SECONDS = 0.5
_MAX_MESSAGE = 300
_MAX_EXCERPT = 80
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USUAL_VARIABLE = re.compile(r"[A-Z0-9_]{1,64}")
"""A variable as most are called: any other name may be a key pasted by mistake, and is not repeated."""
_KEY = re.compile(r"[!-~]+")


class Refused(Exception):
    """The server's own no to this request: the same request would get it again."""


class Denied(NiahError):
    """A no to every request: key, address or model are wrong. ``answer`` is what the server wrote."""

    def __init__(self, message: str, status: int, answer: str):
        super().__init__(message)
        self.status = status
        self.answer = answer


class Broken(Exception):
    """No answer, or half of one: worth another try. ``wait_seconds`` is what the server asked for."""

    def __init__(self, name: str, message: str, wait_seconds: float | None = None):
        super().__init__(message)
        self.name = name
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Reply:
    """One whole answer. Token counts are the server's own, None where it gives none; ``text`` leaves reasoning out."""

    text: str
    finish_reason: str
    num_prompt_tokens: int | None
    num_tokens: int | None
    num_cached_tokens: int | None
    seconds: float
    first_token_seconds: float | None
    has_logprobs: bool = False


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
        self._key = _read_key(key_name)
        self._key_name = key_name
        authorization = {"authorization": f"Bearer {self._key}"} if self._key else {}
        headers = {"user-agent": f"niah/{__version__}", **authorization}
        self._client = httpx2.AsyncClient(
            headers=headers, timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=_IDLE_SECONDS),
        )

    async def get(self, url: str, timeout_seconds: float = 20.0) -> Any | None:
        """JSON, or text where it is none; None where the server has no such page. Raises Denied, Broken."""
        try:
            async with asyncio.timeout(timeout_seconds):
                response = await self._client.get(url)
        except (httpx2.HTTPError, TimeoutError, ssl.SSLError) as error:
            raise self._broken(error) from error
        if response.status_code in (401, 403):
            raise self._denied(response)
        if response.status_code in _AGAIN or (response.status_code >= 500 and response.status_code != 501):
            raise self._no(response)  # one that still loads its model
        if response.status_code != 200:
            return None
        try:
            return response.json()
        except ValueError:
            return response.text

    async def answer(self, path: str, body: dict[str, Any], timeout_seconds: float) -> Reply:
        """POSTs until there is a whole answer. Raises Refused, Denied, or Broken when no try is left."""
        attempt = 0
        while True:
            try:
                async with asyncio.timeout(timeout_seconds):
                    return await self._once(f"{self.base_url}/{path}", body)
            except TimeoutError:
                broken = Broken("timeout", f"no whole answer within {timeout_seconds:.0f} s")
            except Broken as error:
                broken = error
            except (httpx2.HTTPError, ssl.SSLError) as error:
                broken = self._broken(error)
            if broken.wait_seconds is not None and broken.wait_seconds > self._max_wait_seconds:
                asks = f"it asks to wait {broken.wait_seconds:.0f} s, more than engine.max_wait_seconds"
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
        async with self._client.stream("POST", url, json=body) as response:
            if response.status_code != 200:
                await response.aread()
                raise self._no(response)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                return self._whole(await response.aread(), sent)
            return await self._streamed(response, sent)

    async def _streamed(self, response: httpx2.Response, sent: float) -> Reply:
        """An answer in pieces; one that does not come to its end is Broken, never an answer."""
        texts, reason, usage, first, logprobs, is_done = [], None, None, None, False, False
        async for event in httpx2.EventSource(response, max_event_size=None):
            if event.data == "[DONE]":
                is_done = True
                break
            chunk = self._parsed(event.data)
            if "error" in chunk:
                raise Broken("error in the stream", self._words(chunk))
            for choice in chunk.get("choices") or ():
                piece, thought = _piece(choice)
                first = time.perf_counter() - sent if first is None and (piece or thought) else first
                texts.append(piece)
                reason = choice.get("finish_reason") or reason
                logprobs |= bool(choice.get("logprobs"))
            usage = chunk.get("usage") or usage
        if not (is_done and reason):
            raise Broken("half an answer", f"the stream ended after {len(texts)} pieces, before its end")
        return _reply("".join(texts), reason, usage, time.perf_counter() - sent, first, logprobs)

    def _whole(self, content: bytes, sent: float) -> Reply:
        answer = self._parsed(content)
        choices = answer.get("choices") or ()
        if not choices or not choices[0].get("finish_reason"):
            raise Broken("half an answer", f"no finished choice in {self._words(answer)}")
        choice = choices[0]
        text, _ = _piece(choice)
        seconds = time.perf_counter() - sent
        return _reply(text, choice["finish_reason"], answer.get("usage"), seconds, None, bool(choice.get("logprobs")))

    def _no(self, response: httpx2.Response) -> Exception:
        status = response.status_code
        if status in _DENIED:
            return self._denied(response)
        message = f"HTTP {status}: {self._words(_lenient(response.content))}"
        if status in _AGAIN or status >= 500:
            return Broken(f"HTTP {status}", message, _retry_after(response.headers))
        return Refused(message)

    def _denied(self, response: httpx2.Response) -> Denied:
        status = response.status_code
        if status == 404:
            advice = "check engine.base_url and engine.model"
        elif self._key:
            advice = f"check the key in {self._key_name}"
        else:
            advice = "put the key into a variable and name it, as engine.api_key_env=OPENAI_API_KEY"
        answer = f"HTTP {status}: {self._words(_lenient(response.content))}"
        return Denied(f"engine=openai: {self.base_url} answers {answer}; {advice}", status, answer)

    def _broken(self, error: Exception) -> Broken:
        name = "timeout" if isinstance(error, TimeoutError | httpx2.TimeoutException) else type(error).__name__
        return Broken(name, self._safe(f"{name}: {error}".rstrip(": ")))

    def _parsed(self, content: bytes | str) -> dict[str, Any]:
        found = _lenient(content)
        if not isinstance(found, dict):
            raise Broken("half an answer", f"no JSON object: {self._safe(str(found))[:_MAX_EXCERPT]!r}")
        return found

    def _words(self, content: Any) -> str:
        """The server's words on one line."""
        error = content.get("error", content) if isinstance(content, dict) else content
        words = error.get("message", error) if isinstance(error, dict) else error
        return " ".join(self._safe(str(words)).split())[:_MAX_MESSAGE]

    def _safe(self, text: str) -> str:
        return _masked(text, self._key)

    async def close(self) -> None:
        await self._client.aclose()


def _piece(choice: dict[str, Any]) -> tuple[str, str]:
    """Text of a choice, and reasoning that is not part of the answer."""
    message = choice.get("delta") or choice.get("message") or choice
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    return message.get("content") or message.get("text") or "", str(thought)


def _reply(
    text: str, reason: str, usage: dict[str, Any] | None, seconds: float, first: float | None, logprobs: bool
) -> Reply:
    usage = usage or {}
    details = usage.get("prompt_tokens_details") or {}
    return Reply(
        text=text, finish_reason=reason, num_prompt_tokens=usage.get("prompt_tokens"),
        num_tokens=usage.get("completion_tokens"), num_cached_tokens=details.get("cached_tokens"), seconds=seconds,
        first_token_seconds=first, has_logprobs=logprobs,
    )


def _lenient(content: bytes | str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace") if isinstance(content, bytes) else content


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds of Retry-After, which holds seconds or a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def check_key_name(name: str | None) -> None:
    """Raises NiahError, without the name, for what names no variable."""
    if name is not None and not _VARIABLE.fullmatch(name):
        raise NiahError(
            "engine.api_key_env: got what is no variable's name (not repeated: it may be the key itself); expected the "
            "name of the environment variable that holds the key; export OPENAI_API_KEY=..., then "
            "engine.api_key_env=OPENAI_API_KEY"
        )


def _read_key(name: str | None) -> str | None:
    """Raises NiahError where the variable is missing, or holds what no header can carry."""
    if name is None:
        return None
    key, shown = os.environ.get(name, "").strip(), name if _USUAL_VARIABLE.fullmatch(name) else None
    if not key:
        missing = f"no {shown}" if shown else "no such variable (its name is not repeated: it may be the key itself)"
        raise NiahError(
            f"engine.api_key_env: the environment has {missing}; expected the key in it; export {shown or 'NAME'}=..."
        )
    if not _KEY.fullmatch(key):
        raise NiahError(
            f"engine.api_key_env: the key in {shown or 'that variable'} cannot be sent; got a space or a character "
            f"outside ASCII in it; expected letters, digits and signs alone; export {shown or 'NAME'}=... anew"
        )
    return key


def _masked(text: str, key: str | None) -> str:
    """To be called before ``text`` is cut: half a key is not found."""
    return text.replace(key, "***") if key else text

"""The connection to one OpenAI-compatible server: a thread that carries requests, and what it said of itself."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from niah.engines.openai.http import Denied, Http, Refused
from niah.engines.openai.server import detect
from niah.engines.openai.settings import OpenAISettings
from niah.engines.openai.wire import Broken, Reply
from niah.engines.reply import Unusable
from niah.errors import NiahError

_T = TypeVar("_T")


class Connection:
    """Requests run on a thread of their own: their seconds are theirs alone, whatever is built meanwhile.

    Opening it asks the server; raises NiahError where nothing answers there.
    """

    def __init__(self, settings: OpenAISettings):
        self.http = Http(settings.base_url, settings.api_key_env, settings.max_retries, settings.max_wait_seconds)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="niah-openai", daemon=True)
        self._thread.start()
        try:
            self.server = self.result(detect(self.http, settings.kind, settings.model, settings.wait_seconds))
        except BaseException:
            self.close()
            raise

    def start(self, work: Coroutine[Any, Any, _T]) -> "Future[_T]":
        """Sends a request without waiting for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def result(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Waits for a request. Raises NiahError where the server does not answer."""
        future = self.start(work)
        try:
            return future.result()
        except Broken as error:
            raise NiahError(f"engine=openai: {self.http.base_url} does not answer; {error}") from error
        finally:
            future.cancel()

    def tried(self, path: str, body: dict[str, Any], timeout_seconds: float) -> tuple[Reply | None, str]:
        """The reply to a short request, or None and why it is refused. Raises NiahError where there is neither."""
        try:
            return self.result(self.http.answer(path, body, timeout_seconds)), ""
        except (Refused, Unusable) as error:
            return None, str(error)
        except Denied as error:
            if error.status != 404:
                raise
            return None, error.answer  # this server has no such page: another may do

    def close(self) -> None:
        """Requests that are under way are dropped."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.http.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

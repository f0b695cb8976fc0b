"""An open OpenAI-compatible server: prompts out, completions back, and what it counted."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from niah.engines import Job, Session
from niah.engines.failures import MAX_IN_A_ROW, failure
from niah.engines.openai.connection import Connection
from niah.engines.openai.counts import Counts
from niah.engines.openai.http import Denied, Refused
from niah.engines.openai.requests import CAN_SKIP_CACHE, Requests
from niah.engines.openai.server import metrics
from niah.engines.openai.settings import OpenAISettings
from niah.engines.openai.wire import Broken, Reply
from niah.engines.reply import Unusable
from niah.errors import NiahError
from niah.records import Completion, Failure, Outcome, Prompt

_REPLY_MODEL = "reply_model"
"""Key of ``served``: the name that replies give their model."""


class OpenAISession(Session):
    """``prompts`` is how they are sent: as ids, text or chat. Where not as ids, the server's own count of a prompt
    stands in its row. Raises NiahError where the server is too small for the job, or takes no prompt of ours."""

    def __init__(self, settings: OpenAISettings, job: Job, connection: Connection):
        self._settings, self._job, self._connection = settings, job, connection
        server = connection.server
        if server.max_length and job.max_length > server.max_length:
            raise NiahError(f"engine=openai: {server.limit}; got {job.max_length:,}; take shorter ctx.lengths")
        self._requests = Requests(server, job.tokenizer, settings)
        self.prompts, greeting = self._requests.way(connection)
        self.counts_exactly = self.prompts == "ids"
        self.can_skip_cache = server.kind in CAN_SKIP_CACHE
        self.retried = connection.http.retried
        self.served = {
            "engine": "openai", "server": server.label, "server_model": server.model,
            "prompts": self.prompts, "counted": greeting.num_prompt_tokens is not None,
            "kv_cache_dtype": server.cache_dtype or job.kv_cache_dtype,
            "kv_cache_dtype_told_by": "server" if server.cache_dtype else "command",
        }
        if greeting.model:
            self.served[_REPLY_MODEL] = greeting.model
        self._counts = Counts(settings.min_counted, self.counts_exactly)
        self._offset: asyncio.Task[None] | None = None
        self._other_model = ""
        self._before = self._metrics()
        self._num_requests = self._sent_tokens = self._counted_tokens = 0

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        """Keeps ``concurrency`` requests under way and builds the next prompt meanwhile.

        Whatever comes back is that prompt's result. Raises NiahError where nobody answers any more, or another model
        does, when the requests under way are there.
        """
        waiting = iter(prompts)
        running: dict[Future[tuple[Completion | Failure, bool]], int] = {}
        failures, last = 0, ""
        wrong: NiahError | None = None
        ahead = next(waiting, None)
        try:
            while ahead or running:
                is_over = wrong or self._other_model or failures >= MAX_IN_A_ROW
                while ahead and not is_over and len(running) < self._settings.concurrency:
                    key, prompt = ahead
                    running[self._connection.start(self._answer(prompt))] = key
                    ahead = next(waiting, None)
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    key = running.pop(future)
                    if isinstance(error := future.exception(), NiahError):
                        wrong = wrong or error
                        continue
                    result, is_gone = future.result()
                    failures = failures + 1 if is_gone else 0
                    last = result.message if isinstance(result, Failure) else ""
                    yield key, result
            if wrong:
                raise wrong
            if self._other_model:
                raise NiahError(f"engine=openai: {self._connection.http.base_url} {self._other_model}")
            if ahead:
                raise NiahError(
                    f"engine=openai: {self._connection.http.base_url} gave no answer to {failures} prompts in a row "
                    f"({last}); the same command continues where this run stopped"
                )
        finally:
            for future in running:
                future.cancel()

    async def _answer(self, prompt: Prompt) -> tuple[Completion | Failure, bool]:
        """The result, and whether nobody answered. Raises NiahError where the prompt cannot be sent in this way."""
        begun = time.perf_counter()
        timeout = self._settings.timeout(len(prompt.ids) + prompt.max_tokens)
        try:
            path, body = self._requests.of_prompt(prompt, self.prompts)
            await self._measured(prompt)
            reply = await self._connection.http.answer(path, body, timeout)
            return self._completion(prompt, reply), False
        except (Refused, Broken, Denied) as error:
            is_gone = isinstance(error, Denied) or (isinstance(error, Broken) and not error.is_reply)
            return failure(error, time.perf_counter() - begun), is_gone
        except NiahError:
            raise
        except Unusable as error:
            message = f"no answer: {error}"
            return Failure(Outcome.ENGINE_ERROR, message, time.perf_counter() - begun), False
        except Exception as error:  # whatever a server brings about is this prompt's alone
            return failure(error, time.perf_counter() - begun), False

    async def _measured(self, prompt: Prompt) -> None:
        """Finds out, before the first prompt, what the server's template adds to a prompt sent as this one is."""
        if self.counts_exactly or not self.served["counted"]:
            return
        if self._offset is None:
            self._offset = asyncio.create_task(self._measure(prompt))
        await asyncio.shield(self._offset)

    async def _measure(self, prompt: Prompt) -> None:
        tokenizer, more = self._job.tokenizer, []
        for path, body, text in self._requests.samples(prompt, self.prompts):
            try:
                reply = await self._connection.http.answer(path, body, self._settings.timeout_seconds)
            except (Refused, Broken, Unusable, Denied):
                return  # then a share of our own count has to do
            if reply.num_prompt_tokens is None:
                return
            more.append(reply.num_prompt_tokens - len(tokenizer.encode(text).ids))
        if len({*more}) == 1:  # texts of other scripts and sizes: the same tokenizer
            text = "" if prompt.message is None else prompt.message.text(tokenizer.decode)
            own = len(prompt.ids) - len(tokenizer.encode(text).ids) if self.prompts == "chat" else 0
            self._counts.offset = more[0] - own

    def _completion(self, prompt: Prompt, reply: Reply) -> Completion:
        """Raises Unusable where the server read another prompt, or another model answered."""
        if reply.model and self.served.setdefault(_REPLY_MODEL, reply.model) != reply.model:
            names = f"{self.served[_REPLY_MODEL]}, then {reply.model}"
            self._other_model = f"changed its model: its replies name {names}; take another name= for the new one"
            raise Unusable(f"it names another model than those before it ({names})")
        num_read = self._counts.read(prompt, reply.num_prompt_tokens, reply.num_cached_tokens)
        self._num_requests += 1
        self._sent_tokens += len(prompt.ids)
        self._counted_tokens += num_read
        num_tokens = reply.num_tokens
        if num_tokens is None:
            num_tokens = len(self._job.tokenizer.encode(reply.thinking + reply.text).ids)
        return Completion(
            text=reply.text, num_tokens=num_tokens, num_prompt_tokens=num_read,
            num_cached_tokens=reply.num_cached_tokens, finish_reason=reply.finish_reason, seconds=reply.seconds,
            first_token_seconds=reply.first_token_seconds, thinking=reply.thinking,
            num_thinking_tokens=reply.num_thinking_tokens,
        )

    def facts(self) -> dict[str, Any]:
        server = self._connection.server
        after = self._metrics()
        return {
            **self.served,
            "base_url": self._connection.http.base_url,
            "max_model_len": server.max_length,
            **server.details,
            "prompt_tokens_sent": self._sent_tokens,
            "prompt_tokens_counted": self._counted_tokens if self.served["counted"] else None,
            "num_answers": self._num_requests,
            "retried": self.retried,
            "metrics": {name: after[name] - self._before.get(name, 0.0) for name in after},
        }

    def _metrics(self) -> dict[str, float]:
        """The server's counters, those of its other clients too."""
        server = self._connection.server
        found = self._connection.result(metrics(self._connection.http, server.kind)) if server.has_metrics else None
        return found[0] if found else {}

    def close(self) -> None:
        self._connection.close()

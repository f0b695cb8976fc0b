"""An open OpenAI-compatible server: prompts out, completions back, and what it counted."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from niah.engines import Job, Session
from niah.engines.failures import MAX_IN_A_ROW, failure
from niah.engines.openai.connection import Connection
from niah.engines.openai.http import Broken, Refused, Reply
from niah.engines.openai.requests import CAN_SKIP_CACHE, Requests
from niah.engines.openai.server import metrics
from niah.engines.openai.settings import OpenAISettings
from niah.errors import NiahError
from niah.records import Completion, Failure, Outcome, Prompt


class OpenAISession(Session):
    """``prompts`` is how they are sent: as ids, text or chat. Where not as ids, the server's own count of a prompt
    stands in its row. Raises NiahError where the server is too small for the job, or takes no prompt of ours."""

    def __init__(self, settings: OpenAISettings, job: Job, connection: Connection):
        self._settings, self._job, self._connection = settings, job, connection
        server = connection.server
        if server.max_length and job.max_length > server.max_length:
            raise NiahError(f"engine=openai: {server.limit}; got {job.max_length:,}; take shorter ctx.lengths")
        self._requests = Requests(server, job.tokenizer, settings)
        self.prompts, counted = self._requests.way(connection)
        self.counts_exactly = self.prompts == "ids"
        self.can_skip_cache = server.kind in CAN_SKIP_CACHE
        self.retried = connection.http.retried
        self.served = {
            "engine": "openai", "server": server.label, "server_model": server.model,
            "prompts": self.prompts, "counted": counted,
            "kv_cache_dtype": server.cache_dtype or job.kv_cache_dtype,
            "kv_cache_dtype_told_by": "server" if server.cache_dtype else "command",
        }
        self._before = self._metrics()
        self._num_requests = self._sent_tokens = self._counted_tokens = 0

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        """Keeps ``concurrency`` requests under way and builds the next prompt meanwhile."""
        waiting = iter(prompts)
        running: dict[Future[tuple[Completion | Failure, bool]], int] = {}
        failures, last = 0, ""
        ahead = next(waiting, None)
        try:
            while ahead or running:
                while ahead and len(running) < self._settings.concurrency:
                    key, prompt = ahead
                    running[self._connection.start(self._answer(prompt))] = key
                    ahead = next(waiting, None)
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                denied = None
                for future in done:
                    key = running.pop(future)
                    if isinstance(error := future.exception(), NiahError):
                        denied = error
                        continue
                    result, is_broken = future.result()
                    failures = failures + 1 if is_broken else 0
                    last = result.message if isinstance(result, Failure) else ""
                    yield key, result
                if denied:
                    raise denied
                if failures >= MAX_IN_A_ROW:
                    raise NiahError(
                        f"engine=openai: {self._connection.http.base_url} gave no answer to {failures} prompts in "
                        f"a row ({last}); the same command continues where this run stopped"
                    )
        finally:
            for future in running:
                future.cancel()

    async def _answer(self, prompt: Prompt) -> tuple[Completion | Failure, bool]:
        """The result, and whether the server gave none. Raises NiahError where it refuses everyone."""
        begun = time.perf_counter()
        timeout = self._settings.timeout(len(prompt.ids) + prompt.max_tokens)
        try:
            path, body = self._requests.of_prompt(prompt, self.prompts)
            reply = await self._connection.http.answer(path, body, timeout)
        except (Refused, Broken) as error:
            return failure(error, time.perf_counter() - begun), isinstance(error, Broken)
        return self._completion(prompt, reply), False

    def _completion(self, prompt: Prompt, reply: Reply) -> Completion | Failure:
        sent, counted = len(prompt.ids), reply.num_prompt_tokens
        if self.counts_exactly and counted is not None and counted != sent:
            message = f"the server read {counted:,} tokens of the {sent:,} sent; expected all of them and no others"
            return Failure(Outcome.ENGINE_ERROR, message, reply.seconds)
        if counted is not None and counted < self._settings.min_counted * sent:
            message = (
                f"the server counted {counted:,} tokens of about {sent:,}: it cut the prompt to its own limit; start "
                "it with a larger one (Ollama: num_ctx), or, if its tokenizer is another than model='s, lower "
                "engine.min_counted"
            )
            return Failure(Outcome.ENGINE_ERROR, message, reply.seconds)
        self._num_requests += 1
        self._sent_tokens += sent
        self._counted_tokens += sent if counted is None else counted
        num_tokens = reply.num_tokens
        if num_tokens is None:
            num_tokens = len(self._job.tokenizer.encode(reply.text).ids)
        return Completion(
            text=reply.text, num_tokens=num_tokens, num_prompt_tokens=sent if counted is None else counted,
            num_cached_tokens=reply.num_cached_tokens, finish_reason=reply.finish_reason, seconds=reply.seconds,
            first_token_seconds=reply.first_token_seconds,
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

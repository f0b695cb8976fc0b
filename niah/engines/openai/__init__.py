"""Any server that speaks OpenAI's protocol (vLLM, SGLang, llama.cpp, Ollama, hosted ones) as an engine: its settings.

What such a server runs, with which weights and KV cache, is its own affair: it is asked, told in run.json, and refused
where it contradicts the command.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from niah.engines import Job, check_cold_check
from niah.engines.openai import key as openai_key
from niah.engines.openai.connection import Line
from niah.engines.openai.server import KINDS, Server
from niah.engines.openai.session import OpenAISession
from niah.errors import NiahError

PROMPTS = ("auto", "ids", "text", "chat")


@dataclass(frozen=True)
class OpenAI:
    """``base_url`` as http://host:8000/v1. ``kind`` is vllm, llamacpp, sglang or other; auto asks the server. ``model`` is
    its name there, null where the server has but one.

    ``prompts``: ids are sent to /completions where the server takes them (vLLM, SGLang, llama.cpp), so that it reads
    exactly what was built; else chat, the user's message as text, for which the server's own template and tokenizer
    decide, and text, the whole prompt to /completions. auto tries ids, then chat (text for a model without a template).

    ``api_key_env`` names the environment variable that holds the key; it is sent nowhere but to ``base_url``.
    A request may take ``timeout_seconds`` and ``timeout_seconds_per_1k`` for every 1,000 tokens it has to wait for, its
    own and those sent beside it. ``max_retries`` more tries follow a refusal for now (408, 409, 425, 429, 5xx), a time-out
    or a broken answer; Retry-After is honoured up to ``max_wait_seconds``. ``wait_seconds`` is how long a server that does
    not answer yet is waited for. ``concurrency`` requests are under way at once: more than one shares fewer prefixes.
    A server that tokenises text itself must count at least ``min_counted`` of our tokens, else it cut the prompt: an error.
    ``prefix_caching=false`` asks vLLM and llama.cpp to read each prompt anew. ``body`` is added to every request.
    ``cold_check`` as in engine=vllm, on servers that can be asked so (vLLM, llama.cpp) and tell cached tokens.
    """

    base_url: str
    name: str = "openai"
    kind: str = "auto"
    model: str | None = None
    prompts: str = "auto"
    api_key_env: str | None = None
    concurrency: int = 1
    stream: bool = True
    prefix_caching: bool = True
    min_counted: float = 0.9
    timeout_seconds: float = 120.0
    timeout_seconds_per_1k: float = 2.0
    max_retries: int = 5
    max_wait_seconds: float = 120.0
    wait_seconds: float = 10.0
    cold_check: float = 0.02
    body: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise NiahError(f"engine.base_url: got {self.base_url!r}; expected an address, as http://host:8000/v1")
        if parts.username or parts.password:
            raise NiahError("engine.base_url: holds a name or password; expected none; put the key into a variable and name it in engine.api_key_env")
        openai_key.check_name(self.api_key_env)
        for key, allowed in (("kind", ("auto", *KINDS)), ("prompts", PROMPTS)):
            if getattr(self, key) not in allowed:
                raise NiahError(f"engine.{key}: got {getattr(self, key)!r}; expected one of {', '.join(allowed)}")
        for key, least in (("concurrency", 1), ("max_retries", 0), ("max_wait_seconds", 0), ("wait_seconds", 0), ("timeout_seconds_per_1k", 0)):
            if getattr(self, key) < least:
                raise NiahError(f"engine.{key}: got {getattr(self, key):g}; expected at least {least}")
        if self.timeout_seconds <= 0:
            raise NiahError(f"engine.timeout_seconds: got {self.timeout_seconds:g}; expected more than 0")
        check_cold_check(self.cold_check)
        if secret := {"authorization", "api_key", "api-key"} & {name.casefold() for name in self.body}:
            raise NiahError(f"engine.body.{secret.pop()}: settings are written to run.json; put the key into a variable and name it in engine.api_key_env")

    def ask(self) -> Server:
        """What the server says of itself. Raises NiahError where it does not answer."""
        with Line(self) as line:
            return line.server

    def open(self, job: Job) -> OpenAISession:
        line = Line(self)
        try:
            return OpenAISession(self, job, line)
        except BaseException:
            line.close()
            raise

    def timeout(self, num_tokens: int) -> float:
        """Seconds for one try of a request of so many tokens, prompt and answer."""
        return self.timeout_seconds + self.timeout_seconds_per_1k * self.concurrency * num_tokens / 1000

"""What a user may set of a server that speaks OpenAI's protocol."""

from dataclasses import dataclass, field, replace
from typing import Any

from niah.engines import Engine, Load
from niah.engines.openai.http import KEY_SETTING
from niah.engines.openai.server import KINDS
from niah.environment import address, keys
from niah.errors import NiahError
from niah.limits import free_text, limited, one_of

_SECRETS = {"authorization", "api_key", "api-key"}


@dataclass(frozen=True)
class OpenAISettings(Engine):
    """``base_url`` as http://host:8000/v1. ``kind`` is vllm, llamacpp, sglang or other; auto asks the server. ``model``
    is its name there, null where the server has but one.

    ``prompts``: ids are sent to /completions where the server takes them (vLLM, SGLang, llama.cpp), so that it reads
    exactly what was built; else chat, the user's message as text, for which the server's own template and tokenizer
    decide, and text, the whole prompt to /completions. auto tries ids, then chat (text for a model without a template).

    ``api_key_env`` names the environment variable that holds the key; it is sent nowhere but to ``base_url``.
    A request may take ``timeout_seconds`` and ``timeout_seconds_per_1k`` for every 1,000 tokens it has to wait for, its
    own and those sent beside it. ``max_retries`` more tries follow a refusal for now (408, 409, 425, 429, 5xx), a
    time-out or a broken answer; Retry-After is honoured up to ``max_wait_seconds``. ``wait_seconds`` is how long a
    server that does not answer yet is waited for. ``concurrency`` requests are under way at once: more than one shares
    fewer prefixes. A server that tokenises text itself must count at least the share ``min_counted`` of our tokens,
    else it cut the prompt: an error. ``prefix_caching=false`` asks vLLM and llama.cpp to read each prompt anew.
    ``body`` is added to every request. ``cold_check`` needs a server that can be asked so and counts cached tokens.
    """

    base_url: str
    name: str = "openai"
    kind: str = one_of("auto", *KINDS)
    model: str | None = None
    prompts: str = one_of("auto", "ids", "text", "chat")
    api_key_env: str | None = free_text(None, decides=False)
    concurrency: int = limited(1, at_least=1)
    stream: bool = True
    prefix_caching: bool = True
    min_counted: float = 0.9
    timeout_seconds: float = limited(120.0, above=0, decides=False)
    timeout_seconds_per_1k: float = limited(2.0, at_least=0, decides=False)
    max_retries: int = limited(5, at_least=0, decides=False)
    max_wait_seconds: float = limited(120.0, at_least=0, decides=False)
    wait_seconds: float = limited(10.0, at_least=0, decides=False)
    cold_check: float = limited(0.02, at_least=0, at_most=1, expected="a share from 0 to 1")
    body: dict[str, Any] = field(default_factory=dict)
    sets_kv_dtype = False

    def __post_init__(self) -> None:
        address.check(self.base_url, "engine.base_url", KEY_SETTING)
        keys.check_name(self.api_key_env, KEY_SETTING)
        super().__post_init__()
        if secret := _SECRETS & {name.casefold() for name in self.body}:
            raise NiahError(
                f"engine.body.{secret.pop()}: settings are written to run.json; put the key into a variable and name "
                "it in engine.api_key_env"
            )

    def under(self, load: Load, batch: int) -> "OpenAISettings":
        """So many requests at once; a server's pool is its own."""
        if load.is_small or load.offload_gib:
            raise NiahError("a server's KV pool is set where it is started")
        return replace(self, concurrency=load.at_once)

    def timeout(self, num_tokens: int) -> float:
        """Seconds for one try of a request of so many tokens, prompt and answer."""
        return self.timeout_seconds + self.timeout_seconds_per_1k * self.concurrency * num_tokens / 1000

"""Any server that speaks OpenAI's protocol (vLLM, SGLang, llama.cpp, Ollama, hosted ones) as an engine.

What such a server runs, with which weights and KV cache, is its own affair: it is asked, its answer is kept in
run.json, and it is refused where it contradicts the command.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.engines import Case, Job
from niah.engines.openai import script
from niah.engines.openai.connection import Connection
from niah.engines.openai.session import OpenAISession
from niah.engines.openai.settings import OpenAISettings
from niah.errors import NiahError
from niah.models.settings import Model
from niah.models.speculation import NONE, Speculation
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware
from niah.planner.memory import Setup
from niah.units import format_length


@dataclass(frozen=True)
class OpenAI(OpenAISettings):
    """Opened by connecting to the server and finding out what it takes."""

    def open(self, job: Job) -> OpenAISession:
        connection = Connection(self)
        try:
            return OpenAISession(self, job, connection)
        except BaseException:
            connection.close()
            raise

    def check_speculation(self, speculation: Speculation, model: Model) -> None:
        if speculation.is_on:
            raise NiahError(
                f"spec={speculation.name}: whether a server drafts is its own setting, as vllm serve "
                "--speculative-config; expected spec=none, and for each server a run with a name= of its own"
            )

    def fit(
        self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware, known: Sequence[Hardware],
        speculation: Speculation = NONE,
    ) -> Fit:
        """By the server's own limit. Raises NiahError where it does not answer, or keeps another KV cache."""
        with Connection(self) as connection:
            server = connection.server
        server.check_cache(cache_dtype)
        unfit = {length: server.limit for length in lengths if server.max_length and length > server.max_length}
        refusal = ""
        if unfit and len(unfit) == len({*lengths}):
            refusal = (
                f"ctx.lengths: {server.limit}; got {format_length(min(unfit))} as the shortest; take shorter ones, or "
                "start it with a larger limit"
            )
        return Fit(Setup(), unfit, refusal=refusal)

    def script(self, job: Job, case: Case) -> str:
        """Empty for a server that takes no ids."""
        if case.served.get("prompts") != "ids":
            return ""
        body = {"model": case.served.get("server_model"), **self.body}
        is_salted = str(case.served.get("server", "")).startswith("vLLM")
        given = {name: value for name, value in body.items() if value is not None}
        return script.text(self.base_url, self.api_key_env, given, case, salted=is_salted)

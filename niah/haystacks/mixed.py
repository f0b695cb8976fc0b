"""Several sources in one, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module

from niah.errors import NiahError
from niah.haystacks import Haystack, Skip, Source

_SOURCES = {
    "code": "niah.haystacks.code.Code",
    "distractors": "niah.haystacks.distractors.Distractors",
    "essays": "niah.haystacks.essays.Essays",
    "generated": "niah.haystacks.generated.Generated",
    "noise": "niah.haystacks.noise.Noise",
    "records": "niah.haystacks.records.Records",
    "wikipedia": "niah.haystacks.wikipedia.Wikipedia",
}


@dataclass(frozen=True, kw_only=True)
class Mixed(Source):
    """The texts of ``parts``, each with its default settings, in this order.

    An endless part ends the list, since nothing after it would be reached; it makes the whole endless.
    A part whose package is missing is left out as long as another one is there.
    """

    name: str = "mixed"
    licence: str = "each part's own; see haystacks/README.md"
    parts: list[str] = field(default_factory=lambda: ["essays", "wikipedia", "generated"])

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.parts if name not in _SOURCES]
        if unknown or not self.parts:
            raise NiahError(f"haystack.parts: got {', '.join(unknown) or 'none'}; expected of {', '.join(_SOURCES)}")
        for name, part in zip(self.parts[:-1], self._sources, strict=False):
            if part.endless:
                raise NiahError(
                    f"haystack.parts: {name} has no end; got {', '.join(self.parts)}; expected it last; move it there"
                )

    @cached_property
    def _sources(self) -> list[Haystack]:
        sources = []
        for name in self.parts:
            module, _, cls = _SOURCES[name].rpartition(".")
            sources.append(getattr(import_module(module), cls)())
        return sources

    @property
    def endless(self) -> bool:
        return self._sources[-1].endless

    @property
    def by_line(self) -> bool:
        return any(part.by_line for part in self._sources)

    def identity(self) -> str:
        return " ".join([repr(self), *(identity for _, identity in self._usable(lambda _: None))])

    def documents(self, skip: Skip) -> Iterator[str]:
        for part, _ in self._usable(skip):
            yield from part.documents(skip)

    def _usable(self, skip: Skip) -> list[tuple[Haystack, str]]:
        """The parts that are installed, with their identities, which are where a missing package shows."""
        usable, reasons = [], []
        for part in self._sources:
            try:
                usable.append((part, part.identity()))
            except NiahError as error:
                reasons.append(str(error))
        if not usable:
            raise NiahError(f"haystack.parts: none can be read; got {', '.join(self.parts)}; {reasons[0]}")
        for reason in reasons:
            skip(reason)
        return usable

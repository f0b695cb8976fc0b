"""Several sources in one, one after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from niah.choices import choices, named
from niah.errors import NiahError
from niah.haystacks import Haystack, Skip
from niah.limits import free_text


@dataclass(frozen=True, kw_only=True)
class Mixed(Haystack):
    """The texts of ``parts``, each with its default settings, in this order.

    An endless part ends the list, since nothing after it would be reached; it makes the whole endless.
    A part whose package is missing is left out as long as another one is there.
    """

    name: str = "mixed"
    licence: str = free_text("each part's own; see haystacks/README.md")
    parts: list[str] = field(default_factory=lambda: ["essays", "wikipedia", "generated"])

    can_be_part = False

    def __post_init__(self) -> None:
        super().__post_init__()
        known = _parts()
        unknown = [name for name in self.parts if name not in known]
        if unknown or not self.parts:
            raise NiahError(f"haystack.parts: got {', '.join(unknown) or 'none'}; expected of {', '.join(known)}")
        for name, part in zip(self.parts[:-1], self._sources, strict=False):
            if part.endless:
                raise NiahError(
                    f"haystack.parts: {name} has no end; got {', '.join(self.parts)}; expected it last; move it there"
                )

    @cached_property
    def _sources(self) -> list[Haystack]:
        known = _parts()
        return [known[name]() for name in self.parts]

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


def _parts() -> dict[str, Callable[[], Haystack]]:
    """The haystacks of conf/haystack that can be a part, by name; a call makes one with its default settings."""
    classes = {str(node["name"]): named(node["_target_"]) for node in choices("haystack")}
    return {name: cls for name, cls in classes.items() if cls.can_be_part}

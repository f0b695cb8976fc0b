"""What a setting may hold, said on the line of its field and checked in one place.

    num_keys: int = limited(4, at_least=1)
    order: str = one_of("coherent", "shuffled")
    needle: str = free_text()

A settings class calls ``check`` when it is made; a plug-in's base class does that for it.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from niah.errors import NiahError

_HELD = "niah"
"""The key of a field's metadata under which its limits stand."""
NEW = "new"
"""``known_as`` of a field that earlier versions of niah did not have."""


@dataclasses.dataclass(frozen=True)
class _Limits:
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] = ()
    is_optional: bool = False
    example: str = ""
    expected: str = ""
    is_text: bool = False
    decides: bool = True
    known_as: Any = None

    def allows(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        return (
            (self.at_least is None or value >= self.at_least) and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most) and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """What was expected, for a message."""
        expected = self.expected or (self._choices() if self.choices else self._range())
        return expected + (f", as {self.example}" if self.example else "")

    def _choices(self) -> str:
        names = [str(choice) for choice in self.choices if choice != ""]
        expected = " or ".join(names) if len(names) < 3 else f"one of {', '.join(names)}"
        return expected + (", or null" if self.is_optional else "")

    def _range(self) -> str:
        above = "" if self.above is None else f"above {self.above:,g}"
        below = "" if self.below is None else f"below {self.below:,g}"
        if self.at_least is None:
            high = below if self.at_most is None else f"at most {self.at_most:,g}"
            return ", ".join(filter(None, (above, high)))
        high = below if self.at_most is None else f"{self.at_most:,g}"
        return f"{self.at_least:,g} to {high}" if high else f"at least {self.at_least:,g}"


def limited(
    default: Any = dataclasses.MISSING, *, at_least: float | None = None, above: float | None = None,
    at_most: float | None = None, below: float | None = None, example: str = "", expected: str = "", unit: str = "",
    zero: bool = False, decides: bool = True, known_as: Any = None,
) -> Any:
    """A field that holds a number within these limits, or a list of such numbers.

    ``unit="tokens"``: config reads it as a length (8k, 1m); with ``zero`` or a default of 0 it may be 0 too.
    ``expected`` says in the message what was expected, where the bare limits would not (a share of what); ``example``
    ends it. ``decides`` is what the function of that name answers. ``known_as`` is for a field whose default is newer
    than some runs: what stands for the default in a run's identity, the default of earlier versions or ``NEW``.
    """
    held = _Limits(
        at_least=at_least, above=above, at_most=at_most, below=below, example=example, expected=expected,
        decides=decides, known_as=known_as,
    )
    return _field(default, held, unit=unit, zero=zero)


def one_of(
    *choices: Any, default: Any = dataclasses.MISSING, example: str = "", is_required: bool = False,
    known_as: Any = None,
) -> Any:
    """A field that holds one of the choices, or a list of them; the first is the default, unless it ``is_required``.
    With ``default=None`` it may be null too. ``known_as`` is that of ``limited``."""
    held = _Limits(choices=choices, is_optional=default is None, example=example, known_as=known_as)
    return _field(choices[0] if default is dataclasses.MISSING and not is_required else default, held)


def free_text(default: Any = dataclasses.MISSING, *, decides: bool = True, known_as: Any = None) -> Any:
    """A field of free text: a command's word for it is taken as typed, commas and braces too, and is never a sweep.
    ``known_as`` is that of ``limited``."""
    return _field(default, _Limits(is_text=True, decides=decides, known_as=known_as))


def decides(field: dataclasses.Field[Any]) -> bool:
    """Whether the field decides what is measured. One made with ``decides=False`` says how many answer and how
    patiently they are asked, never what they answer: it is no part of a run's identity, and a run goes on with
    another value."""
    held = field.metadata.get(_HELD)
    return held is None or held.decides


def identity(settings: type, node: dict[str, Any]) -> dict[str, Any]:
    """What a run's identity holds of the settings ``node`` of a class: not what decides nothing, and what is at its
    default as earlier versions knew it, so that a run of theirs is still the same run."""
    fields = {field.name: field for field in dataclasses.fields(settings)}
    kept = {}
    for name, value in node.items():
        field = fields.get(name)
        if field is not None and not decides(field):
            continue
        held = field.metadata.get(_HELD) if field is not None else None
        if field is not None and held is not None and held.known_as is not None and value == _default(field):
            if held.known_as is NEW:
                continue
            value = held.known_as
        kept[name] = value
    return kept


def _default(field: dataclasses.Field[Any]) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def is_free_text(field: dataclasses.Field[Any]) -> bool:
    """Whether it was made by ``free_text``."""
    held = field.metadata.get(_HELD)
    return held is not None and held.is_text


def expected(field: dataclasses.Field[Any]) -> str:
    """What a message says that the field may hold; empty for one without limits."""
    held = field.metadata.get(_HELD)
    return str(held) if held is not None and (held.expected or held.choices or held._range()) else ""


def allowed(field: dataclasses.Field[Any]) -> tuple[Any, ...]:
    """The values of a field made by ``one_of``; none for others."""
    held = field.metadata.get(_HELD)
    return held.choices if held is not None else ()


def check(settings: Any, group: str) -> None:
    """Raises NiahError with the full key of the first field whose value lies outside its limits or is no finite number;
    None is no value."""
    for field in dataclasses.fields(settings):
        held = field.metadata.get(_HELD)
        value = getattr(settings, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise NiahError(f"{group}.{field.name}: got {value}; expected {held or 'a finite number'}")
        if held is None or held.is_text:
            continue
        if isinstance(value, Sequence) and not isinstance(value, str):
            for number, item in enumerate(value):
                place = f"[{number}]" if len(value) > 1 else ""  # key=VALUE of a command makes a list of one
                _check(f"{group}.{field.name}{place}", item, held)
        else:
            _check(f"{group}.{field.name}", value, held)


def _check(key: str, value: Any, held: _Limits) -> None:
    if value is not None and not held.allows(value):
        got = f"{value:,g}" if isinstance(value, int | float) and not held.choices else repr(value)
        raise NiahError(f"{key}: got {got}; expected {held}")


def _field(default: Any, held: _Limits, unit: str = "", zero: bool = False) -> Any:
    metadata: dict[str, Any] = {_HELD: held} | ({"unit": unit} if unit else {}) | ({"zero": True} if zero else {})
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)

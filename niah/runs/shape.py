"""Whether JSON holds what the fields of a dataclass say: nothing read from a run folder is trusted to have a type."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

Check = Callable[[Any], bool]
_MAX_INT, _MAX_FLOAT = 2**63, 1e300


def misfit(kind: type, content: Mapping[str, Any], *, is_whole: bool = False) -> str:
    """What is wrong with an object of ``kind``: the first field that is missing, or holds another type; else empty.

    ``is_whole``: fields without a default have to be there.
    """
    for key, plain, numbers, most, check, expected, is_needed in _checks(kind):
        value = content.get(key, _MISSING)
        held = type(value)  # no call for most values: there are rows by the 100,000
        if held in plain or (held in numbers and -most < value < most):
            continue
        if value is _MISSING:
            if is_needed and is_whole:
                return f"{key} is missing"
        elif not check(value):
            return f"{key} is {shortened(value)}, expected {expected}"
    return ""


def shortened(value: Any) -> str:
    """A foreign value for a message."""
    if isinstance(value, dict | list):
        return f"a {type(value).__name__} of {len(value):,}"
    if isinstance(value, int) and not -_MAX_INT < value < _MAX_INT:
        return "a number of many digits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_MISSING = object()


@cache
def _checks(kind: type) -> tuple[tuple[str, frozenset[type], frozenset[type], float, Check, str, bool], ...]:
    """Key, types whose every value fits, types of numbers that fit below a bound, the bound, check, name of the type,
    and whether there is no default, of each field but ``rest``."""
    hints = get_type_hints(kind)
    return tuple(
        (
            field.metadata.get("key", field.name), *_at_a_glance(hints[field.name]), _check(hints[field.name]),
            _named(hints[field.name]),
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind) if field.name != "rest"
    )


def _at_a_glance(hint: Any) -> tuple[frozenset[type], frozenset[type], float]:
    """What tells that most values fit, without ``_check``: types, and types of numbers with their bound."""
    inside = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    plain = frozenset(one for one in inside if one in (str, bool, NoneType))
    if float in inside:
        return plain, frozenset((int, float)), _MAX_FLOAT
    return plain, frozenset((int,) if int in inside else ()), _MAX_INT


def _check(hint: Any) -> Check:
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        checks = [_check(one) for one in inside]
        return lambda value: any(check(value) for check in checks)
    if origin in (list, Sequence):
        item = _check(inside[0])
        return lambda value: type(value) is list and all(map(item, value))
    if origin in (dict, Mapping):
        entry = _check(inside[1])
        return lambda value: type(value) is dict and all(map(entry, value.values()))
    return lambda value: type(value) is dict  # a part of its own, which is looked at by itself


def _named(hint: Any) -> str:
    """As JSON calls it."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_named(one) for one in inside if not (one is int and float in inside))
    if origin in (list, Sequence):
        return "a list" if inside[0] is Any else f"a list of {_named(inside[0])}"
    return {str: "text", int: "an integer", float: "a number", bool: "true or false", NoneType: "null"}.get(
        hint, "an object"
    )


def _is_float(value: Any) -> bool:
    return type(value) in (float, int) and -_MAX_FLOAT < value < _MAX_FLOAT


_SIMPLE: dict[Any, Check] = {
    Any: lambda value: True,
    str: lambda value: type(value) is str,
    bool: lambda value: type(value) is bool,
    int: lambda value: type(value) is int and -_MAX_INT < value < _MAX_INT,
    float: _is_float,
    NoneType: lambda value: value is None,
}

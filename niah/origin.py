"""Where a module lies, found without running any of its code: what a stored run names is loaded only from some places.

Importing runs code, that of the packages above a module too, and so does ``importlib.util.find_spec`` for a module
within a package. Python's finders alone only look at names of files.
"""

import os
import pkgutil
import site
import sys
import sysconfig
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

_INSTALLED = ("site-packages", "dist-packages")
"""What Python and Debian call such folders."""


def installed_folders() -> list[Path]:
    """The folders into which packages are installed (site-packages), the user's own and those of another environment
    too where Python takes them; never the one a command is given in."""
    names = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        names.add(site.getusersitepackages())
    here = os.path.realpath(os.curdir)
    names |= {name for name in sys.path if Path(name).name in _INSTALLED and os.path.realpath(name) != here}
    return [Path(name) for name in sorted(names) if Path(name).is_dir()]


def installed(module: str) -> Path | None:
    """The file of a module of an installed package; None where there is none, or where Python would import another of
    that name from elsewhere."""
    return file_of(module, installed_folders())


def file_of(module: str, folders: Iterable[Path]) -> Path | None:
    """The file that ``import module`` would run, where it lies in one of the folders, and all packages above it too."""
    roots = {os.path.realpath(folder) for folder in folders}
    spec: ModuleSpec | None = None
    name = ""
    for part in module.split("."):
        if not part.isidentifier():
            return None
        places = list(spec.submodule_search_locations or ()) if spec else None
        name = f"{name}.{part}" if name else part
        spec = _spec(name, places)
        if spec is None or not all(_lies_in(place, roots) for place in _places(spec)):
            return None
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


def _spec(name: str, places: list[str] | None) -> ModuleSpec | None:
    """The spec of a module that is loaded, else the one that is found; ``places`` are those of the package above it."""
    if (loaded := sys.modules.get(name)) is not None:
        return loaded.__spec__
    if places is None:
        try:
            return find_spec(name)  # with no package above it nothing is run
        except (ImportError, ValueError):
            return None
    return _below(name, places)


def _below(name: str, places: list[str]) -> ModuleSpec | None:
    """The spec of a module in these folders of the package above it, which need not be loaded."""
    found = ModuleSpec(name, None, is_package=True)
    for place in places:
        finder = pkgutil.get_importer(place)
        spec = finder.find_spec(name) if finder else None
        if spec and spec.loader:
            return spec
        if spec and spec.submodule_search_locations and found.submodule_search_locations is not None:
            found.submodule_search_locations += spec.submodule_search_locations  # a package without a file of its own
    return found if found.submodule_search_locations else None


def _places(spec: ModuleSpec) -> list[str]:
    """The file of a module, or each folder of a package without a file; one place that is nowhere for a built-in."""
    if spec.has_location and spec.origin:
        return [spec.origin, *(spec.submodule_search_locations or ())]
    return list(spec.submodule_search_locations or ()) or [""]


def _lies_in(place: str, roots: set[str]) -> bool:
    """Whether one of the folders above ``place``, links followed, is a root; links below it are the installer's."""
    return bool(place) and any(os.path.realpath(folder) in roots for folder in Path(os.path.abspath(place)).parents)

"""The import hook: modules that a course hands out are imported from fastnet instead of the assignment's folder.

>>> import fastnet.compat
>>> fastnet.compat.install()  # before the first import of cs231n
>>> fastnet.compat.uninstall()

It replaces `im2col_cython` (the extension that has to be built, level 1) and `fast_layers` (level 2) in each named
package, however deeply it is nested.  Files that students write are never replaced.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterable

from fastnet.compat import standins

__all__ = ["LEVELS", "PACKAGES", "install", "uninstall"]

LEVELS = {"im2col_cython": 1, "fast_layers": 2}  # the lowest level at which a module is replaced
PACKAGES = ("cs231n", "deeplearning")  # the default of notebooks and scripts
_SOURCE = "fastnet.compat.cs231n"


def install(package: str | Iterable[str] = "cs231n", level: int = 2) -> None:
    """Replace a course's own modules with fastnet's, and missing old libraries with stand-ins.

    Call it before the first import of the package, since star imports copy names.  A later call works too: the modules
    are imported again, and every name in the package, notebook or script that refers to one of their functions is
    rebound to fastnet's.  A warning lists where, and what to run again.

    Parameters
    ----------
    package : str or several
        Packages by the name under which they are imported; "cs231n" includes ``assignment2.cs231n``.
    level : 1 or 2
        1 replaces only ``im2col_cython``, which the course's own ``fast_layers`` then calls; 2 replaces both.

    Raises
    ------
    TypeError, ValueError
        If `package` is not the name of a package, or there is no such level.  Nothing has been installed then.

    See Also
    --------
    fastnet.compat.standins : replacements for ``future``, ``six.moves``, ``scipy.misc`` and others if they are missing.
    """
    packages = _checked(package)
    if level not in (1, 2):
        raise ValueError(f"install: level must be 1 (im2col_cython) or 2 (and fast_layers), got {level!r}")
    _finder.levels.update(dict.fromkeys(packages, level))
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    sys.meta_path.insert(0, _finder)  # before the file finder, hence before stale .so files
    standins.install()
    _refresh(packages)


def uninstall() -> None:
    """Remove the hook and the stand-ins; replaced modules that are loaded are imported again from their folder.

    If one cannot be imported, a warning gives the reason, and names bound to fastnet's functions stay so.
    """
    packages = list(_finder.levels)
    _finder.levels.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    _refresh(packages)  # before the stand-ins go: the course's own modules may import them
    standins.uninstall()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of :func:`install` to a command's parser; `package` defaults to None."""
    parser.add_argument(
        "--package", action="append", metavar="NAME", help=f"a course's package (default: {' and '.join(PACKAGES)})"
    )
    parser.add_argument(
        "--level", type=int, choices=(1, 2), default=2, help="1: im2col_cython; 2: fast_layers as well (default: 2)"
    )


def _checked(package) -> list[str]:
    names = list(package) if isinstance(package, Iterable) and not isinstance(package, (str, bytes)) else [package]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"install: package must be a string or several, got {name!r}")
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"install: {name!r} is not a package name; expected a name such as 'cs231n'")
    return names


# ---------------------------------------------------------------- serving


class _Finder:
    """Takes precedence over all other finders as the first entry of ``sys.meta_path``."""

    def __init__(self):
        self.levels: dict[str, int] = {}

    def level(self, package: str) -> int:
        """The level at which a package, given by its full name, is served; 0 if it is not."""
        if package.split(".")[0] == "fastnet":
            return 0
        return max((level for name, level in self.levels.items() if _is(package, name)), default=0)

    def serves(self, fullname: str) -> bool:
        package, _, name = fullname.rpartition(".")
        return name in LEVELS and self.level(package) >= LEVELS[name]

    def find_spec(self, fullname, path=None, target=None):
        if not self.serves(fullname):
            return None
        source = f"{_SOURCE}.{fullname.rpartition('.')[2]}"
        origin = importlib.util.find_spec(source).origin  # becomes __file__, which shows where the functions come from
        return importlib.util.spec_from_file_location(fullname, origin, loader=_Loader(source))


class _Loader:
    """Makes a separate module for each package, with the names of fastnet's: a module object has only one name."""

    def __init__(self, source: str):
        self.source = source

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        source = importlib.import_module(self.source)
        vars(module).update({name: getattr(source, name) for name in source.__all__})  # those of a star import
        module.__doc__ = source.__doc__


def _is(package: str, name: str) -> bool:
    return f".{package}".endswith(f".{name}")


_finder = _Finder()


# ---------------------------------------------------------------- modules that were imported before


def _refresh(packages: Iterable[str]) -> None:
    """Bring the loaded modules of these packages in line with what the finder serves now."""
    loaded = {fullname.rpartition(".")[0] for fullname in sys.modules if fullname.rpartition(".")[2] in LEVELS}
    for package in sorted(loaded):
        if package.split(".")[0] != "fastnet" and any(_is(package, name) for name in packages):
            stale = _stale(package)
            places = _replace(stale) if stale else []
            if places and _finder.level(package):
                warnings.warn(
                    f"fastnet: {' and '.join(stale)} had been imported before the hook was installed. Their functions "
                    f"were replaced in {', '.join(places)}; rerun the cells whose results are used in a backward pass. "
                    "If other objects still refer to the old functions, restart the kernel and install the hook before "
                    f"the first import of {package}.",
                    stacklevel=3,
                )


def _stale(package: str) -> list[str]:
    """Loaded modules whose source is no longer the one that the finder would choose."""
    modules = {name: sys.modules.get(f"{package}.{name}") for name in LEVELS}
    stale = {
        name for name, module in modules.items() if module and _is_ours(module) != _finder.serves(f"{package}.{name}")
    }
    extension_changes = "im2col_cython" in stale or (not modules["im2col_cython"] and _finder.level(package))
    if modules["fast_layers"] and not _finder.serves(f"{package}.fast_layers") and extension_changes:
        stale.add("fast_layers")  # the course's imported the other Cython functions, or failed to
    return [f"{package}.{name}" for name in LEVELS if name in stale]


def _is_ours(module) -> bool:
    return isinstance(getattr(getattr(module, "__spec__", None), "loader", None), _Loader)


def _replace(fullnames: list[str]) -> list[str]:
    """Import modules again, rebind all names of the old functions to the new ones, and return the modules affected."""
    old = {fullname: sys.modules.pop(fullname) for fullname in fullnames}
    for fullname in fullnames:
        package, _, name = fullname.rpartition(".")
        vars(sys.modules.get(package, types.ModuleType(package))).pop(name, None)
    successors: dict[int, object] = {}
    for fullname, module in old.items():
        try:
            new = importlib.import_module(fullname)
        except Exception as error:  # the course's own may be Python 2, or lack a dependency
            if not fullname.endswith(".im2col_cython"):  # which was often never built
                warnings.warn(
                    f"fastnet: {fullname} cannot be imported from its folder ({type(error).__name__}: {error}); names "
                    "bound to its functions still refer to fastnet's. Restart the kernel to get rid of these.",
                    stacklevel=4,
                )
            continue
        successors[id(module)] = new
        for name, value in vars(module).items():
            if callable(value) and _is_defined_in(value, fullname) and hasattr(new, name):
                successors[id(value)] = getattr(new, name)
    return _rebind(successors)


def _is_defined_in(value, fullname: str) -> bool:
    """Whether a module defines a function itself; compiled functions may know only the last part of its name."""
    home = getattr(value, "__module__", None) or ""
    return home == fullname or home == fullname.rpartition(".")[2] or home.startswith("fastnet.compat.")


def _rebind(successors: dict[int, object]) -> list[str]:
    places = []
    for place, module in list(sys.modules.items()):
        if not isinstance(module, types.ModuleType) or place.split(".")[0] == "fastnet":
            continue
        names = vars(module)
        changes = {name: successors[id(value)] for name, value in list(names.items()) if id(value) in successors}
        if any(names[name] is not value for name, value in changes.items()):
            names.update(changes)
            places.append(place)
    return places

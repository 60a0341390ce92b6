"""The import hook: a course's given modules come from fastnet, whatever lies in the assignment's folder.

>>> import fastnet.compat
>>> fastnet.compat.install()  # before the first import of cs231n
>>> fastnet.compat.uninstall()

Served are `im2col_cython` (the extension that has to be built, level 1) and `fast_layers` (level 2), for each package
that was named, wherever it is nested.  Files that students write are never served.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterable

from fastnet.compat import standins

__all__ = ["LEVELS", "PACKAGES", "install", "uninstall"]

LEVELS = {"im2col_cython": 1, "fast_layers": 2}  # a given module, and the level from which on it is served
PACKAGES = ("cs231n", "deeplearning")  # what notebooks and scripts get without asking
_SOURCE = "fastnet.compat.cs231n"


def install(package: str | Iterable[str] = "cs231n", level: int = 2) -> None:
    """Serve a course's given modules with fastnet's kernels, and missing old libraries with stand-ins.

    Call it before the first import of the package, as star imports copy names.  Later it still works: the given modules
    are imported anew, and names of modules that hold their functions (in the package, the notebook, the script) are set
    to fastnet's; a warning says where, and what to run again.

    Parameters
    ----------
    package : str or several
        Packages as they are imported: "cs231n" also serves ``assignment2.cs231n``.
    level : 1 or 2
        1 serves ``im2col_cython`` alone, under the course's own ``fast_layers``; 2 serves both.

    Raises
    ------
    TypeError, ValueError
        Not the name of a package, or no such level.  Nothing has been installed then.

    See Also
    --------
    fastnet.compat.standins : ``future``, ``six.moves``, ``scipy.misc`` and others, where they are missing.
    """
    packages = _checked(package)
    if level not in (1, 2):
        raise ValueError(f"install: level must be 1 (im2col_cython) or 2 (and fast_layers), got {level!r}")
    _finder.levels.update(dict.fromkeys(packages, level))
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    sys.meta_path.insert(0, _finder)  # before the finder of files, and so before stale .so files
    standins.install()
    _refresh(packages)


def uninstall() -> None:
    """Take the hook and the stand-ins out; given modules that are loaded are imported anew, from their folder.

    Where one cannot be imported, a warning says why, and names that hold fastnet's functions keep them.
    """
    packages = list(_finder.levels)
    _finder.levels.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
    _refresh(packages)  # while there are stand-ins: the folder's own modules may import them
    standins.uninstall()


def add_options(parser) -> None:
    """Add the arguments of :func:`install` to a command's parser; `package` is None where none was given."""
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
            raise ValueError(f"install: {name!r} is not a package as it is imported; expected a name such as 'cs231n'")
    return names


# ---------------------------------------------------------------- serving


class _Finder:
    """Comes first in ``sys.meta_path``."""

    def __init__(self):
        self.levels: dict[str, int] = {}

    def level(self, package: str) -> int:
        """What is served of a package, given by its full name; 0: nothing."""
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
        origin = importlib.util.find_spec(source).origin  # a __file__, so that people see where the functions come from
        return importlib.util.spec_from_file_location(fullname, origin, loader=_Loader(source))


class _Loader:
    """A module of its own for each package, with the names of fastnet's: one module object can't have two names."""

    def __init__(self, source: str):
        self.source = source

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        source = importlib.import_module(self.source)
        vars(module).update({name: getattr(source, name) for name in source.__all__})  # a star import gets no others
        module.__doc__ = source.__doc__


def _is(package: str, name: str) -> bool:
    return f".{package}".endswith(f".{name}")


_finder = _Finder()


# ---------------------------------------------------------------- modules that were imported before


def _refresh(packages: Iterable[str]) -> None:
    """Bring what is loaded of the packages in line with what the finder serves now."""
    loaded = {fullname.rpartition(".")[0] for fullname in sys.modules if fullname.rpartition(".")[2] in LEVELS}
    for package in sorted(loaded):
        if package.split(".")[0] != "fastnet" and any(_is(package, name) for name in packages):
            stale = _stale(package)
            places = _replace(stale) if stale else []
            if places and _finder.level(package):
                warnings.warn(
                    f"fastnet: {' and '.join(stale)} had been imported before the hook was installed. Their functions "
                    f"were replaced in {', '.join(places)}; run cells again whose results go on to a backward pass. "
                    "Where other objects hold the old functions, restart the kernel and install the hook before the "
                    f"first import of {package}.",
                    stacklevel=3,
                )


def _stale(package: str) -> list[str]:
    """Loaded modules that come from elsewhere than they should."""
    modules = {name: sys.modules.get(f"{package}.{name}") for name in LEVELS}
    stale = {
        name for name, module in modules.items() if module and _is_ours(module) != _finder.serves(f"{package}.{name}")
    }
    extension_changes = "im2col_cython" in stale or (not modules["im2col_cython"] and _finder.level(package))
    if modules["fast_layers"] and not _finder.serves(f"{package}.fast_layers") and extension_changes:
        stale.add("fast_layers")  # the course's took its Cython functions from elsewhere, or failed to
    return [f"{package}.{name}" for name in LEVELS if name in stale]


def _is_ours(module) -> bool:
    return isinstance(getattr(getattr(module, "__spec__", None), "loader", None), _Loader)


def _replace(fullnames: list[str]) -> list[str]:
    """Import modules anew, and point to the new functions from wherever the old ones were; the places' names."""
    old = {fullname: sys.modules.pop(fullname) for fullname in fullnames}
    for fullname in fullnames:
        package, _, name = fullname.rpartition(".")
        vars(sys.modules.get(package, types.ModuleType(package))).pop(name, None)
    successors = {}
    for fullname, module in old.items():
        try:
            new = importlib.import_module(fullname)
        except Exception as error:  # the folder's own may be Python 2, or need what is not there
            if not fullname.endswith(".im2col_cython"):  # which often was never built
                warnings.warn(
                    f"fastnet: {fullname} cannot be imported from its folder ({type(error).__name__}: {error}); names "
                    "that hold its functions keep those that they have. To be rid of these, restart the kernel.",
                    stacklevel=4,
                )
            continue
        successors[id(module)] = new
        for name, value in vars(module).items():
            if callable(value) and _is_defined_in(value, fullname) and hasattr(new, name):
                successors[id(value)] = getattr(new, name)
    return _rebind(successors)


def _is_defined_in(value, fullname: str) -> bool:
    """Whether a function is a module's own, not imported; compiled ones may know the last part of its name only."""
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

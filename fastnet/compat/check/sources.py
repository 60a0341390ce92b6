"""The sources of a student's functions: a dict, a module, or a file that only the child process imports."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from fastnet.compat import standins
from fastnet.compat.hook import PACKAGES

__all__ = ["Source", "sources"]

# The files of an assignment in which students write functions that can be checked.
_FILES = (
    "classifiers/k_nearest_neighbor.py",
    "classifiers/linear_svm.py",
    "classifiers/softmax.py",
    "layers.py",
    "optim.py",
)


class Source(NamedTuple):
    """A dict of functions, or the path of a module."""

    functions: Mapping[str, Any] | None
    path: str | None

    def load(self) -> Mapping[str, Any]:
        """The functions by name; a path is imported as part of its package, so that relative imports work."""
        if self.path is None:
            return self.functions or {}
        standins.install()  # for imports of old assignments
        if not hasattr(builtins, "xrange"):
            builtins.xrange = range  # the starter code of 2015 and 2016 is Python 2's  # type: ignore[attr-defined]
        file = Path(os.path.abspath(self.path))  # a link counts where it lies
        top = _package(file)
        parts = [part.replace(".", "_") for part in (top.name, *file.relative_to(top).with_suffix("").parts)]
        for name in [name for name in sys.modules if name.split(".")[0] == parts[0]]:
            del sys.modules[name]  # the same package from elsewhere, such as a notebook's
        sys.path.insert(0, os.fspath(top.parent))
        sys.path.append(os.fspath(_folder(file)))  # for imports without the package's name
        for depth, folder in enumerate([*reversed(file.parents)][len(top.parts) - 1 :], 1):
            _import_package(".".join(parts[:depth]), folder)
        return vars(_import_file(".".join(parts), file))


def _folder(file: Path) -> Path:
    """The folder that holds layers.py and the classifiers, of which `file` is one."""
    return file.parent.parent if file.parent.name == "classifiers" else file.parent


def _package(file: Path) -> Path:
    """The folder of the topmost package that holds `file`: that folder, or the outermost with an __init__.py."""
    folder = _folder(file)
    while folder.name not in PACKAGES and all((path / "__init__.py").is_file() for path in (folder, folder.parent)):
        folder = folder.parent
    return folder


def _import_package(name: str, folder: Path) -> None:
    """Import the package; without an __init__.py, or if that fails, make one that only finds its modules.

    Its other modules may be missing from what a student handed in.
    """
    if (folder / "__init__.py").is_file():
        with contextlib.suppress(Exception):
            importlib.import_module(name)
            return
    package = ModuleType(name)
    package.__path__ = [os.fspath(folder)]
    sys.modules[name] = package
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, package)


def _import_file(name: str, file: Path) -> ModuleType:
    """Import the module, whatever the file's name, unless its package has done so."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None  # it is a Python file
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


def sources(given: Any) -> list[Source]:
    """One source for each module that `given` names.

    Raises
    ------
    FileNotFoundError
        If the path does not exist, or is a folder without an assignment's files.
    ValueError
        If the path is a file, but no Python file.
    TypeError
        If `given` is not a path, a module or a dict.
    """
    if isinstance(given, ModuleType):
        return [Source(vars(given), None)]
    if isinstance(given, Mapping):
        return [Source(dict(given), None)]
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(f"expected a module, a dict of functions or a path, got {type(given).__name__}")
    path = Path(given)
    if path.is_file() and path.suffix != ".py":
        raise ValueError(f"{path} is not a Python file; expected one such as layers.py, or the folder that holds it")
    if path.is_file():
        return [Source(None, os.fspath(path))]
    if not path.is_dir():
        raise FileNotFoundError(f"no such file or folder: {path}")
    found = [path / name for name in _FILES if (path / name).is_file()]
    if not found:
        below = sorted({parent for name in _FILES for parent in _holders(path, name)})
        hint = f": {' or '.join(map(str, below[:3]))}?" if below else ""
        raise FileNotFoundError(
            f"{path} has none of {', '.join(_FILES)}; expected the folder that holds layers.py{hint}"
        )
    return [Source(None, os.fspath(file)) for file in found]


def _holders(folder: Path, name: str) -> list[Path]:
    """The folders up to two levels below that hold the file `name`."""
    depth = len(Path(name).parts)
    return [path.parents[depth - 1] for level in ("*", "*/*") for path in folder.glob(f"{level}/{name}")]

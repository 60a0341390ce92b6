"""The sources of a student's functions: a dict, a module, or a file that only the child process imports."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from fastnet.compat import standins

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
        file = Path(self.path).resolve()
        folder, parts = file.parent, [file.stem]
        while (folder / "__init__.py").is_file():
            parts.insert(0, folder.name)
            folder = folder.parent
        sys.path.insert(0, os.fspath(folder))
        return vars(importlib.import_module(".".join(parts)))


def sources(given: Any) -> list[Source]:
    """One source for each module that `given` names.

    Raises
    ------
    FileNotFoundError
        If the path does not exist, or is a folder without an assignment's files.
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
    if path.is_file():
        return [Source(None, os.fspath(path))]
    if not path.is_dir():
        raise FileNotFoundError(f"no such file or folder: {path}")
    found = [path / name for name in _FILES if (path / name).is_file()]
    if not found:
        raise FileNotFoundError(f"{path} has none of {', '.join(_FILES)}; expected the folder that holds layers.py")
    return [Source(None, os.fspath(file)) for file in found]

"""The backend in use: native (compiled kernels) if built, else reference (NumPy)."""

from __future__ import annotations

import contextlib
import importlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from fastnet.backends.reference import Ops

NativeOps: type[Ops] | None = None
why_not_native = ""
try:
    importlib.import_module("fastnet.backends._native")
except ModuleNotFoundError:
    why_not_native = "installed with FASTNET_NO_EXT=1, or a source tree that was not built"
    if (Path(__file__).parents[2] / "csrc" / "fastnet.h").is_file() and not os.environ.get("FASTNET_BACKEND"):
        warnings.warn(
            "fastnet is imported from its source folder, where the kernels are not built: everything runs on NumPy, "
            "slowly. Start Python elsewhere to use an installed fastnet, or build in place: pip install -e .",
            stacklevel=2,
        )
except ImportError as error:  # built for another Python or machine
    why_not_native = str(error)
else:
    from fastnet.backends.native import NativeOps

__all__ = ["Ops", "NativeOps", "current", "use_backend", "available_backends"]


def available_backends() -> list[str]:
    """Names that :func:`use_backend` accepts here."""
    return ["native", "reference"] if NativeOps else ["reference"]


def _make(name: str) -> Ops:
    if name == "reference":
        return Ops()
    if name == "native" and NativeOps:
        return NativeOps()
    if name == "native":
        raise RuntimeError(
            f"backend 'native' is not built here ({why_not_native}); install a compiler and run pip install again, "
            "or use_backend('reference')"
        )
    raise ValueError(f"backend must be one of {available_backends()}, got {name!r}")


_current = _make(os.environ.get("FASTNET_BACKEND") or available_backends()[0])


def current() -> Ops:
    """The Ops that layers call."""
    return _current


@contextlib.contextmanager
def _restore(previous: Ops) -> Iterator[Ops]:
    global _current
    try:
        yield _current
    finally:
        _current = previous


def use_backend(name: str) -> contextlib.AbstractContextManager[Ops]:
    """Choose the backend, "native" or "reference", from now on, or inside a ``with`` block.

    Raises
    ------
    ValueError
        If the name is unknown.
    RuntimeError
        If it is "native" and the extension was not built.
    """
    global _current
    previous, _current = _current, _make(name)
    return _restore(previous)

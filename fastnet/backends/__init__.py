"""The backend in use: native (compiled kernels) if built, else reference (NumPy); cupy, a GPU, on request."""

from __future__ import annotations

import contextlib
import importlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from fastnet import arrays
from fastnet.backends.reference import Ops

NativeOps: type[Ops] | None = None
_current: Ops
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

__all__ = ["Ops", "NativeOps", "current", "use_backend", "available_backends", "of_device", "why_not_cupy"]


_GPU = 'needs an NVIDIA GPU and CuPy: pip install "fastnet-cnn[gpu]"'
_DEFAULT = "native" if NativeOps else "reference"
_CUPY: list[Ops] = []  # the one CupyOps, once it was asked for


def why_not_cupy() -> str:
    """Why the backend "cupy" cannot be used here, in a line, or "".  Imports CuPy."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        return "CuPy is not installed" if missing else f"CuPy cannot be imported: {_line(error)}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # no driver, or one too old for this CuPy
        return f"CuPy {cupy.__version__} finds no GPU: {_line(error)}"
    return "" if count else f"CuPy {cupy.__version__} finds no GPU"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def available_backends() -> list[str]:
    """Names that :func:`use_backend` accepts here; imports CuPy, if it is installed."""
    names = ["native", "reference"] if NativeOps else ["reference"]
    return names if why_not_cupy() else [*names, "cupy"]


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
    if name == "cupy":
        return _cupy()
    raise ValueError(f"backend must be 'native', 'reference' or 'cupy', got {name!r}")


def _cupy() -> Ops:
    if not _CUPY:
        if why := why_not_cupy():
            raise RuntimeError(f"backend 'cupy' {_GPU}; here, {why}")
        _CUPY.append(importlib.import_module("fastnet.backends.device").CupyOps())
    return _CUPY[0]


def _use(ops: Ops) -> None:
    global _current
    _current = ops
    arrays.keep(tuple(kind for kind in ops.array_types if kind.__module__ != "numpy"))


_use(_make(os.environ.get("FASTNET_BACKEND") or _DEFAULT))


def of_device(device: str) -> str:
    """The name of the backend for "cpu" or "gpu"; for "cpu" the one in use, unless that is a GPU's."""
    if device == "gpu":
        return "cupy"
    return _DEFAULT if current().name == "cupy" else current().name


def current() -> Ops:
    """The Ops that layers call."""
    return _current


@contextlib.contextmanager
def _restore(previous: Ops) -> Iterator[Ops]:
    try:
        yield _current
    finally:
        _use(previous)


def use_backend(name: str) -> contextlib.AbstractContextManager[Ops]:
    """Choose the backend, "native", "reference" or "cupy", from now on, or inside a ``with`` block.

    On "cupy", an NVIDIA GPU computes: models, losses and optimisers keep their arrays there, as CuPy arrays, and NumPy
    arrays that they are given are copied to it.  Parameters of a model that was built before are copied on first use.

    Raises
    ------
    ValueError
        If the name is unknown.
    RuntimeError
        If it is "native" and the extension was not built, or "cupy" without CuPy or a GPU.
    """
    previous = _current
    _use(_make(name))
    return _restore(previous)

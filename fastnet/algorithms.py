"""The algorithm that convolutions use."""

from __future__ import annotations

from fastnet import backends
from fastnet.backends import algorithm

__all__ = ["get_conv_algorithm", "set_conv_algorithm"]

if backends.NativeOps:
    from fastnet.backends import _native
else:
    _native = None  # type: ignore[assignment]


def _has_kernels() -> bool:
    return bool(_native) or backends.current().name == "cupy"


def set_conv_algorithm(name: str) -> None:
    """Choose the algorithm of 3x3 and 5x5 convolutions at stride 1, for the whole process.

    Parameters
    ----------
    name : {"auto", "direct", "winograd"}
        "auto" uses Winograd F(4x4, 3x3) or F(2x2, 5x5) where it is faster (8 channels and up): it needs 4 or 2.8 times
        fewer multiplications, and its relative L2 error in float32 is about 1e-6.  "direct" accumulates the products
        directly.  "winograd" uses Winograd wherever it applies.  All other convolutions are always direct.  On a GPU
        5x5 convolutions and weight gradients are direct, too, and "auto" begins at 64 channels.

    Raises
    ------
    ValueError
        An unknown name.
    RuntimeError
        "winograd" without the compiled kernels.
    """
    names = algorithm.NAMES
    if name not in names:
        raise ValueError(f"set_conv_algorithm: name must be one of {', '.join(names)}, got {name!r}")
    if name == "winograd" and not _has_kernels():
        raise RuntimeError("set_conv_algorithm: the compiled kernels are not built here; the reference is direct")
    algorithm.chosen = name
    if _native:
        _native.set_conv_algorithm(names.index(name))


def get_conv_algorithm() -> str:
    """The name last given to :func:`set_conv_algorithm` ("direct" without compiled kernels)."""
    return algorithm.chosen if _has_kernels() else "direct"

"""The algorithm that convolutions use."""

from __future__ import annotations

from fastnet import backends

__all__ = ["get_conv_algorithm", "set_conv_algorithm"]

_NAMES = ("auto", "direct", "winograd")

if backends.NativeOps:
    from fastnet.backends import _native
else:
    _native = None  # type: ignore[assignment]


def set_conv_algorithm(name: str) -> None:
    """Choose the algorithm of 3x3 and 5x5 convolutions at stride 1, for the whole process.

    Parameters
    ----------
    name : {"auto", "direct", "winograd"}
        "auto" uses Winograd F(4x4, 3x3) or F(2x2, 5x5) where it is faster (8 channels and up): it needs 4 or 2.8 times
        fewer multiplications, and its relative L2 error in float32 is about 1e-6.  "direct" accumulates the products
        directly.  "winograd" uses Winograd wherever it applies.  All other convolutions are always direct.

    Raises
    ------
    ValueError
        An unknown name.
    RuntimeError
        "winograd" without the compiled kernels.
    """
    if name not in _NAMES:
        raise ValueError(f"set_conv_algorithm: name must be one of {', '.join(_NAMES)}, got {name!r}")
    if _native:
        _native.set_conv_algorithm(_NAMES.index(name))
    elif name == "winograd":
        raise RuntimeError("set_conv_algorithm: the compiled kernels are not built here; the reference is direct")


def get_conv_algorithm() -> str:
    """The name last given to :func:`set_conv_algorithm` ("direct" without compiled kernels)."""
    return _NAMES[_native.conv_algorithm()] if _native else "direct"

"""Which algorithm convolutions run with."""

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
        "auto" takes Winograd F(4x4, 3x3) or F(2x2, 5x5) where it is faster (8 channels and up), which needs 4 or 2.8
        times fewer multiplications and errs by about 1e-6 relative L2 in float32.  "direct" is an exact sum of
        products, each rounded once.  "winograd" takes Winograd wherever it applies.  All else is always direct.

    Raises
    ------
    ValueError
        An unknown name.
    RuntimeError
        "winograd" where the compiled kernels are not there.
    """
    if name not in _NAMES:
        raise ValueError(f"set_conv_algorithm: name must be one of {', '.join(_NAMES)}, got {name!r}")
    if _native:
        _native.set_conv_algorithm(_NAMES.index(name))
    elif name == "winograd":
        raise RuntimeError("set_conv_algorithm: the compiled kernels are not built here; the reference is direct")


def get_conv_algorithm() -> str:
    """The name that :func:`set_conv_algorithm` was given last ("direct" without compiled kernels)."""
    return _NAMES[_native.conv_algorithm()] if _native else "direct"

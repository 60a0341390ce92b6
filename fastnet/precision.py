"""The precision of float32 products on GPUs."""

from __future__ import annotations

from fastnet.backends import precision

__all__ = ["get_float32_precision", "set_float32_precision"]


def set_float32_precision(name: str) -> None:
    """Choose the precision of matrix products of float32 on GPUs, for the whole process; FASTNET_FLOAT32 at first.

    Backends on CPUs compute all products in float32, and do not change; nor do float64, fastnet's own kernels on GPUs
    (convolutions, steps of a `TrainingPlan`), and sums, which are never in a lower precision.

    Parameters
    ----------
    name : {"highest", "tf32"}
        "highest", the default, computes in float32.  "tf32" lets NVIDIA's libraries round factors to 10 bits of
        mantissa, on GPUs of compute capability 8.0 and higher: relative errors of a product are about 1e-3.

    Raises
    ------
    ValueError
        An unknown name.
    """
    precision.set_to(name, "set_float32_precision: name")


def get_float32_precision() -> str:
    """The name last given to :func:`set_float32_precision`."""
    return precision.get()

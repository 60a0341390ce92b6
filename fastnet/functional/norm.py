"""Batch normalisation and dropout."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from fastnet.arguments import flag, integer, real
from fastnet.arrays import elsewhere, on_host
from fastnet.backends import current
from fastnet.functional.arguments import arrays_of, follows, gradient_of
from fastnet.ops import Stream
from fastnet.ops.checks import check_norm
from fastnet.types import Array, ArrayLike

__all__ = ["batch_norm", "dropout"]


def check_updated(op: str, given: Mapping[str, Any], entered: Sequence[Any]) -> None:
    """Raise TypeError if an array that is updated in place is not itself what entered the backend, and writable.

    On a GPU, NumPy arrays of its dtype are accepted, too: :func:`put_back` updates them.
    """
    for (name, array), inside in zip(given.items(), entered, strict=True):
        if array is None:
            continue
        copied = elsewhere() and isinstance(array, np.ndarray) and array.dtype == inside.dtype
        if not (array is inside or copied) or not getattr(getattr(array, "flags", None), "writeable", True):
            raise TypeError(f"{op}: training updates {name} in place; give a writable, contiguous {inside.dtype} array")


def put_back(given: Sequence[Any], entered: Sequence[Any]) -> None:
    """Copy updated arrays of the device into the NumPy arrays that were given."""
    for array, inside in zip(given, entered, strict=True):
        if array is not None and array is not inside:
            array[...] = on_host(inside)


@follows
def batch_norm(
    x: ArrayLike,
    *,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    running_mean: ArrayLike | None = None,
    running_var: ArrayLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Callable[[ArrayLike], tuple[Array, Array | None, Array | None]]]:
    """Normalise each channel, then scale it by gamma and shift it by beta (Ioffe & Szegedy 2015, arXiv:1502.03167).

    All arguments but x need their names: PyTorch has the running statistics first, courses have gamma and beta first.

    Parameters
    ----------
    x : array, (N, C, ...)
    gamma, beta : array, (C,), optional
        Default: 1 and 0.
    running_mean, running_var : array, (C,), optional
        The statistics to normalise with, unless `training`.  Training uses the batch's mean and variance, and updates
        these two in place, if they are given; they must then be writable, contiguous arrays of x's dtype.
    training : bool
    momentum : float
        The weight of the new value in the running statistics, as in PyTorch; courses and Keras give the weight of the
        old one, 1 - momentum.
    eps : float
        Added to the variance.

    Returns
    -------
    y : array, of x's shape
    backward : function
        ``dx, dgamma, dbeta = backward(dy)``; None for gamma or beta that was not given.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    ops = current()
    eps, momentum = check_norm("batch_norm", eps, momentum)
    training = flag(training, "batch_norm: training")
    inputs, scale, shift, mean, var = arrays_of(
        "batch_norm", x=x, gamma=gamma, beta=beta, running_mean=running_mean, running_var=running_var
    )
    if training:
        check_updated("batch_norm", {"running_mean": running_mean, "running_var": running_var}, (mean, var))
    shape = inputs.shape
    if len(shape) not in (2, 4) and len(shape) > 2:
        inputs = inputs.reshape(*shape[:2], math.prod(shape[2:]), 1)
    result, saved = ops.batch_norm(inputs, scale, shift, mean, var, training, momentum, eps)
    if training:
        put_back((running_mean, running_var), (mean, var))
    y: Array = result.reshape(shape)
    needs = True, gamma is not None, beta is not None

    def backward(dy: ArrayLike) -> tuple[Array, Array | None, Array | None]:
        gradient = gradient_of("batch_norm", dy, y).reshape(result.shape)
        dx, dgamma, dbeta = ops.batch_norm_backward(gradient, saved, needs)
        return dx.reshape(shape), dgamma, dbeta

    return y, backward


@follows
def dropout(
    x: ArrayLike,
    p: float = 0.5,
    training: bool = True,
    *,
    seed: int = 0,
    offset: int = 0,
    unit: Literal["element", "channel", "example", "batch"] = "element",
    inverted: bool = True,
) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """Zero with probability `p`, and divide the rest by 1 - p (Srivastava et al. 2014).

    Parameters
    ----------
    x : array, of any shape
    p : float
        The probability of zeroing, in [0, 1).
    training : bool
        If False, y is x; without `inverted`, (1 - p) x.
    seed, offset : int
        The mask is numbers `offset`, offset + 1, ... of Philox stream `seed`, so the same call drops the same elements.
    unit : "element", "channel", "example" or "batch"
        What is kept or zeroed as a whole: an element; a channel of an example of x (N, C, ...), "spatial dropout"; an
        example; or all of x.
    inverted : bool
        Whether training divides by 1 - p; otherwise inference multiplies by it ("vanilla" dropout).

    Returns
    -------
    y : array, of x's shape
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If x does not hold real numbers, or p, seed, offset or unit is out of range.
    """
    ops = current()
    (inputs,) = arrays_of("dropout", x=x)
    p, divides = real(p, "dropout: p, the probability of zeroing,"), flag(inverted, "dropout: inverted")
    stream = Stream(integer(seed, "dropout: seed", 0, 64), integer(offset, "dropout: offset", 0, 62))
    if not isinstance(unit, str):
        raise TypeError(f"dropout: unit must be a str, got {unit!r}")
    if not flag(training, "dropout: training"):
        if divides:
            return inputs, lambda dy: gradient_of("dropout", dy, inputs)
        y, kept = ops.scale(inputs, 1 - p)
        return y, lambda dy: ops.scale_backward(gradient_of("dropout", dy, y), kept)
    y, saved = ops.dropout(inputs, p, stream, unit, divides)

    def backward(dy: ArrayLike) -> Array:
        dx: Array = ops.dropout_backward(gradient_of("dropout", dy, y), saved)
        return dx

    return y, backward

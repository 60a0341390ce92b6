"""Numerical gradients by central differences, ``(f(x + h) - f(x - h)) / 2h``, one element of x at a time.

x is changed in place for the calls of f, and then restored.  x should be float64, and f must read it at each call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import randrange
from typing import Any

import numpy as np

__all__ = [
    "eval_numerical_gradient",
    "eval_numerical_gradient_array",
    "eval_numerical_gradient_blobs",
    "eval_numerical_gradient_net",
    "grad_check_sparse",
]


def _slope(f, x, index, h):
    """(f(x + h) - f(x - h)) / 2h for one element of x, which is restored."""
    if x.dtype.kind != "f":
        raise TypeError(f"numerical gradient: x must be a floating-point array, got {x.dtype}; pass x.astype(float)")
    before = x[index]
    x[index] = before + h
    above = f(x)
    x[index] = before - h
    below = f(x)
    x[index] = before
    return (above - below) / (2 * h)


def eval_numerical_gradient(f: Callable, x: np.ndarray, verbose: bool = True, h: float = 0.00001) -> np.ndarray:
    """The gradient, of x's shape and dtype, of a scalar function of x; `verbose` prints each slope."""
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        grad[index] = _slope(f, x, index, h)
        if verbose:
            print(index, grad[index])
    return grad


def eval_numerical_gradient_array(f: Callable, x: np.ndarray, df: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """The gradient of ``sum(f(x) * df)``, of x's shape, for a function f that returns an array of df's shape."""
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        grad[index] = np.sum(_slope(lambda x: np.array(f(x)), x, index, h) * df)  # a copy: f may return its buffer
    return grad


def eval_numerical_gradient_blobs(f: Callable, inputs: Sequence, output: Any, h: float = 1e-5) -> list[np.ndarray]:
    """Gradients for functions of blobs, which have an array `vals` and an array `diffs` of the same shape.

    Parameters
    ----------
    f : function
        ``f(*inputs, output)`` writes output.vals.
    inputs : sequence of blobs
    output : blob
        output.diffs is the upstream gradient.

    Returns
    -------
    list of arrays
        With the shapes of the inputs' diffs.
    """

    def values(_):
        f(*inputs, output)
        return output.vals

    return [eval_numerical_gradient_array(values, blob.vals, output.diffs, h) for blob in inputs]


def eval_numerical_gradient_net(net: Any, inputs: Sequence, output: Any, h: float = 1e-5) -> list[np.ndarray]:
    """:func:`eval_numerical_gradient_blobs` for ``net.forward()``, which reads the inputs and writes the output."""
    return eval_numerical_gradient_blobs(lambda *_: net.forward(), inputs, output, h=h)


def grad_check_sparse(
    f: Callable, x: np.ndarray, analytic_grad: np.ndarray, num_checks: int = 10, h: float = 1e-5
) -> None:
    """Print both slopes and their relative error for `num_checks` elements chosen by ``random.randrange``."""
    for _ in range(num_checks):
        index = tuple(randrange(size) for size in x.shape)
        numerical, analytic = _slope(f, x, index, h), analytic_grad[index]
        error = abs(numerical - analytic) / (abs(numerical) + abs(analytic))
        print(f"numerical: {numerical:f} analytic: {analytic:f}, relative error: {error:e}")

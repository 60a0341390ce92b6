"""Normalisations of each image alone: layer, group and instance norm, and local response norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from fastnet.arguments import integer
from fastnet.backends import current
from fastnet.functional.arguments import arrays_of, enter_contiguous, follows, gradient_of
from fastnet.functional.norm import check_updated
from fastnet.ops.checks import check_eps, check_norm, check_response, normalized
from fastnet.types import Array, ArrayLike, DType

__all__ = ["group_norm", "instance_norm", "layer_norm", "local_response_norm"]

_Result = tuple[Array, Callable[[ArrayLike], tuple[Array, Array | None, Array | None]]]


def _enter(name: str, array: Any, dtype: DType) -> Array:
    """Parameters in C order, whatever their number of axes."""
    if name != "x":
        return enter_contiguous(name, array, dtype)
    entered: Array = current().asarray(array, dtype)
    return entered


def _run(op: str, x: Array, shape: Sequence[int], parameters: Sequence[Any], *attributes: Any) -> _Result:
    """Run an op on x in another shape; `parameters` begin with gamma and beta."""
    ops, given = current(), x.shape
    result, saved = getattr(ops, op)(x if x.ndim in (2, 3, 4) else x.reshape(shape), *parameters, *attributes)
    y: Array = result.reshape(given)
    needs = True, parameters[0] is not None, parameters[1] is not None

    def backward(dy: ArrayLike) -> tuple[Array, Array | None, Array | None]:
        gradient = gradient_of(op, dy, y).reshape(result.shape)
        dx, dgamma, dbeta = getattr(ops, f"{op}_backward")(gradient, saved, needs)
        return dx.reshape(given), dgamma, dbeta

    return y, backward


@follows
def layer_norm(
    x: ArrayLike,
    normalized_shape: int | Sequence[int],
    *,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    eps: float = 1e-5,
) -> _Result:
    """Normalise over the last axes, then scale by gamma and shift by beta (Ba, Kiros & Hinton 2016, arXiv:1607.06450).

    Parameters
    ----------
    x : array, (..., *normalized_shape)
    normalized_shape : int or tuple of int
        The sizes of the last axes, over which mean and biased variance are taken.
    gamma, beta : array, normalized_shape, optional
        Default: 1 and 0.
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
    sizes, eps = normalized("layer_norm", normalized_shape), check_eps("layer_norm", eps)
    inputs, scale, shift = arrays_of("layer_norm", _enter, x=x, gamma=gamma, beta=beta)
    for name, array in (("gamma", scale), ("beta", shift)):
        if array is not None and array.shape != sizes:
            raise ValueError(f"layer_norm: {name} must have normalized_shape {sizes}, got {array.shape}")
    if len(sizes) > inputs.ndim or inputs.shape[inputs.ndim - len(sizes) :] != sizes:
        raise ValueError(f"layer_norm: x must end in normalized_shape {sizes}, got x.shape={inputs.shape}")
    size = math.prod(sizes)
    if inputs.ndim in (2, 3, 4) and len(sizes) < inputs.ndim:
        return _run("layer_norm", inputs, inputs.shape, (scale, shift), sizes, eps)
    flat = [None if array is None else array.reshape(-1) for array in (scale, shift)]
    rows = current().contiguous(inputs).reshape(inputs.size // max(size, 1), size)
    y, inner = _run("layer_norm", rows, rows.shape, flat, (size,), eps)
    whole: Array = y.reshape(inputs.shape)

    def backward(dy: ArrayLike) -> tuple[Array, Array | None, Array | None]:
        gradient = gradient_of("layer_norm", dy, whole, enter_contiguous).reshape(rows.shape)
        dx, *others = inner(gradient)
        dgamma, dbeta = (None if array is None else array.reshape(sizes) for array in others)
        return dx.reshape(inputs.shape), dgamma, dbeta

    return whole, backward


@follows
def group_norm(
    x: ArrayLike,
    num_groups: int,
    *,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    eps: float = 1e-5,
) -> _Result:
    """Normalise each group of adjacent channels of each image, then scale and shift each channel.

    Wu & He 2018, arXiv:1803.08494.

    Parameters
    ----------
    x : array, (N, C, ...)
    num_groups : int
        A divisor of C.
    gamma, beta : array, (C,), optional
        Default: 1 and 0.
    eps : float
        Added to the biased variance.

    Returns and raises what :func:`layer_norm` does.
    """
    eps, groups = check_eps("group_norm", eps), integer(num_groups, "group_norm: num_groups")
    inputs, scale, shift = arrays_of("group_norm", _enter, x=x, gamma=gamma, beta=beta)
    return _run("group_norm", inputs, _signals(inputs), (scale, shift), groups, eps)


@follows
def instance_norm(
    x: ArrayLike,
    *,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    running_mean: ArrayLike | None = None,
    running_var: ArrayLike | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> _Result:
    """Normalise each channel of each image, then scale and shift it (Ulyanov et al. 2016, arXiv:1607.08022).

    Parameters
    ----------
    x : array, (N, C, ...)
        At least two values in each channel of an image.
    gamma, beta : array, (C,), optional
        Default: 1 and 0.
    running_mean, running_var : array, (C,), optional
        Updated in place with the means over the images, as in PyTorch; they must then be writable, contiguous arrays of
        x's dtype.  To normalise with them instead, call `batch_norm`.
    momentum : float
        The weight of the new value in the running statistics.
    eps : float
        Added to the biased variance.

    Returns and raises what :func:`layer_norm` does.
    """
    eps, momentum = check_norm("instance_norm", eps, momentum)
    given = {"running_mean": running_mean, "running_var": running_var}
    inputs, scale, shift, *running = arrays_of("instance_norm", _enter, x=x, gamma=gamma, beta=beta, **given)
    check_updated("instance_norm", given, running)
    return _run("instance_norm", inputs, _signals(inputs), (scale, shift, *running), momentum, eps)


@follows
def local_response_norm(
    x: ArrayLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tuple[Array, Callable[[ArrayLike], Array]]:
    """Divide each value by a power of the squares around it, in the channels of its pixel.

    y = x / (k + alpha/size * sum of x^2)^beta (Krizhevsky, Sutskever & Hinton 2012, section 3.3).

    Parameters
    ----------
    x : array, (N, C, ...)
    size : int
        The number of channels in the sum, from c - size//2 on; channels outside count as 0.
    alpha, beta, k : float
        PyTorch's.  AlexNet's paper multiplies the sum by its alpha, 1e-4, without dividing by the size 5:
        ``local_response_norm(x, 5, 5e-4, 0.75, 2.0)``.

    Returns
    -------
    y : array, of x's shape
    backward : function
        ``dx = backward(dy)``.

    Raises
    ------
    TypeError, ValueError
        If arguments do not fit together; the message says which, what was given and what was expected.
    """
    numbers = check_response("local_response_norm", size, alpha, beta, k)
    (inputs,) = arrays_of("local_response_norm", x=x)
    ops, shape = current(), inputs.shape
    signals = inputs if inputs.ndim in (2, 3, 4) else inputs.reshape(_signals(inputs))
    result, saved = ops.local_response_norm(signals, *numbers)
    y: Array = result.reshape(shape)

    def backward(dy: ArrayLike) -> Array:
        gradient = gradient_of("local_response_norm", dy, y).reshape(result.shape)
        dx: Array = ops.local_response_norm_backward(gradient, saved).reshape(shape)
        return dx

    return y, backward


def _signals(x: Array) -> tuple[int, ...]:
    """(N, C, ...) with all other axes as one."""
    return (*x.shape[:2], math.prod(x.shape[2:]))

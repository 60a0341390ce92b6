"""Gradient checking: gradients against differences of function values."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from fastnet import losses
from fastnet.arguments import flag, integer, real
from fastnet.arrays import on_host
from fastnet.backends import current
from fastnet.diagnose.gradient_report import Coordinate, Entry, GradientCheck
from fastnet.diagnose.winners import Winners
from fastnet.graph import Program
from fastnet.heads import training_loss
from fastnet.layers import Layer
from fastnet.types import Array, ArrayLike, Loss

__all__ = ["gradcheck"]

_ROUNDING = 64 * 2.0**-52  # of a function value, relative to the terms that it is a sum of


class _Value(NamedTuple):
    """The function at one point; `scale` is the sum of the absolute values of its terms."""

    value: float
    scale: float
    winners: list[bytes]


class _Problem(NamedTuple):
    """A function of arrays that are changed in place, and its gradients by them."""

    arrays: dict[str, Array]
    gradients: dict[str, Array]
    evaluate: Callable[[], _Value]


def gradcheck(
    target: Layer | Callable[..., Any],
    x: ArrayLike,
    *more: ArrayLike,
    loss: str | Loss = "softmax",
    gradient: ArrayLike | None = None,
    scheme: Literal["centred", "one-sided"] = "centred",
    h: float = 1e-5,
    samples: int | None = 10,
    training: bool = True,
    seed: int = 0,
) -> GradientCheck:
    """Compare gradients with differences of function values, in float64.

    The numerical gradient is ``(f(x + h) - f(x - h)) / 2h``, whose error falls as h**2, or with
    ``scheme="one-sided"`` ``(f(x + h) - f(x)) / h``, whose error falls as h.  The relative error of gradients a and n
    is ``|a - n| / max(|a|, |n|)``; differences that the rounding of f explains count as 0.  CS231n's readings judge
    it: > 1e-2 wrong; > 1e-4 uncomfortable; up to 1e-4 fine where there are kinks, too high for smooth functions;
    up to 1e-7 happy.

    Where a step crosses a kink (another input of a max pooling wins, a ReLU changes sides, a margin begins to count),
    there is no gradient to compare with: such coordinates are counted and left out.  Random streams (dropout's) are
    rewound before each pass, so that the noise is always the same.

    Parameters
    ----------
    target : Model, Layer or function
        - A model or layer, with ``gradcheck(model, x, labels)``: the loss of its scores.
        - A layer, with ``gradcheck(layer, x)``: a random linear function of its output.
        - A function of arrays that returns (loss, gradient by x), as losses do, ``gradcheck(losses.svm, x, labels)``;
          (y, backward), as those of `fastnet.functional` do, checked by all its arrays; or a number, with `gradient`.
    x, *more : arrays
        Floats are cast to float64.  A model or layer is copied, and its copy cast; the original does not change.
    loss : str or function
        Of a model, with labels.
    gradient : array, optional
        Of a function that returns a number: what is checked.
    scheme : "centred" or "one-sided"
    h : float
        The step.
    samples : int or None
        How many coordinates of each array are drawn, beside the one of the largest gradient; None checks all.
    training : bool
        Whether a model or layer runs in training mode.
    seed : int
        Of the coordinates and of the linear function.

    Returns
    -------
    GradientCheck
        ``print(check)`` shows a row for each array; ``check.ok`` is whether no error is over 1e-4.

    Raises
    ------
    ValueError, TypeError
        A function that gives another value when it is called again; one that returns none of the above.
    """
    if scheme not in ("centred", "one-sided"):
        raise ValueError(f"gradcheck: scheme must be 'centred' or 'one-sided', got {scheme!r}")
    if real(h, "gradcheck: h") <= 0:
        raise ValueError(f"gradcheck: h must be positive, got {h!r}")
    samples = None if samples is None else integer(samples, "gradcheck: samples")
    training, rng = (
        flag(training, "gradcheck: training"),
        np.random.default_rng(integer(seed, "gradcheck: seed", 0, 63)),
    )
    if isinstance(target, Layer):
        if gradient is not None or len(more) > 1:
            raise TypeError("gradcheck: a layer takes x, or x and labels; its gradients are its own")
        problem = _of_layer(target, x, more[0] if more else None, losses.get(loss), training, rng)
    elif callable(target):
        problem = _of_function(target, [x, *more], gradient, rng)
    else:
        raise TypeError(f"gradcheck: target must be a layer or a function, got {target!r}")
    first, second = problem.evaluate(), problem.evaluate()
    if first.value != second.value and not (math.isnan(first.value) and math.isnan(second.value)):
        raise ValueError(
            f"gradcheck: two calls with the same arguments give {first.value!r} and {second.value!r}; freeze the "
            "noise: a layer's random stream, which rng_state() lists, is rewound; seed any other generator in each call"
        )
    if not math.isfinite(first.value):
        raise ValueError(f"gradcheck: the function is {first.value} at x, and so has no gradient")
    entries = []
    for name, array in problem.arrays.items():
        found = problem.gradients[name]
        if found.shape != array.shape:
            raise ValueError(f"gradcheck: {name} has shape {array.shape}, its gradient {found.shape}")
        indices = _chosen(found, samples, rng)
        entries.append(Entry(name, array.shape, [_compare(problem, array, found, at, scheme, h) for at in indices]))
    return GradientCheck(entries, scheme, h)


def _chosen(gradient: Array, samples: int | None, rng: Any) -> list[tuple[int, ...]]:
    """Coordinates to check: all, or random ones and that of the largest gradient."""
    count = gradient.size
    if samples is None or samples >= count:
        flat = list(range(count))
    else:
        flat = sorted({*rng.choice(count, samples, replace=False).tolist(), int(abs(gradient).argmax())})
    return [tuple(map(int, np.unravel_index(n, gradient.shape))) for n in flat]


def _compare(
    problem: _Problem, array: Array, gradient: Array, at: tuple[int, ...], scheme: str, h: float
) -> Coordinate:
    kept = array[at]
    low = kept - h if scheme == "centred" else kept
    array[at] = kept + h
    above = problem.evaluate()
    array[at] = low
    below = problem.evaluate()
    array[at] = kept
    width = float((kept + h) - low)  # as it was rounded
    numerical, analytic = (above.value - below.value) / width, float(gradient[at])
    noise = _ROUNDING * max(above.scale, below.scale) / width
    largest = max(abs(numerical), abs(analytic))
    error = abs(numerical - analytic) / largest if abs(numerical - analytic) > noise else 0.0
    if math.isnan(analytic) or math.isnan(numerical):
        error = math.inf
    return Coordinate(at, analytic, numerical, error, above.winners != below.winners)


# ---------------------------------------------------------------- what is checked


def _of_layer(target: Layer, x: ArrayLike, labels: ArrayLike | None, loss: Loss, training: bool, rng: Any) -> _Problem:
    ops, layer = current(), copy.deepcopy(target)
    given = np.array(on_host(x, "gradcheck: x"), np.float64)
    layer.build(given.shape[1:] if not layer.built else layer.input_shape, dtype="float64")
    streams, winners = layer.rng_state(), Winners(ops)
    entered = ops.asarray(given, "float64")
    graph = layer.graph(tuple(entered.shape), training)
    program = Program(graph, ops, True, around=winners.around)
    weights = None if labels is not None else rng.standard_normal(graph.output.shape)
    wanted: Any = None if labels is None else on_host(labels)
    full = training_loss(loss, layer) if training else loss

    def judged(y: Array) -> tuple[float, float, Array]:
        """The value, the sum of its terms' absolute values, and the gradient by the output."""
        if weights is not None:
            terms = ops.to_numpy(y) * weights
            return float(terms.sum()), float(abs(terms).sum()), ops.asarray(weights, "float64")
        value, dy = full(y, ops.own(wanted).copy())
        winners.loss(loss, dy)
        return float(value), abs(float(value)), dy

    def evaluate() -> _Value:
        layer.set_rng_state(streams)
        winners.seen = []
        y, _ = program.forward(ops.asarray(given, "float64"))
        value, scale, _ = judged(y)
        return _Value(value, scale, winners.seen)

    layer.zero_grad()
    layer.set_rng_state(streams)
    y, backward = layer.forward(given, training=training)
    dx = backward(judged(ops.xp.array(y))[2])
    trained = [parameter for parameter in layer.parameters() if parameter.grad is not None]
    arrays = {"x": given, **{parameter.name: parameter.value for parameter in trained}}
    gradients = {"x": ops.to_numpy(dx), **{p.name: ops.to_numpy(p.grad).copy() for p in trained}}
    return _Problem(arrays, gradients, evaluate)


def _of_function(target: Callable[..., Any], given: list[Any], gradient: ArrayLike | None, rng: Any) -> _Problem:
    arrays = [on_host(array, f"gradcheck: argument {n}") for n, array in enumerate(given)]
    arrays = [np.array(array, np.float64 if array.dtype.kind == "f" else array.dtype) for array in arrays]
    winners = Winners(current())

    def call() -> Any:
        return target(*(array.copy() for array in arrays))

    result = call()
    pair = isinstance(result, tuple) and len(result) == 2
    if pair and callable(result[1]):
        y = on_host(result[0])
        weights = rng.standard_normal(y.shape)
        found = result[1](weights.astype(y.dtype))
        gradients = list(found) if isinstance(found, tuple) else [found]
    elif pair and np.ndim(result[0]) == 0:
        weights, gradients = None, [result[1]]
    elif gradient is not None and np.ndim(result) == 0:
        weights, gradients = None, [gradient]
    else:
        raise TypeError(
            "gradcheck: the function must return (loss, gradient), (y, backward), or a number, whose gradient is given "
            f"as gradient=; it returned {type(result).__name__}"
        )

    def evaluate() -> _Value:
        winners.seen, result = [], call()
        if weights is not None:
            terms = on_host(result[0]).astype(np.float64) * weights
            return _Value(float(terms.sum()), float(abs(terms).sum()), [])
        if pair:
            winners.loss(target, result[1])
        value = float(result[0] if pair else result)
        return _Value(value, abs(value), winners.seen)

    names = ["x", *(f"argument {n}" for n in range(1, len(arrays)))]
    checked = [n for n, g in enumerate(gradients) if g is not None and arrays[n].dtype.kind == "f"]
    return _Problem(
        {names[n]: arrays[n] for n in checked},
        {names[n]: on_host(gradients[n]).astype(np.float64) for n in checked},
        evaluate,
    )

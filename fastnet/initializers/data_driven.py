"""Initial values that are fitted to a batch of data: LSUV and data-dependent initialization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.arguments import flag, integer, real
from fastnet.arrays import on_host
from fastnet.initializers.named import generator
from fastnet.initializers.whole import redraw, weight_of, weighted
from fastnet.types import Array, ArrayLike, Generator, Initializer, Seed

if TYPE_CHECKING:
    from fastnet.layers import Layer, Model

__all__ = ["data_dependent", "lsuv"]


class _Seen(Exception):
    """The output was computed; the rest of the pass is not needed."""


def _output(model: Model, path: str, x: ArrayLike) -> Array:
    """What the layer at `path` gives in a training pass of x, when it runs first."""
    from fastnet.layers.tracing import trace

    found: list[Array] = []

    def see(name: str, phase: str, array: Array) -> None:
        if name == path and phase == "forward":
            found.append(on_host(array).astype(np.float64))
            raise _Seen

    try:
        with trace(see):
            model.forward(x, training=True)
    except _Seen:
        return found[0]
    raise ValueError(f"layer {path} does not run when the model does")


def _redrawn(model: Model, weights: str | Initializer | None, seed: Seed, what: str) -> list[tuple[str, Layer]]:
    """The layers with weights, these drawn and their biases zeroed unless `weights` is None."""
    rng, layers = generator(seed), weighted(model, what)
    for _, layer in layers:
        if weights is not None:
            redraw(weight_of(layer), weights, rng)
            if "bias" in layer.own:
                redraw(layer.own["bias"], "zeros", rng)
    return layers


def lsuv(
    model: Model,
    x: ArrayLike,
    weights: str | Initializer | None = "orthogonal",
    tolerance: float = 0.01,
    iterations: int = 10,
    seed: Seed = 0,
) -> dict[str, float]:
    """Layer-sequential unit-variance initialization: orthonormal weights, scaled so that each layer's output has
    variance 1 on the batch x, layer after layer.

    For each layer: run x through the model up to it; while ``|Var(y) - 1| >= tolerance``, and at most `iterations`
    times, divide its weight by ``sqrt(Var(y))``.  The batch is needed for what no formula covers: any activation, any
    architecture.

    Mishkin & Matas 2015, "All you need is a good init", arXiv:1511.06422.

    Parameters
    ----------
    model : Model
        Built.  Its linear layers and convolutions are changed, biases set to 0.
    x : array, (N, *input_shape)
        Preprocessed as in training; some hundred examples suffice.
    weights : str, function of (rng, shape), or None
        Drawn first; None keeps the model's own weights and biases.
    tolerance : float
    iterations : int
    seed : int or Generator

    Returns
    -------
    dict of str to float
        The variance of each layer's output, by the layer's path.

    Raises
    ------
    ValueError
        A layer's output does not vary, so that no factor helps.
    """
    from fastnet.layers.preserved import preserved

    tolerance, iterations = real(tolerance, "lsuv: tolerance"), integer(iterations, "lsuv: iterations")
    layers, variances = _redrawn(model, weights, seed, "lsuv"), {}
    with preserved(model, parameters=False):
        for path, layer in layers:
            variance = float(_output(model, path, x).var())
            for _ in range(iterations):
                if abs(variance - 1) < tolerance:
                    break
                if not 0 < variance < np.inf:
                    raise ValueError(
                        f"lsuv: the output of layer {path} has variance {variance}: is its input constant?"
                    )
                weight_of(layer).value[...] /= weight_of(layer).dtype.type(variance**0.5)
                variance = float(_output(model, path, x).var())
            variances[path] = variance
    return variances


def data_dependent(
    model: Model,
    x: ArrayLike,
    weights: str | Initializer | None = "kaiming_normal",
    beta: float = 0.0,
    balance: bool = True,
    iterations: int = 10,
    seed: Seed = 0,
) -> dict[str, float]:
    """Weights and biases for which every channel has the same statistics on x, and all layers learn at the same rate.

    *Within layers*: channel k of a layer's output has the mean mu and standard deviation sigma on x; its weights are
    divided by sigma and its bias becomes ``beta + (b - mu) / sigma``, so that it has mean `beta` and deviation 1.

    *Between layers* (`balance`): the rate of change of layer l is C_l, where C_l**2 is the mean over its weights of
    ``E[(dL/dw)**2] / ||W||**2``, for L = eta . output with eta normal.  The weights are multiplied by
    ``r_l = (C_l / C)**(1/8)`` with C the geometric mean of all C_l, and the bias by the product of all r up to this
    layer; the product of all r is 1, so a network in sequence whose activations are piecewise linear keeps its output.
    Repeated `iterations` times.

    Kraehenbuehl, Doersch, Donahue & Darrell 2015, "Data-dependent initializations of convolutional neural networks",
    arXiv:1511.06856 (algorithms 1 and 2, alpha = 1/4).

    Parameters
    ----------
    model : Model
        Built; its linear layers and convolutions are changed.
    x : array, (N, *input_shape)
        Preprocessed as in training.
    weights : str, function of (rng, shape), or None
        Drawn first; None keeps the model's own.
    beta : float
        The mean of every channel.
    balance : bool
    iterations : int
        Of the balancing.
    seed : int or Generator

    Returns
    -------
    dict of str to float
        The rate of change C of each layer at the end, by the layer's path; {} without `balance`.

    Raises
    ------
    ValueError
        A channel that does not vary; a layer whose output is no linear function of its weight's rows.
    """
    from fastnet.layers.preserved import preserved

    beta, balance = real(beta, "data_dependent: beta"), flag(balance, "data_dependent: balance")
    iterations, rng = integer(iterations, "data_dependent: iterations"), generator(seed)
    layers = _redrawn(model, weights, rng, "data_dependent")
    with preserved(model, parameters=False):
        for path, layer in layers:
            _normalize(path, layer, _output(model, path, x), beta)
        rates: dict[str, float] = {}
        trained = [(path, layer) for path, layer in layers if weight_of(layer).requires_grad]
        for _ in range(iterations if balance else 0):
            rates = _rates(model, trained, x, rng)
            mean = float(np.exp(np.mean(np.log(list(rates.values())))))
            product = 1.0
            for path, layer in trained:
                factor = (rates[path] / mean) ** 0.125
                product *= factor
                weight_of(layer).value[...] *= weight_of(layer).dtype.type(factor)
                if "bias" in layer.own:
                    layer.own["bias"].value[...] *= weight_of(layer).dtype.type(product)
        return _rates(model, trained, x, rng) if balance else {}


def _normalize(path: str, layer: Layer, y: Array, beta: float) -> None:
    """Give each channel of y, the layer's output, the mean `beta` and the deviation 1."""
    weight: Any = weight_of(layer)
    if weight.shape[0] != y.shape[1] or hasattr(layer, "output_padding"):
        raise ValueError(
            f"data_dependent: {type(layer).__name__} at {path} has a weight {weight.shape} for {y.shape[1]} channels; "
            "only layers with one row of weights for each channel, such as Linear and Conv2d, can be normalised"
        )
    axes = (0, *range(2, y.ndim))
    mean, std = y.mean(axis=axes), y.std(axis=axes)
    if not (np.isfinite(std) & (std > 0)).all():
        bad = int((~(std > 0)).sum())
        raise ValueError(
            f"data_dependent: {bad} of {len(std)} channels of layer {path} do not vary: give more examples"
        )
    weight.set(on_host(weight.value) / std.reshape(-1, *(1,) * (weight.value.ndim - 1)).astype(weight.dtype))
    if "bias" in layer.own:
        bias = layer.own["bias"]
        bias.set((on_host(bias.value).astype(np.float64) - mean) / std + beta)


def _rates(model: Model, layers: list[tuple[str, Layer]], x: ArrayLike, rng: Generator) -> dict[str, float]:
    """C of each layer: with independent random gradients of the outputs, the squared gradient of a batch is, on
    average, the sum of its examples' squares."""
    model.zero_grad()
    y, backward = model.forward(x, training=True)
    backward(rng.standard_normal(y.shape, dtype=np.float32).astype(y.dtype), input_gradient=False)
    rates = {}
    for path, layer in layers:
        weight: Any = weight_of(layer)
        grad, value = (on_host(array).astype(np.float64) for array in (weight.grad, weight.value))
        rates[path] = (float((grad**2).mean()) / len(y) / float((value**2).sum())) ** 0.5
        if not 0 < rates[path] < np.inf:
            raise ValueError(f"data_dependent: no gradient reaches layer {path}, so its rate cannot be balanced")
    model.zero_grad()
    return rates

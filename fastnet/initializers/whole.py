"""Initial values of a whole model that is built already."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fastnet.arguments import real
from fastnet.initializers.distributions import constant
from fastnet.initializers.named import draw, generator
from fastnet.types import Generator, Initializer, Seed

if TYPE_CHECKING:
    from fastnet.layers import Layer, Model, Parameter

__all__ = ["initialize", "redraw", "weighted"]


def weighted(model: Model, what: str) -> list[tuple[str, Layer]]:
    """(path, layer) of the layers with a weight matrix or filters, in order; errors begin with `what`."""
    if not getattr(model, "built", False):
        raise RuntimeError(f"{what}: the model must be built first: model.build((3, 32, 32), seed=0)")
    owners = [(path, layer) for path, layer in model.named_layers() if "weight" in layer.own]
    found = [(path, layer) for path, layer in owners if weight_of(layer).value.ndim > 1]
    if not found:
        raise ValueError(f"{what}: the model has no layer with a weight matrix, such as Linear or Conv2d")
    return found


def weight_of(layer: Layer) -> Parameter:
    return layer.own["weight"]


def redraw(parameter: Parameter, initializer: str | Initializer, rng: Generator) -> None:
    """New values in the parameter's array."""
    parameter.set(draw(initializer, rng, parameter.shape))


def initialize(
    model: Model,
    weights: str | Initializer = "kaiming_normal",
    bias: float | str | Initializer = 0.0,
    seed: Seed = 0,
) -> list[str]:
    """Draw all weights of a built model again, in its own arrays.

    Parameters
    ----------
    model : Model
        Its linear layers and convolutions are changed; norms, running statistics and learned slopes are not.
    weights : str or function of (rng, shape)
        Of every weight with at least 2 axes.
    bias : float, str or function of (rng, shape)
        Of these layers' biases.  Some prefer 0.01 before ReLUs, so that all of them are active at first (CS231n's
        readings).
    seed : int or Generator

    Returns
    -------
    list of str
        The names of the parameters that were drawn.

    Raises
    ------
    RuntimeError
        The model is not built.
    ValueError, TypeError
        No such initializer, or no layer to initialize.
    """
    rng, names = generator(seed), []
    biases: Any = bias
    if not isinstance(bias, str) and not callable(bias):
        biases = partial(constant, value=real(bias, "initialize: bias, if not a name or a function,"))
    for path, layer in weighted(model, "initialize"):
        for name, initializer in (("weight", weights), ("bias", biases)):
            if name in layer.own:
                redraw(layer.own[name], initializer, rng)
                names.append(f"{path}.{name}" if path else name)
    return names

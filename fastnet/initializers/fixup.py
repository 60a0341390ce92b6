"""Fixup: initial values for residual networks without normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnet.initializers.named import generator
from fastnet.initializers.whole import redraw, weight_of, weighted
from fastnet.types import Seed

if TYPE_CHECKING:
    from fastnet.layers import Model

__all__ = ["fixup"]


def fixup(model: Model, seed: Seed = 0) -> dict[str, float]:
    """Initialize a built residual network so that it trains without normalization.

    Of the model's L residual branches (the bodies of Residual), with m weight layers each:

    1. the classifier, which is the model's last weight layer, and the last weight layer of each branch start at 0, so
       that every block starts as its shortcut;
    2. the others are drawn as `kaiming_normal`; those inside branches are multiplied by ``L**(-1 / (2 m - 2))``, so
       that a step changes the output by an amount that does not depend on the depth;
    3. scalar multipliers start at 1 and scalar biases at 0: the network should have a multiplier in each branch and a
       bias before each convolution, linear layer and activation (:class:`fastnet.ScalarAffine`;
       `fastnet.models.fixup_resnet20` has them).  Layers' own biases start at 0.

    Zhang, Dauphin & Ma 2019, "Fixup initialization: residual learning without normalization", arXiv:1901.09321.

    Returns
    -------
    dict of str to float
        The factor on the standard deviation sqrt(2 / fan_in) of each weight layer, by its path.

    Raises
    ------
    ValueError
        The model has no Residual with a weight layer in its body.
    """
    rng = generator(seed)
    layers = weighted(model, "fixup")
    bodies: list[list[Any]] = []
    for _, layer in model.named_layers():
        body: Any = getattr(layer, "body", None)
        inside = {id(leaf) for leaf in body.leaves()} if hasattr(body, "leaves") else set()
        if found := [other for _, other in layers if id(other) in inside]:
            bodies.append(found)
    if not bodies:
        raise ValueError("fixup: the model has no Residual with a weight layer in its body; see fastnet.Residual")
    factors = {id(layer): 1.0 for _, layer in layers}
    for body in bodies:
        for layer in body[:-1]:
            factors[id(layer)] = len(bodies) ** (-1 / (2 * len(body) - 2))
    for layer in (layers[-1][1], *(body[-1] for body in bodies)):
        factors[id(layer)] = 0.0
    for _, layer in layers:
        weight, factor = weight_of(layer), factors[id(layer)]
        redraw(weight, "kaiming_normal" if factor else "zeros", rng)
        if factor not in (0, 1):
            weight.value[...] *= weight.dtype.type(factor)
        if "bias" in layer.own:
            redraw(layer.own["bias"], "zeros", rng)
    return {path: factors[id(layer)] for path, layer in layers}

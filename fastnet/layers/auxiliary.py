"""A network with auxiliary heads: classifiers on layers in between, for training only."""

from __future__ import annotations

from collections.abc import Mapping

from fastnet.arguments import real
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer
from fastnet.layers.containers import Container, LayerLike, Sequential, as_layer, check_name
from fastnet.types import DType, Generator, Shape

__all__ = ["AuxiliaryHeads"]


class AuxiliaryHeads(Container):
    """A Sequential some of whose layers are also read by heads, whose losses are added in training.

    Szegedy et al. 2015 (arXiv:1409.4842) did so in GoogLeNet, and Lee et al. 2015 (arXiv:1409.5185) in
    deeply-supervised nets.  In inference the heads do not run.  With ``training=True`` the scores are concatenated
    along axis 1, the body's first: (N, C * (1 + heads)).  `TrainingPlan`, `Solver` and `fit` take any loss of (N, C),
    and add the heads' losses by their weights (``fastnet.heads.WithAuxiliary`` does it in a loop of your own).

    Parameters
    ----------
    body : Sequential
        Its layers become this model's children, under their names.
    heads : mapping of str to (str, layer or list of layers)
        For each head its name, the name of the body's layer that it reads, and the layers that give scores of the
        body's shape.
    weight : float
        Of each head's loss; the body's has 1.

    Attributes
    ----------
    auxiliary : tuple of float
        The weight of each head.
    """

    def __init__(self, body: Sequential, heads: Mapping[str, tuple[str, LayerLike]], weight: float = 0.3) -> None:
        if not isinstance(body, Sequential):
            raise TypeError(f"AuxiliaryHeads: body must be a Sequential, got {type(body).__name__}")
        if not isinstance(heads, Mapping) or not heads:
            raise TypeError(f"AuxiliaryHeads: heads must be a dict of names and (layer's name, layers), got {heads!r}")
        weight = real(weight, "AuxiliaryHeads: weight")
        if weight < 0:
            raise ValueError(f"AuxiliaryHeads: weight must not be negative, got {weight}")
        self._body = body.children()
        self._heads: dict[str, list[tuple[str, Layer]]] = {}
        children = dict(self._body)
        for name, given in heads.items():
            check_name("AuxiliaryHeads", name)
            if name in children:
                raise ValueError(f"AuxiliaryHeads: a head needs a name of its own, got {name!r}")
            if not isinstance(given, tuple) or len(given) != 2 or given[0] not in self._body:
                raise ValueError(
                    f"AuxiliaryHeads: {name} must be (layer's name, layers) with one of {', '.join(self._body)}, "
                    f"got {given!r}"
                )
            children[name] = as_layer(given[1], "AuxiliaryHeads")
            self._heads.setdefault(given[0], []).append((name, children[name]))
        super().__init__(children)
        self.auxiliary = (weight,) * len(heads)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        found: dict[str, Shape] = {}
        for name, layer in self._body.items():
            shape = layer.place(shape, rng, dtype)
            found |= {head: child.place(shape, rng, dtype) for head, child in self._heads.get(name, ())}
        for head, scores in found.items():
            if scores != shape:
                raise ValueError(
                    f"AuxiliaryHeads: the body gives {shape}, and {head} gives {scores}; they must be equal"
                )
        return shape

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        scores: dict[str, Node] = {}
        for name, layer in self._body.items():
            x = ops.layer(layer, x, training)
            if training:
                scores |= {head: ops.layer(child, x, training) for head, child in self._heads.get(name, ())}
        heads = [scores[name] for name in self.children() if name in scores]
        return ops.concat([x, *heads]) if heads else x

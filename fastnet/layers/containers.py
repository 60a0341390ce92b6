"""Containers of layers: Sequential, Residual, Concat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer
from fastnet.layers.model import Model
from fastnet.types import DType, Generator, Shape

__all__ = ["Sequential", "Residual", "Concat", "LayerLike"]

LayerLike = Layer | Sequence["LayerLike"] | Mapping[str, "LayerLike"]
"""A layer, or layers that become a Sequential."""


def as_layer(layer: LayerLike, owner: str) -> Layer:
    """A layer, or a list or dict of layers as a Sequential."""
    if isinstance(layer, (list, tuple)):
        return Sequential(*layer)
    if isinstance(layer, Mapping):
        return Sequential(layer)
    if isinstance(layer, type) and issubclass(layer, Layer):
        raise TypeError(f"{owner}: got the class {layer.__name__}; did you mean {layer.__name__}()?")
    if not isinstance(layer, Layer):
        raise TypeError(f"{owner}: expects layers (or lists of layers), got {layer!r}")
    if isinstance(layer, Model) and layer.auxiliary:
        raise ValueError(f"{owner}: {type(layer).__name__} has several outputs in training, so it cannot be a layer")
    return layer


def check_name(owner: str, name: object) -> None:
    """Raise a ValueError, for `owner`, for what cannot name a child: dots separate the names in a path."""
    if not isinstance(name, str) or not name or "." in name:
        raise ValueError(f"{owner}: a child's name must be a string without a dot, got {name!r}")


def _named(owner: str, layers: Sequence[LayerLike], named: Mapping[str, LayerLike]) -> dict[str, Layer]:
    if len(layers) == 1:
        only = layers[0]
        if isinstance(only, Mapping):
            return _named(owner, (), {**only, **named})
    children = {str(i): layer for i, layer in enumerate(layers)}
    for name, layer in named.items():
        check_name(owner, name)
        children[name] = layer
    return {name: as_layer(layer, owner) for name, layer in children.items()}


class Container(Model):
    """A model made of the layers in `children`."""

    traced = False

    def __init__(self, children: dict[str, Layer]) -> None:
        self._children = children

    def children(self) -> dict[str, Layer]:
        return self._children

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._children.values())

    def __getitem__(self, key: int | str) -> Any:
        """A child by position or by name."""
        if isinstance(key, str):
            return self._children[key]
        return list(self._children.values())[key]

    def __repr__(self) -> str:
        lines = [f"  ({name}): {child!r}".replace("\n", "\n  ") for name, child in self._children.items()]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"]) if lines else f"{type(self).__name__}()"


class Sequential(Container):
    """Layers in sequence.

    ``Sequential(Conv2d(8, 3), ReLU())`` names its children "0", "1"; ``Sequential(conv=Conv2d(8, 3), relu=ReLU())`` or
    an ordered dict gives them names, which prefix the names of their parameters ("conv.weight").  A name that starts
    with "_" is not part of the parameters' names.
    """

    def __init__(self, *layers: LayerLike, **named: LayerLike) -> None:
        super().__init__(_named("Sequential", layers, named))

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        for child in self._children.values():
            shape = child.place(shape, rng, dtype)
        return shape

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        for child in self._children.values():
            x = ops.layer(child, x, training)
        return x


class Residual(Container):
    """body(x) + shortcut(x), without an activation after it (He et al. 2015, arXiv:1512.03385).

    Parameters
    ----------
    body : layer, or list of layers
    shortcut : layer, or list of layers, optional
        Default: x itself.
    names : pair of str
        The children's names, which prefix their parameters' names ("body.0.weight") unless they start with "_".
    """

    traced = True

    def __init__(
        self, body: LayerLike, shortcut: LayerLike | None = None, names: tuple[str, str] = ("body", "shortcut")
    ) -> None:
        if isinstance(names, str) or len(names) != 2 or not all(isinstance(name, str) for name in names):
            raise TypeError(f"Residual: names must be a pair of str, got {names!r}")
        children = {names[0]: as_layer(body, "Residual")}
        if shortcut is not None:
            children[names[1]] = as_layer(shortcut, "Residual")
        super().__init__(children)
        self._body, self._shortcut = (*children.values(), None)[:2]

    @property
    def body(self) -> Layer | Any:
        """The branch that is added to the shortcut."""
        return self._body

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        shapes = [child.place(shape, rng, dtype) for child in self._children.values()]
        if len(shapes) == 1:
            shapes.append(shape)
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"Residual: the body gives {shapes[0]} and the shortcut {shapes[1]} from {shape}; they must be "
                "equal to be added (a 1x1 Conv2d with the body's out_channels and stride is a shortcut that fits)"
            )
        return shapes[0]

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        side = x if self._shortcut is None else ops.layer(self._shortcut, x, training)
        return ops.add(ops.layer(self._body, x, training), side)


class Concat(Container):
    """The outputs of several branches, concatenated along channels (axis 1).

    ``Concat([branch, branch])`` names its children "0", "1"; ``Concat(left=branch, right=branch)`` gives names.
    A branch is a layer or a list of layers.
    """

    def __init__(
        self, branches: Layer | Sequence[LayerLike] | Mapping[str, LayerLike] = (), **named: LayerLike
    ) -> None:
        if not isinstance(branches, (Mapping, Layer, list, tuple)):
            raise TypeError(f"Concat: branches must be a list or dict of layers, got {branches!r}")
        layers = (branches,) if isinstance(branches, (Mapping, Layer)) else tuple(branches)
        super().__init__(_named("Concat", layers, named))
        if not self._children:
            raise ValueError("Concat: needs at least one branch")

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        shapes = [child.place(shape, rng, dtype) for child in self._children.values()]
        if any(other[1:] != shapes[0][1:] for other in shapes):
            raise ValueError(f"Concat: branches may differ in channels only, got {shapes} from {shape}")
        return sum(other[0] for other in shapes), *shapes[0][1:]

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.concat([ops.layer(layer, x, training) for layer in self._children.values()])

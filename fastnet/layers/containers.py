"""Layers made of layers: Sequential, Residual, Concat.

Sequential asks fusion.py which steps stand for its children; a step is anything with ``run``, ``infer``, ``trains``,
``own``, ``path`` and ``traced``.  While somebody traces, it runs its children themselves.

Where branches meet, gradients are added: a backward that has the attribute ``adds`` takes ``add=``, a gradient to add
its own to, and does so on its way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastnet.layers.base import Layer, step
from fastnet.layers.fusion import Normalized, fused
from fastnet.layers.norm import BatchNorm2d
from fastnet.layers.tracing import infer, tracing
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
    return layer


def _named(owner: str, layers: Sequence[LayerLike], named: Mapping[str, LayerLike]) -> dict[str, Layer]:
    if len(layers) == 1 and isinstance(layers[0], Mapping):
        layers, named = (), {**layers[0], **named}
    children = {str(i): layer for i, layer in enumerate(layers)}
    for name, layer in named.items():
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"{owner}: a child's name must be a string without a dot, got {name!r}")
        children[name] = layer
    return {name: as_layer(layer, owner) for name, layer in children.items()}


class _Container(Layer):
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


def _once(used: list) -> None:
    if used:
        raise RuntimeError("backward: called before, and the activations are gone; run forward again")
    used.append(True)


def _add(inner, dy, input_gradient, add, ops):
    """``inner(dy)``, plus another gradient of the same input, if there is one."""
    if not input_gradient or add is None:
        return inner(dy, input_gradient)
    if getattr(inner, "adds", False):
        return inner(dy, input_gradient, add=add)
    return ops.add(inner(dy, input_gradient), add)


class Sequential(_Container):
    """Layers one after the other.

    ``Sequential(Conv2d(8, 3), ReLU())`` names its children "0", "1"; ``Sequential(conv=Conv2d(8, 3), relu=ReLU())`` or
    an ordered dict gives them names, which begin the names of their parameters ("conv.weight").  A name that starts
    with "_" is left out of the parameters' names.
    """

    def __init__(self, *layers: LayerLike, **named: LayerLike) -> None:
        super().__init__(_named("Sequential", layers, named))
        self.steps = fused(self._children.values())

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        for child in self._children.values():
            shape = child.place(shape, rng, dtype)
        return shape

    def run(self, x, training, ops):
        return self._through(self._children.values() if tracing() else self.steps, x, training, ops)

    def _through(self, steps, x, training, ops):
        tape, used = [], []
        for layer in steps:
            x, inner = step(layer, x, training, ops)
            tape.append((layer, inner))

        def backward(dy, input_gradient=True, add=None):
            _once(used)
            first = 0
            if not tape and add is not None:
                return ops.add(dy, add)
            if not input_gradient:
                first = next((i for i, (layer, _) in enumerate(tape) if layer.trains()), len(tape))
            while len(tape) > first:
                _, inner = tape.pop()  # activations are freed on the way
                dy = _add(inner, dy, input_gradient or len(tape) > first, None if tape else add, ops)
            tape.clear()
            return dy if input_gradient else None

        backward.adds = True
        return x, backward

    def sums(self) -> bool:
        """Whether the last step ends in a batch norm, which can add something and rectify as it goes."""
        return bool(self.steps) and type(self.steps[-1]) in (BatchNorm2d, Normalized) and not tracing()

    def run_sum(self, x, add, training, ops):
        """``relu(run(x) + add)`` where :meth:`sums`; backward(dy, input_gradient, meet) asks meet(dadd) for what to add
        to the gradient of x."""
        x, inner = self._through(self.steps[:-1], x, training, ops)
        y, last = self.steps[-1].run_sum(x, add, training, ops)
        del x, add

        def backward(dy, input_gradient, meet):
            dy, dadd = last(dy)
            return inner(dy, input_gradient, meet(dadd))

        return y, backward

    def infer(self, x, ops, **ending):
        """`ending`: what the last step is to do besides, add= and relu=."""
        if tracing():
            return _finish(super().infer(x, ops), ops, **ending)
        for layer in self.steps[:-1]:
            x = infer(layer, x, ops)
        if not self.steps:
            return _finish(x, ops, **ending)
        last = self.steps[-1]
        if ending and isinstance(last, Normalized):
            return infer(last, x, ops, **ending)
        return _finish(infer(last, x, ops), ops, **ending)


def _finish(y, ops, add=None, relu=False):
    if add is not None:
        y = ops.add(y, add)
    return ops.relu(y)[0] if relu else y


class Residual(_Container):
    """body(x) + shortcut(x), without an activation after it (He et al. 2015, arXiv:1512.03385).

    Parameters
    ----------
    body : layer, or list of layers
    shortcut : layer, or list of layers, optional
        Default: x itself.
    names : pair of str
        The children's names, which begin their parameters' names ("body.0.weight"); one that starts with "_" does not.
    """

    traced = True
    rectifies = True  # a ReLU after it becomes its own

    def __init__(
        self, body: LayerLike, shortcut: LayerLike | None = None, names: tuple[str, str] = ("body", "shortcut")
    ) -> None:
        children = {names[0]: as_layer(body, "Residual")}
        if shortcut is not None:
            children[names[1]] = as_layer(shortcut, "Residual")
        super().__init__(children)
        self._body, self._shortcut = (*children.values(), None)[:2]

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

    def run(self, x, training, ops, relu=False):
        side, other = step(self._shortcut, x, training, ops) if self._shortcut else (x, None)
        if relu and isinstance(self._body, Sequential) and self._body.sums():
            y, inner = self._body.run_sum(x, side, training, ops)
        else:
            y, inner = self._sum(*step(self._body, x, training, ops), side, relu, ops)
        tape, used = [other, inner], []
        del x, side, other, inner

        def backward(dy, input_gradient=True):
            _once(used)

            def meet(dy):
                other = tape.pop()
                return other(dy, input_gradient) if other else dy

            return tape.pop()(dy, input_gradient, meet)

        return y, backward

    @staticmethod
    def _sum(y, inner, side, relu, ops):
        y, positive, rectify = ops.add(y, side), None, ops.relu_backward
        if relu:
            y, positive = ops.relu(y)

        def backward(dy, input_gradient, meet):
            if positive is not None:
                dy = rectify(dy, positive)
            return _add(inner, dy, input_gradient, meet(dy), ops)

        return y, backward

    def infer(self, x, ops, relu=False):
        if tracing():
            return super().infer(x, ops, relu=relu)
        side = infer(self._shortcut, x, ops) if self._shortcut else x
        if isinstance(self._body, Sequential):
            return infer(self._body, x, ops, add=side, relu=relu)
        return _finish(infer(self._body, x, ops), ops, side, relu)


class Concat(_Container):
    """The outputs of several branches, joined along channels (axis 1).

    ``Concat([branch, branch])`` names its children "0", "1"; ``Concat(left=branch, right=branch)`` gives names.
    A branch is a layer or a list of layers.
    """

    def __init__(
        self, branches: Layer | Sequence[LayerLike] | Mapping[str, LayerLike] = (), **named: LayerLike
    ) -> None:
        layers = (branches,) if isinstance(branches, (Mapping, Layer)) else tuple(branches)
        super().__init__(_named("Concat", layers, named))
        if not self._children:
            raise ValueError("Concat: needs at least one branch")

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        shapes = [child.place(shape, rng, dtype) for child in self._children.values()]
        if any(other[1:] != shapes[0][1:] for other in shapes):
            raise ValueError(f"Concat: branches may differ in channels only, got {shapes} from {shape}")
        return sum(other[0] for other in shapes), *shapes[0][1:]

    def run(self, x, training, ops):
        branches = [step(layer, x, training, ops) for layer in self._children.values()]
        channels = [y.shape[1] for y, _ in branches]
        y = ops.concat([y for y, _ in branches])
        tape, used = [inner for _, inner in branches], []
        del branches

        def backward(dy, input_gradient=True):
            _once(used)
            total = None
            for piece in ops.split(dy, channels):
                total = _add(tape.pop(0), piece, input_gradient, total, ops)
            return total

        return y, backward

    def infer(self, x, ops):
        return ops.concat([infer(layer, x, ops) for layer in self._children.values()])

"""Layers made of layers: Sequential, Residual, Concat.

Each runs `plan`, a list of steps that starts out as its children; a step is anything with ``run``, ``infer``,
``trains``, ``own``, ``path`` and ``traced``.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastnet.layers.base import Layer, step

__all__ = ["Sequential", "Residual", "Concat"]


def as_layer(layer, owner: str) -> Layer:
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


def _named(owner: str, layers, named) -> dict[str, Layer]:
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

    def __init__(self, children: dict[str, Layer]):
        self._children = children
        self.plan = list(children.values())

    def children(self):
        return self._children

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self):
        return iter(self._children.values())

    def __getitem__(self, key) -> Layer:
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


class Sequential(_Container):
    """Layers one after the other.

    ``Sequential(Conv2d(8, 3), ReLU())`` names its children "0", "1"; ``Sequential(conv=Conv2d(8, 3), relu=ReLU())`` or
    an ordered dict gives them names, which begin the names of their parameters ("conv.weight").  A name that starts
    with "_" is left out of the parameters' names.
    """

    def __init__(self, *layers, **named):
        super().__init__(_named("Sequential", layers, named))

    def setup(self, shape, rng, dtype):
        for child in self._children.values():
            shape = child.place(shape, rng, dtype)
        return shape

    def run(self, x, training, ops):
        tape, used = [], []
        for layer in self.plan:
            x, inner = step(layer, x, training, ops)
            tape.append((layer, inner))

        def backward(dy, input_gradient=True):
            _once(used)
            first = 0
            if not input_gradient:
                first = next((i for i, (layer, _) in enumerate(tape) if layer.trains()), len(tape))
            while len(tape) > first:
                _, inner = tape.pop()  # activations are freed on the way
                dy = inner(dy, input_gradient or len(tape) > first)
            tape.clear()
            return dy if input_gradient else None

        return x, backward

    def infer(self, x, ops):
        for layer in self.plan:
            x = layer.infer(x, ops)
        return x


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

    def __init__(self, body, shortcut=None, names=("body", "shortcut")):
        children = {names[0]: as_layer(body, "Residual")}
        if shortcut is not None:
            children[names[1]] = as_layer(shortcut, "Residual")
        super().__init__(children)

    def setup(self, shape, rng, dtype):
        shapes = [child.place(shape, rng, dtype) for child in self._children.values()]
        if len(shapes) == 1:
            shapes.append(shape)
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"Residual: the body gives {shapes[0]} and the shortcut {shapes[1]} from {shape}; they must be "
                "equal to be added (a 1x1 Conv2d with the body's filters and stride makes a fitting shortcut)"
            )
        return shapes[0]

    def run(self, x, training, ops):
        branches = [step(layer, x, training, ops) for layer in self.plan]
        y = ops.add(branches[0][0], branches[1][0] if len(branches) > 1 else x)
        tape, used = [inner for _, inner in branches], []
        del branches

        def backward(dy, input_gradient=True):
            _once(used)
            dx = tape.pop(0)(dy, input_gradient)
            side = tape.pop(0)(dy, input_gradient) if tape else dy
            return ops.add(dx, side) if input_gradient else None

        return y, backward

    def infer(self, x, ops):
        y = self.plan[0].infer(x, ops)
        return ops.add(y, self.plan[1].infer(x, ops) if len(self.plan) > 1 else x)


class Concat(_Container):
    """The outputs of several branches, joined along channels (axis 1).

    ``Concat([branch, branch])`` names its children "0", "1"; ``Concat(left=branch, right=branch)`` gives names.
    A branch is a layer or a list of layers.
    """

    def __init__(self, branches=(), **named):
        layers = (branches,) if isinstance(branches, (Mapping, Layer)) else tuple(branches)
        super().__init__(_named("Concat", layers, named))
        if not self._children:
            raise ValueError("Concat: needs at least one branch")

    def setup(self, shape, rng, dtype):
        shapes = [child.place(shape, rng, dtype) for child in self._children.values()]
        if any(other[1:] != shapes[0][1:] for other in shapes):
            raise ValueError(f"Concat: branches may differ in channels only, got {shapes} from {shape}")
        return sum(other[0] for other in shapes), *shapes[0][1:]

    def run(self, x, training, ops):
        branches = [step(layer, x, training, ops) for layer in self.plan]
        channels = [y.shape[1] for y, _ in branches]
        y = ops.concat([y for y, _ in branches])
        tape, used = [inner for _, inner in branches], []
        del branches

        def backward(dy, input_gradient=True):
            _once(used)
            total = None
            for piece in ops.split(dy, channels):
                dx = tape.pop(0)(piece, input_gradient)
                if input_gradient:
                    total = dx if total is None else ops.add(total, dx)
            return total

        return y, backward

    def infer(self, x, ops):
        return ops.concat([layer.infer(x, ops) for layer in self.plan])

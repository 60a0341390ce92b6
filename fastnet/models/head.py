"""A model's head: the linear layer that gives the scores of the classes."""

from __future__ import annotations

from collections.abc import Sequence

from fastnet.arguments import integer
from fastnet.layers import AuxiliaryHeads, Conv2d, Layer, Linear, Model

__all__ = ["class_names", "head_of"]


def head_of(model: Model, name: str = "head_of") -> tuple[str, Linear | Conv2d]:
    """The path and the layer that gives the scores of the classes: a Linear, or a 1x1 Conv2d as SqueezeNet has it.

    It is the last layer with parameters.

    Parameters
    ----------
    model : Model
        Built.
    name : str
        The caller, with which errors begin.

    Raises
    ------
    TypeError
        `model` is none, or its last layer with parameters is not linear.
    ValueError
        It has auxiliary heads, or is not built, or has no parameters.
    """
    if not isinstance(model, Layer):
        raise TypeError(f"{name}: model must be a fastnet.Model, got {model!r}")
    if isinstance(model, AuxiliaryHeads):
        raise ValueError(f"{name}: the model has auxiliary heads, each for the same classes; make it without them")
    if not model.built:
        raise ValueError(f"{name}: the model is not built; call model.build(input_shape)")
    last = [(path, layer) for path, layer in model.named_layers() if layer.own]
    if not last:
        raise ValueError(f"{name}: the model has no parameters, so no head")
    path, layer = last[-1]
    if isinstance(layer, Linear) or (isinstance(layer, Conv2d) and layer.kernel_size == (1, 1)):
        return path, layer
    raise TypeError(
        f"{name}: the head must be a Linear layer or a 1x1 Conv2d, the model's last layer with parameters is "
        f"{layer!r}, {path!r}"
    )


def class_names(classes: int | Sequence[str], name: str) -> tuple[int, tuple[str, ...] | None]:
    """The number of the classes, and their names if `classes` is a list of them; errors begin with `name`.

    Raises
    ------
    TypeError, ValueError
        Neither a number >= 1 nor different names.
    """
    if isinstance(classes, (list, tuple)):
        if not classes or not all(isinstance(one, str) for one in classes) or len(set(classes)) < len(classes):
            raise ValueError(f"{name} must be a number or a list of different names, got {classes!r}")
        return len(classes), tuple(classes)
    return integer(classes, name), None

"""New heads: replaced for other classes, and trained on codes that are computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnet.arrays import on_host
from fastnet.layers import Conv2d, Layer, Linear, Model, Sequential
from fastnet.models import head_of
from fastnet.models.head import class_names
from fastnet.training import History, Solver
from fastnet.transfer.features import features
from fastnet.types import ArrayLike, Seed

__all__ = ["replace_head", "train_head"]


def replace_head(model: Model, classes: int | Sequence[str], seed: Seed = 0) -> list[str]:
    """Replace a model's last linear layer by a new one for other classes, in place.

    Parameters
    ----------
    model : Model
        Built; its other layers keep their weights.
    classes : int or sequence of str
        How many classes, or their names, which become the model's `class_names`.
    seed : int or numpy Generator
        Of the new weights.

    Returns
    -------
    list of str
        The names of the new parameters.

    Raises
    ------
    TypeError, ValueError
        The model has no linear head (see :func:`fastnet.models.head_of`), or not in a Sequential; or no classes.
    """
    path, old = head_of(model, "replace_head")
    count, names = class_names(classes, "replace_head: classes")
    *parents, name = path.split(".")
    parent: Any = model.layer_at(".".join(parents), "replace_head") if parents else model
    if type(parent) is not Sequential:
        raise TypeError(f"replace_head: the head {path!r} must be in a Sequential, it is in a {type(parent).__name__}")
    new: Layer
    if isinstance(old, Conv2d):
        new = Conv2d(count, 1, bias=old.use_bias, initializer=old.initializer, bias_initializer=old.bias_initializer)
    else:
        new = Linear(count, bias=old.use_bias, initializer=old.initializer, bias_initializer=old.bias_initializer)
    children = parent.children()
    children[name] = new
    model.build(model.input_shape, seed, model.dtype)
    model.class_names = names
    return [f"{path}.{own}" for own in new.own]


def train_head(
    model: Model,
    X: ArrayLike,
    y: ArrayLike,
    epochs: int = 10,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    batch_size: int = 64,
    **options: Any,
) -> History:
    """Train the head alone, on codes of X that are computed once: many epochs for the price of one forward pass.

    The result is that of training with everything else frozen, except that there is no augmentation, and that dropout
    before the head drops nothing.

    Parameters
    ----------
    model : Model
        Built; its `preprocessing` is applied to X.
    X : array (N, *input_shape)
    y : array (N,)
    epochs : int
    validation : (X, y), optional
        Evaluated after each epoch.
    batch_size : int
        How many images' codes are computed at a time, and how many codes a step takes.
    **options
        Solver's: optimizer, schedule, regularizer, seed, verbose and so on, but neither `augment` nor `preprocess`,
        which change images, and there are only codes here.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        No linear head, or it is not in Sequentials; no layer before it; an option that changes images.
    """
    for name, instead in (("augment", "transfer.freeze(model) and a Solver"), ("preprocess", "model.preprocessing")):
        if options.get(name):
            raise TypeError(f"train_head: {name} would change codes, which are no images; use {instead} instead")
    path, _ = head_of(model, "train_head")
    before, tail = _split(model, path)
    codes = [features(model, X, before, batch_size), on_host(y, "train_head: y")]
    held = validation if validation is None else (features(model, validation[0], before, batch_size), validation[1])
    head = Sequential(*tail)
    try:
        head.build(codes[0].shape[1:], dtype=model.dtype)
        return Solver(head, (codes[0], codes[1]), held, epochs=epochs, batch_size=batch_size, **options).train()
    finally:
        model.build(model.input_shape, dtype=model.dtype)  # the layers' paths and names are the model's again


def _split(model: Model, path: str) -> tuple[str, list[Layer]]:
    """The path of the layer before the head, and the head with all layers after it."""
    parts, before = path.split("."), ""
    tail: list[Layer] = []
    for depth in range(len(parts) - 1, -1, -1):
        parent: Any = model.layer_at(".".join(parts[:depth])) if depth else model
        if type(parent) is not Sequential:
            raise TypeError(f"train_head: the head {path!r} must be in Sequentials, it is in a {type(parent).__name__}")
        names = list(parent.children())
        place = names.index(parts[depth])
        tail += [parent[name] for name in names[place + (depth < len(parts) - 1) :]]
        if not before and place:
            before = ".".join([*parts[:depth], names[place - 1]])
    if not before:
        raise ValueError(f"train_head: no layer comes before the head {path!r}; train the model itself")
    return before, tail

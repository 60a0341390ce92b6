"""Turns a Solver's data into two Loaders, checked against the model."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fastnet.data import Dataset, Loader, Standardize
from fastnet.data.axes import warn_of_channels_last
from fastnet.data.loader import Augment, Preprocess
from fastnet.layers import Model
from fastnet.types import Array, ArrayLike

__all__ = ["prepare", "ordered"]


def prepare(
    model: Model,
    data: tuple[ArrayLike, ArrayLike] | Dataset | Loader,
    validation: tuple[ArrayLike, ArrayLike] | Loader | None,
    batch_size: int,
    seed: int,
    drop_last: bool | str,
    preprocess: Preprocess | str | None,
    augment: Sequence[Augment],
) -> tuple[Loader, Loader | None, Preprocess | None]:
    """(training loader, validation loader or None, preprocess); builds the model if it is not built."""
    if isinstance(data, Dataset):
        if validation is None and data.X_val is not None and data.y_val is not None:
            validation = data.X_val, data.y_val
        data = data.X_train, data.y_train
    if isinstance(data, Loader):
        if preprocess is not None or augment:
            raise ValueError("Solver: data is a Loader; give preprocess and augment to it")
        loader = data
    else:
        X, y = _pair("data", data)
        preprocess = Standardize.fit(X) if isinstance(preprocess, str) else preprocess
        loader = Loader(X, y, batch_size, seed, True, drop_last, preprocess, augment, model.dtype or "float32")
    if not model.built:
        x, _ = next(loader.batches(0))
        warn_of_channels_last("Solver", x.shape)
        model.build(x.shape[1:], seed=seed, dtype=loader.dtype)
    _check_classes(model, "data", loader.y)
    if validation is not None and not isinstance(validation, Loader):
        validation = ordered(loader, *_pair("validation", validation), loader.batch_size)
    if validation is not None:
        _check_classes(model, "validation", validation.y)
        _check_fit(model, validation)
    return loader, validation, loader.preprocess


def ordered(like: Loader, X: ArrayLike, y: ArrayLike, batch_size: int) -> Loader:
    """An unshuffled Loader of (X, y) that casts and preprocesses as `like` does."""
    return Loader(X, y, batch_size, shuffle=False, preprocess=like.preprocess, dtype=like.dtype)


def _check_classes(model: Model, name: str, y: Array) -> None:
    shape = model.output_shape
    if len(shape) == 1 and y.max() >= shape[0]:
        raise ValueError(
            f"Solver: {name} has label {y.max()}, but the model gives {shape[0]} scores (labels 0..{shape[0] - 1})"
        )


def _check_fit(model: Model, validation: Loader) -> None:
    """Run the first validation image through the model, so that a wrong shape is found before training.

    Another height and width are fine for a model that takes them, as one with global pooling does.  As many values in
    another shape are not: a model that begins with Flatten would take them unnoticed.
    """
    x, _ = next(validation.batches(0))
    shape, built = tuple(x.shape[1:]), model.input_shape
    problem = ""
    if shape[0] != built[0] or (shape != built and prod(shape) == prod(built)):
        problem = "only height and width may differ"
    else:
        try:
            outputs = model(x[:1]).shape[1:]
        except (TypeError, ValueError) as error:
            problem = str(error)
        else:
            if len(model.output_shape) == 1 and outputs != model.output_shape:
                problem = f"outputs would have the shape {outputs}, not {model.output_shape}"
    if problem:
        raise ValueError(f"Solver: validation data of shape {shape} do not fit the model built for {built}: {problem}")


def _pair(name: str, data: Any) -> tuple[Array, ArrayLike]:
    """The arrays X and y of a pair."""
    if not (isinstance(data, (tuple, list)) and len(data) == 2):
        kinds = "(X, y), a Dataset or a Loader" if name == "data" else "(X, y) or a Loader"
        raise TypeError(f"Solver: {name} must be {kinds}, got {type(data).__name__}")
    X = data[0] if isinstance(data[0], np.ndarray) else np.asarray(data[0])
    return X, data[1]

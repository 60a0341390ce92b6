"""Turns a Solver's data into two Loaders, checked against the model."""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from math import prod
from types import NoneType
from typing import Any

import numpy as np

from fastnet import losses
from fastnet.backends import current
from fastnet.data import Dataset, Loader, OneSize, prepared
from fastnet.data.axes import warn_of_channels_last
from fastnet.data.classes import match_names
from fastnet.data.dataset import as_labels
from fastnet.data.loader import Augment, of_pixels
from fastnet.data.preprocess import Fitted
from fastnet.data.rows import as_rows, differ
from fastnet.layers import Model
from fastnet.ops.metrics import ACCURACY
from fastnet.types import Array, ArrayLike, Loss, Preprocess

__all__ = ["batches_of", "ordered", "prepare", "renumbered"]


def batches_of(loader: Loader, epoch: int = 0, start: int = 0) -> Generator[tuple[Array, Array], None, None]:
    """A loader's batches; with workers, images are on the GPU in use before they are asked for."""
    batches = loader.batches(epoch, start, loader.workers)
    return current().ahead(batches) if loader.workers else batches


def prepare(
    model: Model,
    data: tuple[ArrayLike, ArrayLike] | Dataset | Loader,
    validation: tuple[ArrayLike, ArrayLike] | Loader | None,
    batch_size: int,
    seed: int,
    drop_last: bool | str,
    preprocess: Preprocess | str | None,
    augment: Sequence[Augment],
    sampling: str = "uniform",
    workers: int | None = None,
    loss: Loss = losses.softmax_cross_entropy,
) -> tuple[Loader, Loader | None, Array | None]:
    """The training loader, the validation loader or None, and the class numbers; builds the model if it is not built.

    The class numbers are those that the model has for the classes of a Dataset, or None if they are the Dataset's own.
    The loaders' labels are already the model's.  The loss decides whether y may hold numbers that the model's outputs
    are compared with, instead of classes.
    """
    names = data.classes if isinstance(data, Dataset) else None
    if isinstance(data, Dataset):
        if validation is None and data.X_val is not None and data.y_val is not None:
            validation = data.X_val, data.y_val
        data = data.X_train, data.y_train
    if isinstance(data, Loader):
        if preprocess is not None or augment or sampling != "uniform" or workers is not None:
            raise ValueError("Solver: data is a Loader; give preprocess, augment, sampling and workers to it")
        loader = data
    else:
        X, y = _pair("data", data)
        preprocess = prepared.fit(preprocess, X) if isinstance(preprocess, str) else preprocess or model.preprocessing
        targets = losses.metric(loss) is not ACCURACY or (losses.takes_soft_labels(loss) and _are_soft(X, y))
        dtype, workers = model.dtype or "float32", 1 if workers is None else workers
        loader = Loader(
            *(X, y, batch_size, seed, True, drop_last, preprocess, augment, dtype, targets, sampling, workers)
        )
    _check_preprocessing(model, loader.preprocess)
    if loader is not data and differ(loader.X) and not getattr(loader.preprocess, "resizes", False):
        loader.preprocess = _of_one_size(loader)
    x, _ = next(loader.batches(0))
    warn_of_channels_last("Solver", x.shape)
    if not model.built:
        model.build(x.shape[1:], seed=seed, dtype=loader.dtype)
    _check_size(model, x.shape, bool(loader.augment))
    if any(getattr(each, "mixes_labels", False) for each in loader.augment):
        if not losses.takes_soft_labels(loss):
            raise ValueError("Solver: augment mixes labels, and the loss must take probabilities, as 'softmax' does")
        if loader.classes is None and loader.y.ndim == 1:
            loader = copy.copy(loader)
            loader.classes = model.output_shape[0]
    if validation is not None and not isinstance(validation, Loader):
        validation = ordered(loader, *_pair("validation", validation), loader.batch_size)
    numbers = None if names is None else _match(model, names)
    loader = renumbered("data", loader, numbers)
    _check_classes(model, "data", loader)
    if validation is not None:
        validation = renumbered("validation", validation, numbers)
        _check_classes(model, "validation", validation)
        _check_fit(model, validation)
    return loader, validation, numbers


def _of_one_size(loader: Loader) -> Preprocess | None:
    """The preprocessing that gives other images the size of training batches, if it can be kept in a checkpoint."""
    if not isinstance(loader.preprocess, (Fitted, NoneType)):
        return loader.preprocess
    plain = copy.copy(loader)
    plain.preprocess = None
    x, _ = next(plain.batches(0))
    return OneSize((x.shape[2], x.shape[3]), loader.preprocess)


def _are_soft(X: Array, y: ArrayLike) -> bool:
    """Whether labels are probabilities, floats (N, C) or for maps (N, C, ...), and not numbers of classes."""
    given = as_labels("Solver", y)
    return given.dtype.kind == "f" and given.ndim > 1 and given.shape[1] > 1 and not of_pixels(X.shape, given.shape)


def ordered(like: Loader, X: ArrayLike, y: ArrayLike, batch_size: int) -> Loader:
    """An unshuffled Loader of (X, y) that casts and preprocesses as `like` does."""
    return Loader(
        *(X, y, batch_size),
        shuffle=False,
        preprocess=like.preprocess,
        dtype=like.dtype,
        targets=like.targets,
        workers=like.workers,
    )


def renumbered(name: str, loader: Loader, numbers: Array | None) -> Loader:
    """A loader of the same data, in which class k has the number ``numbers[k]``."""
    if numbers is None:
        return loader
    if loader.y.max() >= len(numbers):
        raise ValueError(f"Solver: {name} has label {loader.y.max()}, but the Dataset has {len(numbers)} classes")
    other = copy.copy(loader)
    other.y = numbers[loader.y]
    other.y.flags.writeable = False
    return other


def _match(model: Model, names: Sequence[str]) -> Array | None:
    """The model's number of each class of a Dataset, by name; None if they are the same, or new to the model."""
    outputs = model.output_shape[0]
    if model.class_names is None:
        model.class_names = tuple(names) if len(names) == outputs else None
        return None
    if len(model.class_names) != outputs:
        raise ValueError(
            f"Solver: model.class_names has {len(model.class_names)} names, but the model gives {outputs} scores; set "
            "it to the names of these, or to None if they are new"
        )
    try:
        numbers = match_names(names, model.class_names)
    except ValueError as error:
        raise ValueError(f"Solver: {error}; set model.class_names = None to train it on new classes") from error
    return None if np.array_equal(numbers, np.arange(outputs)) else numbers


def _check_preprocessing(model: Model, preprocess: Preprocess | None) -> None:
    """Refuse a preprocess that is not the model's own, with which `predict` would go on."""
    own = model.preprocessing
    if own is None or own is preprocess:
        return
    if isinstance(own, Fitted) and type(own) is type(preprocess):
        mine, given = own.state_dict(), preprocess.state_dict()
        if mine.keys() == given.keys() and all(np.array_equal(mine[name], given[name]) for name in mine):
            return
    raise ValueError(
        f"Solver: the model has its own preprocessing, {own!r}, and preprocess is {preprocess!r}; give "
        "preprocess=model.preprocessing, or set model.preprocessing = None first"
    )


def _check_size(model: Model, shape: tuple[int, ...], augmented: bool) -> None:
    """Refuse a batch that the layers do not take; their errors say nothing of `augment`."""
    try:
        model.check_examples(shape)
        model.shape_of(shape[1:])
    except ValueError as error:
        raise ValueError(
            f"Solver: data of shape {shape[1:]}{', as augment makes them,' if augmented else ''} do not fit the model, "
            f"which was built for {model.input_shape}: {error}"
        ) from error


def _check_classes(model: Model, name: str, loader: Loader) -> None:
    shape, y = model.output_shape, loader.y
    if len(shape) == 1 and not loader.targets and y.max() >= shape[0]:
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
    return as_rows(data[0], f"Solver: {name}'s X"), data[1]

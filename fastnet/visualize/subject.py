"""What is looked into: a model in evaluation mode, and images as its ``predict`` takes them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from fastnet.arguments import integer
from fastnet.arrays import on_host
from fastnet.backends import current
from fastnet.functional import softmax
from fastnet.layers import Model, Probe
from fastnet.layers.probe import INPUT, SCORES
from fastnet.types import Array, ArrayLike
from fastnet.wording import did_you_mean, name_some

__all__ = ["Subject", "Target", "one_hot"]

Target = int | str | ArrayLike | None
"""A class, or one for each image, by number or by its name in ``model.class_names``; None: the class predicted."""


class Subject:
    """A built model whose inputs are images (C, H, W), and how raw images become its inputs.

    Parameters
    ----------
    what : str
        The function that looks, for errors.
    model : Model
        Its `preprocessing`, if it has one, is applied to images first, as ``model.predict`` does.
    batch_size : int
        How many images are computed at a time.
    rule : "guided" or "deconvnet", optional
        See Probe.
    """

    def __init__(self, what: str, model: Model, batch_size: int = 32, rule: str | None = None) -> None:
        if not isinstance(model, Model):
            raise TypeError(f"{what}: model must be a fastnet model, got {type(model).__name__}")
        if not model.built:
            raise RuntimeError(f"{what}: the model is not built: call model.build(input_shape), or train or load it")
        if len(model.input_shape) != 3:
            raise ValueError(f"{what}: the model must take images (C, H, W), it was built for {model.input_shape}")
        self.what, self.model, self.rule = what, model, rule
        self.batch_size = integer(batch_size, f"{what}: batch_size")
        self.classes = int(model.output_shape[0])
        self._run: Any = None

    # ---------------------------------------------------------------- images

    def images(self, given: ArrayLike, name: str = "images", whole: bool = True) -> Array:
        """Raw images (N, C, H, W), N >= 1, checked; with `whole`, also that all layers take their size."""
        images = on_host(given, f"{self.what}: {name}")
        try:
            self.model.check_examples(images.shape)
        except ValueError as error:
            raise ValueError(f"{self.what}: {name}: {error}") from None
        if images.ndim != 4 or not len(images):
            C, H, W = self.model.input_shape
            raise ValueError(f"{self.what}: {name} must be (N, {C}, {H}, {W}) with N >= 1, got shape {images.shape}")
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise ValueError(f"{self.what}: {name} hold NaN or infinite values")
        if whole:
            self.check_size(images.shape[1:], name)
        return images

    def check_size(self, shape: tuple[int, ...], name: str) -> None:
        """Raise a ValueError unless all layers take images of this shape (C, H, W)."""
        try:
            self.model.shape_of(shape)
        except ValueError as error:
            raise ValueError(
                f"{self.what}: {name} of shape {shape} do not fit the model, which was built for "
                f"{self.model.input_shape}: {error}"
            ) from None

    def prepare(self, images: Array) -> Array:
        """The model's inputs for raw images, (N, C, H, W) in its dtype."""
        preprocessing = self.model.preprocessing
        if preprocessing is None:
            return np.array(images, self.model.dtype)
        return np.asarray(preprocessing(np.array(images), self.model.dtype))

    def restore(self, x: Array) -> Array:
        """Raw images, as floats, of inputs."""
        preprocessing = self.model.preprocessing
        if preprocessing is None:
            return x
        inverse = getattr(preprocessing, "inverse", None)
        if inverse is None:
            raise TypeError(
                f"{self.what}: model.preprocessing, {preprocessing!r}, has no method inverse(x), by which new images "
                "become raw ones; give it one, or set model.preprocessing = None and give the model's inputs"
            )
        return np.asarray(inverse(x))

    def filling(self, value: ArrayLike | None, images: Array, name: str) -> Array:
        """A number or array as images like these raw ones; None: the mean of each channel of each image."""
        given = images.mean(axis=(2, 3), keepdims=True) if value is None else on_host(value, f"{self.what}: {name}")
        if not np.isfinite(given).all():
            raise ValueError(f"{self.what}: {name} holds NaN or infinite values")
        if images.dtype.kind in "iu":
            limits = np.iinfo(images.dtype)
            if given.min() < limits.min or given.max() > limits.max:
                raise ValueError(
                    f"{self.what}: {name} must be from {limits.min} to {limits.max}, as images of {images.dtype} are, "
                    f"got {given.min():g} to {given.max():g}"
                )
            given = np.rint(given)
        try:
            return np.broadcast_to(given.astype(images.dtype), images.shape)
        except ValueError:
            raise ValueError(
                f"{self.what}: {name} must be a number or an array that broadcasts to the images' shape "
                f"{images.shape}, got shape {given.shape}"
            ) from None

    # ---------------------------------------------------------------- scores

    @cached_property
    def probe(self) -> Probe:
        """A probe of the input and the scores."""
        return Probe(self.model, [INPUT, SCORES], self.rule)

    @cached_property
    def _end(self) -> str:
        """The model's last op."""
        name: str = self.model.graph((1, *self.model.input_shape)).output.name
        return name

    def scores(self, x: Array) -> Array:
        """(N, classes) for inputs x: outputs, before a softmax at the end; of maps of scores, their sums."""
        if self._run is None:
            inner = self._end in ("softmax", "log_softmax")
            self._run = (lambda x: self.probe(x)[0][SCORES]) if inner else self.model.runner(x)
        found = [_summed(self._run(part)) for part in self.parts(x)]
        return np.concatenate(found)

    def probabilities(self, scores: Array) -> Array:
        """The softmax of scores; of a model that ends in a sigmoid, the scores themselves."""
        if self._end == "sigmoid":
            return scores
        self.model.require_classes(self.what)
        return np.asarray(softmax(scores, 1)[0])

    def gradients(self, x: Array, targets: Array, contrast: bool = False) -> tuple[Array, Array]:
        """Scores (N, classes), and the gradient (N, C, H, W) of each image's target score by its input.

        With `contrast`, of the logarithm of the target's probability.
        """
        scores, gradients = [], []
        for part, wanted in zip(self.parts(x), self.parts(targets), strict=True):
            values, backward = self.probe(part)
            scores.append(_summed(values[SCORES]))
            dy = one_hot(values[SCORES], wanted)
            if contrast:
                dy -= softmax(scores[-1], 1)[0].reshape(*scores[-1].shape, *(1,) * (dy.ndim - 2))
            gradients.append(current().to_numpy(backward({SCORES: dy})[INPUT]))
        return np.concatenate(scores), np.concatenate(gradients)

    def parts(self, array: Array) -> Iterator[Array]:
        """Slices of `batch_size` along the first axis."""
        for start in range(0, len(array), self.batch_size):
            yield array[start : start + self.batch_size]

    # ---------------------------------------------------------------- classes

    def targets(self, target: Target, x: Array) -> Array:
        """The class of each image as a number, (N,)."""
        if target is None:
            return np.asarray(self.scores(x).argmax(axis=1))
        numbers = self.class_numbers(target)
        if numbers.ndim == 0:
            return np.full(len(x), int(numbers))
        if numbers.shape != (len(x),):
            raise ValueError(
                f"{self.what}: target must be a class, or one for each of the {len(x)} images, got {len(numbers)}"
            )
        return numbers

    def class_numbers(self, target: Target) -> Array:
        """Classes by number or name as numbers, of the same shape; ValueError if the model has no such class."""
        if isinstance(target, str):
            return np.array(self._named(target))
        if isinstance(target, (list, tuple)) and any(isinstance(each, str) for each in target):
            return np.array([int(self.class_numbers(each)) for each in target])
        numbers = on_host(target, f"{self.what}: target")
        if numbers.dtype.kind not in "iu" or numbers.ndim > 1:
            raise TypeError(
                f"{self.what}: target must be a class number or name, one for each image, or None for the class "
                f"predicted, got {target!r}"
            )
        wrong = numbers[(numbers < 0) | (numbers >= self.classes)] if numbers.ndim else numbers.reshape(1)
        if wrong.size and not (numbers.ndim == 0 and 0 <= int(numbers) < self.classes):
            raise ValueError(
                f"{self.what}: target must be a class from 0 to {self.classes - 1}, got {int(wrong.reshape(-1)[0])}"
            )
        return numbers.astype(np.intp)

    def _named(self, name: str) -> int:
        names = self.model.class_names
        if not names:
            raise ValueError(f"{self.what}: the model has no class names; give a number instead of {name!r}")
        if name not in names:
            raise ValueError(
                f"{self.what}: the model has no class {name!r}; {did_you_mean(name, names)}its classes are "
                f"{name_some(names)}"
            )
        return names.index(name)


def one_hot(scores: Array, targets: Array) -> Array:
    """The gradient of the sum of the targets' scores by the scores: 1 at each image's target, else 0."""
    dy = np.zeros(scores.shape, scores.dtype)
    dy[np.arange(len(scores)), targets] = 1
    return dy


def _summed(scores: Array) -> Array:
    """Scores (N, classes) as a NumPy array; of maps of scores (N, classes, ...), their sums."""
    scores = current().to_numpy(scores)
    return np.asarray(scores if scores.ndim == 2 else scores.reshape(*scores.shape[:2], -1).sum(axis=2))

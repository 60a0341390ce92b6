"""Fooling images: another class with high probability, after a change that is hard to see."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from fastnet.arguments import integer, positive, real
from fastnet.layers import Model
from fastnet.types import Array, ArrayLike
from fastnet.visualize.canvas import Canvas
from fastnet.visualize.subject import Subject, Target

__all__ = ["Fooled", "fool"]


class Fooled(NamedTuple):
    """Images that a model takes for another class.

    Attributes
    ----------
    images : array, (N, C, H, W)
        In the dtype of the originals, within the bounds.
    perturbations : array, (N, C, H, W)
        What was added to the originals, in float64.
    targets : array, (N,)
        The classes wanted.
    probabilities : array, (N,)
        Of the targets, for `images`.
    before : array, (N,)
        The same for the originals.
    l2, linf : array, (N,)
        Norms of the perturbations, in raw values.
    relative : array, (N,)
        l2 / the original's own norm.
    """

    images: Array
    perturbations: Array
    targets: Array
    probabilities: Array
    before: Array
    l2: Array
    linf: Array
    relative: Array


def fool(
    model: Model,
    images: ArrayLike,
    target: Target,
    *,
    confidence: float = 0.9,
    step: float = 0.002,
    steps: int = 500,
    bounds: Any = None,
    batch_size: int = 32,
) -> Fooled:
    """Change images by gradient ascent until the model takes them for `target` (Szegedy et al. 2013, arXiv:1312.6199).

    Each step moves along the gradient of log(probability of the target), normalised in L2 (as CS231n's assignment 3
    does with the score); an image is done as soon as the probability of what would be returned, clipped and rounded,
    exceeds `confidence`.

    Parameters
    ----------
    model : Model
        In evaluation mode.
    images : array, (N, C, H, W)
        As ``model.predict`` takes them.
    target : int, str or array
        A class by number or name, or one for each image.
    confidence : float
        The probability to exceed, between 0 and 1.
    step : float
        The length of a step, as root mean square over the pixels, relative to the range of values.
    steps : int
        At most this many.
    bounds : (low, high), optional
        The range of raw values; default: (0, 255) for uint8, else the smallest and largest value of `images`.
    batch_size : int
        How many images are computed at a time.

    Returns
    -------
    Fooled

    Warns
    -----
    UserWarning
        Images that did not reach the confidence; they are returned as far as they came.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As :func:`fastnet.visualize.saliency`; and a model with a single output, which has no classes.
    """
    subject = Subject("fool", model, batch_size)
    confidence, step, steps = (
        real(confidence, "fool: confidence"),
        positive(step, "fool: step"),
        integer(steps, "fool: steps"),
    )
    if not 0 < confidence < 1:
        raise ValueError(f"fool: confidence must be between 0 and 1, got {confidence}")
    if target is None:
        raise TypeError("fool: target must be a class, or one for each image, got None")
    model.require_classes("fool")
    original = subject.images(images)
    canvas = Canvas(subject, bounds, original)
    x = subject.prepare(original)
    if x.shape != original.shape:
        raise ValueError(
            f"fool: model.preprocessing makes {x.shape[1:]} of images {original.shape[1:]}, and what it drops cannot "
            f"change; give images of {model.input_shape}, such as augment.Resize and CenterCrop make"
        )
    targets = subject.targets(target, x)
    length = step * canvas.span(original.shape[1:]) * float(np.sqrt(x[0].size))
    result, before = original.copy(), np.zeros(len(x))
    reached, open_ = np.zeros(len(x)), np.arange(len(x))
    for number in range(steps + 1):
        seen = original[open_] if number == 0 else canvas.raw(x[open_])
        scores, gradients = subject.gradients(subject.prepare(seen), targets[open_], contrast=True)
        reached[open_] = subject.probabilities(scores)[np.arange(len(open_)), targets[open_]]
        result[open_] = seen
        before = reached.copy() if number == 0 else before
        todo = reached[open_] <= confidence
        open_, gradients = open_[todo], gradients[todo]
        if not len(open_) or number == steps:
            break
        norms = np.sqrt((gradients.astype(np.float64) ** 2).sum(axis=(1, 2, 3), keepdims=True))
        x[open_] = canvas.within(x[open_] + (length * gradients / np.maximum(norms, 1e-30)).astype(x.dtype))
    if len(open_):
        warnings.warn(
            f"fool: {len(open_)} of {len(x)} images stay below a probability of {confidence:g} after {steps} steps "
            f"(the least: {reached.min():.3g}); give more or longer steps",
            stacklevel=2,
        )
    change = result.astype(np.float64) - original
    l2 = np.sqrt((change**2).sum(axis=(1, 2, 3)))
    own = np.sqrt((original.astype(np.float64) ** 2).sum(axis=(1, 2, 3)))
    relative = l2 / np.maximum(own, 1e-30)
    return Fooled(result, change, targets, reached, before, l2, np.abs(change).max(axis=(1, 2, 3)), relative)

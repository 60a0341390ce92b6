"""Images that a class would like to see: gradient ascent on its score, kept natural by simple priors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastnet.arguments import at_least_zero, integer, pair, positive, real
from fastnet.layers import Model
from fastnet.types import Array, ArrayLike, Pair
from fastnet.visualize.canvas import Canvas, blurred, random_shift, shifted
from fastnet.visualize.subject import Subject, Target

__all__ = ["Synthesis", "class_images"]


class Synthesis(NamedTuple):
    """Images made for classes.

    Attributes
    ----------
    images : array, (K, C, H, W)
        One for each class, in raw values.
    targets : array, (K,)
    scores : array, (steps + 1, K)
        Of the classes, before a softmax: as each step found them, and of `images`.
    probabilities : array, (K,)
        For `images`.
    """

    images: Array
    targets: Array
    scores: Array
    probabilities: Array


def class_images(
    model: Model,
    targets: Target,
    *,
    start: ArrayLike | None = None,
    size: Pair | None = None,
    steps: int = 200,
    rate: float = 0.05,
    l2: float = 0.002,
    jitter: int | None = None,
    blur: float = 0.5,
    blur_every: int = 4,
    clip: float = 0.0,
    bounds: Any = None,
    seed: int = 0,
) -> Synthesis:
    """Class visualisation: images that maximise a class's score (Simonyan et al. 2013, arXiv:1312.6034).

    The priors are Simonyan's L2 decay, Yosinski's Gaussian blur and removal of small pixels (arXiv:1506.06579), and
    jitter, a random shift before each step (Mordvintsev et al. 2015).

    Parameters
    ----------
    model : Model
        In evaluation mode.
    targets : int, str or array
        Classes by number or name; there is an image for each.
    start : array, (C, H, W) or (K, C, H, W), optional
        Raw images to begin with; default: noise around 0 of the model's inputs, which is the mean image after the usual
        preprocessing.
    size : int or pair, optional
        Of the images, (H, W); default: the start's, else what the model was built for.
    steps : int
        Of gradient ascent.
    rate : float
        The root mean square of a step, in the model's inputs: relative to their standard deviation after the usual
        preprocessing.
    l2 : float
        The share by which pixels decay in each step.
    jitter : int, optional
        The largest shift, in pixels; default: an eighth of the height, or 1.
    blur : float
        The blur's standard deviation in pixels; 0: none.
    blur_every : int
        Steps between blurs; the image of the last step is not blurred.
    clip : float
        The share of pixels that are set to 0 after each step: those with the smallest norm over the channels.
    bounds : (low, high), optional
        The range of raw values, such as (0, 255); default: no limits.
    seed : int
        Seeds the noise and the jitter.

    Returns
    -------
    Synthesis

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As :func:`fastnet.visualize.saliency`.
    """
    subject = Subject("class_images", model)
    if targets is None:
        raise TypeError("class_images: targets must be one or several classes, got None")
    steps, blur_every = integer(steps, "class_images: steps"), integer(blur_every, "class_images: blur_every")
    rate, l2 = positive(rate, "class_images: rate"), at_least_zero(l2, "class_images: l2")
    blur, clip = at_least_zero(blur, "class_images: blur"), real(clip, "class_images: clip")
    if not 0 <= clip < 1 or l2 >= 1:
        raise ValueError(f"class_images: clip and l2 must be from 0 to below 1, got {clip} and {l2}")
    wanted = np.atleast_1d(subject.class_numbers(targets))
    rng, canvas = np.random.default_rng(integer(seed, "class_images: seed", 0)), Canvas(subject, bounds)
    x = _start(subject, start, size, len(wanted), rng)
    most = max(1, x.shape[2] // 8) if jitter is None else integer(jitter, "class_images: jitter", 0)
    history = np.empty((steps + 1, len(wanted)))
    places = np.arange(len(wanted))
    for step in range(steps):
        down, right = random_shift(rng, most)
        scores, gradients = subject.gradients(shifted(x, down, right), wanted)
        history[step] = scores[places, wanted]
        gradients = shifted(gradients, -down, -right)
        norms = np.sqrt((gradients**2).mean(axis=(1, 2, 3), keepdims=True))
        with np.errstate(over="ignore"):
            x = (x + np.asarray(rate, x.dtype) * gradients / np.maximum(norms, 1e-30)) * np.asarray(1 - l2, x.dtype)
        if not np.isfinite(x).all():
            raise ValueError(f"class_images: pixels have become infinite; rate={rate:g} is too large")
        if blur and (step + 1) % blur_every == 0 and step + 1 < steps:
            x = blurred(x, blur)
        if clip:
            strength = np.sqrt((x**2).sum(axis=1, keepdims=True))
            x = np.where(strength > np.quantile(strength, clip, axis=(2, 3), keepdims=True), x, 0).astype(x.dtype)
        x = canvas.within(x)
    images = canvas.raw(x)
    scores = subject.scores(subject.prepare(images))
    history[steps] = scores[places, wanted]
    return Synthesis(images, wanted, history, subject.probabilities(scores)[places, wanted])


def _start(subject: Subject, start: ArrayLike | None, size: Pair | None, count: int, rng: np.random.Generator) -> Array:
    """The first inputs, (count, C, H, W)."""
    C, *default = subject.model.input_shape
    if start is None:
        H, W = default if size is None else pair(size, f"{subject.what}: size")
        subject.check_size((C, H, W), "images")
        return 0.1 * rng.standard_normal((count, C, H, W)).astype(subject.model.dtype)
    given = np.asarray(start)
    images = subject.images(given[None] if given.ndim == 3 else given, "start")
    if len(images) not in (1, count) or (size is not None and images.shape[2:] != pair(size, f"{subject.what}: size")):
        raise ValueError(
            f"{subject.what}: start must be one image or one for each of {count} classes, of the size given, got shape "
            f"{images.shape}"
        )
    return np.repeat(subject.prepare(images), count // len(images), axis=0)

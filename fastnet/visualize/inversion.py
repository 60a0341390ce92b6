"""Feature inversion: an image that a layer cannot tell from a given one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastnet.arguments import at_least_zero, integer, positive
from fastnet.arrays import on_host
from fastnet.backends import current
from fastnet.layers import Model, Parameter, Probe
from fastnet.layers.probe import INPUT
from fastnet.optim import Adam
from fastnet.types import Array, ArrayLike
from fastnet.visualize.canvas import Canvas, total_variation
from fastnet.visualize.subject import Subject

__all__ = ["Inversion", "invert"]


class Inversion(NamedTuple):
    """Images made from features.

    Attributes
    ----------
    images : array, (N, C, H, W)
        In the dtype of the originals.
    errors : array, (steps + 1, N)
        ||f(x) - f(x0)||^2 / ||f(x0)||^2, as each step found it, and of `images`.
    """

    images: Array
    errors: Array


def invert(
    model: Model,
    images: ArrayLike,
    layer: str,
    *,
    steps: int = 300,
    rate: float = 0.02,
    tv: float = 0.02,
    norm: float = 0.02,
    bounds: Any = None,
    seed: int = 0,
) -> Inversion:
    """Images, from noise, with the features of given ones at a layer (Mahendran & Vedaldi 2014, arXiv:1412.0035).

    Minimises, by Adam, ||f(x) - f(x0)||^2 / ||f(x0)||^2 + norm R6(x) + tv R2(x), where R6 is the mean over pixels of
    (|x| / B)^6 and R2 that of the total variation / V^2; B is the largest norm of a pixel of the images, V = B / 6.5.

    Parameters
    ----------
    model : Model
        In evaluation mode; layers behind `layer` are not run.
    images : array, (N, C, H, W)
        As ``model.predict`` takes them; each is inverted by itself.
    layer : str
        Its name in ``model.summary()``.
    steps : int
        Of Adam.
    rate : float
        Adam's learning rate, relative to the range of values.
    tv, norm : float
        The weights of the priors; deeper layers need larger ones.
    bounds : (low, high), optional
        The range of raw values; default: (0, 255) for uint8, else the smallest and largest value of `images`.
    seed : int
        Seeds the noise.

    Returns
    -------
    Inversion

    Raises
    ------
    ValueError, TypeError, RuntimeError
        No such layer; and what `saliency` raises.
    """
    subject, steps = Subject("invert", model), integer(steps, "invert: steps")
    rate, tv, norm = (
        positive(rate, "invert: rate"),
        at_least_zero(tv, "invert: tv"),
        at_least_zero(norm, "invert: norm"),
    )
    raw = subject.images(images, whole=False)
    canvas, rng = Canvas(subject, bounds, raw), np.random.default_rng(integer(seed, "invert: seed", 0))
    probe, original = Probe(model, [INPUT, layer]), subject.prepare(raw)
    wanted = current().to_numpy(probe(original)[0][layer])
    sums = tuple(range(1, wanted.ndim))
    size = np.maximum((wanted.astype(np.float64) ** 2).sum(axis=sums), 1e-30)
    B = max(float(np.sqrt((original**2).sum(axis=1)).max()), 1e-30)
    span, pixels = canvas.span(raw.shape[1:]), original.shape[2] * original.shape[3]
    x = canvas.within((0.1 * span * rng.standard_normal(original.shape)).astype(original.dtype))
    image = Parameter(x)
    adam, errors = Adam(rate * span), np.empty((steps + 1, len(raw)))
    for step in range(steps):
        values, backward = probe(x)
        difference = current().to_numpy(values[layer]) - wanted
        errors[step] = (difference.astype(np.float64) ** 2).sum(axis=sums) / size
        dy = 2 * difference / size.reshape(-1, *(1,) * (wanted.ndim - 1)).astype(wanted.dtype)
        length = (x**2).sum(axis=1, keepdims=True) / B**2
        gradient = current().to_numpy(backward({layer: dy})[INPUT]) + total_variation(x)[1] * (
            tv / pixels / (B / 6.5) ** 2
        )
        image.grad = (gradient + (6 * norm / pixels / B**2) * length**2 * x).astype(x.dtype)
        adam.step([image])
        x = image.value = canvas.within(on_host(image.value))
    result = canvas.raw(x)
    last = current().to_numpy(probe(subject.prepare(result))[0][layer]) - wanted
    errors[steps] = (last.astype(np.float64) ** 2).sum(axis=sums) / size
    return Inversion(result, errors)

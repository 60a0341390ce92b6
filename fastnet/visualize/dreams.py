"""DeepDream: what a layer sees in an image, drawn into it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.arguments import integer, positive
from fastnet.backends import current
from fastnet.layers import Model, Probe
from fastnet.layers.probe import INPUT
from fastnet.types import Array, ArrayLike
from fastnet.visualize.canvas import Canvas, random_shift, resized, shifted
from fastnet.visualize.subject import Subject

__all__ = ["deep_dream"]


def deep_dream(
    model: Model,
    images: ArrayLike,
    layer: str,
    *,
    channel: int | None = None,
    octaves: int = 4,
    scale: float = 1.4,
    steps: int = 10,
    rate: float = 0.01,
    jitter: int | None = None,
    bounds: Any = None,
    seed: int = 0,
) -> Array:
    """Gradient ascent on half the squared norm of a layer's output, from coarse to fine (Mordvintsev et al. 2015).

    What was added at one size is enlarged and refined at the next; each step looks at the image shifted at random.

    Parameters
    ----------
    model : Model
        In evaluation mode; layers behind `layer` are not run, so they need not fit images of other sizes.
    images : array, (N, C, H, W)
        As ``model.predict`` takes them, of any size that the layers up to `layer` take.
    layer : str
        Its name in ``model.summary()``.
    channel : int, optional
        Climb the norm of this channel of the layer alone.
    octaves : int
        How many sizes.
    scale : float
        The ratio of one size to the one before; > 1.
    steps : int
        At each size.
    rate : float
        The mean absolute change of a step, relative to the range of values.
    jitter : int, optional
        The largest shift in pixels; default: a sixteenth of the height, or 1.
    bounds : (low, high), optional
        The range of raw values; default: (0, 255) for uint8, else the smallest and largest value of `images`.
    seed : int
        Seeds the shifts.

    Returns
    -------
    array, (N, C, H, W)
        In the images' dtype.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        No such layer or channel; so many octaves that images vanish; and what `saliency` raises.
    """
    subject = Subject("deep_dream", model)
    octaves, steps = integer(octaves, "deep_dream: octaves"), integer(steps, "deep_dream: steps")
    scale, rate = positive(scale, "deep_dream: scale"), positive(rate, "deep_dream: rate")
    if scale <= 1:
        raise ValueError(f"deep_dream: scale must be > 1, got {scale}")
    raw = subject.images(images, whole=False)
    canvas, rng = Canvas(subject, bounds, raw), np.random.default_rng(integer(seed, "deep_dream: seed", 0))
    probe, base = Probe(model, [INPUT, layer]), subject.prepare(raw)
    length, (H, W) = rate * canvas.span(raw.shape[1:]), base.shape[2:]
    most = max(1, H // 16) if jitter is None else integer(jitter, "deep_dream: jitter", 0)
    sizes = [(round(H / scale**k), round(W / scale**k)) for k in reversed(range(octaves))]
    if min(sizes[0]) < 1:
        raise ValueError(f"deep_dream: with {octaves} octaves images of {H} x {W} vanish; give fewer")
    x = resized(base, sizes[0])
    for number, size in enumerate(sizes):
        ground = resized(base, size)
        x = ground if number == 0 else ground + resized(x - resized(base, sizes[number - 1]), size)
        for _ in range(steps):
            down, right = random_shift(rng, most)
            try:
                values, backward = probe(shifted(x, down, right))
            except ValueError as error:
                raise ValueError(
                    f"deep_dream: the layers up to {layer!r} take no images of {size[0]} x {size[1]}; give octaves=1, "
                    f"or a layer before the first linear one: {error}"
                ) from error
            seen = current().to_numpy(values[layer])
            gradient = current().to_numpy(backward({layer: _only(seen, channel, layer)})[INPUT])
            mean = np.abs(gradient).mean(axis=(1, 2, 3), keepdims=True)
            x = x + shifted(length * gradient / np.maximum(mean, 1e-30), -down, -right).astype(x.dtype)
            try:
                x = canvas.within(x)
            except ValueError as error:
                raise ValueError(
                    f"deep_dream: model.preprocessing takes no images of {size[0]} x {size[1]}; give octaves=1: {error}"
                ) from error
    return canvas.raw(x)


def _only(values: Array, channel: int | None, layer: str) -> Array:
    """The gradient of half the squared norm of a channel, or of all."""
    if channel is None:
        return values
    channel = integer(channel, "deep_dream: channel", 0)
    if channel >= values.shape[1]:
        raise ValueError(f"deep_dream: the layer {layer!r} has channels 0 to {values.shape[1] - 1}, got {channel}")
    dy = np.zeros_like(values)
    dy[:, channel] = values[:, channel]
    return dy

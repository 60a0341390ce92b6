"""Which pixels a score depends on, from gradients by the input.

Images are what ``model.predict`` takes; gradients are those by the model's input, behind its `preprocessing`.
"""

from __future__ import annotations

import warnings

import numpy as np

from fastnet.arguments import at_least_zero, integer
from fastnet.arrays import on_host
from fastnet.backends import current
from fastnet.layers import Model, Probe
from fastnet.layers.probe import INPUT
from fastnet.types import Array, ArrayLike
from fastnet.visualize.subject import Subject, Target

__all__ = [
    "completeness_gap",
    "deconvnet",
    "gradient_x_input",
    "guided_backprop",
    "integrated_gradients",
    "saliency",
    "smoothgrad",
    "to_maps",
]


def to_maps(attributions: ArrayLike) -> Array:
    """Maps (N, H, W) of attributions (N, C, H, W): the largest absolute value over the channels; maps as they are.

    Raises
    ------
    ValueError
        An array with other axes, or one that holds NaN or infinite values.
    """
    array = on_host(attributions, "to_maps: attributions")
    if array.ndim not in (3, 4):
        raise ValueError(f"to_maps: attributions must be (N, C, H, W) or maps (N, H, W), got shape {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("to_maps: attributions hold NaN or infinite values")
    return array if array.ndim == 3 else np.abs(array).max(axis=1)


def saliency(model: Model, images: ArrayLike, target: Target = None, *, batch_size: int = 32) -> Array:
    """Saliency maps: max over channels of |dS/dx| (Simonyan, Vedaldi & Zisserman 2013, arXiv:1312.6034).

    Parameters
    ----------
    model : Model
        In evaluation mode; S is the target's score before a softmax.
    images : array, (N, C, H, W)
        As ``model.predict`` takes them: uint8 where the model has a `preprocessing` for it, else the model's inputs.
    target : int, str, array or None
        A class by number or name, one for each image, or None for the class predicted.
    batch_size : int
        How many images are computed at a time.

    Returns
    -------
    array, (N, H, W), >= 0

    Raises
    ------
    ValueError, TypeError
        A class that the model lacks; images of another shape, or not finite.
    RuntimeError
        The model is not built.
    """
    subject = Subject("saliency", model, batch_size)
    x = subject.prepare(subject.images(images))
    return to_maps(subject.gradients(x, subject.targets(target, x))[1])


def gradient_x_input(model: Model, images: ArrayLike, target: Target = None, *, batch_size: int = 32) -> Array:
    """x dS/dx, (N, C, H, W), x being the model's input (Shrikumar et al. 2016, arXiv:1605.01713).

    Parameters and errors are those of :func:`saliency`.
    """
    subject = Subject("gradient_x_input", model, batch_size)
    x = subject.prepare(subject.images(images))
    return x * subject.gradients(x, subject.targets(target, x))[1]


def integrated_gradients(
    model: Model,
    images: ArrayLike,
    target: Target = None,
    *,
    baseline: ArrayLike = 0,
    steps: int = 50,
    batch_size: int = 32,
) -> Array:
    """Integrated gradients: (x - b) times the mean of dS/dx on the line from b to x.

    Their sum is S(x) - S(b) ("completeness"), up to the error of the quadrature, which :func:`completeness_gap`
    measures (Sundararajan, Taly & Yan 2017, arXiv:1703.01365).

    Parameters
    ----------
    model, images, target
        As in :func:`saliency`.
    baseline : array or number
        Broadcast to the images, and prepared as they are: 0 is a black image.
    steps : int
        Points of the Gauss-Legendre quadrature.
    batch_size : int
        How many points are computed at a time, of one image or several.

    Returns
    -------
    array, (N, C, H, W)

    Warns
    -----
    UserWarning
        The gap is more than 2 % of the sum of absolute attributions: `steps` are too few.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As :func:`saliency`, or a baseline of another shape.
    """
    subject = Subject("integrated_gradients", model, batch_size)
    steps = integer(steps, "integrated_gradients: steps")
    raw = subject.images(images)
    x, start = _both(subject, raw, baseline)
    targets = subject.targets(target, x)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    shares, weights = ((nodes + 1) / 2).astype(x.dtype), weights / 2
    result = np.zeros(x.shape)
    for points in subject.parts(np.arange(len(x) * steps)):  # a point may be of any image: batches are full
        owners, places = np.divmod(points, steps)
        line = start[owners] + shares[places, None, None, None] * (x[owners] - start[owners])
        gradients = subject.gradients(line, targets[owners])[1]
        for n in np.unique(owners):
            chosen = owners == n
            result[n] += np.tensordot(weights[places[chosen]], gradients[chosen], 1)
    result *= x - start
    ends = [_of(subject.scores(each), targets) for each in (x, start)]
    gap = np.abs(result.sum(axis=(1, 2, 3)) - (ends[0] - ends[1]))
    rough = gap > 0.02 * np.abs(result).sum(axis=(1, 2, 3)) + 1e-6
    if rough.any():
        warnings.warn(
            f"integrated_gradients: the attributions of {int(rough.sum())} of {len(x)} images miss S(x) - S(baseline) "
            f"by up to {gap.max():.3g}, more than 2 % of their absolute sum: give more than {steps} steps",
            stacklevel=2,
        )
    return np.asarray(result.astype(x.dtype))


def completeness_gap(
    model: Model, images: ArrayLike, attributions: ArrayLike, target: Target = None, *, baseline: ArrayLike = 0
) -> Array:
    """sum(attributions) - (S(x) - S(baseline)) for each image, (N,): 0 for exact integrated gradients.

    Parameters
    ----------
    model, images, target, baseline
        As in :func:`integrated_gradients`.
    attributions : array, (N, C, H, W)

    Raises
    ------
    ValueError
        Attributions of another shape than the images; and what :func:`saliency` raises.
    """
    subject = Subject("completeness_gap", model)
    raw = subject.images(images)
    given = on_host(attributions, "completeness_gap: attributions")
    if given.shape != raw.shape:
        raise ValueError(f"completeness_gap: attributions must have the images' shape {raw.shape}, got {given.shape}")
    x, start = _both(subject, raw, baseline)
    targets = subject.targets(target, x)
    difference = _of(subject.scores(x), targets) - _of(subject.scores(start), targets)
    return np.asarray(given.sum(axis=(1, 2, 3), dtype=np.float64) - difference)


def smoothgrad(
    model: Model,
    images: ArrayLike,
    target: Target = None,
    *,
    samples: int = 50,
    noise: float = 0.15,
    seed: int = 0,
    batch_size: int = 32,
) -> Array:
    """Saliency maps of gradients averaged over noisy copies of each image (Smilkov et al. 2017, arXiv:1706.03825).

    Parameters
    ----------
    model, images, target
        As in :func:`saliency`; a target of None is the class of the image without noise.
    samples : int
        Noisy copies of each image.
    noise : float
        The noise's standard deviation as a share of the range of the image's values, after `preprocessing`.
    seed : int
        Seeds the noise: image n has a stream of its own, so `batch_size` does not matter.
    batch_size : int
        How many copies are computed at a time.

    Returns
    -------
    array, (N, H, W), >= 0

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As :func:`saliency`.
    """
    subject = Subject("smoothgrad", model, batch_size)
    samples, noise = integer(samples, "smoothgrad: samples"), at_least_zero(noise, "smoothgrad: noise")
    seed = integer(seed, "smoothgrad: seed", 0)
    x = subject.prepare(subject.images(images))
    targets = subject.targets(target, x)
    result = np.empty_like(x)
    for n, image in enumerate(x):
        rng = np.random.default_rng([seed, n])
        deviation, total = noise * float(image.max() - image.min()), np.zeros(image.shape)
        for done in range(0, samples, subject.batch_size):
            copies = min(subject.batch_size, samples - done)
            noisy = image + deviation * rng.standard_normal((copies, *image.shape), dtype=np.float32).astype(x.dtype)
            total += subject.gradients(noisy, np.full(copies, targets[n]))[1].sum(axis=0, dtype=np.float64)
        result[n] = total / samples
    return to_maps(result)


def guided_backprop(
    model: Model, images: ArrayLike, target: Target = None, *, layer: str | None = None, batch_size: int = 32
) -> Array:
    """Guided backpropagation: gradients in which a ReLU passes on only what is positive, where its input was.

    Springenberg et al. 2014, arXiv:1412.6806.  ReLU6 does the same where its input was below 6.  The model is not
    touched: the rule replaces the ReLUs' gradient in this backward pass alone.

    Parameters
    ----------
    model, images
        As in :func:`saliency`.
    target : int, str, array or None
        A class; with `layer`, a channel of it.
    layer : str, optional
        A layer, by its name in ``model.summary()``.  Then the largest activation of the channel is traced back; where
        target is None, that of the channel with the largest one.
    batch_size : int
        How many images are computed at a time.

    Returns
    -------
    array, (N, C, H, W)

    Raises
    ------
    ValueError
        No such layer, or no ReLU in the model; and what :func:`saliency` raises.
    """
    return _ruled("guided_backprop", "guided", model, images, target, layer, batch_size)


def deconvnet(
    model: Model, images: ArrayLike, target: Target = None, *, layer: str | None = None, batch_size: int = 32
) -> Array:
    """A deconvnet: activations traced back to pixels (Zeiler & Fergus 2013, arXiv:1311.2901).

    It is a backward pass in which a ReLU passes on whatever is positive; max pooling sends it to the place of each
    maximum (their "switches"), and convolutions are transposed.  Parameters are those of :func:`guided_backprop`;
    the paper's pictures are ``deconvnet(model, images, channel, layer=name)``.
    """
    return _ruled("deconvnet", "deconvnet", model, images, target, layer, batch_size)


def _ruled(
    what: str, rule: str, model: Model, images: ArrayLike, target: Target, layer: str | None, batch_size: int
) -> Array:
    subject = Subject(what, model, batch_size, rule)
    x = subject.prepare(subject.images(images))
    if layer is None:
        return subject.gradients(x, subject.targets(target, x))[1]
    probe, found = Probe(model, [INPUT, layer], rule), list[Array]()
    for part in subject.parts(x):
        values, backward = probe(part)
        dy = _strongest(what, current().to_numpy(values[layer]), target, layer, len(found) * subject.batch_size)
        found.append(current().to_numpy(backward({layer: dy})[INPUT]))
    return np.concatenate(found)


def _strongest(what: str, values: Array, target: Target, layer: str, first: int) -> Array:
    """The largest activation of each image's channel, and zeros."""
    N, C = values.shape[:2]
    flat = values.reshape(N, C, -1)
    channels = flat.max(axis=2).argmax(axis=1) if target is None else on_host(target, f"{what}: target")
    if channels.dtype.kind not in "iu" or channels.ndim > 1:
        raise TypeError(f"{what}: target must be a channel of {layer}, one for each image, or None, got {target!r}")
    if channels.ndim and target is not None:
        channels = channels[first : first + N]
        if len(channels) != N:
            raise ValueError(f"{what}: target must be a channel, or one for each image, got {len(on_host(target))}")
    channels = np.broadcast_to(channels, (N,))
    if channels.min() < 0 or channels.max() >= C:
        wrong = channels[(channels < 0) | (channels >= C)][0]
        raise ValueError(f"{what}: target must be a channel of {layer} from 0 to {C - 1}, got {wrong}")
    dy, images = np.zeros_like(flat), np.arange(N)
    places = flat[images, channels].argmax(axis=1)
    dy[images, channels, places] = flat[images, channels, places]
    return dy.reshape(values.shape)


def _both(subject: Subject, raw: Array, baseline: ArrayLike) -> tuple[Array, Array]:
    """The inputs of images and of their baselines, prepared together: black alone would look like one in [0, 1]."""
    images, starts = np.split(subject.prepare(np.concatenate([raw, subject.filling(baseline, raw, "baseline")])), 2)
    return images, starts


def _of(scores: Array, targets: Array) -> Array:
    """The score of each image's target, (N,) float64."""
    return np.asarray(scores[np.arange(len(targets)), targets], np.float64)

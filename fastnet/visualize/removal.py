"""Tests of attributions: how fast a probability falls when the pixels that are said to matter are replaced."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnet.arguments import integer
from fastnet.layers import Model
from fastnet.types import Array, ArrayLike
from fastnet.visualize.attribution import to_maps
from fastnet.visualize.subject import Subject, Target

__all__ = ["RemovalCurves", "deletion_test", "insertion_test"]


class RemovalCurves(NamedTuple):
    """Probabilities as pixels are deleted or inserted.

    Attributes
    ----------
    shares : array, (steps + 1,)
        The share of pixels deleted or inserted so far, from 0 to 1.
    probabilities : array, (N, steps + 1)
        The probability of each image's target.
    areas : array, (N,)
        The areas under the curves.  A good attribution has a small one in deletion and a large one in insertion.
    """

    shares: Array
    probabilities: Array
    areas: Array


def deletion_test(
    model: Model,
    images: ArrayLike,
    attributions: ArrayLike,
    target: Target = None,
    *,
    steps: int = 20,
    patch: int = 1,
    value: ArrayLike | None = None,
    batch_size: int = 64,
) -> RemovalCurves:
    """The target's probability as the pixels with the largest attribution are replaced first.

    Attributions that find what the model uses make it fall sooner than random ones (Petsiuk, Das & Saenko 2018,
    arXiv:1806.07421).

    Parameters
    ----------
    model, images, target
        As in :func:`fastnet.visualize.saliency`; None is the class predicted for the whole image.
    attributions : array, (N, H, W) or (N, C, H, W)
        Of several channels, the largest absolute value counts.
    steps : int
        Pixels are replaced in this many equal parts.
    patch : int
        Pixels are replaced in squares of this side, by their mean attribution.  In large images, scattered single
        pixels are noise that confuses networks, whatever the attribution says.
    value : array or number, optional
        What replaces pixels: broadcast to (N, C, H, W), in raw values; default: the mean of each channel of an image.
    batch_size : int
        How many copies are computed at a time.

    Returns
    -------
    RemovalCurves

    Raises
    ------
    ValueError
        Attributions of another size; and what `saliency` raises.
    """
    return _test("deletion_test", model, images, attributions, target, steps, patch, value, batch_size, False)


def insertion_test(
    model: Model,
    images: ArrayLike,
    attributions: ArrayLike,
    target: Target = None,
    *,
    steps: int = 20,
    patch: int = 1,
    value: ArrayLike | None = None,
    batch_size: int = 64,
) -> RemovalCurves:
    """The target's probability as pixels are put back, those with the largest attribution first.

    It starts from images in which all pixels are replaced.  Parameters, result and errors are those of
    :func:`deletion_test`.
    """
    return _test("insertion_test", model, images, attributions, target, steps, patch, value, batch_size, True)


def _test(
    what: str,
    model: Model,
    images: ArrayLike,
    attributions: ArrayLike,
    target: Target,
    steps: int,
    patch: int,
    value: ArrayLike | None,
    batch_size: int,
    insert: bool,
) -> RemovalCurves:
    subject, steps = Subject(what, model, batch_size), integer(steps, f"{what}: steps")
    raw, maps = subject.images(images), to_maps(attributions)
    N, C, H, W = raw.shape
    if maps.shape != (N, H, W):
        raise ValueError(f"{what}: attributions must be {(N, H, W)} or {raw.shape}, got maps of shape {maps.shape}")
    cover = subject.filling(value, raw, "value").reshape(N, C, H * W)
    targets = subject.targets(target, subject.prepare(raw))
    order = np.argsort(-_patched(maps, integer(patch, f"{what}: patch")), axis=1, kind="stable")
    counts = np.linspace(0, H * W, steps + 1).round().astype(int)
    probabilities = np.empty((N, steps + 1))
    for n in range(N):
        whole, empty = raw[n].reshape(C, H * W), cover[n]
        start, other = (empty, whole) if insert else (whole, empty)
        copies = np.repeat(start[None], steps + 1, axis=0)
        for copy, count in zip(copies, counts, strict=True):
            changed = order[n, :count]
            copy[:, changed] = other[:, changed]
        scores = subject.scores(subject.prepare(copies.reshape(-1, C, H, W)))
        probabilities[n] = subject.probabilities(scores)[:, targets[n]]
    areas = (probabilities[:, 1:] + probabilities[:, :-1]).sum(axis=1) / (2 * steps)
    return RemovalCurves(counts / (H * W), probabilities, areas)


def _patched(maps: Array, patch: int) -> Array:
    """Maps with the mean of its patch at each pixel, (N, H * W)."""
    N, H, W = maps.shape
    across = -(-W // patch)
    patches = (np.arange(H)[:, None] // patch * across + np.arange(W) // patch).ravel()
    sizes = np.bincount(patches)
    flat = maps.reshape(N, H * W)
    return np.stack([(np.bincount(patches, row) / sizes)[patches] for row in flat])

"""What a prediction loses when a part of the image is covered: occlusion maps."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fastnet.arguments import pair
from fastnet.layers import Model
from fastnet.types import Array, ArrayLike, Pair
from fastnet.visualize.subject import Subject, Target

__all__ = ["occlusion"]


def occlusion(
    model: Model,
    images: ArrayLike,
    target: Target = None,
    *,
    window: Pair = 8,
    stride: Pair | None = None,
    value: ArrayLike | None = None,
    of: Literal["probability", "score"] = "probability",
    batch_size: int = 64,
) -> Array:
    """Occlusion maps: how much the target's probability falls when a window is covered (Zeiler & Fergus 2013).

    A window slides over the image; the value at a pixel is the mean over the windows that cover it (arXiv:1311.2901).

    Parameters
    ----------
    model, images, target
        As in :func:`fastnet.visualize.saliency`.
    window : int or pair
        Its height and width in pixels.
    stride : int or pair, optional
        Default: half of the window.  The last window of each row and column ends at the image's edge.
    value : array or number, optional
        Raw values that cover the window, broadcast to (N, C, H, W); default: the mean of each channel of each image.
    of : "probability" or "score"
        What the fall is measured in.
    batch_size : int
        How many covered copies are computed at a time.

    Returns
    -------
    array, (N, H, W)
        Positive where the prediction needs the pixels.

    Raises
    ------
    ValueError
        A window larger than the image; and what `saliency` raises.
    """
    subject = Subject("occlusion", model, batch_size)
    raw = subject.images(images)
    N, C, H, W = raw.shape
    R, S = pair(window, "occlusion: window")
    if R > H or S > W:
        raise ValueError(f"occlusion: the window, {R} x {S}, is larger than the images, {H} x {W}")
    down, right = pair(stride, "occlusion: stride") if stride is not None else (max(R // 2, 1), max(S // 2, 1))
    if of not in ("probability", "score"):
        raise ValueError(f'occlusion: of must be "probability" or "score", got {of!r}')
    cover = subject.filling(value, raw, "value")
    targets = subject.targets(target, subject.prepare(raw))

    def measured(copies: Array, number: int) -> Array:
        scores = subject.scores(subject.prepare(copies))
        return (subject.probabilities(scores) if of == "probability" else scores)[:, targets[number]]

    places = [(top, left) for top in _starts(H, R, down) for left in _starts(W, S, right)]
    result = np.empty((N, H, W), model.dtype)
    for n in range(N):
        before = measured(raw[n : n + 1], n)[0]
        total, count = np.zeros((H, W)), np.zeros((H, W))
        for first in range(0, len(places), subject.batch_size):
            chosen = places[first : first + subject.batch_size]
            copies = np.repeat(raw[n : n + 1], len(chosen), axis=0)
            for copy, (top, left) in zip(copies, chosen, strict=True):
                copy[:, top : top + R, left : left + S] = cover[n, :, top : top + R, left : left + S]
            for drop, (top, left) in zip(before - measured(copies, n), chosen, strict=True):
                total[top : top + R, left : left + S] += drop
                count[top : top + R, left : left + S] += 1
        result[n] = total / np.maximum(count, 1)
    return result


def _starts(size: int, window: int, stride: int) -> list[int]:
    """Where windows begin; the last ends at the edge."""
    return sorted({*range(0, size - window + 1, stride), size - window})

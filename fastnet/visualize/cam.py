"""Where in an image a layer's features speak for a class: Grad-CAM."""

from __future__ import annotations

import numpy as np

from fastnet.arguments import flag
from fastnet.backends import current
from fastnet.functional import interpolate
from fastnet.layers import Model, Probe
from fastnet.layers.probe import SCORES
from fastnet.types import Array, ArrayLike
from fastnet.visualize.subject import Subject, Target, one_hot

__all__ = ["grad_cam"]


def grad_cam(
    model: Model,
    images: ArrayLike,
    target: Target = None,
    *,
    layer: str | None = None,
    upsample: bool = True,
    positive: bool = True,
    batch_size: int = 32,
) -> Array:
    """Grad-CAM: ReLU(sum over k of a_k A_k), with a_k the mean of dS/dA_k over positions.

    A_k are the channels of a layer's output, S is the target's score (Selvaraju et al. 2016, arXiv:1610.02391).

    Parameters
    ----------
    model, images, target
        As in :func:`fastnet.visualize.saliency`.
    layer : str, optional
        Its name in ``model.summary()``; default: the last layer whose output is larger than one pixel.
    upsample : bool
        Whether maps are enlarged to the images' size (bilinear) or keep the layer's.
    positive : bool
        Whether negative values become 0.
    batch_size : int
        How many images are computed at a time.

    Returns
    -------
    array, (N, H, W); with ``upsample=False``, (N, height, width) of the layer

    Raises
    ------
    ValueError
        No such layer, or one without positions; and what `saliency` raises.
    """
    subject = Subject("grad_cam", model, batch_size)
    upsample, positive = flag(upsample, "grad_cam: upsample"), flag(positive, "grad_cam: positive")
    layer = _last(model) if layer is None else layer
    probe = Probe(model, [SCORES, layer])
    x = subject.prepare(subject.images(images))
    targets, found = subject.targets(target, x), []
    for part, wanted in zip(subject.parts(x), subject.parts(targets), strict=True):
        values, backward = probe(part)
        if values[layer].ndim != 4:
            raise ValueError(
                f"grad_cam: the layer {layer!r} has no positions, its output is {values[layer].shape[1:]}; give one "
                f"whose output is (C, height, width), such as {_last(model)!r}"
            )
        gradients = backward({SCORES: one_hot(values[SCORES], wanted)}, [layer])
        gradient, activations = (current().to_numpy(each[layer]) for each in (gradients, values))
        found.append(np.einsum("nk,nkhw->nhw", gradient.mean(axis=(2, 3)), activations))
    maps = np.concatenate(found)
    maps = np.maximum(maps, 0) if positive else maps
    if not upsample:
        return maps
    size = int(x.shape[2]), int(x.shape[3])
    return np.ascontiguousarray(interpolate(maps[:, None], size=size, mode="bilinear")[0][:, 0])


def _last(model: Model) -> str:
    rows = [row for row in model.summary().rows if len(row.output_shape) == 3 and max(row.output_shape[1:]) > 1]
    if not rows:
        raise ValueError("grad_cam: no layer of the model has positions, (C, height, width): Grad-CAM needs one")
    return rows[-1].name

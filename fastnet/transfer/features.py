"""Features: the outputs of a layer of a trained network for images ("CNN codes")."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.arguments import integer
from fastnet.backends import current
from fastnet.layers import Model
from fastnet.types import Array, ArrayLike

__all__ = ["features"]

_POOLS: dict[str, Callable[..., Any]] = {"mean": np.mean, "max": np.max}


def features(
    model: Model,
    X: ArrayLike,
    layer: str,
    batch_size: int = 64,
    *,
    pool: str | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Array:
    """The outputs of a layer for all of X, in inference mode; no layer after it runs.

    With a linear classifier on them they are "CNN features off the shelf" (Razavian et al. 2014, arXiv:1403.6382;
    DeCAF, Donahue et al. 2014, arXiv:1310.1531).

    Parameters
    ----------
    model : Model
        Built; its `preprocessing` is applied to X, as `predict` does.
    X : array (N, *input_shape)
    layer : str
        The layer's path, such as "layer3" or "classifier.4".
    batch_size : int
        How many images are computed at a time, which bounds the memory besides the result.
    pool : "mean" or "max", optional
        Reduce maps (N, C, H, W) to one number for each channel, (N, C).
    out : path, optional
        A .npy file to which the result is written batch by batch: it is returned memory-mapped, and may be larger than
        memory.

    Returns
    -------
    array (N, ...), of the model's dtype

    Raises
    ------
    ValueError
        No such layer (the message has the most similar paths), or `pool` for a layer without maps.

    Examples
    --------
    >>> codes = transfer.features(model, X_train, "layer4", pool="mean")
    >>> classifier = fn.classical.SoftmaxClassifier().fit(codes, y_train)
    """
    if not isinstance(model, Model):
        raise TypeError(f"features: model must be a fastnet.Model, got {model!r}")
    if pool is not None and pool not in _POOLS:
        raise ValueError(f'features: pool must be "mean", "max" or None, got {pool!r}')
    batch_size = integer(batch_size, "features: batch_size")
    if not model.built:
        raise ValueError("features: the model is not built, so it has learned nothing")
    shape = tuple(model.layer_at(layer, "features: layer").output_shape)
    if pool is not None and len(shape) != 3:
        raise ValueError(
            f"features: layer {layer!r} gives {shape} for an image, and pool={pool!r} needs maps (C, H, W)"
        )
    examples, found, done = model.examples("features: X", X, current()), None, 0
    for y in model.layer_outputs(examples, layer, batch_size):
        if pool is not None:
            y = _POOLS[pool](y, axis=(2, 3))
        if found is None:
            found = _empty(out, (len(examples), *y.shape[1:]), y.dtype)
        found[done : done + len(y)] = y
        done += len(y)
    assert found is not None  # of no images there is one empty batch
    return found


def _empty(out: str | os.PathLike[str] | None, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    if out is None:
        return np.empty(shape, dtype)
    if Path(out).suffix != ".npy":
        raise ValueError(f"features: out must be a .npy file, got {os.fspath(out)!r}")
    return np.lib.format.open_memmap(os.fspath(out), "w+", dtype, shape)

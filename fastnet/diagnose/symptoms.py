"""What a network that does not learn shows: equal weights, missing gradients, dead units, vanishing activations."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.backends import current
from fastnet.data import Loader
from fastnet.diagnose.statistics import Statistics, activation_statistics
from fastnet.heads import training_loss
from fastnet.layers import Model
from fastnet.layers.preserved import preserved
from fastnet.types import Loss
from fastnet.wording import name_some

__all__ = ["symptoms", "units"]


def symptoms(model: Model, loader: Loader, loss: Loss) -> list[str]:
    """A sentence for each thing that is wrong with the model, as it is, or with the loader's data."""
    x, labels = next(loader.batches(0))
    found, ops = [], current()
    if not np.isfinite(np.asarray(x)).all():
        found.append("the preprocessed images hold NaN or infinities")
    with preserved(model):
        scores, backward = model.forward(x, training=True)
        full = training_loss(loss, model)
        backward(full(ops.xp.array(scores), ops.xp.array(labels))[1], input_gradient=False)
        equal, missing = [], []
        for parameter in model.parameters():
            value, gradient = ops.to_numpy(parameter.value), parameter.grad
            if value.ndim > 1 and len(value) > 1 and (value == value[:1]).all():
                equal.append(parameter.name)
            if parameter.requires_grad and gradient is not None and not gradient.any():
                missing.append(parameter.name)
    if equal:
        found.append(
            f"all rows are equal of {name_some(equal, 3)}, so that all units learn the same: draw them at random"
        )
    if missing:
        found.append(f"the gradient is 0 of {name_some(missing, 3)}: nothing reaches them")
    statistics = activation_statistics(model, x)
    found += units(statistics).values()
    deviations = [(row.std, row.name) for row in statistics.rows[1:]]
    (smallest, first), (largest, last) = min(deviations), max(deviations)
    if 0 < smallest < 1e-3 * statistics["input"].std:
        found.append(f"the activations vanish: std {smallest:.1e} in layer {first}; the initial weights are too small")
    if largest > 1e3 * max(statistics["input"].std, 1e-3):
        found.append(f"the activations explode: std {largest:.1e} in layer {last}; the initial weights are too large")
    if pairs := _contradictions(loader):
        found.append(f"{pairs} of the images appear again under another label")
    return found


def units(statistics: Statistics) -> dict[str, str]:
    """A sentence for each layer with many dead or saturated units, by the layer's path."""
    found = {}
    for row in statistics.rows:
        if row.dead is not None and row.dead > 0.4:
            found[row.name] = (
                f"{row.dead:.0%} of the units of layer {row.name} ({row.kind}) are 0 for every example: dead"
            )
        elif row.dead is None and row.saturated is not None and row.saturated > 0.7:
            found[row.name] = (
                f"{row.saturated:.0%} of layer {row.name} ({row.kind}) are saturated, where gradients vanish"
            )
    return found


def _contradictions(loader: Loader) -> int:
    if loader.y.ndim != 1:
        return 0
    seen: dict[bytes, Any] = {}
    return sum(
        seen.setdefault(image.tobytes(), label) != label for image, label in zip(loader.X, loader.y, strict=True)
    )

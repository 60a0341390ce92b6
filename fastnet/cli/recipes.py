"""Defaults of ``fastnet train``: model, epochs, optimiser, learning rate, the name of the schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastnet.optim import Optimizer
    from fastnet.regularizers import Regularizer

__all__ = ["Recipe", "recipe_for", "optimizer", "regularizer", "OPTIMIZERS", "PREPROCESSING"]


@dataclass(frozen=True)
class Recipe:
    """Defaults for a data set; `options` are passed to the model's function if the model is the recipe's own."""

    model: str
    epochs: int
    batch_size: int = 128
    optimizer: str = "adam"
    lr: float = 1e-3
    schedule: str = "cosine"
    weight_decay: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)


_SMALL = Recipe("three_layer_convnet", 15, batch_size=32, lr=2e-3, options={"filters": 64, "kernel_size": 3})
_LENET = Recipe("lenet5", 12, optimizer="adamw", lr=2e-3, weight_decay=0.3)
_RESNET = Recipe("resnet20", 30, optimizer="sgd", lr=0.1, weight_decay=1e-4)
_LARGE = Recipe("resnet18", 30, batch_size=32, optimizer="sgd", lr=0.02, weight_decay=1e-4)


def recipe_for(image_shape: tuple[int, int, int]) -> Recipe:
    """The recipe for images of this size: digits' 8x8, MNIST's 28x28, CIFAR's 32x32, and photographs."""
    channels, height, width = image_shape
    side = min(height, width)
    if side < 24:
        return _SMALL
    if channels == 1 and max(height, width) <= 32:
        return _LENET
    return _RESNET if side < 96 else _LARGE


# name: class in fastnet.optim, learning rate, settings
OPTIMIZERS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "sgd": ("SGD", 0.05, {"momentum": 0.9, "nesterov": True}),
    "adagrad": ("Adagrad", 0.01, {}),
    "adadelta": ("Adadelta", 1.0, {}),
    "rmsprop": ("RMSprop", 1e-3, {}),
    "adam": ("Adam", 1e-3, {}),
    "adamw": ("AdamW", 1e-3, {}),
    "nadam": ("NAdam", 1e-3, {}),
}


def optimizer(name: str, lr: float, weight_decay: float, groups: Sequence[dict[str, Any]] = ()) -> Optimizer:
    """The optimiser called `name`; "sgd" has Nesterov's momentum 0.9."""
    from fastnet import optim

    kind, _, settings = OPTIMIZERS[name]
    chosen: Optimizer = getattr(optim, kind)(lr=lr, weight_decay=weight_decay, groups=groups, **settings)
    return chosen


PREPROCESSING = ("standardize", "center", "mean_image", "unit_variance", "range", "whiten")
"""Those of `fastnet.data.PREPROCESSING` that leave images their shape."""


def regularizer(l1: float, max_norm: float | None) -> Regularizer | None:
    """An L1 penalty if its strength is not 0, and a bound on norms if one is given."""
    from fastnet.regularizers import L1, Combined, MaxNorm

    parts = [*([L1(l1)] if l1 else []), *([] if max_norm is None else [MaxNorm(max_norm)])]
    return Combined(*parts) if parts else None

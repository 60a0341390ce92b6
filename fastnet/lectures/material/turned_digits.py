"""A first task for transfer learning: five digits in the eight ways in which a square can lie."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnet as fn
from fastnet.types import Array

__all__ = ["CLASSES", "digits", "network", "train", "trained_on_turned"]

CLASSES = 40


def digits() -> tuple[Array, Array]:
    """scikit-learn's digits, (1797, 1, 8, 8) from 0 to 1, and their classes."""
    data = fn.data.digits(0.3)
    X, y = np.concatenate([data.X_train, data.X_test]), np.concatenate([data.y_train, data.y_test])
    return np.asarray(X, np.float32) / np.float32(255), y


def trained_on_turned(X: Array, y: Array, epochs: int, seed: int) -> fn.Sequential:
    """A network of 40 classes that tells five digits and the eight ways in which they may lie."""
    images = np.concatenate([_turned(X, turn) for turn in range(8)])
    model = network(CLASSES, seed)
    train(model, images, np.concatenate([5 * turn + y for turn in range(8)]), epochs, fn.optim.Adam(3e-3), seed)
    return model


def _turned(X: Array, number: int) -> Array:
    """The images in one of the eight ways in which a square can lie: turned, and mirrored from number 4 on."""
    return np.rot90(X[..., ::-1] if number > 3 else X, number % 4, axes=(2, 3))


def network(classes: int, seed: int) -> fn.Sequential:
    """Three convolutions of 3x3 with batch norm and pooling, and two linear layers."""
    layers: dict[str, Any] = {}
    for n, filters in enumerate((16, 32, 64), 1):
        layers |= {f"conv{n}": fn.Conv2d(filters, 3, padding=1), f"bn{n}": fn.BatchNorm2d(), f"relu{n}": fn.ReLU()}
        layers[f"pool{n}"] = fn.MaxPool2d(2)
    model = fn.Sequential(
        {**layers, "flatten": fn.Flatten(), "hidden": fn.Linear(64), "relu": fn.ReLU(), "fc": fn.Linear(classes)}
    )
    model.build((1, 8, 8), seed)
    return model


def train(model: fn.Model, X: Array, y: Array, epochs: int, optimizer: Any, seed: int) -> None:
    """Train with batches of 32, or of all images if there are fewer."""
    size = min(32, len(X))
    fn.Solver(model, (X, y), epochs=epochs, batch_size=size, optimizer=optimizer, seed=seed, verbose=False).train()

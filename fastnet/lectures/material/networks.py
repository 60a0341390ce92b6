"""Small networks that are trained on the data set of ``--data``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fastnet as fn

if TYPE_CHECKING:
    from fastnet.data import Dataset
    from fastnet.layers import Model
    from fastnet.optim import Optimizer

__all__ = ["train", "trained_three_convolutions", "two_convolutions"]


def trained_three_convolutions(data: Dataset, epochs: int, seed: int) -> tuple[Model, float]:
    """Three convolutions and a linear layer, trained with Adam, with their accuracy on the test images."""
    model = fn.Sequential(
        *(fn.Conv2d(16, 3, padding=1), fn.ReLU(), fn.Conv2d(32, 3, padding=1), fn.ReLU(), fn.MaxPool2d(2)),
        *(fn.Conv2d(32, 3, padding=1), fn.ReLU(), fn.Flatten(), fn.Dropout(0.3), fn.Linear(len(data.classes))),
    )
    model.build(data.image_shape, seed=seed)
    return model, train(model, data, epochs, seed, fn.optim.Adam(2e-3))


def two_convolutions(data: Dataset, seed: int) -> Model:
    """Two convolutions and a linear layer, named and untrained, for images of any size from 4 x 4."""
    model = fn.Sequential(
        conv1=fn.Conv2d(16, 5, padding=2),
        relu1=fn.ReLU(),
        pool1=fn.MaxPool2d(2),
        conv2=fn.Conv2d(32, 3, padding=1),
        relu2=fn.ReLU(),
        pool2=fn.MaxPool2d(2),
        code=fn.Flatten(),
        scores=fn.Linear(len(data.classes)),
    )
    model.build(data.image_shape, seed=seed)
    model.preprocessing = fn.data.Standardize.fit(data.X_train)
    return model


def train(model: Model, data: Dataset, epochs: int, seed: int, optimizer: Optimizer | None = None) -> float:
    """Train a network, by default with SGD; its accuracy on the test images.  It takes raw images afterwards."""
    model.fit(
        data.X_train,
        data.y_train,
        epochs=epochs,
        preprocess="standardize",
        optimizer=optimizer or fn.optim.SGD(0.02, momentum=0.9, weight_decay=1e-3),
        schedule=fn.optim.CosineDecay(),
        batch_size=32,
        verbose=False,
        seed=seed,
    )
    return float(model.evaluate(data.X_test, data.y_test).accuracy)

"""A small network with a layer of every kind, images for layers, and passes in training."""

import numpy as np

from fastnet.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
)


def net(dropout=0.5):
    return Sequential(
        Conv2d(4, 3, padding=1),
        BatchNorm2d(),
        ReLU(),
        Residual([Conv2d(4, 3, padding=1, bias=False), BatchNorm2d()]),
        MaxPool2d(2),
        Flatten(),
        Dropout(dropout),
        Linear(5),
    )


def images(n=3, shape=(3, 6, 6), dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(dtype)


def trained(layer, x):
    """The output of one training pass."""
    return layer.forward(x, training=True)[0]


def ones(*shape):
    return np.ones(shape, np.float32)

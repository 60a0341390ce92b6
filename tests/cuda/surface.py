"""What the tests of the package on the backend "cupy" share: a small network, its data, and a comparison."""

from __future__ import annotations

import dataclasses

import numpy as np
from cuda import devices

import fastnet as fn
from fastnet import backends

rng = np.random.default_rng(0)
X = rng.integers(0, 256, (20, 1, 6, 6), dtype=np.uint8)
Y = np.arange(20) % 3
IMAGES = X[:5].astype(np.float32) / 255


def network(dropout=0.3, seed=0):
    """A built network with every kind of state: parameters, running statistics, a random stream."""
    model = fn.Sequential(
        *(fn.Conv2d(3, 3, padding=1), fn.BatchNorm2d(), fn.ReLU(), fn.MaxPool2d(2)),
        *(fn.Dropout(dropout), fn.Flatten(), fn.Linear(3)),
    )
    model.build((1, 6, 6), seed=seed)
    return model


def same(function, tolerance=1e-4):
    """What a function returns on the reference and on the device: alike, in NumPy arrays and numbers."""
    with backends.use_backend("reference"):
        expected = function()
    with devices.device():
        found = function()
    alike(found, expected, tolerance)
    return found


def alike(found, expected, tolerance=1e-4):
    assert type(found) is type(expected), (type(found), type(expected))
    if isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(found, expected, tolerance, tolerance)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        alike([*found.values()], [*expected.values()], tolerance)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            alike(one, other, tolerance)
    elif dataclasses.is_dataclass(expected):
        alike(vars(found), vars(expected), tolerance)
    elif isinstance(expected, (float, np.floating)):
        np.testing.assert_allclose(found, expected, tolerance, tolerance)
    else:
        assert found == expected

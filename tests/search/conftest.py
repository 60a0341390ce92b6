"""A small problem, learnt in milliseconds, and a search on it."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.data import Dataset


@pytest.fixture(autouse=True)
def libraries():
    pytest.importorskip("optuna")


@pytest.fixture(scope="session")
def data():
    """120 images of 4x4, light on the left or on the right; the test part would spoil everything if it were used."""
    rng, y = np.random.default_rng(0), np.arange(120) % 2
    X = rng.normal(0, 0.5, (120, 1, 4, 4)).astype(np.float32)
    X[y == 0, :, :, :2] += 1
    X[y == 1, :, :, 2:] += 1
    return Dataset(X, y, np.full_like(X[:10], np.nan), y[:10], ("left", "right"), "small")

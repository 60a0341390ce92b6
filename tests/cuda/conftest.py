"""Fixtures: the backend "cupy" on the stand-in (or on a GPU, with FASTNET_TEST_GPU=1)."""

from __future__ import annotations

import pytest
from cuda import devices


@pytest.fixture
def device():
    """CupyOps, in use."""
    with devices.device() as ops:
        yield ops


@pytest.fixture
def few_blocks(device, monkeypatch):
    """Grids of at most two blocks, so that each thread of a grid-stride loop has several elements."""
    monkeypatch.setattr("fastnet.backends.device.compiler.MOST_BLOCKS", 2)

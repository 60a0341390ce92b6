"""Fixtures: the backend "cupy" on the stand-in (or on a GPU, with FASTNET_TEST_GPU=1)."""

from __future__ import annotations

import pytest
from cuda import devices


@pytest.fixture
def device():
    """CupyOps, in use."""
    with devices.device() as ops:
        yield ops

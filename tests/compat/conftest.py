"""A fixture for modules whose checks fork many processes."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(scope="module")
def frozen():
    """Hide what exists already from the garbage collector, which would make forked processes copy its memory."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()

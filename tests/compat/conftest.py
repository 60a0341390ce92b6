"""A fixture for modules whose checks fork many processes."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(scope="module")
def frozen():
    """Forked processes collect garbage, too: without what was there before, whose memory they would copy."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()

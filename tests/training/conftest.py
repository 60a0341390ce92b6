"""Checkpoints for the tests of their files and of resuming."""

import pytest
from interrupted import make


@pytest.fixture
def two(tmp_path):
    """A folder with two checkpoints, oldest first."""
    make(tmp_path, epochs=2).train()
    return sorted(tmp_path.iterdir())

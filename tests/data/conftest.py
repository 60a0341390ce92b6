"""Fixtures of data sets of image files."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def photos(tmp_path):
    """Three classes of eight images each."""
    from photos import write  # skips without Pillow

    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "eel"):
        for i in range(8):
            write(tmp_path / "photos" / name / f"{i}.png", rng.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    return tmp_path / "photos"

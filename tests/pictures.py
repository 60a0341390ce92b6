"""Folders of small images for tests."""

from __future__ import annotations

import numpy as np
import pytest


def write_images(folder, count=3, classes=("cat", "dog"), size=(6, 5), suffix=".png", mode="RGB"):
    """`count` random images in each of folder/<class>/; returns their number."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (*size, 3), np.uint8)
            image.fromarray(pixels).convert(mode).save(folder / name / f"{i}{suffix}")
    return count * len(classes)

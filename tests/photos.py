"""Image files of tests, and what makes two data sets of them the same."""

from __future__ import annotations

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

PARTS = ("X_train", "y_train", "X_val", "y_val", "X_test", "y_test")


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def same(a, b):
    assert a.classes == b.classes
    for name in PARTS:
        mine, other = getattr(a, name), getattr(b, name)
        assert (mine is None) == (other is None), name
        if mine is not None:
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(other), err_msg=name)

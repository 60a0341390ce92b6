"""The digits of scikit-learn."""

import sys

import numpy as np
import pytest

from fastnet.data import digits


def test_digits():
    pytest.importorskip("sklearn")
    data = digits()
    assert data.image_shape == (1, 8, 8) and data.X_train.dtype == np.uint8
    assert len(data.y_train) + len(data.y_test) == 1797 and len(data.classes) == 10
    assert data.X_train.min() == 0 and data.X_train.max() == 255
    assert len(np.unique(data.X_train)) == 17
    assert (np.bincount(data.y_test) > 30).all()
    np.testing.assert_array_equal(data.X_test, digits().X_test)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"fastnet-cnn\[datasets\]"):
        digits()

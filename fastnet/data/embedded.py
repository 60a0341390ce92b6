"""Data that is part of an installed package: scikit-learn's handwritten digits."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fastnet.data.dataset import Dataset, assemble

__all__ = ["digits"]


def digits(test: float | int | Literal["all"] = 0.2, seed: int = 0) -> Dataset:
    """1,797 real handwritten digits of 8x8 pixels, embedded in scikit-learn (Alpaydin & Kaynak 1998).

    Parameters
    ----------
    test : float in (0, 1), int, or "all"
        The fraction, or the number, of images drawn as the test set, stratified by digit; 0 draws none, "all" all.
    seed : int
        The same seed draws the same images.

    Returns
    -------
    Dataset
        Images (N, 1, 8, 8) uint8: the source's 17 grey levels, spread over 0 to 255.

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError('digits need scikit-learn: pip install "fastnet-cnn[datasets]"') from error
    source = load_digits()
    X = np.rint(source.images * (255 / 16)).astype(np.uint8)[:, None]
    return assemble("digits", "0123456789", {"train": (X, source.target.astype(np.int64))}, test, seed)

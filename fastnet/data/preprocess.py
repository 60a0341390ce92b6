"""Preprocessing that is fitted on the training data and then applied to every split in the same way."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastnet.arguments import real
from fastnet.arrays import as_array
from fastnet.types import Array, ArrayLike, DTypeLike

__all__ = ["Standardize"]

_CHUNK = 1024


class Standardize:
    """Scale, then subtract each channel's mean and divide by its standard deviation: ``(x / scale - mean) / std``.

    A channel is axis 1: C of (N, C, H, W), or a feature of (N, D).  Call it on a batch or on a whole array:
    ``standardize(X)``.  Solver applies it to each batch and keeps it in its checkpoints.

    Parameters
    ----------
    mean, std : array-like (C,)
        Of the scaled values; std > 0.
    scale : float
        The raw value that is scaled to 1, such as 255 for uint8 images.

    Examples
    --------
    >>> standardize = Standardize.fit(dataset.X_train)  # on training data only
    >>> model.evaluate(standardize(dataset.X_test), dataset.y_test)
    """

    def __init__(self, mean: ArrayLike, std: ArrayLike, scale: float = 1.0) -> None:
        self.mean = np.array(as_array(mean, "Standardize: mean"), dtype=np.float64, ndmin=1)
        self.std = np.array(as_array(std, "Standardize: std"), dtype=np.float64, ndmin=1)
        self.scale = float(scale)
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise ValueError(f"Standardize: mean and std must be (C,), got {self.mean.shape} and {self.std.shape}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0).all()):
            raise ValueError(f"Standardize: mean must be finite and std finite and > 0, got {self.mean} and {self.std}")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"Standardize: scale must be > 0, got {scale!r}")

    def __repr__(self) -> str:
        mean, std = (np.array2string(a, precision=4, threshold=6) for a in (self.mean, self.std))
        return f"Standardize(mean={mean}, std={std}, scale={self.scale:g})"

    @classmethod
    def fit(cls, X: Array, scale: float | None = None) -> Standardize:
        """Measure the mean and standard deviation of each channel of X, in float64, without copying X whole.

        Parameters
        ----------
        X : array (N, C, ...)
            The training data.
        scale : float, optional
            255 for uint8, else 1, by default.

        Raises
        ------
        ValueError
            No data, or values that are not finite.
        """
        X = as_array(X, "Standardize.fit: X")
        if X.ndim < 2 or X.size == 0:
            raise ValueError(f"Standardize.fit: X must have shape (N, C, ...) and hold data, got {X.shape}")
        scale = real(scale, "Standardize.fit: scale") if scale is not None else 255.0 if X.dtype == np.uint8 else 1.0
        if scale <= 0:
            raise ValueError(f"Standardize.fit: scale must be > 0, got {scale:g}")
        count = X.size // X.shape[1]

        def mean_of(function: Callable[[Array], Array]) -> Array:
            total: Array = np.zeros(X.shape[1])
            for start in range(0, len(X), _CHUNK):
                chunk = function(np.moveaxis(X[start : start + _CHUNK], 1, -1).astype(np.float64))
                total += chunk.reshape(-1, X.shape[1]).sum(axis=0)
            total /= count
            return total

        with np.errstate(invalid="ignore", over="ignore"):
            mean = mean_of(lambda x: x)
        if not np.isfinite(mean).all():
            raise ValueError(_not_finite(X))
        std = np.sqrt(mean_of(lambda x: (x - mean) ** 2))
        std = np.where(std > 1e-12 * np.maximum(np.abs(mean), scale), std, scale)  # a constant channel is only centred
        return cls(mean / scale, std / scale, scale)

    def __call__(self, X: Array, dtype: DTypeLike = "float32") -> np.ndarray:
        """A standardised copy of X (N, C, ...), in `dtype`.

        It is computed in float64 where `dtype` cannot hold X or the mean: of 32-bit integers, of a float64 X, and of a
        mean that rounds by more than a millionth of the standard deviation.

        Warns
        -----
        UserWarning
            X is scaled otherwise than the data of `fit`: 0 to 1 rather than 0 to 255, or the reverse.
        """
        X = as_array(X, "Standardize: X")
        if X.ndim < 2 or X.shape[1] != len(self.mean):
            raise ValueError(
                f"Standardize: fitted on {len(self.mean)} channels, which are axis 1 of (N, C, ...), got an array of "
                f"shape {X.shape}{_axes_hint(X.shape, len(self.mean))}"
            )
        shape = (-1,) + (1,) * (X.ndim - 2)
        mean, std = self.mean * self.scale, self.std * self.scale
        self._warn_of_range(X, mean, std)
        exact = np.promote_types(X.dtype, dtype)
        if (np.abs(mean.astype(exact) - mean) > 1e-6 * std).any():
            exact = np.promote_types(exact, np.float64)
        Y = X.astype(exact)
        Y -= mean.astype(exact).reshape(shape)
        Y *= (1 / std).astype(exact).reshape(shape)
        return Y.astype(dtype, copy=False)

    @staticmethod
    def _warn_of_range(X: Array, mean: Array, std: Array) -> None:
        """Compare the range of X with raw values of this mean and deviation, as far as its dtype leaves doubt."""
        divided = X.dtype != np.uint8 and std.max() > 8 and X.size > 0 and X.max() <= 1
        whole = X.dtype == np.uint8 and (np.abs(mean) + std).max() <= 2 and X.size > 0 and X.max() > 16
        if divided or whole:
            ranges = ("0 to 1", "0 to 255") if divided else ("0 to 255", "0 to 1")
            warnings.warn(
                f"Standardize: the images seem to have values from {ranges[0]}, those it was fitted on from "
                f"{ranges[1]}; {'multiply' if divided else 'divide'} by 255",
                stacklevel=3,
            )

    def state_dict(self) -> dict[str, np.ndarray]:
        """Arrays for `from_state_dict`."""
        return {"mean": self.mean, "std": self.std, "scale": np.array(self.scale)}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Standardize:
        return cls(state["mean"], state["std"], float(state["scale"]))


def _not_finite(X: Array) -> str:
    """Why the mean of X is not finite."""
    chunks = (X[start : start + _CHUNK] for start in range(0, len(X), _CHUNK))
    bad = sum(int((~np.isfinite(chunk)).reshape(len(chunk), -1).any(axis=1).sum()) for chunk in chunks)
    if not bad:
        return "Standardize.fit: the values are too large, their sum overflows"
    return (
        f"Standardize.fit: {bad} of {len(X)} images hold NaN or infinite values; leave them out, or replace these with "
        "np.nan_to_num"
    )


def _axes_hint(shape: tuple[int, ...], channels: int) -> str:
    """What to give instead of images with their channels last, or of a single image."""
    if len(shape) == 4 and shape[3] == channels:
        return "; give X.transpose(0, 3, 1, 2)"
    if len(shape) == 3 and channels in (shape[0], shape[2]):
        return f"; give {'X' if shape[0] == channels else 'X.transpose(2, 0, 1)'}[None] of a single image"
    return ""

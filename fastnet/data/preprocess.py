"""Preprocessing that is fitted on the training data and then applied to every split in the same way."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from fastnet.arguments import real
from fastnet.arrays import on_host
from fastnet.data.rows import as_rows, chunks, differ, extremes, not_finite
from fastnet.types import Array, ArrayLike, DTypeLike

__all__ = ["Fitted", "Standardize", "check_fit", "finite_mean"]


Means = Callable[[Callable[[Array], Array]], Array]


class Fitted(ABC):
    """Preprocessing that was fitted on data: checkpoints and models' cards keep its state."""

    @abstractmethod
    def __call__(self, X: Array, dtype: DTypeLike = "float32") -> np.ndarray:
        """The prepared X, in `dtype`."""

    @abstractmethod
    def inverse(self, Y: Array) -> np.ndarray:
        """The raw values of a prepared Y, for pictures."""

    @abstractmethod
    def state_dict(self) -> dict[str, np.ndarray]:
        """Arrays for `from_state_dict`."""


class Standardize(Fitted):
    """Scale, then subtract a mean and divide by a standard deviation: ``(x / scale - mean) / std``.

    Of each channel, which is axis 1, or of each feature, which is an element of an example.  Call it on a batch or on a
    whole array: ``standardize(X)``.  Solver applies it to each batch and keeps it in its checkpoints.

    Parameters
    ----------
    mean, std : array-like (C,) or the shape of an example, (C, H, W)
        Of the scaled values; std > 0.
    scale : float
        The raw value that is scaled to 1, such as 255 for uint8 images.

    Examples
    --------
    >>> standardize = Standardize.fit(dataset.X_train)  # on training data only
    >>> model.evaluate(standardize(dataset.X_test), dataset.y_test)
    >>> Standardize.fit(X, each="feature", divide=False)  # subtracts the mean image, as AlexNet does
    """

    def __init__(self, mean: ArrayLike, std: ArrayLike, scale: float = 1.0) -> None:
        self.mean = np.array(on_host(mean, "Standardize: mean"), dtype=np.float64, ndmin=1)
        self.std = np.array(on_host(std, "Standardize: std"), dtype=np.float64, ndmin=1)
        self.scale = float(scale)
        if self.mean.shape != self.std.shape:
            raise ValueError(
                f"Standardize: mean and std must be (C,) or have an example's shape, got {self.mean.shape} and "
                f"{self.std.shape}"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0).all()):
            raise ValueError(f"Standardize: mean must be finite and std finite and > 0, got {self.mean} and {self.std}")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"Standardize: scale must be > 0, got {scale!r}")

    def __repr__(self) -> str:
        mean, std = (np.array2string(a, precision=4, threshold=6, edgeitems=1) for a in (self.mean, self.std))
        return " ".join(f"Standardize(mean={mean}, std={std}, scale={self.scale:g})".split())

    @classmethod
    def fit(
        cls,
        X: Array,
        scale: float | None = None,
        *,
        each: Literal["channel", "feature"] = "channel",
        divide: bool = True,
    ) -> Standardize:
        """Measure the mean and standard deviation of X, in float64, without copying X whole.

        Parameters
        ----------
        X : array (N, C, ...), or Rows
            The training data.
        scale : float, optional
            255 for uint8, else 1, by default.
        each : "channel" or "feature"
            One mean for each channel (VGG, ResNet), or for each element of an example: the mean image (AlexNet).
        divide : bool
            False: centre only.

        Raises
        ------
        ValueError
            No data, or values that are not finite.
        """
        X, scale = check_fit("Standardize.fit", X, scale)
        mean_of = _means(X, each)
        mean = _finite("Standardize.fit", X, mean_of)
        if divide:
            std = np.sqrt(mean_of(lambda x: (x - mean) ** 2))
            # a constant channel is only centred
            std = np.where(std > 1e-12 * np.maximum(np.abs(mean), scale), std, scale)
        else:
            std = np.full_like(mean, scale)
        return cls(mean / scale, std / scale, scale)

    @classmethod
    def to_range(
        cls,
        X: Array,
        low: float = -1.0,
        high: float = 1.0,
        *,
        each: Literal["channel", "feature"] = "channel",
    ) -> Standardize:
        """Map the smallest value of X, of each channel or feature, to `low` and the largest to `high`.

        Raises
        ------
        ValueError
            No data, values that are not finite, or low >= high.
        """
        low, high = real(low, "Standardize.to_range: low"), real(high, "Standardize.to_range: high")
        if low >= high:
            raise ValueError(f"Standardize.to_range: low must be below high, got {low:g} and {high:g}")
        X, _ = check_fit("Standardize.to_range", X, None)
        least, most = (values.astype(np.float64) for values in extremes(X, _axes(X, each)))
        if not (np.isfinite(least).all() and np.isfinite(most).all()):
            raise ValueError(_not_finite("Standardize.to_range", X))
        std = np.where(most > least, (most - least) / (high - low), 1.0)
        return cls(least - low * std, std)

    def __call__(self, X: Array, dtype: DTypeLike = "float32") -> np.ndarray:
        """A standardised copy of X (N, C, ...), in `dtype`.

        It is computed in float64 where `dtype` cannot hold X or the mean: of 32-bit integers, of a float64 X, and of a
        mean that rounds by more than a millionth of the standard deviation.

        Warns
        -----
        UserWarning
            X is scaled otherwise than the data of `fit`: 0 to 1 rather than 0 to 255, or the reverse.
        """
        X = on_host(X, "Standardize: X")
        channels = self.mean.ndim == 1
        wanted = self.mean.shape
        if X.ndim < 2 or (X.shape[1:2] if channels else X.shape[1:]) != wanted:
            fitted = f"{wanted[0]} channels, which are axis 1 of (N, C, ...)" if channels else f"examples {wanted}"
            raise ValueError(
                f"Standardize: fitted on {fitted}, got an array of shape {X.shape}"
                f"{_axes_hint(X.shape, wanted[0]) if channels else ''}"
            )
        shape = (-1,) + (1,) * (X.ndim - 2) if channels else wanted
        mean, std = self.mean * self.scale, self.std * self.scale
        self._warn_of_range(X, mean, std)
        exact = np.promote_types(X.dtype, dtype)
        if (np.abs(mean.astype(exact) - mean) > 1e-6 * std).any():
            exact = np.promote_types(exact, np.float64)
        Y: np.ndarray = X.astype(exact)
        Y -= mean.astype(exact).reshape(shape)
        Y *= (1 / std).astype(exact).reshape(shape)
        return Y.astype(dtype, copy=False)

    def inverse(self, Y: Array) -> np.ndarray:
        """The raw values of standardised data, in Y's dtype: ``(y * std + mean) * scale``."""
        Y = on_host(Y, "Standardize.inverse: Y")
        shape = (-1,) + (1,) * (Y.ndim - 2) if self.mean.ndim == 1 else self.mean.shape
        result: np.ndarray = (Y * self.std.reshape(shape) + self.mean.reshape(shape)) * self.scale
        return result.astype(Y.dtype)

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


def check_fit(what: str, X: Array, scale: float | None) -> tuple[Array, float]:
    """X as an array or Rows, and the scale."""
    X = as_rows(X, f"{what}: X")
    if X.ndim < 2 or 0 in X.shape:
        raise ValueError(f"{what}: X must have shape (N, C, ...) and hold data, got {X.shape}")
    scale = real(scale, f"{what}: scale") if scale is not None else 255.0 if X.dtype == np.uint8 else 1.0
    if scale <= 0:
        raise ValueError(f"{what}: scale must be > 0, got {scale:g}")
    return X, scale


def finite_mean(what: str, X: Array, each: str) -> Array:
    """The mean of each channel or feature, in float64; ValueError if it is not finite."""
    return _finite(what, X, _means(X, each))


def _finite(what: str, X: Array, mean_of: Means) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        mean = mean_of(lambda x: x)
    if not np.isfinite(mean).all():
        raise ValueError(_not_finite(what, X))
    return mean


def _axes(X: Array, each: str) -> tuple[int, ...]:
    """The axes that a statistic of each channel or feature reduces."""
    if each not in ("channel", "feature"):
        raise ValueError(f'each must be "channel" or "feature", got {each!r}')
    return (0,) if each == "feature" else (0, *range(2, X.ndim))


def _means(X: Array, each: str) -> Means:
    """A function that takes a function of X, and returns its mean for each channel or feature, in float64.

    The function of X gets examples with their channels last if the mean is one of each channel.  X is read a chunk at a
    time; bytes are counted, which reads them once for all means.
    """
    _axes(X, each)
    if each == "feature" and differ(X):
        raise ValueError(
            'images of different sizes have no mean image; measure each="channel", as "standardize" does, or give the '
            "windows that the network sees: OneSize(size).windows(X)"
        )
    if each == "channel" and X.dtype == np.uint8:
        counts = np.zeros((256, X.shape[1]), np.int64)
        for chunk in chunks(X):
            for channel in range(X.shape[1]):
                counts[:, channel] += np.bincount(chunk[:, channel].reshape(-1), minlength=256)
        values, count = np.arange(256.0)[:, None], counts[:, 0].sum()
        return lambda function: (function(values) * counts).sum(axis=0) / count

    def mean_of(function: Callable[[Array], Array]) -> Array:
        total: Array = np.zeros(X.shape[1] if each == "channel" else X.shape[1:])
        for part in chunks(X):
            chunk = part.astype(np.float64)
            if each == "channel":
                total += function(np.moveaxis(chunk, 1, -1)).reshape(-1, X.shape[1]).sum(axis=0)
            else:
                total += function(chunk).sum(axis=0)
        total /= X.size / total.size
        return total

    return mean_of


def _not_finite(what: str, X: Array) -> str:
    """Why the mean of X is not finite."""
    bad = not_finite(X)
    if not bad:
        return f"{what}: the values are too large, their sum overflows"
    return (
        f"{what}: {bad} of {len(X)} images hold NaN or infinite values; leave them out, or replace these with "
        "np.nan_to_num"
    )


def _axes_hint(shape: tuple[int, ...], channels: int) -> str:
    """What to give instead of images with their channels last, or of a single image."""
    if len(shape) == 4 and shape[3] == channels:
        return "; give X.transpose(0, 3, 1, 2)"
    if len(shape) == 3 and channels in (shape[0], shape[2]):
        return f"; give {'X' if shape[0] == channels else 'X.transpose(2, 0, 1)'}[None] of a single image"
    return ""

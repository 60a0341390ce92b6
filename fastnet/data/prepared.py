"""The ways to preprocess images by name, and preprocessing from a saved state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastnet.data.one_size import OneSize
from fastnet.data.pca import PCA
from fastnet.data.preprocess import Fitted, Standardize
from fastnet.types import Array

__all__ = ["PREPROCESSING", "fit", "restore"]

PREPROCESSING: dict[str, Callable[[Array], Fitted]] = {
    "standardize": Standardize.fit,
    "center": lambda X: Standardize.fit(X, divide=False),
    "mean_image": lambda X: Standardize.fit(X, each="feature", divide=False),
    "unit_variance": lambda X: Standardize.fit(X, each="feature"),
    "range": Standardize.to_range,
    "pca": PCA.fit,
    "whiten": lambda X: PCA.fit(X, whiten="zca"),
}
"""Each name's function of the training data."""


_OF_CHANNELS = ("standardize", "center", "range")


def fit(name: str, X: Array, size: tuple[int, int] | None = None) -> Fitted:
    """Fit the preprocessing of this name; with a size, as part of a OneSize.

    Statistics of channels are those of whole images, also then, and statistics of features those of the windows.

    Raises
    ------
    ValueError
        Another name, or data that it cannot be fitted on.
    """
    if name not in PREPROCESSING:
        raise ValueError(f"preprocess must be {', '.join(map(repr, PREPROCESSING))} or callable, got {name!r}")
    if size is None:
        return PREPROCESSING[name](X)
    one = OneSize(size)
    return OneSize(size, PREPROCESSING[name](X if name in _OF_CHANNELS else one.windows(X)))


def restore(state: Mapping[str, Any]) -> Fitted:
    """The preprocessing whose ``state_dict()`` this is."""
    if "one_size" in state:
        height, width, side = (int(number) for number in state["one_size"])
        rest = {name: value for name, value in state.items() if name != "one_size"}
        return OneSize((height, width), restore(rest) if rest else None, side)
    return (PCA if "vectors" in state else Standardize).from_state_dict(state)

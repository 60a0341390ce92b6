"""Hand-crafted image features: histograms of gradients and of hues."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fastnet.classical import hue

__all__ = ["color_histogram_hsv", "extract_features", "hog_feature", "rgb2gray"]


def extract_features(imgs: np.ndarray, feature_fns: Sequence[Callable], verbose: bool = False) -> np.ndarray:
    """All features of all images.

    Parameters
    ----------
    imgs : array, (N, H, W, C)
    feature_fns : list of functions
        Each takes an image, with axes of length 1 removed, and returns a vector.
    verbose : bool
        Print progress after every thousand images.

    Returns
    -------
    array, (N, F)
        F is the sum of the vectors' lengths.
    """
    rows = []
    for position, image in enumerate(imgs):
        rows.append(np.concatenate([np.ravel(f(image.squeeze())) for f in feature_fns]))
        if verbose and position % 1000 == 999:
            print(f"Done extracting features for {position + 1} / {len(imgs)} images")
    return np.array(rows, dtype=float)


def rgb2gray(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) to (...): 0.299 R + 0.587 G + 0.144 B, with the course's weights (blue's is usually 0.114)."""
    return np.dot(rgb[..., :3], [0.299, 0.587, 0.144])


def hog_feature(im: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients: nine directions in cells of 8x8 pixels (Dalal & Triggs 2005, without blocks).

    Gradients are differences to the next pixel.  The direction of (gx, gy) is ``atan2(gy, gx) + 90`` degrees; those
    between 0 and 180 are counted in bins of 20 degrees, weighted by their length.  A cell's entry is the mean over its
    64 pixels, like the value of the course's ``uniform_filter`` at the cell's center; pixels beyond the last complete
    cell are ignored.

    Parameters
    ----------
    im : array, (H, W) or (H, W, 3)

    Returns
    -------
    array, (W // 8 * (H // 8) * 9,)
        Ordered by column of cells, then row, then direction.
    """
    image = rgb2gray(im) if np.ndim(im) == 3 else np.atleast_2d(im)
    image = image.astype(float)
    gx, gy = np.zeros(image.shape), np.zeros(image.shape)
    gx[:, :-1], gy[:-1] = np.diff(image, axis=1), np.diff(image, axis=0)
    length = np.hypot(gx, gy)
    direction = np.degrees(np.arctan2(gy, gx + 1e-15)) + 90
    rows, columns = image.shape[0] // 8, image.shape[1] // 8
    cells = np.zeros((columns, rows, 9))
    for k in range(9):
        counted = np.where((direction >= 20 * k) & (direction < 20 * (k + 1)) & (direction > 0), length, 0)
        blocks = counted[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8)
        cells[:, :, k] = blocks.mean(axis=(1, 3)).T
    return cells.ravel()


def color_histogram_hsv(
    im: np.ndarray, nbin: int = 10, xmin: float = 0, xmax: float = 255, normalized: bool = True
) -> np.ndarray:
    """The histogram of an image's hues.

    Parameters
    ----------
    im : array, (H, W, 3)
        With values from 0 to `xmax`.
    nbin : int
    xmin, xmax : float
        The ends of the scale; hues are in [0, xmax].
    normalized : bool
        Return fractions of the pixels; otherwise counts times the width of a bin, as in the course.

    Returns
    -------
    array, (nbin,)
    """
    edges = np.linspace(xmin, xmax, nbin + 1)
    histogram, _ = np.histogram(hue(im / xmax) * xmax, bins=edges, density=normalized)
    return histogram * np.diff(edges)

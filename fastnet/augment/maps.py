"""The numbers of the warp kernel: which place of an image each output reads.

Places are measured from the image's upper left corner, so the centre of pixel (row, column) is at
(column + 1/2, row + 1/2).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.types import Array

__all__ = ["affine", "around", "enlarged", "perspective", "radial"]

_ONE = 2.0**32
_LIMITS = np.array([2.0**14, 2**14, 2**28, 2**14, 2**14, 2**28, 1, 1])  # no sum of products leaves 64 bits


def _numbers(matrix: Array) -> Array:
    """int64 (N, 13) of matrices (N, 8): a to h."""
    maps = np.zeros((len(matrix), 13), np.int64)
    maps[:, :8] = np.rint(np.clip(matrix, -_LIMITS, _LIMITS) * _ONE)
    return maps


def affine(
    shape: tuple[int, ...], angle: Array, translate: Array, scale: Array, shear: Array, center: Any = None
) -> Array:
    """Rotation clockwise, scale and shear about a centre, then translation; torchvision's parameters and order.

    Parameters
    ----------
    shape : (height, width)
    angle : array (N,)
        In degrees.
    translate : array (N, 2)
        Across and down, in pixels.
    scale : array (N,)
    shear : array (N, 2)
        Along x and y, in degrees.
    center : (across, down), optional
        In pixels, each a number or an array (N,); the middle of the image by default.
    """
    rotation, (sx, sy) = np.radians(angle), np.radians(shear).T
    a, c = np.cos(rotation - sy) / np.cos(sy), np.sin(rotation - sy) / np.cos(sy)
    b, d = -a * np.tan(sx) - np.sin(rotation), -c * np.tan(sx) + np.cos(rotation)
    across, down = (shape[1] / 2, shape[0] / 2) if center is None else center
    x, y = across + translate[:, 0], down + translate[:, 1]
    inverse = np.stack([d, -b, -c, a]) / scale  # of the matrix, whose determinant is that of the scale
    zero = np.zeros(len(angle))
    first = across - inverse[0] * x - inverse[1] * y
    second = down - inverse[2] * x - inverse[3] * y
    return _numbers(np.stack([inverse[0], inverse[1], first, inverse[2], inverse[3], second, zero, zero], axis=1))


def around(shape: tuple[int, ...], angle: Array) -> Array:
    """The sizes (height, width) of images that hold a whole one turned by an angle in degrees: int64 (N, 2)."""
    cos, sin = np.abs(np.cos(np.radians(angle))), np.abs(np.sin(np.radians(angle)))
    H, W = shape
    reach = np.stack([W * sin + H * cos, W * cos + H * sin], axis=1) / 2
    middle, error = np.array([H, W]) / 2, 1e-4  # torchvision's tolerance
    sizes = np.ceil(middle + reach - error) - np.floor(middle - reach + error)
    return np.where(angle[:, None] % 90 == 0, np.rint(2 * reach), sizes).astype(np.int64)


def enlarged(maps: Array, shape: tuple[int, ...], sizes: Array) -> Array:
    """Affine maps for outputs of other sizes, int64 (N, 2), about the same middle."""
    down, across = (sizes - np.array(shape)).T
    moved = maps.copy()
    moved[:, 2] -= (maps[:, 0] * across + maps[:, 1] * down) // 2
    moved[:, 5] -= (maps[:, 3] * across + maps[:, 4] * down) // 2
    return moved


def perspective(starts: Array, ends: Array) -> Array:
    """The projective maps that read four points `starts` at `ends`, float64 (N, 4, 2), (across, down).

    Where points coincide, as the corners of an image of one row do, the least squares solution.
    """
    count = len(ends)
    system = np.zeros((count, 4, 2, 8))
    system[:, :, 0, 0:2] = system[:, :, 1, 3:5] = ends
    system[:, :, 0, 2] = system[:, :, 1, 5] = 1
    system[..., 6:8] = -starts[..., None] * ends[:, :, None, :]
    matrices, values = system.reshape(count, 8, 8), starts.reshape(count, 8)
    return _numbers(np.stack([_solved(*each) for each in zip(matrices, values, strict=True)]))


def _solved(matrix: Array, values: Array) -> Array:
    try:
        return np.linalg.solve(matrix, values)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, values)[0])


def radial(shape: tuple[int, ...], k1: Array, k2: Array) -> Array:
    """Lenses: a pixel at distance r from the centre, 1 in the corners, reads at r (1 + k1 r^2 + k2 r^4)."""
    identity = np.tile([1.0, 0, 0, 0, 1, 0, 0, 0], (len(k1), 1))
    maps = _numbers(identity)
    maps[:, 8], maps[:, 9] = np.rint(k1 * 2**20), np.rint(k2 * 2**20)
    maps[:, 10:12] = np.array([shape[1], shape[0]], np.int64) << 31
    maps[:, 12] = round(2**31 / float(np.hypot(shape[0], shape[1])))
    return maps

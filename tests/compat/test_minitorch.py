"""minitorch's convolutions and pooling against its definitions in loops."""

from __future__ import annotations

import numpy as np
import pytest
from compat.courses import integers

from fastnet.compat import minitorch


def anchored(x, w, sizes, reverse):
    """The course's definition in loops: tap (r, s) multiplies pixel (i + r, j + s), in reverse (i - r, j - s)."""
    sign = -1 if reverse else 1
    out = np.zeros((len(x), len(w), *sizes))
    for i, j, r, s in np.ndindex(*sizes, *w.shape[2:]):
        h, v = i + sign * r, j + sign * s
        if 0 <= h < x.shape[2] and 0 <= v < x.shape[3]:
            out[:, :, i, j] += x[:, :, h, v] @ w[:, :, r, s].T
    return out


def flat(x, order):
    """Storage, shape and strides, in elements; `order` is the order of the axes in memory."""
    storage = np.ascontiguousarray(x.transpose(order))
    strides = [storage.strides[order.index(axis)] // x.itemsize for axis in range(x.ndim)]
    return storage.reshape(-1), np.array(x.shape, np.int32), np.array(strides, np.int32)


SIZES = [(6, 5), (3, 4), (8, 9), (1, 1)]  # the size of the input, smaller (a weight's gradient), larger


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (6, 5), (7, 2)])
def test_minitorch_conv2d(sizes, kernel, reverse):
    x, w = integers((2, 3, 6, 5), 0), integers((4, 3, *kernel), 1)
    out = np.full((2, 4, *sizes), 7.0)
    storage, *layout = flat(out, (1, 0, 2, 3))
    minitorch.tensor_conv2d(storage, *layout, out.size, *flat(x, (1, 0, 3, 2)), *flat(w, (1, 0, 2, 3)), reverse)
    written = storage.reshape(4, 2, *sizes).swapaxes(0, 1)
    np.testing.assert_array_equal(written, anchored(x, w, sizes, reverse))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size, kernel", [(7, 3), (3, 7), (9, 2), (7, 1)])
def test_minitorch_conv1d(size, kernel, reverse):
    x, w = integers((2, 3, 7), 0), integers((4, 3, kernel), 1)
    out = np.zeros((2, 4, size))
    storage, *layout = flat(out, (0, 1, 2))
    minitorch.tensor_conv1d(storage, *layout, out.size, *flat(x, (1, 0, 2)), *flat(w, (2, 0, 1)), reverse)
    expected = anchored(x[:, :, None], w[:, :, None], (1, size), reverse)
    np.testing.assert_array_equal(storage.reshape(out.shape), expected[:, :, 0])


def test_minitorch_refuses_mismatches():
    x, w, out = integers((2, 3, 7), 0), integers((4, 2, 3), 1), np.zeros((2, 4, 7))
    with pytest.raises(ValueError, match="do not fit together"):
        minitorch.tensor_conv1d(*flat(out, (0, 1, 2)), 56, *flat(x, (0, 1, 2)), *flat(w, (0, 1, 2)), False)
    with pytest.raises(ValueError, match="out: shape .* exceeds a storage of 10 elements"):
        minitorch.tensor_conv1d(
            np.zeros(10), (2, 4, 7), (28, 7, 1), 56, *flat(x, (0, 1, 2)), *flat(x, (0, 1, 2)), False
        )


def test_minitorch_pooling():
    x, kernel = integers((2, 3, 6, 8), 0, 0, 3), (2, 4)
    tiles, height, width = minitorch.tile(x, kernel)
    assert tiles.shape == (2, 3, 3, 2, 8) and (height, width) == (3, 2)
    dy = integers((2, 3, 3, 2), 1)
    largest, mean, dmax, dmean = np.zeros(dy.shape), np.zeros(dy.shape), np.zeros(x.shape), np.zeros(x.shape)
    for n, c, p, q in np.ndindex(dy.shape):
        window = x[n, c, 2 * p : 2 * p + 2, 4 * q : 4 * q + 4]
        np.testing.assert_array_equal(tiles[n, c, p, q], window.ravel())
        largest[n, c, p, q], mean[n, c, p, q] = max(window.ravel()), sum(window.ravel()) / 8
        for r, s in np.ndindex(2, 4):
            dmax[n, c, 2 * p + r, 4 * q + s] = dy[n, c, p, q] * (window[r, s] == largest[n, c, p, q])
            dmean[n, c, 2 * p + r, 4 * q + s] = dy[n, c, p, q] / 8
    np.testing.assert_array_equal(minitorch.maxpool2d(x, kernel), largest)
    np.testing.assert_array_equal(minitorch.avgpool2d(x, kernel), mean)
    np.testing.assert_array_equal(minitorch.maxpool2d_backward(dy, x, kernel), dmax)
    np.testing.assert_array_equal(minitorch.avgpool2d_backward(dy, x, kernel), dmean)
    with pytest.raises(ValueError, match="must divide"):
        minitorch.tile(x, (4, 4))

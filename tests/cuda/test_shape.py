"""Ops that move elements, on the device: every element arrives, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet.backends import Ops
from fastnet.ops import REGISTRY

IMAGES = [(1, 1, 1, 1), (2, 3, 5, 7), (3, 33, 6, 11), (0, 3, 2, 2), (2, 40, 1, 1), (1, 1, 9, 4), (2, 65, 3, 13)]


def numbered(shape, dtype):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def run(ops, name, x, dy=None, **attributes):
    """What the op returns, and its gradient by the kernel."""
    op = REGISTRY[name]
    y, saved = ops.kernel(op)(ops.enter(op.inputs[0].role, ops.asarray(x)), **attributes)
    y = ops.to_numpy(y)
    dy = numbered(y.shape, y.dtype) if dy is None else dy
    return y, ops.to_numpy(ops.gradient(op)(ops.asarray(dy), saved, (True,)))


def same(found, expected):
    for got, want in zip(found, expected, strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("shape", [*IMAGES, (2, 5, 9), (3, 4), (2, 3, 2, 2, 2)], ids=str)
def test_flatten_and_back(shape, device, dtype):
    x = numbered(shape, dtype)
    same(run(device, "flatten", x), run(Ops(), "flatten", x))
    rows = x.reshape(shape[0], -1) if shape[0] else np.zeros((0, 12), dtype)
    same(
        run(device, "unflatten", rows, x, shape=shape[1:]),
        run(Ops(), "unflatten", rows, x, shape=shape[1:]),
    )


def test_more_images_than_a_grid_has_layers(device, monkeypatch):
    from fastnet.backends.device import shape

    monkeypatch.setattr(shape, "MOST_ACROSS", 2)
    x = numbered((7, 3, 2, 5), np.float32)
    same(run(device, "flatten", x), run(Ops(), "flatten", x))


@pytest.mark.parametrize("shape", [*IMAGES, (2, 5, 9), (3, 4)], ids=str)
@pytest.mark.parametrize("widths", [(1,), (2, 1), (3, 40, 1)], ids=str)
def test_concat_and_split(shape, widths, device, dtype):
    arrays = [numbered((shape[0], width, *shape[2:]), dtype) + 1000 * n for n, width in enumerate(widths)]
    y = device.concat([device.asarray(x) for x in arrays])
    np.testing.assert_array_equal(device.to_numpy(y), np.concatenate(arrays, axis=1))
    for got, want in zip(device.split(y, widths), arrays, strict=True):
        np.testing.assert_array_equal(device.to_numpy(got), want)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("more", [0, 1, 5])
@pytest.mark.parametrize("shape", IMAGES, ids=str)
def test_subsample(shape, stride, more, device, dtype):
    x, given = numbered(shape, dtype), {"stride": stride, "channels": shape[1] + more}
    same(run(device, "subsample", x, **given), run(Ops(), "subsample", x, **given))


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("shape", [shape for shape in IMAGES if shape[0]], ids=str)
def test_pixel_shuffle_and_back(shape, factor, device, dtype):
    N, C, H, W = shape
    small, large = (numbered(s, dtype) for s in ((N, C * factor**2, H, W), (N, C, H * factor, W * factor)))
    same(run(device, "pixel_shuffle", small, factor=factor), run(Ops(), "pixel_shuffle", small, factor=factor))
    same(run(device, "pixel_unshuffle", large, factor=factor), run(Ops(), "pixel_unshuffle", large, factor=factor))


def test_fewer_threads_than_elements(device, few_blocks):
    x = numbered((2, 7, 9, 11), np.float32)
    y = device.concat([device.asarray(x), device.asarray(x + 5000)])
    np.testing.assert_array_equal(device.to_numpy(y), np.concatenate([x, x + 5000], axis=1))
    same(run(device, "subsample", x, stride=2, channels=9), run(Ops(), "subsample", x, stride=2, channels=9))
    x = numbered((2, 8, 7, 9), np.float32)
    same(run(device, "pixel_shuffle", x, factor=2), run(Ops(), "pixel_shuffle", x, factor=2))

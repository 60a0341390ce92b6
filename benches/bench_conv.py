"""Convolutions, forward and with gradients: naive against fast."""

from __future__ import annotations

import numpy as np
import plain
import pytest

from fastnet.geometry import Conv2dGeometry

SHAPES = {  # N, C, H = W, K, R, stride, padding
    "small": (2, 3, 12, 8, 3, 1, 1),
    "3x3 of 64 channels": (8, 64, 32, 64, 3, 1, 1),
    "7x7 of colour images": (8, 3, 32, 32, 7, 1, 3),
    "1x1": (8, 64, 16, 128, 1, 1, 0),
    "3x3, stride 2": (8, 64, 32, 64, 3, 2, 1),
}


def arrays(N, C, H, K, R, stride, pad):
    rng = np.random.default_rng(0)
    geometry = Conv2dGeometry.make((N, C, H, H), (K, C, R, R), stride, pad)
    shapes = (N, C, H, H), (K, C, R, R), (K,), geometry.y_shape
    return geometry, *(rng.standard_normal(shape, np.float32) for shape in shapes)


@pytest.mark.parametrize("name", SHAPES)
def bench_conv_forward(compare, name):
    geometry, x, w, b, _ = arrays(*SHAPES[name])

    def prepare(ops):
        mine = [ops.asarray(array) for array in (x, w, b)]
        return lambda: [ops.conv2d(*mine, geometry)[0]]

    oracle = (lambda: [plain.conv2d(x, w, b, *SHAPES[name][-2:])]) if name == "small" else None
    compare(f"conv forward, {name}", prepare, oracle)


@pytest.mark.parametrize("name", SHAPES)
def bench_conv_gradients(compare, name):
    geometry, x, w, b, dy = arrays(*SHAPES[name])

    def prepare(ops):
        _, saved = ops.conv2d(*(ops.asarray(array) for array in (x, w, b)), geometry)
        mine = ops.asarray(dy)
        return lambda: list(ops.conv2d_backward(mine, saved))

    compare(f"conv gradients, {name}", prepare)


def bench_conv_plain_loops(loops):
    from fastnet.backends import Ops

    geometry, x, w, b, _ = arrays(*SHAPES["small"])
    expected = [Ops().conv2d(x, w, b, geometry)[0]]
    loops("conv forward, small", lambda: [plain.conv2d(x, w, b, *SHAPES["small"][-2:])], expected)

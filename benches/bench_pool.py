"""2x2 pooling, forward and backward: naive against fast."""

from __future__ import annotations

import numpy as np
import plain
import pytest

from fastnet.geometry import Pool2dGeometry

SHAPES = {"small": (2, 3, 12, 12), "64 channels of 32x32": (16, 64, 32, 32)}


def arrays(name):
    rng, (N, C, H, W) = np.random.default_rng(0), SHAPES[name]
    return rng.standard_normal((N, C, H, W), np.float32), rng.standard_normal((N, C, H // 2, W // 2), np.float32)


@pytest.mark.parametrize("op", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize("name", SHAPES)
def bench_pool(compare, op, name):
    x, dy = arrays(name)
    geometry = Pool2dGeometry.make(x.shape, 2)

    def prepare(ops):
        image, gradient = ops.asarray(x), ops.asarray(dy)

        def call():
            y, saved = getattr(ops, op)(image, geometry)
            return [y, getattr(ops, f"{op}_backward")(gradient, saved)]

        return call

    oracle = (lambda: plain.max_pool2d(x, dy, 2)) if (name, op) == ("small", "max_pool2d") else None
    compare(f"{op}, {name}", prepare, oracle)


def bench_pool_plain_loops(loops):
    from fastnet.backends import Ops

    x, dy = arrays("small")
    y, saved = Ops().max_pool2d(x, Pool2dGeometry.make(x.shape, 2))
    expected = [y, Ops().max_pool2d_backward(dy, saved)]
    loops("max_pool2d, small", lambda: plain.max_pool2d(x, dy, 2), expected)

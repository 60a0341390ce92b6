"""Batch norm in training, forward and backward: naive against fast."""

from __future__ import annotations

import numpy as np
import plain
import pytest

SHAPES = {"small": (4, 8, 6, 6), "64 channels of 32x32": (16, 64, 32, 32), "features": (128, 1024)}


def arrays(name):
    rng, shape = np.random.default_rng(0), SHAPES[name]
    x, dy = rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)
    return x, rng.standard_normal(shape[1], np.float32), rng.standard_normal(shape[1], np.float32), dy


def on(ops, given):
    x, gamma, beta, dy = (ops.asarray(array) for array in given)

    def call():
        y, saved = ops.batch_norm(x, gamma, beta, None, None, True)
        return [y, *ops.batch_norm_backward(dy, saved)]

    return call


@pytest.mark.parametrize("name", SHAPES)
def bench_batch_norm(compare, name):
    given = arrays(name)
    oracle = (lambda: plain.batch_norm(*given)) if name == "small" else None
    compare(f"batch_norm, {name}", lambda ops: on(ops, given), oracle)


def bench_batch_norm_plain_loops(loops):
    from fastnet.backends import Ops

    given = arrays("small")
    loops("batch_norm, small", lambda: plain.batch_norm(*given), on(Ops(), given)())

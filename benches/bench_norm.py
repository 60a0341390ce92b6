"""Normalisations in training, forward and backward: naive against fast."""

from __future__ import annotations

import numpy as np
import plain
import pytest

SHAPES = {"small": (4, 8, 6, 6), "64 channels of 32x32": (16, 64, 32, 32), "features": (128, 1024)}
OTHERS = {  # op: the shape of gamma and beta, or None, and the other arguments, for images of a shape
    "group_norm": lambda shape: (shape[1:2], (8,)),
    "layer_norm": lambda shape: (shape[1:], (shape[1:],)),
    "instance_norm": lambda shape: (shape[1:2], (None, None)),
    "local_response_norm": lambda shape: (None, (5, 5e-4, 0.75, 2.0)),
}


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


@pytest.mark.parametrize("op", OTHERS)
def bench_norms_of_each_image(compare, op):
    rng, shape = np.random.default_rng(0), SHAPES["64 channels of 32x32"]
    x, dy = rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)
    parameters, more = OTHERS[op](shape)
    affine = [] if parameters is None else [rng.standard_normal(parameters, np.float32) for _ in range(2)]

    def prepare(ops):
        entered, gradient = ops.asarray(x), ops.asarray(dy)

        def call():
            y, saved = getattr(ops, op)(entered, *affine, *more)
            found = getattr(ops, f"{op}_backward")(gradient, saved)
            return [y, *(found if isinstance(found, tuple) else (found,))]

        return call

    compare(f"{op}, 64 channels of 32x32", prepare)

"""Updates of many parameters, which run as one batch: the same bits as one by one, in any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from isas import needs_kernels

from fastnet import backends
from fastnet.ops import REGISTRY

SIZES = [1, 0, 17, 8192, 8193, 20_000, *range(60, 200)]  # more than a batch holds
CASES = {
    "sgd_step": (3, {"lr": 0.1, "momentum": 0.9}),
    "adam_step": (4, {"lr": 0.1, "t": 2}),
    "average_step": (2, {"decay": 0.9}),
    "add_penalty": (2, {"l1": 0.1, "l2": 0.2}),
    "limit_norms": (1, {"rows": 4, "after": 5, "limit": 0.5}),
    "rescale": (1, {"factor": 0.3}),
    "clip": (1, {"size": 0.4}),
}


def arrays_of(name, dtype, seed=0):
    rng = np.random.default_rng(seed)
    sizes = [20] * 130 if name == "limit_norms" else SIZES
    made = [tuple(abs(rng.standard_normal(n)).astype(dtype) for _ in range(CASES[name][0])) for n in sizes]
    return [(*arrays, None) for arrays in made] if name == "adam_step" else made  # without amsgrad's array


def attributes_of(name):
    return REGISTRY[name].attributes | CASES[name][1]  # its defaults, and these


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", CASES)
def test_together_as_one_by_one(native, dtype, threads, name, count):
    together, apart = arrays_of(name, dtype), arrays_of(name, dtype)
    threads(1)
    for arrays in apart:
        native.update_each(REGISTRY[name], [arrays], attributes_of(name))
    threads(count)
    native.update_each(REGISTRY[name], together, attributes_of(name))
    for one, other in zip(together, apart, strict=True):
        for x, y in zip(one, other, strict=True):
            assert x is y is None or np.array_equal(x, y)


def test_an_array_that_is_updated_twice_is_updated_in_turn(native, threads):
    threads(2)
    x = np.ones(300_000, np.float32)
    native.update_each(REGISTRY["rescale"], [(x,), (x,), (x,)], {"factor": 3.0})
    np.testing.assert_array_equal(x, 27)


@needs_kernels
def test_a_recorded_batch_runs_again():
    ops, op = backends.NativeOps(), REGISTRY["sgd_step"]

    def given(seed):
        return [x for arrays in arrays_of("sgd_step", np.float32, seed) for x in arrays if x.size]

    def run(arrays):
        parts = [tuple(arrays[i : i + 3]) for i in range(0, len(arrays), 3)]
        ops.update_each(op, parts, attributes_of("sgd_step"))

    first, again, expected = given(1), given(2), given(2)
    with ops.recording(first) as recording:
        run(first)
    recorded = recording.finish([])
    assert recorded is not None, recording.reason
    recorded.run(again)
    run(expected)
    for x, y in zip(again, expected, strict=True):
        np.testing.assert_array_equal(x, y)

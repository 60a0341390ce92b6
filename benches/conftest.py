"""Fixtures that verify an op on the reference backend, on the native one and in plain loops before they time it."""

from __future__ import annotations

import numpy as np
import pytest

from fastnet import backends
from fastnet.bench import difference

SIDES = ["reference", "native"]


@pytest.fixture(params=SIDES)
def side(request):
    """The name of a backend; the benchmark runs once with each name."""
    if request.param not in backends.available_backends():
        pytest.skip(f"backend native is not built: {backends.why_not_native}")
    return request.param


@pytest.fixture
def compare(side, benchmark):
    """``compare(group, prepare, oracle=None)`` verifies, then times ``prepare(ops)()`` on the backend `side`.

    `prepare` makes the data on a backend and returns a function without arguments.  Its results (arrays, floats) are
    compared with the reference backend's; if `oracle` (plain loops) is given, the reference's are compared with its.
    """

    def run(group, prepare, oracle=None, tolerance=1e-3):
        benchmark.group = group
        with backends.use_backend("reference") as ops:
            expected = [np.array(result) for result in prepare(ops)()]
        if oracle is not None:
            assert difference(expected, oracle()) < tolerance
        with backends.use_backend(side) as ops:
            call = prepare(ops)
            assert side == "reference" or difference(call(), expected) < tolerance
            benchmark.pedantic(call, rounds=20 if side == "native" else 3, iterations=1, warmup_rounds=1)

    return run


@pytest.fixture
def loops(benchmark):
    """``loops(group, call, expected)`` verifies a plain-loop version, then times it for a few rounds."""

    def run(group, call, expected, tolerance=1e-3):
        benchmark.group = group
        assert difference(call(), expected) < tolerance
        benchmark.pedantic(call, rounds=2, iterations=1)

    return run

"""Matrix products on the device, by cuBLAS and by our own kernels."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from cases import GEMM, integers, normal
from cuda.dtypes import mostly_float32

from fastnet.backends import Ops

REFERENCE = Ops()
SHAPES = [*GEMM, (3, 1200, 2), (130, 9, 70)]  # M, D, N


@pytest.fixture(params=["cuBLAS", "own"])
def dense(request, device, monkeypatch):
    """The kernels' module, and which products it uses."""
    from fastnet.backends.device import dense

    monkeypatch.setenv("FASTNET_GPU_GEMM", request.param)
    launched = []
    monkeypatch.setattr(dense, "gemm", lambda *given, gemm=dense.gemm: (launched.append(given), gemm(*given)))
    yield dense
    assert bool(launched) == (request.param == "own")


def run(ops, shape, dtype, make, activation=None, bias=True):
    """y, dx, dw, db of a linear layer as NumPy arrays."""
    M, D, N = shape
    x, w, b, dy = (make(each, dtype, seed) for seed, each in enumerate(((M, D), (N, D), (N,), (M, N))))
    given = [ops.contiguous(each) for each in (x, w, b)]
    y, saved = ops.linear(*given[:2], given[2] if bias else None, activation)
    gradients = ops.linear_backward(ops.contiguous(dy), saved)
    return [each if each is None else ops.to_numpy(each) for each in (y, *gradients)]


@mostly_float32("shape", SHAPES)
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)], ids=str)
def test_products_of_whole_numbers_are_exact(shape, transposed, dense, device, dtype):
    M, D, N = shape
    a, b = integers((M, D), dtype, 1), integers((D, N), dtype, 2)
    given = (np.ascontiguousarray(x.T if flip else x) for x, flip in zip((a, b), transposed, strict=True))
    y = device.matmul(*map(device.contiguous, given), transpose_a=transposed[0], transpose_b=transposed[1])
    np.testing.assert_array_equal(device.to_numpy(y), (a @ b).astype(dtype), strict=True)


@mostly_float32("shape", SHAPES)
@pytest.mark.parametrize("activation", [None, ("relu", {})], ids=["", "relu"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", ""])
def test_linear_is_exact_on_whole_numbers(shape, activation, bias, dense, device, dtype):
    found, expected = (run(ops, shape, dtype, integers, activation, bias) for ops in (device, REFERENCE))
    for got, want in zip(found, expected, strict=True):
        assert (got is None) == (want is None)
        if want is not None:
            np.testing.assert_array_equal(got, want, strict=True)


@pytest.mark.parametrize("activation", [("gelu", {}), ("sigmoid", {}), ("scale", {"factor": 0.3})], ids=str)
def test_linear_ends_in_an_activation(activation, dense, device, dtype):
    found, expected = (run(ops, (13, 64, 32), dtype, normal, activation) for ops in (device, REFERENCE))
    for got, want in zip(found, expected, strict=True):
        assert np.linalg.norm(got - want) <= (2e-6 if dtype == np.float32 else 1e-14) * np.linalg.norm(want)


def test_sums_are_those_of_the_oracle(dense, device, dtype):
    a, b = normal((5, 5000), dtype, 1), normal((5000, 3), dtype, 2)
    y = device.to_numpy(device.matmul(device.contiguous(a), device.contiguous(b)))
    expected = oracle.matmul(a, b)
    assert np.linalg.norm(y - expected) <= (2e-6 if dtype == np.float32 else 1e-14) * np.linalg.norm(expected)


def test_captured_streams_use_our_kernels(device, dtype, monkeypatch):
    from fastnet.backends.device import dense

    assert not dense._ours()
    with device.recording([]):
        assert dense._ours()
    assert not dense._ours()
    monkeypatch.setenv("FASTNET_GPU_GEMM", "own")
    assert dense._ours()


def test_batches_of_products(device, dtype):
    from fastnet.backends.device import dense

    a, b = integers((3, 20, 18), dtype, 1), integers((3, 18, 5), dtype, 2)
    y = device.xp.empty((3, 20, 5), dtype)
    dense.gemm(device.contiguous(a), False, device.contiguous(b), False, dense.NOTHING, y)
    np.testing.assert_array_equal(device.to_numpy(y), a @ b)

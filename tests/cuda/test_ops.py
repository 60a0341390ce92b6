"""The backend "cupy": every op as its record says, with kernels of csrc/cuda or CuPy's own functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cuda.devices import ON_GPU

from fastnet.backends import Ops
from fastnet.diagnose.examples import run_example
from fastnet.ops import REGISTRY

WITHOUT_A_KERNEL: set[str] = set()  # they run as their records are written, on CuPy's functions
_CANCELLING = {"rmsprop_step": 10}  # divides by the root of a difference: products rounded before it is taken show


def test_which_ops_have_no_kernel(device):
    """A literal list; the gradients of an op with a kernel are kernels, too, and composed ops call others' kernels."""
    from fastnet.backends.device.arrays import KERNELS

    assert {name for name, op in REGISTRY.items() if name not in KERNELS and not op.composed} == WITHOUT_A_KERNEL
    gradients = {f"{name}_backward" for name, op in REGISTRY.items() if name in KERNELS and op.backward}
    assert gradients | (set(REGISTRY) & set(KERNELS)) == set(KERNELS)


def test_an_op_without_a_kernel_runs_as_its_record_is_written(device, monkeypatch):
    from fastnet.backends.device.arrays import KERNELS

    x, dy = np.random.default_rng(0).normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
    monkeypatch.delitem(KERNELS, "sigmoid")
    monkeypatch.delitem(KERNELS, "sigmoid_backward")
    y, saved = device.sigmoid(device.xp.asarray(x))
    dx = device.sigmoid_backward(device.xp.asarray(dy), saved)
    expected, kept = Ops().sigmoid(x)
    np.testing.assert_allclose(device.to_numpy(y), expected, rtol=1e-6)
    np.testing.assert_allclose(device.to_numpy(dx), Ops().sigmoid_backward(dy, kept), rtol=1e-5)
    assert all(each.transpose(0, 2, 3, 1).flags.c_contiguous for each in (y, dx))


def size(example):
    """How long it takes: of convolutions the products, otherwise the elements."""
    geometry = example.attributes.get("geometry")
    return getattr(geometry, "macs", None) or sum(math.prod(shape) for shape in example.shapes if shape)


def chosen(op, kernels, dtype):
    """The examples. On the emulator, only the smallest of those with the same arguments for ops without a kernel, since
    the ops that they are composed of are tested on all shapes, and in float64, whose kernels are float32's templates.
    """
    if ON_GPU or (op.name in kernels and dtype == np.float32):
        return op.examples
    smallest = {}
    for example in sorted(op.examples, key=size, reverse=True):
        given = example.attributes
        smallest[(*map(bool, example.shapes), *given, *map(str, given.get("activation") or ()))] = example
    return smallest.values()


@pytest.mark.parametrize("op", REGISTRY.values(), ids=REGISTRY)
def test_every_op_computes_what_the_reference_does(op, device, dtype):
    from fastnet.backends.device.arrays import KERNELS

    tolerance = 1e-4 if dtype == np.float32 else 1e-9
    for example in chosen(op, KERNELS, dtype):
        found = run_example(device, op, example, dtype, place=device.xp.asarray)
        expected = run_example(Ops(), op, example, dtype)
        for got, want in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, want, tolerance * _CANCELLING.get(op.name, 1), tolerance)

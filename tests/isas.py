"""The compiled kernels with a chosen instruction set and convolution algorithm, during a test."""

from __future__ import annotations

import contextlib

import pytest

from fastnet import backends
from fastnet.algorithms import get_conv_algorithm, set_conv_algorithm

if backends.NativeOps:
    from fastnet.backends import _native

    ISAS = list(reversed(_native.isas()))
else:
    ISAS = []

needs_kernels = pytest.mark.skipif(
    backends.NativeOps is None, reason=f"the extension was not built: {backends.why_not_native}"
)


@contextlib.contextmanager
def kernels(isa=None, algorithm="direct", guard=True):
    """NativeOps with an instruction set (default: the one in use); each new block is filled with NaN.

    With `guard`, blocks also sit between inaccessible pages, if the system supports it.
    """
    if backends.NativeOps is None:
        pytest.skip(f"the extension was not built: {backends.why_not_native}")
    before = _native.isa(), get_conv_algorithm()
    assert _native.set_isa(isa or before[0])
    set_conv_algorithm(algorithm)
    _native.set_poison(True)
    _native.set_guard(guard)
    try:
        yield backends.NativeOps()
    finally:
        _native.set_guard(False)
        _native.set_poison(False)
        _native.set_isa(before[0])
        set_conv_algorithm(before[1])


@contextlib.contextmanager
def speed(**values):
    """Some SPEED values of csrc/tuning.h; needs the kernels."""
    _native.set_speed(**values)
    try:
        yield
    finally:
        _native.reset_speed()

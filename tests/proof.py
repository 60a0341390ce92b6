"""What each op owes, whatever it computes: check() runs it in every variant.

It must be near the reference in float64, have the same bits on every instruction set with FMA, at every number of
threads and wherever its arrays lie, and never read or write outside them.  Arrays lie between pages without access, so
that a look outside is a segmentation fault, and blocks hold NaN until a kernel has written them.

The properties of tests/backends/test_properties.py draw random sizes and call it; an op that is new is proved by a
property there.
"""

from __future__ import annotations

import numpy as np
from guarded import guarded
from isas import ISAS, kernels

from fastnet import backends

if backends.NativeOps:
    from fastnet.backends import _native

FUSED = [isa for isa in ISAS if isa != "portable"]  # those with FMA: products are fused with sums
# instruction set, threads, whether inputs lie at the end of their pages
VARIANTS = [(isa, threads, threads % 2 == 0) for isa in FUSED for threads in (2, 1, 3, 7)]
VARIANTS += [("portable", 1, True), ("portable", 3, False)]  # rounds otherwise, always in the same way
TOLERANCE = {np.float32: 1e-3, np.float64: 1e-9}


def placed(array, layout, at_end):
    """A guarded copy; of four axes, in the layout."""
    if array.ndim == 4 and layout == "channels-last":
        return guarded(np.moveaxis(np.moveaxis(array, 1, 3).copy(), 3, 1), at_end)
    return guarded(np.ascontiguousarray(array), at_end)


def check(compute, arrays, layout="c-order", algorithm="auto"):
    """Run ``compute(ops, *arrays)``, which returns named arrays, in every variant.

    Results whose names begin with "~" need not be near the reference's, since a ReLU before them may round to either
    side of 0.
    """
    double = [array.astype(np.float64) if array.dtype.kind == "f" else array.copy() for array in arrays]
    expected = compute(backends.Ops(), *double)
    tolerance = TOLERANCE[next(array.dtype.type for array in arrays if array.dtype.kind == "f")]
    first, before = {}, _native.threads()
    try:
        for isa, threads, at_end in VARIANTS:
            _native.set_threads(threads)
            with kernels(isa, algorithm) as ops:
                got = compute(ops, *(placed(array, layout, at_end) for array in arrays))
                bits = {name: array.tobytes() for name, array in got.items()}
            known = first.setdefault(isa in FUSED, bits)
            assert [name for name in bits if bits[name] != known[name]] == [], f"{isa}, {threads} threads"
            for name, array in got.items():
                scale = max(1.0, abs(expected[name]).max(initial=0))
                assert array.shape == expected[name].shape, name
                far = abs(array - expected[name]) > tolerance * scale
                assert not far.any() or name[0] == "~", f"{name}, {isa}"
                assert not np.isnan(array).any(), f"{name}, {isa}"
    finally:
        _native.set_threads(before)
    return first

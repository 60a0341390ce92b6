"""The guarantees of every op: in_every_variant() runs it, and check() compares it with the reference.

It must be near the reference in float64, have the same bits on every instruction set with FMA, for every number of
threads and position of its arrays, and never access memory outside them. Arrays sit between inaccessible pages, so that
an access outside is a segmentation fault, and blocks hold NaN until a kernel has written them.

tests/backends/test_every_op.py runs the examples of every op's record in every variant.  The properties of
tests/backends/test_properties.py draw random sizes and call check(); a new op that is neither elementwise nor an update
needs a property there.
"""

from __future__ import annotations

from functools import partial
from itertools import cycle

import numpy as np
from guarded import guarded
from isas import ISAS, kernels

from fastnet import backends

if backends.NativeOps:
    from fastnet.backends import _native

FUSED = [isa for isa in ISAS if isa != "portable"]  # those with FMA: products are fused with sums
PLAIN = [isa for isa in ISAS if isa == "portable"]  # rounds differently, but always in the same way
THREADS = {isa: (2, 1, 3, 7) if isa == ISAS[-1] else (1, 7) for isa in (*FUSED, *PLAIN)}  # the best one gets more
# instruction set, threads, whether inputs lie at the end of their pages
VARIANTS = [(isa, threads, threads < 3) for isa, counts in THREADS.items() for threads in counts]
TOLERANCE = {np.float32: 1e-3, np.float64: 1e-9}


def placed(array, layout, at_end):
    """A guarded copy; of four axes, in the layout."""
    if array.ndim == 4 and layout == "channels-last":
        return guarded(np.moveaxis(np.moveaxis(array, 1, 3).copy(), 3, 1), at_end)
    return guarded(np.ascontiguousarray(array), at_end)


def in_every_variant(compute, layouts, algorithm="auto"):
    """Run ``compute(ops, place)``, which returns named arrays, in every variant; the bits must be the same.

    ``place(array)`` returns it in the layout to be tested; `layouts` alternate.  Yields the variant's name and results.
    """
    first, before = {}, _native.threads()
    try:
        for (isa, threads, at_end), layout in zip(VARIANTS, cycle(layouts), strict=False):
            _native.set_threads(threads)
            with kernels(isa, algorithm) as ops:
                got = compute(ops, partial(placed, layout=layout, at_end=at_end))
                bits = {name: array.tobytes() for name, array in got.items()}
            variant = f"{isa}, {threads} threads, {layout}"
            known = first.setdefault(isa in FUSED, bits)
            assert [name for name in known if bits[name] != known[name]] == [], variant
            for name, array in got.items():
                assert not np.isnan(array).any(), f"{name}, {variant}"
            yield variant, got
    finally:
        _native.set_threads(before)


def check(compute, arrays, layout="c-order", algorithm="auto"):
    """Run ``compute(ops, *arrays)``, which returns named arrays, in every variant, and compare it with the reference's.

    Results whose names begin with "~" need not be near the reference's, since a ReLU before them may round to either
    side of 0.
    """
    double = [array.astype(np.float64) if array.dtype.kind == "f" else array.copy() for array in arrays]
    expected = compute(backends.Ops(), *double)
    dtype = next((array.dtype.type for array in arrays if array.dtype.kind == "f"), np.float64)
    runs = in_every_variant(lambda ops, place: compute(ops, *map(place, arrays)), [layout], algorithm)
    for variant, got in runs:
        for name, array in got.items():
            scale = max(1.0, abs(expected[name]).max(initial=0))
            assert array.shape == expected[name].shape, name
            far = abs(array - expected[name]) > TOLERANCE[dtype] * scale
            assert not far.any() or name[0] == "~", f"{name}, {variant}"

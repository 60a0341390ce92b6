"""Updates of parameters and gradients, in place, and sums over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate as running
from itertools import pairwise
from typing import Any

import numpy as np

from fastnet.backends import _native
from fastnet.backends.native.arrays import KERNELS, c_order, extents, kernel
from fastnet.ops.checks import FLOATS
from fastnet.types import Array

Arrays = tuple[Array | None, ...]

# Each updates several parameters in one call: function(list of arrays of a parameter, **attributes).
UPDATES: dict[str, Callable[..., None]] = {
    "sgd_step": _native.sgd_step,
    "adagrad_step": _native.adagrad_step,
    "rmsprop_step": _native.rmsprop_step,
    "adadelta_step": _native.adadelta_step,
    "adam_step": _native.adam_step,
    "average_step": _native.average_step,
    "add_penalty": _native.add_penalty,
    "limit_norms": _native.limit_norms,
    "nadam_step": _native.nadam_step,
    "rescale": _native.rescale,
    "clip": _native.clip,
}


def _single(update: Callable[..., None]) -> Callable[..., None]:
    return lambda *arrays, **attributes: update([arrays], **attributes)


KERNELS.update({name: _single(update) for name, update in UPDATES.items()})


@kernel
def power_sums(x: Array) -> tuple[float, float]:
    return _native.power_sums(x.size, x)


def power_sums_each(given: Sequence[Array]) -> list[tuple[float, float]]:
    """power_sums of each of several float arrays in C order, in one batch, with the same bits."""
    ends = list(running(-(-x.size // _native.SUMS_BLOCK) for x in given))
    sums = np.empty((ends[-1] if ends else 0, 2))
    parts = [sums[first:last] for first, last in pairwise([0, *ends])]
    _native.block_sums(list(zip(given, parts, strict=True)))
    with np.errstate(over="ignore"):
        totals = [np.add.accumulate(part)[-1].tolist() if len(part) else (0.0, 0.0) for part in parts]
    return [(magnitudes, squares) for magnitudes, squares in totals]


@kernel
def accumulate(total: Array, x: Array) -> None:
    _native.add(total.size, total, x, total)


def in_place(
    function: Callable[..., Any], changes: Sequence[bool], arrays: Sequence[Array | None], attributes: Mapping[str, Any]
) -> None:
    """Run an update; arrays that are not in C order are copied, and those that it changes copied back."""
    dense = [None if x is None else c_order(x) for x in arrays]
    function(*dense, **attributes)
    for array, copy, changed in zip(arrays, dense, changes, strict=True):
        if changed and array is not None and copy is not None and copy is not array:
            _write(array, copy)


def _write(array: Array, copy: Array) -> None:
    """Assign a copy in C order; by a kernel where there is one, so that recordings know of it."""
    if _native.layout(array) & 1 and array.dtype in FLOATS:
        N, pixels, C = extents(array.shape)
        _native.to_channels_last(N, C, pixels, copy, array)
    else:
        array[...] = copy

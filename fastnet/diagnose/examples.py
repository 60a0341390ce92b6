"""Runs the examples of an op's record: for fingerprints, and for the tests of every op.

Inputs are Philox numbers, so they depend on neither NumPy's generators nor a C library.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnet.ops import Example, Op, philox
from fastnet.types import Array, DType

__all__ = ["arguments", "labels", "numbers", "run_example"]


def numbers(shape: tuple[int, ...], dtype: DType, stream: int) -> Array:
    """Uniform in [-1, 1), with all bits of the dtype's precision."""
    return _numbers(tuple(shape), np.dtype(dtype), stream).copy()


@functools.lru_cache(64)  # an example runs again in each variant
def _numbers(shape: tuple[int, ...], dtype: DType, stream: int) -> Array:
    count = math.prod(shape)
    if dtype == np.float32:
        return (2 * philox.uniform(stream, 0, count, dtype) - 1).reshape(shape)
    high, low = philox.words(stream, 0, 2 * count).astype(np.float64).reshape(2, count)
    return (((high * 2**20 + low // 2**12) - 2**51) * 2.0**-51).reshape(shape)


def labels(count: int, classes: int, stream: int) -> Array:
    """Class numbers."""
    return (philox.words(stream, 0, count) % classes).astype(np.int64)


def arguments(op: Op, example: Example, dtype: DType) -> tuple[list[Any], dict[str, Any]]:
    """New (arrays, attributes): updates change their arrays, and random streams advance."""
    inputs = op.inputs * len(example.shapes) if op.variadic else op.inputs
    arrays: list[Any] = []
    for i, (given, shape) in enumerate(zip(inputs, example.shapes, strict=True)):
        if shape is None:
            arrays.append(None)
        elif given.integer:
            arrays.append(labels(math.prod(shape), arrays[0].shape[1], i).reshape(shape))
        else:
            array = numbers(shape, dtype, i) * dtype.type(example.scale)
            if given.name in example.positive:
                array = abs(array)
            elif given.name in example.signs:
                array = np.where(array > 0, dtype.type(1), dtype.type(-1))
            elif given.name == example.distribution:
                array = abs(array) / abs(array).sum(axis=1, keepdims=True)
            arrays.append(array)
    return arrays, {name: copy.copy(value) for name, value in {**op.attributes, **example.attributes}.items()}


def run_example(
    ops: Any,
    op: Op,
    example: Example,
    dtype: DType,
    place: Callable[[Array], Array] = np.asarray,
) -> list[Array]:
    """Everything that the op computes: results, gradients, and arrays updated in place.

    ``place(array)`` returns an argument in the memory layout to be tested.
    """
    arrays, attributes = arguments(op, example, dtype)
    arrays = [None if array is None else place(array) for array in arrays]
    if "dtype" in attributes:
        attributes["dtype"] = dtype
    result = getattr(ops, op.name)(*([arrays] if op.variadic else arrays), **attributes)
    moved = [
        array
        for given, array in zip(op.inputs, arrays, strict=False)
        if array is not None and (given.name in op.in_place or given.name.startswith("running_"))
    ]
    if op.backward is None or op.plain:
        return _arrays(ops, [result, moved])
    y, saved = result
    more = {"add": place(numbers(arrays[0].shape, dtype, 98))} if op.accumulates else {}
    gradients = getattr(ops, f"{op.name}_backward")(place(numbers(y.shape, dtype, 99)), saved, **more)
    return _arrays(ops, [y, gradients, moved])


def _arrays(ops: Any, value: Any) -> list[Array]:
    """All arrays and numbers in lists and tuples, as NumPy arrays."""
    if isinstance(value, (tuple, list)):
        return [array for item in value for array in _arrays(ops, item)]
    if value is None:
        return []
    return [ops.to_numpy(value) if hasattr(value, "dtype") else np.asarray(value, np.float64)]

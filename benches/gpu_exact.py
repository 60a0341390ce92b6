"""gpu_check.py: from data of small integers, the GPU computes exactly the CPU's numbers.

An op belongs here if the reference finds the same whole run of numbers in float32 and in float64: then no product or
sum was rounded, so neither order nor fusion can matter.  Convolutions are direct on both sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import gpu_rows
import numpy as np
import workloads
from gpu_rows import Row, Settings

import fastnet as fn
from fastnet.backends import Ops
from fastnet.diagnose.examples import run_example
from fastnet.ops import REGISTRY, Example, Op

DTYPES = np.dtype("float32"), np.dtype("float64")
LARGER = [  # N, C, H = W, K, R = S, stride, padding, groups: more than a block in every axis
    *[(N // 4, *rest) for shapes in workloads.OTHERS.values() for N, *rest in shapes if N >= 32 and rest[1] <= 56],
    *[(N // 8, C, H, K, 3, 1, 1, 1) for N, C, H, K in workloads.MID_SIZE if N >= 32],
]

QUICK = "relu6", "concat", "matmul", "tanh"


def whole(array: np.ndarray) -> np.ndarray:
    """Numbers of [-1, 1) as integers from -4 to 4; signs and labels stay what they are."""
    if array.dtype.kind != "f" or (abs(array) == 1).all():
        return array
    return np.rint(4 * array)


def same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def exact(op: Op, example: Example) -> bool:
    """Whether rounding has no part in what the op computes of integers."""
    try:
        single, double = (run_example(Ops(), op, example, dtype, whole) for dtype in DTYPES)
    except ValueError:  # it takes probabilities
        return False
    return same(single, double) and all(np.isfinite(array).all() for array in single)


def differing(device: Ops, names: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """How many examples of each op are exact, in both dtypes, and what differs between the CPU and the device."""
    counts, wrong = {}, []
    for name in names:
        op = REGISTRY[name]
        for example in op.examples:
            if not exact(op, example):
                continue
            counts[name] = counts.get(name, 0) + 1
            for dtype in DTYPES:
                expected = run_example(gpu_rows.host(), op, example, dtype, whole)
                if said := difference(expected, run_example, device, op, example, dtype, partial(placed, device)):
                    wrong.append(f"{name} of {dtype} {example.shapes}{said}")
    return counts, wrong


def placed(device: Ops, array: np.ndarray) -> Any:
    return device.asarray(whole(array))


def difference(expected: list[np.ndarray], function: Callable[..., list[np.ndarray]], *given: Any) -> str:
    """Why a function does not give what is expected, or ""."""
    try:
        return "" if same(function(*given), expected) else " differs"
    except Exception as error:  # after one of CUDA's, all further calls fail: the first names its cause
        return f": {type(error).__name__}: {gpu_rows.first_line(str(error))}"


def layers(case: dict[str, Any], dtype: np.dtype[Any], ops: Ops) -> list[np.ndarray]:
    """A convolution, its gradients, and 2x2 max pooling of its result and the gradient, on a backend."""
    x, w, b, dy = map(whole, workloads.data({**case, "dtype": dtype.name}))
    stride, pad, groups = case["shape"][-3:]
    with fn.use_backend(ops.name):
        y, backward = fn.functional.conv2d(x, w, b, stride, pad, groups=groups)
        pooled, unpool = fn.functional.max_pool2d(y, 2)
        return [y, *backward(dy), pooled, unpool(pooled)]


def rows(settings: Settings) -> Iterator[Row]:
    fn.set_conv_algorithm("direct")
    with gpu_rows.device() as device:
        names = QUICK if settings.quick else list(REGISTRY)
        counts, wrong = differing(device, names)
        found = f"{sum(counts.values())} examples of {len(counts)} of {len(names)} ops, float32 and float64"
        yield Row("ops", bool(counts) and not wrong, listed(found, wrong), {"examples": counts, "differ": wrong})
        shapes = [(2, 5, 7, 3, 3, 2, 1, 1)] if settings.quick else LARGER
        cases, wrong = [{**workloads.conv(*shape), "kind": "exact"} for shape in shapes], []
        for case, dtype in itertools.product(cases, DTYPES):
            if said := difference(layers(case, dtype, gpu_rows.host()), layers, case, dtype, device):
                wrong.append(f"{case['name']}, {dtype}{said}")
        found = f"{len(cases)} convolutions with gradients and max pooling, float32 and float64"
        yield Row("larger layers", not wrong, listed(found, wrong), {"differ": wrong})


def listed(found: str, wrong: list[str]) -> str:
    """What was compared, and what is wrong."""
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return f"{found}; {'; '.join(wrong[:3])}{more}" if wrong else f"{found}: the CPU's numbers"

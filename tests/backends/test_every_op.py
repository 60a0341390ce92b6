"""Every op of the registry: the same bits however it runs, and no access outside its arrays.

tests/test_contract.py checks on the same examples that kernels compute what the record says.
"""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from proof import check, in_every_variant
from randomized import examples

from fastnet import backends
from fastnet.diagnose.examples import arguments, numbers, run_example
from fastnet.geometry import Conv2dGeometry
from fastnet.ops import REGISTRY, Example

if backends.NativeOps is None:
    pytest.skip(f"the extension was not built: {backends.why_not_native}", allow_module_level=True)


def convolution(x, w, *arguments):
    return Example((x, w, w[:1]), {"geometry": Conv2dGeometry.make(x, w, *arguments)})


MORE = {  # paths of kernels that the records' examples do not reach
    "conv2d": (
        convolution((6, 3, 19, 17), (32, 3, 3, 3), 2, 1),
        convolution((9, 24, 12, 11), (24, 1, 3, 3), 1, 1, 1, 24),
        convolution((5, 20, 13, 11), (20, 1, 5, 5), 2, 2, 1, 20),
        convolution((6, 24, 11, 13), (24, 4, 3, 3), 1, 1, 1, 6),
        convolution((7, 12, 11, 12), (18, 4, 3, 3), 2, 1, 1, 3),
        convolution((1, 3, 61, 110), (20, 3, 3, 3), 2, 1),
        convolution((40, 8, 6, 6), (16, 8, 3, 3), 1, 1),
        convolution((1, 150, 7, 7), (40, 150, 3, 3), 1, 1),
    ),
    "linear": (Example(((700, 64), (10, 64), (10,))), Example(((1, 3000), (40, 3000), (40,)))),
}
RUNS = [
    (op, algorithm)
    for op in REGISTRY.values()
    for algorithm in (("auto", "direct", "winograd") if op.name.startswith("conv2d") else ("auto",))
]


# Beside the examples' relu: one with its gradient from y, one from x. test_activations and test_fusion have all.
# Convolutions end in them with "auto", which is "direct" in most examples, and with "winograd".
ENDS = ("selu", "gelu")


def with_slopes(op, example):
    """Whether the op ends in a PReLU already."""
    return any(i.name == "slopes" and shape for i, shape in zip(op.inputs, example.shapes, strict=False))


@pytest.mark.parametrize("op, algorithm", RUNS, ids=[f"{op.name}-{algorithm}" for op, algorithm in RUNS])
def test_the_same_bits_in_every_variant(op, algorithm, dtype):
    others = [(name, dict(REGISTRY[name].attributes)) for name in op.activations if name in ENDS]
    ends = [
        dataclasses.replace(example, attributes={**example.attributes, "activation": activation})
        for example in op.examples
        for activation in others
        if algorithm != "direct" and not with_slopes(op, example)
    ]
    for example in (*op.examples, *MORE.get(op.name, ()), *ends):

        def compute(ops, place, example=example):
            return dict(enumerate(run_example(ops, op, example, dtype, place)))

        for _ in in_every_variant(compute, ("channels-last", "c-order"), algorithm):
            pass


# ---------------------------------------------------------------- arrays of one shape: any shape

ALIKE = [op for op in REGISTRY.values() if op.elementwise or op.in_place or op.name in ("add", "dropout")]
ALIKE.remove(REGISTRY["limit_norms"])  # its rows depend on the shape
channels, sizes = st.integers(1, 70), st.integers(1, 14)
shapes = st.one_of(st.tuples(st.integers(1, 40000)), st.tuples(st.integers(1, 4), channels, sizes, sizes))
VALUES = {"weight_decay": (0.0, 0.1), "dampening": (0.0, 0.25), "momentum": (0.0, 0.5, 0.9)}


@pytest.mark.parametrize("op", ALIKE, ids=[op.name for op in ALIKE])
@examples(40)
@given(shapes, st.sampled_from(["float32", "float64"]), st.sampled_from(["channels-last", "c-order"]), st.data())
def test_arrays_of_one_shape_and_any_size(op, shape, dtype, layout, data):
    dtype, example = np.dtype(dtype), op.examples[0]
    here = [not i.optional or data.draw(st.booleans(), label=i.name) for i in op.inputs]
    example = dataclasses.replace(example, shapes=tuple(shape if known else None for known in here))
    arrays, attributes = arguments(op, example, dtype)
    for name, value in attributes.items():
        values = (False, True) if isinstance(value, bool) else VALUES.get(name)
        if values:
            attributes[name] = data.draw(st.sampled_from(values), label=name)

    def compute(ops, dy, *given):
        given = iter(given)
        given = {i.name: next(given) if known else None for i, known in zip(op.inputs, here, strict=True)}
        result = getattr(ops, op.name)(**given, **{name: copy.copy(value) for name, value in attributes.items()})
        if op.in_place:
            assert result is None
            return {name: array for name, array in given.items() if array is not None}
        if op.plain:
            return {"y": result}
        return {"y": result[0], "dx": getattr(ops, f"{op.name}_backward")(dy, result[1])}

    check(compute, [numbers(shape, dtype, 99), *(array for array in arrays if array is not None)], layout)


@examples(40)
@given(shapes, st.sampled_from(["float32", "float64"]), st.integers(0, 2**64 - 1), st.integers(0, 2**62 - 40000))
def test_random_numbers_of_any_shape(shape, dtype, seed, offset):
    check(lambda ops: {"u": ops.random_uniform(shape, dtype, seed, offset)}, [])

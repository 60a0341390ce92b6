"""Every op of the registry, on every backend, behaves as its record says."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from pathlib import Path

import numpy as np
import pytest
from isas import ISAS, kernels, needs_kernels

import fastnet
from fastnet import backends, functional
from fastnet.backends import NativeOps, Ops
from fastnet.diagnose.examples import arguments, numbers, run_example
from fastnet.geometry import Pool2dGeometry
from fastnet.graph import Recorder
from fastnet.ops import FAMILIES, REGISTRY
from fastnet.ops.fused_prelu import AFTER

EVERY = pytest.mark.parametrize("op", REGISTRY.values(), ids=REGISTRY)
DIFFERENTIABLE = pytest.mark.parametrize(
    "op", [op for op in REGISTRY.values() if op.backward], ids=[op.name for op in REGISTRY.values() if op.backward]
)

# Ops without a kernel, which the native backend composes of ops that have kernels, or runs on NumPy.
WITHOUT_A_KERNEL = {"linear_of_images"}
# Ops that functional does not offer: fused ones, and what only gradients, losses and optimisers call.
NOT_FUNCTIONAL = {
    *("add_penalty", "drop_weights", "limit_norms", "power_sums"),
    *("accumulate", "add", "concat", "random_uniform", "scalar_affine", "split", "subsample", "unflatten"),
    *("adadelta_step", "adagrad_step", "adam_step", "nadam_step", "rmsprop_step", "sgd_step"),
    *("average_step", "clip", "rescale", "softmax_cross_entropy", "svm_loss"),
    *("bce_with_logits", "binary_hinge_loss", "huber_loss", "l1_loss", "mse_loss"),
    *("soft_cross_entropy", "squared_hinge_loss", "conv2d_maxout", *AFTER.values()),
    *("batch_norm_activation", "conv2d_batch_norm", "conv2d_max_pool", "conv2d_post", "conv2d_scaled"),
    *("l1_distances", "linear_of_images", "max_pool2d_planes"),
}


def public_methods(cls):
    return {name for name, _ in inspect.getmembers(cls, callable) if not name.startswith("_")} - {"xp"}


# ---------------------------------------------------------------- records


@EVERY
def test_a_record_is_complete(op):
    assert op.doc and op.examples, "a formula, and arguments on which it can be run"
    assert op.name == op.name.lower() and op.name.isidentifier()
    names = [given.name for given in op.inputs] + list(op.attributes)
    assert len(set(names)) == len(names)
    assert set(op.in_place) <= {given.name for given in op.inputs}
    assert not (op.elementwise and len(op.attributes) > 2), "elementwise kernels take two numbers"


def test_families_are_modules_of_one_noun():
    assert len(FAMILIES) == len({family.__name__ for family in FAMILIES})


@EVERY
def test_every_backend_has_the_op_as_a_method_with_its_signature(op):
    for cls in filter(None, (Ops, NativeOps)):
        signature = inspect.signature(getattr(cls, op.name))
        got = [(p.name, p.default) for p in list(signature.parameters.values())[1:]]
        assert got == [(p.name, p.default) for p in op.signature.parameters.values()]
        assert getattr(cls, op.name).__doc__ == op.doc
        has_gradient = op.backward is not None and not op.plain
        assert hasattr(cls, f"{op.name}_backward") == has_gradient


def test_backends_have_no_other_methods_than_ops_and_arrays():
    plumbing = {"ahead", "asarray", "call", "call_gradient", "contiguous", "empty", "enter", "gradient", "kernel"}
    plumbing |= {"own", "plan", "power_sums_each", "protected", "recall", "recording", "records", "smallest"}
    plumbing |= {"to_numpy", "update", "update_each", "zeros"}
    ops = set(REGISTRY) | {f"{op.name}_backward" for op in REGISTRY.values()}
    for cls in filter(None, (Ops, NativeOps)):
        assert public_methods(cls) - ops == plumbing


@needs_kernels
def test_which_ops_have_kernels():
    from fastnet.backends.native.arrays import KERNELS

    forward = {name for name in REGISTRY if name in KERNELS}
    assert set(REGISTRY) - forward == WITHOUT_A_KERNEL
    backward = {name.removesuffix("_backward") for name in KERNELS if name.endswith("_backward")}
    assert backward == {op.name for op in REGISTRY.values() if op.backward} - WITHOUT_A_KERNEL
    assert forward | {f"{name}_backward" for name in backward} == set(KERNELS), "a kernel of no op"


@needs_kernels
def test_elementwise_kernels_are_those_of_the_records():
    from fastnet.backends import _native

    assert set(_native.ELEMENTWISE) == {op.name for op in REGISTRY.values() if op.elementwise}


def test_functional_has_every_op_for_people():
    offered = set(functional.__all__)
    assert offered == set(REGISTRY) - NOT_FUNCTIONAL
    for op in REGISTRY.values():
        if op.elementwise:
            assert inspect.signature(getattr(functional, op.name)) == op.signature
            assert op.doc in getattr(functional, op.name).__doc__


# ---------------------------------------------------------------- what they compute


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_recorder_knows_the_result_s_shape_and_dtype(op, dtype):
    """Recorded shapes are the shapes that the op computes."""
    if op.backward is None and not op.composed:
        pytest.skip("layers do not call it")
    for example in op.examples:
        arrays, attributes = arguments(op, example, np.dtype(dtype))
        recorder = Recorder()
        nodes = [None if a is None else recorder.source(a.shape, a.dtype, a) for a in arrays]
        node = getattr(recorder, op.name)(*([nodes] if op.variadic else nodes), **attributes)
        y = run_example(Ops(), op, example, np.dtype(dtype))[0]
        assert (node.shape, node.dtype) == (y.shape, y.dtype)


@needs_kernels
@EVERY
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_compute_what_the_record_says(op, isa, dtype):
    dtype, tolerance = np.dtype(dtype), {"float32": 2e-4, "float64": 1e-10}[dtype]
    for example in op.examples:
        expected = run_example(Ops(), op, example, dtype)
        with kernels(isa, "auto") as ops:
            got = run_example(ops, op, example, dtype)
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert one.dtype == other.dtype and one.shape == other.shape
            scale = max(1.0, np.abs(other).max(initial=0))
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)


@needs_kernels
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("op", [op for op in REGISTRY.values() if len(op.activations) > 1], ids=lambda op: op.name)
def test_every_activation_that_an_op_may_end_in(op, pooled, isa, dtype):
    if pooled and "pool_geometry" not in op.attributes:
        pytest.skip("no pooling")
    dtype, tolerance = np.dtype(dtype), {"float32": 2e-4, "float64": 1e-10}[dtype]
    example = op.examples[0]
    for name in op.activations:
        attributes = {**example.attributes, "activation": (name, dict(REGISTRY[name].attributes))}
        shapes = list(example.shapes)
        if pooled:  # a convolution alone before it
            shapes[3:] = [None] * (len(shapes) - 3)
            attributes["pool_geometry"] = Pool2dGeometry.make(attributes["geometry"].y_shape, 2)
        elif op.name in ("conv2d_post", "conv2d_scaled"):
            shapes[-2] = None  # PReLU's slopes
        changed = dataclasses.replace(example, shapes=tuple(shapes), attributes=attributes)
        expected = run_example(Ops(), op, changed, dtype)
        with kernels(isa, "auto") as ops:
            got = run_example(ops, op, changed, dtype)
        for one, other in zip(got, expected, strict=True):
            scale = max(1.0, np.abs(other).max(initial=0))
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)


@DIFFERENTIABLE
def test_gradients_are_those_of_the_definition(op):
    """Along random directions, in float64: sum(dx * v) is the derivative of sum(y * dy) along v."""
    ops, float64, h = Ops(), np.dtype("float64"), 1e-6
    if op.backward is None:
        return
    example = min(op.examples, key=lambda e: sum(int(np.prod(shape)) for shape in e.shapes if shape))
    arrays, attributes = arguments(op, example, float64)
    kernel, gradient = ops.kernel(op), ops.gradient(op)

    def run(changed):
        fresh = [None if a is None else a.copy() for a in changed]
        return kernel(*fresh, **arguments(op, example, float64)[1])

    y, kept = run(arrays)
    dy = numbers(y.shape, float64, 99)
    positions = range(len(arrays)) if op.variadic else op.differentiable
    found = gradient(dy, kept, tuple(arrays[i] is not None for i in positions))
    found = found if isinstance(found, tuple) else (found,)
    assert len(found) == len(positions)
    for i, dx in zip(positions, found, strict=True):
        if arrays[i] is None:
            assert dx is None
            continue
        v = numbers(arrays[i].shape, float64, 50 + i)
        sides = []
        for sign in (1, -1):
            moved = list(arrays)
            moved[i] = arrays[i] + sign * h * v
            sides.append(float((run(moved)[0] * dy).sum()))
        expected = (sides[0] - sides[1]) / (2 * h)
        assert float((dx * v).sum()) == pytest.approx(expected, rel=2e-5, abs=2e-4), op.inputs[
            0 if op.variadic else i
        ].name


@DIFFERENTIABLE
@pytest.mark.parametrize("backend", backends.available_backends())
def test_gradients_that_nobody_needs_are_not_computed(op, backend):
    if op.plain or len(op.differentiable) == 1:
        pytest.skip("one gradient, or nothing to compute")
    with backends.use_backend(backend) as ops:
        example = op.examples[0]
        arrays, attributes = arguments(op, example, np.dtype("float32"))
        y, saved = getattr(ops, op.name)(*arrays, **attributes)
        dy = numbers(y.shape, np.dtype("float32"), 99)
        whole = getattr(ops, f"{op.name}_backward")(dy, saved)
        for i in range(len(op.differentiable)):
            alone = getattr(ops, f"{op.name}_backward")(dy, saved, tuple(i == j for j in range(len(whole))))
            for j, gradient in enumerate(alone):
                if i == j:
                    np.testing.assert_array_equal(gradient, whole[j])
                elif op.inputs[op.differentiable[j]].name != "add":  # what a kernel writes in between
                    assert gradient is None, (op.name, i, j)


# ---------------------------------------------------------------- mistakes


@EVERY
@pytest.mark.parametrize("backend", backends.available_backends())
def test_arrays_of_two_dtypes_are_refused(op, backend):
    arrays, attributes = arguments(op, op.examples[0], np.dtype("float32"))
    given = [i for i, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"]
    if len(given) < 2:
        pytest.skip("one array")
    arrays[given[-1]] = arrays[given[-1]].astype(np.float64)
    with backends.use_backend(backend) as ops, pytest.raises(TypeError, match=f"{op.name}: arrays must have one dtype"):
        getattr(ops, op.name)(*([arrays] if op.variadic else arrays), **attributes)


@pytest.mark.parametrize("backend", backends.available_backends())
@pytest.mark.parametrize(
    "op", [op for op in REGISTRY.values() if "activation" in op.attributes], ids=lambda op: op.name
)
def test_activations_that_an_op_cannot_end_in_are_refused(op, backend):
    """Kernels would misread them, or do not compute them."""
    elementwise = {op.name: dict(op.attributes) for op in REGISTRY.values() if op.elementwise}
    refused = [(name, given) for name, given in elementwise.items() if name not in op.activations]
    assert set(op.activations) in ({"relu"}, set(elementwise))
    with backends.use_backend(backend) as ops:
        for activation in (*refused, ("cube", {}), ("relu", {"slope": 1.0}), ("leaky_relu", {})):
            arrays, attributes = arguments(op, op.examples[0], np.dtype("float32"))
            with pytest.raises(ValueError, match=f"{op.name}: activation must be relu"):
                getattr(ops, op.name)(*arrays, **{**attributes, "activation": activation})


@DIFFERENTIABLE
@pytest.mark.parametrize("backend", backends.available_backends())
def test_a_gradient_of_another_shape_or_dtype_is_refused(op, backend):
    if op.plain:
        pytest.skip("it has no method of its own")
    arrays, attributes = arguments(op, op.examples[0], np.dtype("float32"))
    with backends.use_backend(backend) as ops:
        y, saved = getattr(ops, op.name)(*arrays, **attributes)
        backward = getattr(ops, f"{op.name}_backward")
        with pytest.raises(ValueError, match=f"{op.name}_backward: dy must have shape"):
            backward(y[1:], saved)
        with pytest.raises(TypeError, match=f"{op.name}_backward: dy must have the forward pass's dtype float32"):
            backward(y.astype(np.float64), saved)


def test_every_op_that_the_package_calls_exists():
    """``ops.name`` and ``current().name`` in the layers, losses and optimisers above the backends."""
    root, called = Path(fastnet.__file__).parent, set()
    for path in root.rglob("*.py"):
        if path.relative_to(root).parts[0] in ("backends", "ops", "graph"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                owner = node.value
                direct = isinstance(owner, ast.Name) and owner.id == "ops"
                current = isinstance(owner, ast.Call) and getattr(owner.func, "id", None) == "current"
                if direct or current:
                    called.add(node.attr)
    assert len(called) > 20
    attributes = {"name", "xp", "threads", "array_types", "device", "fixed_addresses", "choices"}
    attributes |= {"layer", "plain", "reading"}
    assert called - public_methods(Ops) - attributes == set()


def test_backends_are_chosen_by_name():
    names = backends.available_backends()
    assert "reference" in names
    before = backends.current()
    for name in names:
        with backends.use_backend(name) as ops:
            assert backends.current() is ops and ops.name == name
        assert backends.current() is before
    with pytest.raises(ValueError, match="backend must be 'native', 'reference' or 'cupy', got 'cuda9'"):
        backends.use_backend("cuda9")
    assert backends.current() is before

"""Recordings of kernel calls: replayed on other arrays, they compute what the ops compute."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import fastnet as fn
from fastnet import backends
from fastnet.diagnose.examples import arguments, numbers
from fastnet.ops import REGISTRY, Stream

if backends.NativeOps is None:
    pytest.skip(f"the extension was not built: {backends.why_not_native}", allow_module_level=True)
from fastnet.backends import _native

OPS = backends.NativeOps()
RECORDED = [op for op in REGISTRY.values() if op.backward is not None and OPS.records(op)]
EXAMPLES = [(op, n) for op in RECORDED for n in range(len(op.examples))]


def passes(op, entered, attributes, dy):
    """y and all gradients, on arrays that kernels read as they are."""
    y, saved = OPS.kernel(op)(*entered, **attributes)
    given = [True] * len(entered) if op.variadic else [entered[i] is not None for i in op.differentiable]
    found = OPS.gradient(op)(dy, saved, tuple(given))
    return [array for array in (y, *(found if isinstance(found, tuple) else (found,))) if array is not None]


def case(op, example, dtype, shift):
    """(arrays, attributes, dy): those of an example, with other values for each `shift`."""
    arrays, attributes = arguments(op, example, np.dtype(dtype))
    roles = op.inputs * len(arrays) if op.variadic else op.inputs
    entered = [
        None if x is None else OPS.enter(i.role, (x * (1 + shift / 7)).astype(x.dtype).copy())
        for i, x in zip(roles, arrays, strict=True)
    ]
    shape = op.shape(*entered, **attributes)
    return entered, attributes, OPS.enter(op.gradient_role, numbers(tuple(shape), np.dtype(dtype), 50 + shift))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op, n", EXAMPLES, ids=[f"{op.name}-{n}" for op, n in EXAMPLES])
def test_every_op_runs_again_on_other_values(op, n, dtype):
    def given(entered, attributes, dy):
        streams = [value.position for value in attributes.values() if isinstance(value, Stream)]
        return [*(x for x in entered if x is not None), dy, *streams]

    entered, attributes, dy = case(op, op.examples[n], dtype, 0)
    with OPS.recording(given(entered, attributes, dy)) as recording:
        outputs = passes(op, entered, attributes, dy)
    # A view of an argument (flatten), or the same array twice (add), is not an output that a kernel made.
    own = {}
    for i, array in enumerate(outputs):
        if not any(np.shares_memory(array, other) for other in [*given(entered, attributes, dy), *own.values()]):
            own[i] = array
    recorded = recording.finish(list(own.values()))
    if not attributes.get("training", True):
        assert recorded is None and "outside the kernels" in recording.reason, "running statistics are read by NumPy"
        return
    assert recording.reason == ""
    for shift in (1, 2):
        entered, attributes, dy = case(op, op.examples[n], dtype, shift)
        again, others, dy_again = case(op, op.examples[n], dtype, shift)
        expected = passes(op, entered, attributes, dy)
        _, found = recorded.run(given(again, others, dy_again))
        for i, array in zip(own, found, strict=True):
            assert array.strides == expected[i].strides
            assert np.array_equal(array, expected[i]), f"output {i}, values {shift}"
        for one, other in zip(given(again, others, dy_again), given(entered, attributes, dy), strict=True):
            assert np.array_equal(one, other), "an array that is updated in place"


def test_what_numpy_computed_cannot_be_recorded():
    x = OPS.asarray(np.ones((2, 3), np.float32))
    with OPS.recording([x]) as recording:
        y, _ = OPS.kernel(REGISTRY["relu"])(x)
        z, _ = OPS.kernel(REGISTRY["relu"])(y * 2)
    assert recording.finish([z]) is None
    assert recording.reason == "map_forward reads an array that was computed outside the kernels"
    with OPS.recording([x]) as recording:
        y = OPS.empty((2, 3), np.float32)
        y[...] = 1
        z, _ = OPS.kernel(REGISTRY["relu"])(y)
    assert recording.finish([z]) is None, "the backend's memory, but NumPy wrote it"
    with OPS.recording([x]) as recording:
        z = np.maximum(x, 0)
    assert recording.finish([z]) is None
    assert recording.reason == "a result was computed outside the kernels"


def test_memory_is_freed_where_it_was():
    x = OPS.asarray(np.ones((1000, 1000), np.float32))

    def chain(x):
        for _ in range(6):
            x = OPS.kernel(REGISTRY["relu"])(x)[0]
        return x

    with OPS.recording([x]) as recording:
        y = chain(x)
    recorded = recording.finish([y])
    del y
    _native.reset_peak()
    live = _native.memory_stats()["live"]
    _, (y,) = recorded.run([x])
    assert np.array_equal(y, x)
    assert _native.memory_stats()["peak"] - live < 2.1 * x.nbytes, "two arrays at a time"
    assert _native.memory_stats()["live"] - live < 1.1 * x.nbytes
    kept = y.copy()
    _, (other,) = recorded.run([x * 3])
    assert np.array_equal(y, kept) and np.array_equal(other, 3 * x), "results belong to the caller"


def test_other_threads_are_not_recorded():
    x = OPS.asarray(np.ones((2, 3), np.float32))
    relu = OPS.kernel(REGISTRY["relu"])
    with OPS.recording([x]) as recording:
        thread = threading.Thread(target=lambda: relu(x))
        thread.start()
        thread.join()
        y, _ = relu(x)
    assert recording.finish([y]).calls == 1
    relu(x)
    assert len(recording._calls) == 1, "recording ends with the block"


def test_recorded_calls_follow_the_settings():
    """Instruction set, algorithm and threads are those of the run, not those of the recording."""
    model = fn.Sequential(fn.Conv2d(8, 3, padding=1), fn.ReLU(), fn.Flatten(), fn.Linear(4))
    model.build((3, 12, 12), seed=0)
    plan = fn.training.TrainingPlan(model)
    x, labels = np.random.default_rng(0).standard_normal((4, 3, 12, 12), dtype=np.float32), np.arange(4)

    def step():
        for parameter in model.parameters():
            parameter.zero_grad()
        loss, scores = plan(x, labels)
        return [np.float64(loss), scores, *(parameter.grad for parameter in model.parameters())]

    step()
    isa = _native.isa()
    try:
        for name in _native.isas():
            for algorithm in ("direct", "winograd"):
                _native.set_isa(name)
                fn.set_conv_algorithm(algorithm)
                found = step()
                fresh = fn.training.TrainingPlan(model)
                plan, old = fresh, plan
                expected = step()
                plan = old
                assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True)), (name, algorithm)
    finally:
        _native.set_isa(isa)
        fn.set_conv_algorithm("auto")


def test_a_wrong_number_of_arrays_is_refused():
    x = OPS.asarray(np.ones((2, 3), np.float32))
    with OPS.recording([x]) as recording:
        y, _ = OPS.kernel(REGISTRY["relu"])(x)
    with pytest.raises(ValueError, match="1 arrays were recorded, got 2"):
        recording.finish([y]).run([x, x])


def test_not_enough_memory_leaves_nothing_behind(monkeypatch):
    """The second allocation of the recording fails."""
    x = OPS.asarray(np.ones((64, 64), np.float32))
    with OPS.recording([x]) as recording:
        y, _ = OPS.kernel(REGISTRY["relu"])(x)
        z, _ = OPS.kernel(REGISTRY["relu"])(y)
    recording._blocks[1].size = 2**61
    recorded = recording.finish([z])
    gc.collect()  # now, so that nothing of earlier tests is freed meanwhile
    live = _native.memory_stats()["live"]
    with pytest.raises(MemoryError):
        recorded.run([x])
    assert _native.memory_stats()["live"] == live


@pytest.mark.parametrize("isa", _native.isas())
def test_running_statistics_have_numpys_bits(isa, dtype):
    """No product is fused with the sum after it, on any instruction set."""
    rng = np.random.default_rng(0)
    statistic, running, before = rng.standard_normal(999), rng.standard_normal(999).astype(dtype), _native.isa()
    expected = running + dtype.type(0.1) * ((statistic * (7 / 6)).astype(dtype) - running)
    _native.set_isa(isa)
    try:
        _native.norm_track(999, 0.1, 7 / 6, statistic, running)
    finally:
        _native.set_isa(before)
    assert np.array_equal(running, expected)

"""Plans for inference: snapshots, memory, other images, and what cannot be compiled."""

from __future__ import annotations

import numpy as np
import pytest
from isas import needs_kernels
from plan_nets import TOLERANCE, close, everything, images, trained

import fastnet as fn
from fastnet import models


@needs_kernels
def test_a_plan_is_a_snapshot():
    model = everything()
    x = images(model, 2)
    plan = model.compile()
    before = plan(x)
    for parameter in model.parameters() + model.buffers():
        parameter.value[...] = 0.5
    np.testing.assert_array_equal(plan(x), before)
    assert np.abs(model.compile()(x) - before).max() > 0


@needs_kernels
def test_any_memory_order_and_dtype():
    model = trained(models.lenet5(input_shape=(3, 28, 28)))
    x = images(model, 4)
    plan = model.compile()
    expected = plan(x)
    for other in (np.asfortranarray(x), x.astype(np.float64), x.astype(">f4"), x[::-1].copy()[::-1]):
        np.testing.assert_array_equal(plan(other), expected)


@needs_kernels
def test_places_are_used_again():
    """A residual block needs the block's input and one value more; a later stage of half the size has memory of its
    own, and only what it begins with is kept for all images."""
    run = models.resnet20().compile()._run
    assert list(run.memory.inner.values())[:2] == [2 * 16 * 32 * 32 * 4, 2 * 32 * 16 * 16 * 4]
    assert run.memory.arena == 16 * 32 * 32 * 4 + 32 * 16 * 16 * 4
    kinds = [step.kind for step in run.steps]
    assert sorted(set(kinds)) == ["avg_pool", "conv", "subsample"] and kinds.count("conv") == 20


@needs_kernels
def test_another_size_of_image():
    model = trained(models.resnet18(5, (3, 32, 32)))
    x = np.random.default_rng(0).normal(size=(2, 3, 41, 37)).astype(np.float32)
    plan = model.compile(2, (3, 41, 37))
    close(plan(x), model(x), TOLERANCE["float32"])
    assert plan.input_shape == (3, 41, 37) and plan.output_shape == (5,)
    assert repr(plan) == "Plan((3, 41, 37) -> (5,), float32, batch_size=2)"


def test_errors():
    model = fn.Sequential(fn.Flatten(), fn.Linear(3))
    with pytest.raises(RuntimeError, match="is not built"):
        model.compile()
    model.build((1, 4, 4))
    for wrong in (0, 2.0, True, 2**61):
        with pytest.raises((TypeError, ValueError), match="batch_size must be an integer"):
            model.compile(wrong)
    with pytest.raises(ValueError, match=r"linear: x must be \(N, in\) and weight \(out, in\)"):
        model.compile(1, (1, 5, 5))
    plan = model.compile()
    with pytest.raises(ValueError, match=r"plan: x must have shape \(N, 1, 4, 4\), got \(2, 4, 4\)"):
        plan(np.zeros((2, 4, 4), np.float32))
    with pytest.raises(TypeError, match="real numbers"):
        plan(np.zeros((2, 1, 4, 4), complex))


def test_a_layer_that_reads_the_batch_size_is_refused():
    class Folded(fn.Layer):
        def call(self, x, training, ops):
            return ops.pad(x, (0, 0, 0, 0), value=float(x.shape[0]))

    model = fn.Sequential(fn.ReLU(), Folded())
    model.build((2, 3, 3))
    x = images(model, 5)
    with pytest.raises(TypeError, match="a layer calls pad with an argument that depends on the batch"):
        model.compile()
    np.testing.assert_array_equal(model.predict(x), np.maximum(x, 0))


@pytest.mark.parametrize("compute", [lambda x: x * 2, lambda x: x.mean(), lambda x: np.exp(x), lambda x: x[:, :1], abs])
def test_layers_that_compute_by_themselves_are_refused(compute):
    class Own(fn.Layer):
        def run(self, x, training, ops):
            return compute(x), None

    model = fn.Sequential(fn.ReLU(), Own())
    model.build((1, 4, 4))
    with pytest.raises(TypeError, match=r"compile: a layer uses .* of a symbolic array, \(N, \*\(1, 4, 4\)\)"):
        model.compile()
    x = images(model, 3)
    np.testing.assert_array_equal(model.predict(x), model(x))  # predict does without


def test_layers_of_one_s_own_that_call_ops_are_compiled():
    class Swish(fn.Layer):
        def run(self, x, training, ops):
            return ops.add(ops.sigmoid(x)[0], x), None

    model = fn.Sequential(fn.Conv2d(4, 3), Swish(), Swish())
    model.build((2, 6, 6), dtype="float64")
    x = images(model, 3)
    close(model.compile()(x), model(x), 1e-14)

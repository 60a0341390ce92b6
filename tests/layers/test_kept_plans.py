"""Plans that a model keeps for predict and evaluate: when they are made, used again and dropped."""

from __future__ import annotations

import copy
import pickle
import threading
import weakref

import numpy as np
import pytest
from isas import ISAS, needs_kernels
from plan_nets import fresh, images, small, trained

import fastnet as fn
from fastnet.layers import batched, parameter
from fastnet.training import TrainingPlan

# ---------------------------------------------------------------- settings


@needs_kernels
def test_settings_of_the_process():
    model = fn.Sequential(fn.Conv2d(32, 3, padding=1), fn.ReLU(), fn.Conv2d(32, 3, padding=1))
    model.build((16, 12, 12))
    x, found = images(trained(model), 2), {}
    for _ in range(2):
        for algorithm in ("direct", "winograd"):
            fn.set_conv_algorithm(algorithm)
            try:
                found[algorithm] = model.predict(x)
                np.testing.assert_array_equal(found[algorithm], fresh(model, x))
            finally:
                fn.set_conv_algorithm("auto")
        with fn.use_backend("reference"):
            found["reference"] = model.predict(x)
            np.testing.assert_array_equal(found["reference"], fresh(model, x))
    assert all(np.abs(found["direct"] - found[other]).max() > 0 for other in ("winograd", "reference"))


@needs_kernels
def test_another_instruction_set():
    from fastnet.backends import _native

    model, before = small(), _native.isa()
    x = images(model, 2)
    try:
        for isa in [*ISAS, *ISAS]:
            _native.set_isa(isa)
            np.testing.assert_array_equal(model.predict(x), fresh(model, x))
            assert _native.isa() in [key[2][0] for key in model._plans._kept]
    finally:
        _native.set_isa(before)


@needs_kernels
def test_neither_threads_nor_the_rest_of_a_batch_matter():
    model, before = trained(fn.models.resnet20()), fn.get_num_threads()
    x = images(model, 9)
    expected = model.predict(x)
    try:
        for threads in (1, 2, 3):
            fn.set_num_threads(threads)
            np.testing.assert_array_equal(model.predict(x), expected)
            for size in (1, 2, 4, 9):
                np.testing.assert_array_equal(model.predict(x[:size]), expected[:size])
                np.testing.assert_array_equal(model.predict(x, batch_size=size), expected)
    finally:
        fn.set_num_threads(before)


# ---------------------------------------------------------------- plans are kept


def test_a_plan_is_made_once(made):
    model = small()
    x, y = images(model, 5), np.arange(5)
    model.predict(x)
    assert len(made) == 1
    for _ in range(3):
        model.predict(x, batch_size=2)
        model.predict(x[:1])
        model.evaluate(x, y)
        model.evaluate(x.tolist(), y)
        model(x)
        model.noisy(x)
        model.summary()
        model.state_dict()
        model.parameters()
        model.forward(x)
    assert len(made) == 1


def test_training_leaves_no_reference_behind(made):
    """After it, parameters are watched, not copied."""
    model = small()
    x = images(model, 8)
    model.fit(x, np.arange(8) % 5, epochs=2, verbose=False, optimizer=fn.optim.Adam(), validation=(x, np.arange(8) % 5))
    assert len(made) == 2  # validation's, one for each epoch
    model.predict(x)
    assert len(made) == 2
    (kept,) = model._plans._kept.values()
    assert not kept.evidence._copied


def test_reading_a_value_costs_one_plan_and_holding_it_none(made):
    model = small()
    x = images(model, 2)
    model.predict(x)
    model[0].weight.value.sum()
    model.predict(x)
    assert len(made) == 2  # it could have been changed
    held = model[0].weight.value
    for _ in range(3):
        model.predict(x)
    assert len(made) == 3
    (kept,) = model._plans._kept.values()
    assert [p for p, _ in kept.evidence._copied] == [model[0].weight]
    del held
    model.predict(x)
    assert not kept.evidence._copied and len(made) == 3  # watched again, so that no copy is needed
    model[0].weight.value[...] = 0
    np.testing.assert_array_equal(model.predict(x), fresh(model, x))


def test_where_references_are_not_counted_values_are_compared(monkeypatch, made):
    monkeypatch.setattr(parameter, "_ALONE", 0)
    model = small()
    x = images(model, 2)
    for number in (1, 2):
        for _ in range(2):
            before = model.predict(x)
        assert len(made) == number
        model[0].weight.value[0] = number
        assert np.abs(model.predict(x) - before).max() > 1e-3


def test_a_few_plans_are_kept(made):
    model = fn.Sequential(fn.Conv2d(4, 3), fn.GlobalAvgPool2d())
    model.build((2, 6, 6))
    sizes = [images(model, 2)[:, :, : 6 - n // 3, : 6 - n % 3] for n in range(6)]
    for x in sizes:
        np.testing.assert_array_equal(model.predict(x), fresh(model, x))
    made.clear()
    for x in sizes[2:]:
        model.predict(x)
    assert len(model._plans._kept) == 4 and not made
    model.predict(sizes[0])
    assert len(model._plans._kept) == 4 and len(made) == 1
    model[0].weight.value[...] = 1
    model.predict(sizes[0])
    assert len(model._plans._kept) == 1  # those that are out of date take no memory


def test_training_drops_plans():
    model = small()
    x = images(model, 4)
    model.predict(x)
    plan = weakref.ref(next(iter(model._plans._kept.values())).plan)
    model.forward(x, training=True)
    assert plan() is None
    model.predict(x)
    plan = weakref.ref(next(iter(model._plans._kept.values())).plan)
    TrainingPlan(model)(x, np.arange(4))
    assert plan() is None


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_no_plan(copied):
    model = small()
    x = images(model, 2)
    before = model.predict(x)
    other = copied(model)
    assert "_plans" not in vars(other)
    other[0].weight.value[...] = 1
    np.testing.assert_array_equal(other.predict(x), fresh(other, x))
    np.testing.assert_array_equal(model.predict(x), before)
    assert np.abs(other.predict(x) - before).max() > 1e-3


def test_a_shallow_copy_shares_arrays():
    model = small()
    x = images(model, 2)
    other = copy.copy(model[0].weight)
    before = model.predict(x)
    other._array[0] = 7  # without `value`, which would tell the copy, not the model's own
    assert np.abs(model.predict(x) - before).max() > 1e-3


def test_several_python_threads():
    model, found = small(), []
    x = images(model, 3)
    expected = model.predict(x)
    model[0].weight.value[0] += 0  # the threads find a plan that is out of date

    def ask():
        found.extend(model.predict(x) for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200 and all(np.array_equal(y, expected) for y in found)


def test_a_model_that_cannot_be_compiled_is_asked_once(monkeypatch):
    class Doubled(fn.Layer):
        def run(self, x, training, ops):
            return x * 2, None

    model = fn.Sequential(fn.Conv2d(4, 3), Doubled())
    model.build((2, 6, 6))
    x, recorded = images(model, 2), batched.record_any_batch
    asked = []
    monkeypatch.setattr(batched, "record_any_batch", lambda function: asked.append(1) or recorded(function))
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(x), model(x))
    assert len(asked) == 1
    model[0].weight.value[...] = 1
    np.testing.assert_array_equal(model.predict(x), model(x))


def test_validation_runs_on_a_plan(made):
    model = small()
    x, y = images(model, 6), np.arange(6) % 5
    solver = fn.Solver(model, (x, y), (x, y), epochs=2, batch_size=4, verbose=False)
    history = solver.train()
    assert len(made) == 2
    loss, accuracy = solver.evaluate(x, y)
    assert (history.history["val_loss"][-1], history.history["val_accuracy"][-1]) == (loss, accuracy)
    scores = model.predict(x)
    assert len(made) == 2
    np.testing.assert_allclose(loss, fn.losses.softmax_cross_entropy(scores, y)[0], rtol=1e-6)

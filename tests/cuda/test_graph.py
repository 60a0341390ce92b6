"""Training steps as CUDA graphs: the bits of steps that run op by op, whatever changes between two steps."""

from __future__ import annotations

import functools
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest
from cuda import devices
from cuda.devices import ON_GPU
from plan_steps import batch, by_hand, linear, zero

import fastnet as fn
from fastnet import backends, losses
from fastnet.optim import SGD, Adam, RMSprop
from fastnet.training import TrainingPlan


@pytest.fixture(autouse=True)
def own_products(monkeypatch):
    """Steps op by op multiply with the kernels that graphs use."""
    monkeypatch.setenv("FASTNET_GPU_GEMM", "own")


def small(dtype="float32", seed=3, kernel=1):
    """A larger kernel in the residual block, whose input gradient a graph then has, takes the emulator longer."""
    model = fn.Sequential(
        *(fn.Conv2d(4, 3, padding=1), fn.BatchNorm2d(), fn.ReLU(), fn.MaxPool2d(2), fn.Dropout(0.3)),
        *(fn.Residual([fn.Conv2d(4, kernel, padding="same"), fn.BatchNorm2d()]), fn.ReLU(), fn.AvgPool2d(3)),
        *(fn.Flatten(), fn.Linear(6), fn.Tanh(), fn.Dropout(0.2, seed=5), fn.Linear(10)),
    )
    model.build((2, 6, 6), seed=seed, dtype=dtype)
    return model


def host(arrays):
    return [None if array is None else array.get() for array in arrays]


def values(model):
    return host([p.value for p in (*model.parameters(), *model.buffers())])


def gradients(model):
    return host([p.grad for p in model.parameters()])


def same(one, other):
    return len(one) == len(other) and all(
        (a is None and b is None) or (a is not None and b is not None and a.dtype == b.dtype and np.array_equal(a, b))
        for a, b in zip(one, other, strict=True)
    )


class Pair:
    """A model that trains with a plan, and the same model by hand."""

    def __init__(self, make=small, loss="softmax", optimizer=lambda: SGD(0.05, momentum=0.9), **given):
        self.planned, self.plain = make(**given), make(**given)
        self.plan, self.loss = TrainingPlan(self.planned, loss), losses.get(loss)
        self.optimizers = optimizer(), optimizer()
        self.shape, self.dtype = self.planned.input_shape, self.planned.dtype

    def step(self, seed, n=4, labels=None):
        x, drawn = batch(self.shape, n, seed)
        x, labels = x.astype(self.dtype), drawn if labels is None else labels
        for model in (self.planned, self.plain):
            zero(model)
        loss, scores = self.plan(x, labels)
        expected, expected_scores = by_hand(self.plain, x, labels, self.loss)
        assert loss == expected and type(loss) is float
        assert same(host([scores]), host([expected_scores])) and same(gradients(self.planned), gradients(self.plain))
        for optimizer, model in zip(self.optimizers, (self.planned, self.plain), strict=True):
            optimizer.step(model.parameters())
        assert same(values(self.planned), values(self.plain))
        return scores

    @property
    def recorded(self):
        """What the last step's program was recorded as."""
        return list(self.plan._recorded.values())[-1].calls


@pytest.mark.parametrize("optimizer, dtype", [(SGD, "float32"), (RMSprop, "float64"), (Adam, "float32")])
def test_the_bits_of_steps_that_run_op_by_op(device, dtype, optimizer):
    pair = Pair(dtype=dtype, kernel=3, optimizer=lambda: optimizer(0.01, weight_decay=0.1))
    for step in range(4):
        pair.step(step)
        assert pair.plan.reason == ""
    captured = pair.recorded._captured
    assert captured is not None
    if not ON_GPU:
        assert captured.graph.launches == 3


@pytest.mark.parametrize("make", [small, lambda: pickle.loads(pickle.dumps(small()))], ids=["built", "pickled"])
def test_a_model_of_the_cpu(make):
    with backends.use_backend("reference"):
        pair = Pair(make)
    with devices.device():
        for step in range(3):
            pair.step(step)
        assert pair.plan.reason == "" and pair.recorded._captured is not None


def test_batches_of_other_sizes_have_graphs_of_their_own(device):
    pair = Pair()
    for step, n in enumerate([4, 4, 3, 4, 3, 3]):
        pair.step(step, n)
        assert pair.plan.reason == ""
    assert len(pair.plan._recorded) == 2


CHANGES = {
    "freeze": lambda model: model[0].freeze(),
    "frozen norm": lambda model: model[1].freeze(),
    "new array": lambda model: setattr(model[9].weight, "value", model[9].weight.value * 2),
    "new statistics": lambda model: setattr(model[1].running_mean, "value", model[1].running_mean.value * 2),
    "changed in place": lambda model: model[9].weight.value.fill(0.5),
    "array in another order": lambda model: setattr(
        model[9].weight, "value", fn.backends.current().xp.asfortranarray(model[9].weight.value * 2)
    ),
    "load_state_dict": lambda model: model.load_state_dict({k: v * 3 for k, v in model.state_dict().items()}),
    "rate of dropout": lambda model: setattr(model[4], "p", 0.6),
    "position of a stream": lambda model: model[4].set_stream(2**63 + 7, 40),
    "inference": lambda model: model.predict(batch((2, 6, 6), 4)[0]),
    "gradients": lambda model: model.forward(batch((2, 6, 6), 4)[0], training=False)[1](np.ones((4, 10), np.float32)),
    "precision": lambda model: fn.set_float32_precision("tf32"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_noticed(device, change):
    pair, again = Pair(), {"array in another order": "parameters are not in C order"}.get(change, "")
    for step in range(4):
        if step == 2:
            for model in (pair.planned, pair.plain):
                CHANGES[change](model)
        pair.step(step)
    fn.set_float32_precision("highest")
    assert pair.plan.reason == again


def test_a_replaced_array_costs_one_step_op_by_op(device):
    pair = Pair()
    for step in range(3):
        pair.step(step)
    first = pair.recorded._captured
    pair.planned[0].weight.value = pair.planned[0].weight.value.copy()
    pair.step(3)
    assert pair.plan.reason == "arrays of the network are not where they were in the last step"
    pair.step(4)
    assert pair.plan.reason == "" and pair.recorded._captured is not first
    for step in range(5, 8):  # at every step
        pair.planned[0].weight.value = pair.planned[0].weight.value.copy()
        pair.step(step)
        assert pair.plan.reason and pair.recorded._captured is None


def test_scores_belong_to_the_caller(device):
    pair = Pair()
    held = [(scores, scores.get()) for scores in (pair.step(step) for step in range(5))]
    assert all(np.array_equal(scores.get(), before) for scores, before in held)


def test_memory_does_not_grow(device):
    gc.collect()  # what other tests have left in circles
    pool, pair, used = device.xp.get_default_memory_pool(), Pair(), set()
    for step in range(8):
        zero(pair.planned)
        pair.plan(*batch(pair.shape, 4, step))
        pair.optimizers[0].step(pair.planned.parameters())
        if step > 2:
            zero(pair.planned)
            used.add((pair.recorded.arena.total_bytes, pool.used_bytes()))
    assert pair.plan.reason == "" and len(used) == 1


@pytest.mark.skipif(ON_GPU, reason="CuPy's classes cannot be patched")
def test_a_capture_finds_its_memory_in_what_the_first_step_has_left(device, monkeypatch):
    pair, Stream, totals = Pair(), device.xp.cuda.Stream, []
    for name in ("begin_capture", "end_capture"):
        plain = getattr(Stream, name)
        monkeypatch.setattr(
            Stream, name, lambda *given, plain=plain: (totals.append(pair.recorded.arena.total_bytes), plain(*given))[1]
        )
    for step in range(2):
        zero(pair.planned)
        pair.plan(*batch(pair.shape, 4, step))
        pair.optimizers[0].step(pair.planned.parameters())
    assert len(totals) == 2 and totals[1] - totals[0] <= 512  # for the loss, which stays


def test_arrays_of_the_loss_are_new_in_each_step(device):
    """Weights of classes, and targets."""
    weight = np.linspace(0.5, 2, 10, dtype=np.float32)
    pair = Pair(loss=functools.partial(losses.softmax_cross_entropy, weight=weight, label_smoothing=0.1))
    for step in range(3):
        weight[step] = 5
        pair.step(step)
    pair = Pair(make=tanh, loss="mse")
    for step in range(3):
        pair.step(step, labels=np.random.default_rng(step).standard_normal((4, 6)))
    assert pair.plan.reason == ""


def tanh(dtype="float32"):
    model = linear()
    model.build((6,), seed=0, dtype=dtype)
    return model


def test_bad_labels_are_refused_before_every_launch(device):
    pair = Pair()
    for step in range(3):
        before = values(pair.planned)
        with pytest.raises(ValueError, match="labels must lie in 0..9"):
            pair.step(step, labels=np.array([0, 1, 10, 2]))
        assert same(before, values(pair.planned))
        pair.step(step)


def test_auxiliary_heads(device):
    def make():
        head = [fn.GlobalAvgPool2d(), fn.Flatten(), fn.Linear(10)]
        body = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.Flatten(), fn.Linear(10))
        model = fn.AuxiliaryHeads(body, {"head": ("1", head)})
        model.build((2, 6, 6), seed=0)
        return model

    planned, plain = make(), make()
    plan, whole = TrainingPlan(planned), fn.heads.WithAuxiliary("softmax", plain.auxiliary)
    for step in range(3):
        x, labels = batch((2, 6, 6), 4, step)
        zero(planned), zero(plain)
        loss, scores = plan(x, labels)
        expected, all_scores = by_hand(plain, x, labels, whole)
        assert (loss, plan.reason) == (expected, "")
        assert same(host([scores]), host([all_scores[:, :10]])) and same(gradients(planned), gradients(plain))


def test_the_switch(device, monkeypatch):
    found = []
    for value in ("1", "0"):
        monkeypatch.setenv("FASTNET_GPU_GRAPHS", value)
        pair = Pair()
        for step in range(3):
            pair.step(step)
        assert pair.plan.reason == ("" if value == "1" else "FASTNET_GPU_GRAPHS=0")
        found.append(values(pair.planned))
    assert same(*found)


def test_a_step_that_cannot_be_captured(device, monkeypatch):
    """It runs op by op, with the same bits, and leaves streams and gradients as such a step does."""
    from fastnet.backends.device.arrays import KERNELS

    pool = KERNELS["avg_pool2d"]
    monkeypatch.setitem(KERNELS, "avg_pool2d", lambda x, **more: (bool(x.sum() > 0), pool(x, **more))[1])
    pair = Pair()
    for step in range(4):
        pair.step(step)
        refused = pair.plan.reason.startswith("the step cannot be captured: cudaErrorStreamCaptureUnsupported")
        assert refused == (step > 0)


def test_solver_trains_with_graphs(device):
    x, labels = batch((2, 6, 6), 20)
    solver = fn.Solver(small(), (x, labels), epochs=3, batch_size=8, verbose=False, optimizer=SGD(0.1))
    solver.train()
    calls = [recorded.calls for recorded in solver._step.plan._recorded.values()]
    assert len(calls) == 2 and all(each._captured for each in calls) and solver._step.plan.reason == ""


@pytest.mark.parametrize("steps", [1, 3])
def test_arrays_outlive_the_plan(device, steps):
    pair = Pair()
    for step in range(steps):
        scores = pair.step(step)
    held = [scores, *(p.grad for p in pair.planned.parameters())]
    before = host(held)
    assert len(before) == 13 and all(np.isfinite(array).all() for array in before)
    del pair
    gc.collect()
    assert same(host(held), before)


def test_memory_goes_with_the_plan(device):
    pair = Pair()
    for step in range(3):
        pair.step(step)
    arena = weakref.ref(pair.recorded.arena)
    del pair
    gc.collect()
    assert arena() is None


def test_several_threads_at_once(device):
    """Each captures and launches its own plan's graph."""
    pairs, errors = [Pair(seed=seed) for seed in range(3)], []

    def train(pair):
        try:
            for step in range(4):
                pair.step(step)
            assert pair.plan.reason == "" and pair.recorded._captured is not None
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=train, args=(pair,)) for pair in pairs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []

"""Training on the backend "cupy": arrays stay on the device, batches come ahead, runs go on elsewhere."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from cuda import devices
from cuda.surface import X, Y, network, same

import fastnet as fn
from fastnet import backends
from fastnet.training import Callback, load_checkpoint

DATA = X[:16], Y[:16]


def solver(model=None, optimizer="sgd", data=DATA, epochs=1, **options):
    optimizer = fn.optim.SGD(0.05, 0.9) if optimizer == "sgd" else optimizer
    options = {"batch_size": 8, "preprocess": "standardize", "verbose": False, **options}
    return fn.Solver(model or network(), data, optimizer=optimizer, epochs=epochs, **options)


def run(**options):
    """The history, the weights and the positions of random streams after a run."""
    made = solver(**options)
    history = made.train().to_dict()
    for name in ("seconds", "images_per_second", "waiting"):
        history["history"].pop(name)
    return history, made.model.state_dict(), made.model.rng_state()


def test_runs_are_the_references():
    validation = X[16:], Y[16:]
    flips = [fn.augment.RandomHorizontalFlip()]
    penalty = fn.regularizers.L2(1e-3) + fn.regularizers.MaxNorm(3)
    options = {"regularizer": penalty, "clip_norm": 1, "early_stopping": 5}
    same(lambda: run(epochs=2, validation=validation, augment=flips, **options))
    same(lambda: run(loss="svm", augment=[fn.augment.RandomCrop(6, padding=1)], workers=0))


class Moved(Callback):
    """What each step copies between host and device."""

    def __init__(self, transfers):
        self.transfers, self.steps = transfers, []

    def on_train_begin(self, solver):
        self.before = len(self.transfers.up), len(self.transfers.down)

    def on_iteration_end(self, solver):
        self.steps.append((self.transfers.up[self.before[0] :], self.transfers.down[self.before[1] :]))
        self.on_train_begin(solver)


@pytest.mark.skipif(devices.ON_GPU, reason="only the stand-in counts copies")
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("loss", ["softmax", "svm"])
def test_a_step_uploads_the_batch_and_downloads_two_numbers(device, loss, workers):
    from cupy import _transfers

    with _transfers.recorded() as transfers:
        moved = Moved(transfers)
        solver(callbacks=[moved], data=(X, Y), loss=loss, workers=workers, batch_size=10).train()
    uploads = [up for up, _ in moved.steps]
    assert len(uploads) == 2
    assert sum(up.count(((10, 1, 6, 6), "float32")) for up in uploads) == 2  # the thread may be a step ahead
    assert [up.count(((10,), "int64")) for up in uploads] == [1] * 2
    # the rest is what kernels read: the optimiser's settings, tables of addresses, positions of random streams
    assert all(np.prod(shape) < 60 for up in uploads for shape, _ in up if shape != (10, 1, 6, 6))
    assert [len(down) for _, down in moved.steps] == [2] * 2  # the loss and the accuracy
    assert all(np.prod(shape) == 1 for _, down in moved.steps for shape, _ in down)


class Noted:
    """A preprocessing that notes its threads, and fails at one call."""

    def __init__(self, fails_at=None):
        self.threads, self.fails_at = [], fails_at

    def __call__(self, x, dtype):
        self.threads.append(threading.current_thread().name)
        if len(self.threads) == self.fails_at:
            raise OSError("no such image")
        return x.astype(dtype)


def test_batches_come_ahead_on_the_device(device):
    X16, y16 = DATA
    found = {}
    for workers in (0, 1, 2):
        loader = fn.data.Loader(X16, y16, 4, seed=3, workers=workers)
        batches = list(device.ahead(loader.batches(0, 1, workers)))
        assert {type(x) for x, _ in batches} == {device.xp.ndarray} and {type(y) for _, y in batches} == {np.ndarray}
        found[workers] = [(x.get(), y) for x, y in batches]
    for (x, y), *others in zip(list(loader.batches(0, 1)), *found.values(), strict=True):
        for other, labels in others:
            np.testing.assert_array_equal(other, x)
            np.testing.assert_array_equal(labels, y)
    assert batches[0][0].transpose(0, 2, 3, 1).flags.c_contiguous  # as kernels read images


def test_an_error_comes_in_place_of_its_batch(device):
    prepare, seen = Noted(fails_at=4), []  # the first call is Solver's check
    made = solver(preprocess=prepare, batch_size=4, callbacks=[Counted(seen)])
    with pytest.raises(OSError, match="no such image"):
        made.train()
    assert len(seen) == 2 and not any(t.name.startswith("fastnet") for t in threading.enumerate())


class Counted(Callback):
    def __init__(self, seen, stop_after=None):
        self.seen, self.stop_after = seen, stop_after

    def on_iteration_end(self, solver):
        self.seen.append(solver.iteration)
        if solver.iteration == self.stop_after:
            raise RuntimeError("enough")


def test_ending_early_leaves_no_thread(device):
    with pytest.raises(RuntimeError, match="enough"):
        solver(batch_size=4, callbacks=[Counted([], 1)]).train()
    assert not any(thread.name.startswith("fastnet") for thread in threading.enumerate())


@pytest.mark.parametrize("order", [("reference", "cupy"), ("cupy", "reference")], ids=" to ".join)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_run_goes_on_on_the_other_device(order, optimizer, tmp_path):
    def part(epochs, resume=None):
        made = solver(optimizer=optimizer, epochs=epochs, checkpoint=tmp_path, loss=fn.losses.softmax_cross_entropy)
        made.train(resume)
        return made

    with devices.standin():
        with backends.use_backend(order[0]):
            part(1)
        saved = load_checkpoint(tmp_path)
        assert {type(value) for value in saved.arrays.values()} == {np.ndarray}
        with backends.use_backend(order[1]):
            made = part(2, "auto")
            weights, streams = made.model.state_dict(), made.model.rng_state()
        with backends.use_backend(order[0]):
            whole = run(optimizer=optimizer, epochs=2)
    assert streams == whole[2] and made.iteration == 4
    if optimizer == "sgd":  # Adam divides a bias's gradient before a batch norm, rounding alone, by its own size
        for name, value in weights.items():
            np.testing.assert_allclose(value, whole[1][name], 1e-3, 1e-4)


@pytest.mark.parametrize("make", [lambda: fn.optim.Adam(1e-2, eps=1e-3), lambda: fn.optim.SGD(0.1, 0.9, ahead=True)])
def test_optimisers_move_with_their_parameters(make):
    """A model and its optimiser go from the CPU to the device and back between steps; one gradient, too."""

    def trained(order):
        with devices.standin():
            model, optimizer = network(0), make()
            for backend in order:
                model.zero_grad()
                with backends.use_backend(backend), optimizer.lookahead(model.parameters()):
                    scores, backward = model.forward(DATA[0] / np.float32(255), training=True)
                    backward(fn.losses.softmax_cross_entropy(scores, DATA[1])[1])
                with backends.use_backend(order[-1]):
                    optimizer.step(model.parameters())
            with backends.use_backend("reference"):
                return model.state_dict(), optimizer.state_dict()

    expected = trained(["reference"] * 3)
    found = trained(["reference", "cupy", "reference"])
    for one, other in zip(expected, found, strict=True):
        for name, value in one.items():
            np.testing.assert_allclose(other[name], value, 1e-3, 1e-4)
            assert type(other[name]) is type(value)


def test_a_diverging_run_is_told(device):
    with pytest.raises(FloatingPointError, match="the loss is|NaN"):
        solver(optimizer=fn.optim.SGD(1e30), epochs=3).train()
    images = X[:16].astype(np.float32)
    images[3] = np.nan
    with pytest.raises(FloatingPointError, match="training data: has 36 NaN"):
        solver(data=(images, Y[:16]), preprocess=None).train()
    with pytest.raises(FloatingPointError, match="the data:|layer"):
        solver(data=(images, Y[:16]), preprocess=None, debug="nan").train()

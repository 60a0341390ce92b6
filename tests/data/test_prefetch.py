"""Prefetching threads: the same batches in the same order, errors at their place, no thread left behind."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

import fastnet as fn
from fastnet import augment
from fastnet.data import Loader
from fastnet.data.prefetch import in_order
from fastnet.training import Callback

X = np.random.default_rng(0).integers(0, 256, (103, 3, 12, 12), dtype=np.uint8)
Y = np.arange(103) % 4
CHANGES = [augment.RandomCrop(12, padding=2), augment.RandomHorizontalFlip()]


def ours():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fastnet-data")]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_same_batches_for_any_number_of_workers(workers):
    loader = Loader(X, Y, 16, seed=3, augment=CHANGES, preprocess=fn.data.Standardize.fit(X))
    for start in (0, 5):
        plain = list(loader.batches(2, start))
        found = list(loader.batches(2, start, workers))
        assert len(found) == len(plain) == 7 - start
        for (x, y), (other, labels) in zip(found, plain, strict=True):
            np.testing.assert_array_equal(x, other)
            np.testing.assert_array_equal(y, labels)
    assert not ours()


def test_results_are_in_order_and_few_are_ahead():
    begun = []

    def produce(n):
        begun.append(n)
        time.sleep(0.002 * (n % 3))
        return n

    for n, result in enumerate(in_order(produce, range(20), 2)):
        assert result == n and max(begun) <= n + 3


def test_an_error_comes_at_its_place_with_the_traceback_of_its_thread():
    def faulty(n):
        if n == 3:
            raise ZeroDivisionError("batch 3")
        return n

    found = []
    with pytest.raises(ZeroDivisionError, match="batch 3") as caught:
        for result in in_order(faulty, range(9), 2):
            found.append(result)
    assert found == [0, 1, 2] and not ours()
    assert "faulty" in "".join(traceback.format_exception(caught.value))


def test_a_worker_has_the_context_of_its_caller():
    setting = contextvars.ContextVar("setting", default="none")
    token = setting.set("the caller's")
    assert list(in_order(lambda n: setting.get(), range(2), 1)) == ["the caller's"] * 2
    setting.reset(token)


def test_closing_early_leaves_no_thread():
    batches = Loader(X, Y, 16).batches(0, 0, 2)
    next(batches)
    assert ours()
    batches.close()
    assert not ours()


def test_one_worker_calls_user_functions_one_at_a_time():
    inside = []

    def count(x, rng):
        inside.append(1)
        assert len(inside) == 1
        time.sleep(0.001)
        inside.pop()
        return x

    assert len(list(Loader(X, Y, 8, augment=[count]).batches(0, 0, 1))) == 13


def trained(workers, resume=None, **options):
    model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.Flatten(), fn.Linear(4))
    solver = fn.Solver(
        model, (X, Y), epochs=2, batch_size=16, augment=CHANGES, preprocess="standardize", workers=workers,
        verbose=False, **options,
    )  # fmt: skip
    return solver.train(resume), model.state_dict()


def test_training_has_the_same_bits_and_says_how_long_it_waited():
    history, state = trained(0)
    for workers in (1, 3):
        other, found = trained(workers)
        assert other.losses == history.losses
        assert all(np.array_equal(found[name], state[name]) for name in state)
    waiting = history.history["waiting"]
    assert len(waiting) == 2 and all(0 < share < 1 for share in waiting)


def test_without_workers_a_slow_augmentation_is_waited_for():
    def slow(x, rng):
        time.sleep(0.02)
        return x

    model = fn.Sequential(fn.Flatten(), fn.Linear(4))
    history = model.fit(X, Y, 1, batch_size=32, augment=[slow], workers=0, verbose=False)
    assert history.history["waiting"][0] > 0.5


def test_a_loader_has_its_own_workers_and_sampling():
    for given in ({"workers": 2}, {"sampling": "balanced"}):
        with pytest.raises(ValueError, match="give preprocess, augment, sampling and workers to it"):
            fn.Solver(fn.Sequential(fn.Flatten(), fn.Linear(4)), Loader(X, Y), **given)
    with pytest.raises(ValueError, match="Loader: workers"):
        Loader(X, Y, workers=-1)


def test_kernels_of_a_worker_run_on_it_alone():
    before, seen = fn.get_num_threads(), []
    fn.set_num_threads(3)
    try:
        list(in_order(lambda n: seen.append(fn.get_num_threads()), range(2), 1))
        assert fn.get_num_threads() == (3 if fn.backends.NativeOps else 1)
    finally:
        fn.set_num_threads(before)
    assert seen == [1, 1]


class Slow(Callback):
    """Sleeps in the middle of the second epoch."""

    def __init__(self, seconds):
        self.seconds = seconds

    def on_iteration_end(self, solver):
        if solver.epoch == 1 and solver.batch == 3 and self.seconds:
            print("second epoch", flush=True)
            time.sleep(self.seconds)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_run_with_augmentation_goes_on_bit_for_bit(tmp_path):
    folder = str(tmp_path / "run")
    script = f"import test_prefetch as t; t.trained(1, checkpoint={folder!r}, callbacks=[t.Slow(60)])"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parent, stdout=subprocess.PIPE)
    assert process.stdout.readline().startswith(b"second epoch")
    process.kill()
    process.communicate()
    whole, state = trained(1)
    history, found = trained(1, resume="auto", checkpoint=folder, callbacks=[Slow(0)])
    assert history.losses == whole.losses
    assert all(np.array_equal(found[name], state[name]) for name in state)


def test_another_augmentation_after_resuming_is_told(tmp_path):
    trained(1, checkpoint=tmp_path)
    model = fn.Sequential(fn.Conv2d(4, 3), fn.ReLU(), fn.Flatten(), fn.Linear(4))
    options = {"batch_size": 16, "preprocess": "standardize", "checkpoint": tmp_path, "verbose": False}
    solver = fn.Solver(model, (X, Y), epochs=3, augment=CHANGES[1:], **options)
    with pytest.warns(
        UserWarning, match=r"other settings: augment: \[RandomCrop.*now \[RandomHorizontalFlip\(p=0.5\)\]"
    ):
        solver.train(resume="auto")


def test_an_error_in_training_leaves_no_thread():
    class Faulty(Callback):
        def on_iteration_end(self, solver):
            raise RuntimeError("a callback's")

    with pytest.raises(RuntimeError, match="a callback's"):
        trained(2, callbacks=[Faulty()])
    assert not ours()

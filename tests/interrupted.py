"""Runs that are interrupted and go on, for the tests of checkpoints."""

import signal

import numpy as np
from small_runs import convnet

import fastnet as fn
from fastnet.optim import SGD, Adam, CosineDecay, RMSprop
from fastnet.regularizers import L2
from fastnet.training import Callback

OPTIMIZERS = {
    "nesterov": lambda: SGD(0.05, 0.9, nesterov=True, weight_decay=1e-3),
    "sgd": lambda: SGD(0.05),
    "adam": lambda: Adam(1e-2),
    "rmsprop": lambda: RMSprop(1e-3),
}


def problem(N=70, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (N, 2, 4, 4), dtype=np.uint8), rng.integers(0, 3, N)


def make(folder=None, model=None, data=None, **options):
    defaults = {
        "optimizer": OPTIMIZERS["nesterov"](),
        "schedule": CosineDecay(warmup=3),
        "regularizer": L2(1e-3),
        "batch_size": 16,
        "epochs": 4,
        "seed": 5,
        "preprocess": "standardize",
        "augment": [lambda x, rng: x[..., ::-1] if rng.random() < 0.5 else x],
        "verbose": False,
    }
    return fn.Solver(
        model or convnet(0.4), data or problem(), problem(30, seed=1), checkpoint=folder, **{**defaults, **options}
    )


class At(Callback):
    """Do something at an iteration."""

    def __init__(self, iteration=0, action=None):
        self.iteration, self.action = iteration, action

    def on_iteration_end(self, solver):
        if solver.iteration == self.iteration:
            self.action()


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def assert_same(one, other):
    assert one.history.losses == other.history.losses
    assert one.history.learning_rates == other.history.learning_rates
    for name, values in one.history.history.items():
        if name not in ("seconds", "images_per_second", "waiting"):
            assert values == other.history.history[name]
    for a, b in ((one.model, other.model), (one.optimizer, other.optimizer)):
        a, b = a.state_dict(), b.state_dict()
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    assert one.model.rng_state() == other.model.rng_state()

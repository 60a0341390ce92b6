"""What the tests of searches search, and for what."""

from __future__ import annotations

import numpy as np

import fastnet as fn
from fastnet.search import choice, integer, log_uniform

SPACE = {"lr": log_uniform(1e-4, 1e0), "units": integer(1, 64, log=True), "kind": choice("a", "b")}

METHODS = ["random", "grid", "tpe"]


def build(part, lr, **others):
    model = fn.Sequential(fn.Flatten(), fn.Linear(2))
    return fn.Solver(model, part, optimizer=fn.optim.SGD(lr), batch_size=20, epochs=2)


def hill(lr, **others):
    """A result without training: best at lr = 0.01."""
    return -((np.log10(lr) + 2) ** 2)


def settings(results):
    return [(run.stage, run.number, run.setting) for run in results.runs]

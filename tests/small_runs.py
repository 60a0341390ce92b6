"""A small problem, networks and Solvers for the tests of training."""

import numpy as np

import fastnet as fn


def problem(N=60, seed=0, classes=3):
    """Images whose class is their brightest quarter."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, N)
    X = rng.standard_normal((N, 2, 4, 4)).astype(np.float32)
    for i, label in enumerate(y):
        X[i, 0, 2 * (label // 2) : 2 * (label // 2) + 2, 2 * (label % 2) : 2 * (label % 2) + 2] += 3
    return X, y


def convnet(dropout=0.0, classes=3):
    return fn.Sequential(
        fn.Conv2d(4, 3, padding=1),
        fn.BatchNorm2d(),
        fn.ReLU(),
        fn.Flatten(),
        fn.Dropout(dropout),
        fn.Linear(classes),
    )


def linear(classes=3):
    return fn.Sequential(fn.Flatten(), fn.Linear(classes))


def quiet(model, data, *args, **options):
    return fn.Solver(model, data, *args, **{"verbose": False, "batch_size": 16, **options})

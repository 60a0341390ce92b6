"""L-BFGS: on full batches it beats Adam at equal passes; on minibatches that is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.layers import Model
    from fastnet.types import Array

DATA = True


def run(report: Report) -> None:
    import fastnet as fn
    from fastnet.training import minimize

    report.say(
        "CS231n 2016 and 2017: L-BFGS usually works very well in full batch, deterministic mode, and does not "
        "transfer very "
        "well to the mini-batch setting; disable all sources of noise. A network of 32 hidden units; a pass is one "
        "loss and "
        "gradient of every image."
    )
    images = report.data()
    count = None if report.full else 800
    X, y = images.X_train[:count].reshape(len(images.X_train[:count]), -1), images.y_train[:count]
    X = (X - X.mean()) / X.std()
    passes = 200 if report.full else 60

    full = minimize(network(X, y, report.seed), "softmax", X, y, "l-bfgs", iterations=passes)
    full_curve = np.interp(np.arange(1, passes + 1), full.evaluations, full.losses)
    rates = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    adams = {rate: adam(network(X, y, report.seed), X, y, passes, rate, len(X)) for rate in rates}
    best = min(rates, key=lambda rate: adams[rate][-1])
    part = 100
    small = minibatch_lbfgs(network(X, y, report.seed), X, y, passes, part, report.seed)
    stochastic = adam(network(X, y, report.seed), X, y, passes, 3e-3, part)

    report.table(
        ["", f"training loss after {passes} passes"],
        [
            ("L-BFGS, full batch", full_curve[-1]),
            (f"Adam, full batch, best of {len(rates)} rates ({best:g})", adams[best][-1]),
            (f"Adam, batches of {part}, rate 0.003", stochastic[-1]),
            (f"L-BFGS, batches of {part}", small[-1]),
        ],
    )
    report.compare("full batch: loss of L-BFGS / of Adam", full_curve[-1] / adams[best][-1], high=1, digits=3)
    report.compare("L-BFGS: loss with batches / full batch", small[-1] / full_curve[-1], low=1, digits=3)
    noisy = fn.Sequential(fn.Linear(32), fn.ReLU(), fn.Dropout(0.5), fn.Linear(int(y.max()) + 1))
    try:
        minimize(noisy, "softmax", X, y)
        refused = ""
    except ValueError as error:
        refused = str(error)
    report.say(f"With dropout: {refused}.")
    report.claim("the error names the noise layer that is on", "2 (Dropout)" in refused)

    _, ax = report.figure(size=(7.5, 4.4))
    t = np.arange(1, passes + 1)
    curves = {"L-BFGS, full batch": full_curve, f"Adam, full batch, rate {best:g}": adams[best]}
    curves |= {f"Adam, batches of {part}": stochastic, f"L-BFGS, batches of {part}": small}
    for name, losses in curves.items():
        ax.semilogy(t, losses, label=name)
    ax.set(
        title="training loss at equal passes over the data",
        xlabel="passes",
        ylabel="loss (logarithmic)",
        ylim=(1e-8, None),
    )
    ax.legend()


def network(X: Array, y: Array, seed: int) -> Model:
    import fastnet as fn

    model = fn.Sequential(fn.Linear(32), fn.ReLU(), fn.Linear(int(y.max()) + 1))
    model.build(X.shape[1:], seed=seed, dtype="float64")
    return model


def adam(model: Model, X: Array, y: Array, passes: int, rate: float, batch: int) -> Array:
    """The loss on all data after each pass."""
    import fastnet as fn

    optimizer, plan, losses = fn.optim.Adam(rate), fn.TrainingPlan(model), []
    objective = fn.training.Objective(model, "softmax", X, y)
    order = np.random.default_rng(0)
    for _ in range(passes):
        which = order.permutation(len(X)) if batch < len(X) else np.arange(len(X))
        for start in range(0, len(X), batch):
            part = which[start : start + batch]
            model.zero_grad()
            plan(X[part], y[part])
            optimizer.step(model.parameters())
        losses.append(objective(objective.vector)[0])
    return np.array(losses)


def minibatch_lbfgs(model: Model, X: Array, y: Array, passes: int, batch: int, seed: int) -> Array:
    """L-BFGS on each batch, with 5 evaluations at most; the loss on all data after each pass."""
    import fastnet as fn

    objective, order = fn.training.Objective(model, "softmax", X, y), np.random.default_rng(seed)
    losses: list[float] = []
    used = 0.0
    while len(losses) < passes:
        part = order.permutation(len(X))[:batch]
        found = fn.training.minimize(model, "softmax", X[part], y[part], iterations=3, options={"maxfun": 5})
        used += found.evaluations[-1] * batch / len(X)
        while len(losses) < min(int(used), passes):
            losses.append(objective(objective.vector)[0])
    return np.array(losses)

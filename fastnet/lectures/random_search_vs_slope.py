"""Two ways to the weights of a linear classifier: random search, and following the slope.

Both minimise the SVM's loss over all training examples.  The numerical gradient is the analytic one, at the price of a
pass over the data for every weight.  The picture shows the loss against how often it was computed.
"""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report

DATA = True


def run(report: Report) -> None:
    from fastnet.classical import FollowTheSlope, RandomSearch

    data = report.data()
    X, y = data.X_train[:2000].reshape(len(data.X_train[:2000]), -1), data.y_train[:2000]
    Q = data.X_test.reshape(len(data.X_test), -1)
    tries, steps = (1000, 200) if report.full else (500, 100)
    D = X.shape[1]  # weights and steps that suit any number of pixels
    first, luck = (RandomSearch(n, 0.4 / np.sqrt(D), seed=report.seed).fit(X, y) for n in (1, tries))
    slope = FollowTheSlope(steps, 6 / D, seed=report.seed).fit(X, y)
    few = 3  # steps with the numerical gradient, on a part of the data: each computes the loss for every weight
    part = X[:200, :: -(-D // 16)]
    parts = [FollowTheSlope(few, 0.1, kind, seed=report.seed).fit(part, y[:200]) for kind in ("analytic", "numerical")]
    chance = float(np.bincount(data.y_test).max() / len(data.y_test))
    rows = [
        ("random search, first try", 1, first.losses_[-1], first.score(Q, data.y_test)),
        (f"random search, best of {tries}", tries, luck.losses_[-1], luck.score(Q, data.y_test)),
        (f"the slope, {steps} steps", slope.evaluations_, slope.losses_[-1], slope.score(Q, data.y_test)),
    ]
    report.table(["strategy", "losses computed", "loss", "accuracy on test images"], rows)
    report.compare("random search: accuracy / guessing the commonest class", rows[1][3] / chance, low=1, digits=3)
    report.compare("the slope: accuracy / that of random search", rows[2][3] / rows[1][3], low=1.5, digits=3)
    report.compare(
        "loss after 10 steps / after all random tries", slope.losses_[9] / luck.losses_[-1], high=0.8, digits=3
    )
    difference = np.abs(parts[0].coef_ - parts[1].coef_).max() / np.abs(parts[0].coef_).max()
    report.compare(f"numerical - analytic gradient, weights after {few} steps", difference, high=1e-3, digits=2)
    report.table(
        ["gradient", f"losses computed for {few} steps"],
        [(name, model.evaluations_) for name, model in zip(("analytic", "numerical"), parts, strict=True)],
    )

    _, axes = report.figure(size=(6.8, 4.6))
    axes.loglog(np.arange(1, tries + 1), luck.losses_, label="random search: best so far")
    axes.loglog(np.arange(1, steps + 1), slope.losses_, label="following the slope")
    axes.set(xlabel="how often the loss was computed", ylabel="SVM loss over the training data", title="Two strategies")
    axes.legend()

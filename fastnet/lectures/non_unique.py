"""If W has no SVM loss, neither has 2W: only a regularizer tells them apart."""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report

SOURCE = "notes on CS231n, and WWU CSCI 497P"


def run(report: Report) -> None:
    import fastnet as fn

    rng = np.random.default_rng(report.seed)
    labels = np.arange(90) % 3
    centres = 4 * np.array([[0.0, 1.0], [0.87, -0.5], [-0.87, -0.5]])
    X = centres[labels] + rng.normal(0, 0.7, (90, 2))
    model = fn.Sequential(fn.Linear(3))
    model.build((2,), seed=report.seed, dtype="float64")
    plan, sgd, steps = fn.TrainingPlan(model, "svm"), fn.optim.SGD(0.1), 0
    while steps < 5000:
        model.zero_grad()
        loss, _ = plan(X, labels)
        if loss == 0:
            break
        sgd.step(model.parameters())
        steps += 1
    report.say(f"A linear SVM on three clouds of points reaches a loss of exactly 0 after {steps} steps.")
    parameters = {p.name: p.value.copy() for p in model.parameters()}
    weight = next(value for name, value in parameters.items() if name.endswith("weight"))

    def losses(factor: float) -> tuple[float, float, float]:
        """SVM and softmax loss, and the sum of squared weights, with all parameters multiplied."""
        for p in model.parameters():
            p.value = factor * parameters[p.name]
        scores = model(X)
        squares = float(((factor * weight) ** 2).sum())
        return fn.losses.svm(scores, labels)[0], fn.losses.softmax_cross_entropy(scores, labels)[0], squares

    (one, softmax_one, r_one), (two, softmax_two, r_two) = losses(1.0), losses(2.0)
    report.compare("L(W)", one, 0, low=0, high=0)
    report.compare("L(2W)", two, 0, low=0, high=0)
    report.compare("R(2W) / R(W), the sum of squares", r_two / r_one, low=4 - 1e-12, high=4 + 1e-12)
    report.claim("softmax prefers 2W", softmax_two < softmax_one, f"{softmax_one:.3g} > {softmax_two:.3g}")

    factors, strength = np.linspace(0.2, 3, 57), 0.02
    svm, softmax, squares = np.array([losses(k) for k in factors]).T
    best = float(factors[np.argmin(svm + strength * squares)])
    report.claim("with the regularizer one factor is best", 0.2 < best < 3, f"k = {best:.3g}")
    losses(1.0)

    _, (left, right) = report.figure(1, 2)
    for name in range(3):
        left.scatter(*X[labels == name].T, s=14, label=f"class {name}")
    low, high = X.min(0) - 0.5, X.max(0) + 0.5
    from matplotlib.colors import ListedColormap

    grid = np.stack(np.meshgrid(np.linspace(low[0], high[0], 200), np.linspace(low[1], high[1], 200)), -1)
    winners = model(grid.reshape(-1, 2)).argmax(1).reshape(200, 200)
    left.pcolormesh(*np.moveaxis(grid, -1, 0), winners, cmap=ListedColormap(["C0", "C1", "C2"]), alpha=0.15)
    left.set(title="W and 2W draw the same borders", xlabel="$x_1$", ylabel="$x_2$")
    left.legend()
    right.plot(factors, svm, label="SVM loss L(kW)")
    right.plot(factors, strength * squares, label=f"penalty {strength:g} R(kW)")
    right.plot(factors, svm + strength * squares, "k--", label="sum")
    right.plot(factors, softmax, label="softmax loss", color="C2", alpha=0.6)
    right.axvline(best, color="gray", linestyle=":")
    right.set(title=f"Loss of kW: with the penalty, k = {best:.2f} is best", xlabel="k", ylabel="loss", ylim=(0, 1))
    right.legend()

"""Inputs that are all positive: gradients of one sign, and a path that is a zigzag."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.lectures.report import Report
from fastnet.types import Array

SOURCE = 'CS231n 2024, "Training neural networks"'


def _gradients(X: Array, upstream: Array) -> Array:
    """The gradient of w for each example, of a neuron w x + b whose output has the gradient `upstream`."""
    from fastnet import functional as F

    w = np.zeros((1, X.shape[1]))
    found = []
    for x, dy in zip(X, upstream, strict=True):
        _, backward = F.linear(x[None], w)
        found.append(backward(np.array([[dy]]))[1][0])
    return np.array(found)


def _one_sign(gradients: Array) -> float:
    """The share of gradients whose components all have one sign."""
    return float(((gradients > 0).all(axis=1) | (gradients < 0).all(axis=1)).mean())


def _path(X: Array, y: Array, rate: float, steps: int, batch: int, seed: int) -> Array:
    """The weights of a linear neuron, trained by SGD on the squared error."""
    import fastnet as fn

    rng, model = np.random.default_rng(seed), fn.Sequential(fn.Linear(1, bias=False))
    model.build((2,), dtype="float64")
    (weight,) = model.parameters()
    weight.value = np.zeros((1, 2))
    sgd, path = fn.optim.SGD(rate), [np.zeros(2)]
    for _ in range(steps):
        chosen = rng.integers(0, len(X), batch)
        model.zero_grad()
        scores, backward = model.forward(X[chosen], training=True)
        backward(fn.losses.mse(scores, y[chosen])[1], input_gradient=False)
        sgd.step(model.parameters())
        path.append(weight.value[0].copy())
    return np.array(path)


def run(report: Report) -> None:
    rng = np.random.default_rng(report.seed)
    dimensions, count = 10, 2000
    positive, upstream = rng.uniform(0.05, 1, (count, dimensions)), rng.normal(size=count)
    single = _gradients(positive, upstream)
    batches = single.reshape(-1, 8, dimensions).mean(axis=1)
    centred = _gradients(positive - positive.mean(axis=0), upstream)
    report.say(
        f"A neuron with {dimensions} inputs. Its gradient is the input times the gradient of its output: with positive "
        "inputs, such as a sigmoid's outputs, all components are positive or all are negative."
    )
    shares = {"one example": single, "minibatches of 8": batches, "one example, centred": centred}
    found = {name: _one_sign(gradients) for name, gradients in shares.items()}
    report.compare("positive inputs, one example: share with one sign", found["one example"], "always", low=1, high=1)
    report.compare("positive inputs, minibatches of 8", found["minibatches of 8"], "helps", high=0.95, digits=3)
    report.compare("centred inputs, one example", found["one example, centred"], high=0.05, digits=3)

    wanted = np.array([1.0, -1.0])
    X = rng.uniform(0.05, 1, (500, 2))
    mean, rate, steps = X.mean(axis=0), 0.3, 200
    paths = {
        "positive inputs": _path(X, X @ wanted, rate, steps, 1, report.seed),
        "positive inputs, minibatches of 8": _path(X, X @ wanted, rate, steps, 8, report.seed),
        "centred inputs": _path(X - mean, (X - mean) @ wanted, rate, steps, 1, report.seed),
    }
    rows: list[Any] = []
    for name, path in paths.items():
        moves = np.diff(path, axis=0)
        both = float((np.sign(moves[:, 0]) == np.sign(moves[:, 1])).mean())
        length = float(np.linalg.norm(moves, axis=1).sum() / np.linalg.norm(path[-1] - path[0]))
        rows.append((name, both, length, float(np.linalg.norm(path[-1] - wanted))))
    report.table(["path to w = (1, -1)", "both weights move alike", "length / distance", "final error"], rows, digits=3)
    report.compare("one example: steps that move both weights alike", rows[0][1], low=1, high=1)
    report.claim(
        "the zigzag is longer than the centred path", rows[0][2] > rows[2][2], f"{rows[0][2]:.2f} > {rows[2][2]:.2f}"
    )

    _, (left, right) = report.figure(1, 2)
    left.bar(list(found), list(found.values()), color=["C3", "C1", "C0"])
    left.set(title=f"Gradients whose {dimensions} components have one sign", ylabel="share", ylim=(0, 1.08))
    for k, share in enumerate(found.values()):
        left.text(k, share + 0.02, f"{share:.3f}", ha="center")
    for (name, path), color in zip(paths.items(), ("C3", "C1", "C0"), strict=True):
        right.plot(*path[:60].T, ".-", label=name, color=color, linewidth=1, markersize=4)
    right.plot(*wanted, "k*", markersize=12, label="the solution, (1, -1)")
    right.set(title="SGD from (0, 0): first 60 steps", xlabel="$w_1$", ylabel="$w_2$")
    right.legend()

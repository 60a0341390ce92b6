"""The loss before training: log C with softmax, C - 1 with an SVM; anything else is a mistake."""

from __future__ import annotations

import math

import numpy as np

from fastnet.lectures.report import Report

SOURCE = 'CS231n 2024, "Training neural networks", and notes on CS231n'


def run(report: Report) -> None:
    import fastnet as fn

    rng = np.random.default_rng(report.seed)

    def losses(classes: int, std: float) -> tuple[float, float, float, float]:
        """Softmax, SVM and squared hinge loss of a linear classifier whose weights have this standard deviation, and
        the SVM's sum over all classes."""
        scores = rng.normal(size=(200, 3072)) @ rng.normal(0, std, (3072, classes))
        labels = rng.integers(0, classes, len(scores))
        margins = scores - scores[np.arange(len(scores)), labels][:, None] + 1
        return (
            fn.losses.softmax_cross_entropy(scores, labels)[0],
            fn.losses.svm(scores, labels)[0],
            fn.losses.squared_hinge(scores, labels)[0],
            float(np.maximum(0, margins).sum(axis=1).mean()),
        )

    ten, thousand = math.log(10), math.log(1000)
    softmax, svm, squared, everything = losses(10, 1e-5)
    report.compare("10 classes: softmax loss, log 10", softmax, "log(C)", low=ten - 1e-3, high=ten + 1e-3)
    report.compare("10 classes: SVM loss, 10 - 1", svm, "C - 1", low=8.99, high=9.01)
    report.compare("the sum over all classes, the right one too", everything, "1 more", low=9.99, high=10.01)
    report.compare("10 classes: squared hinge", squared, low=8.95, high=9.05)
    softmax = losses(1000, 1e-5)[0]
    report.compare("1000 classes: softmax loss", softmax, "log(C)", low=thousand - 1e-3, high=thousand + 1e-3)

    model = fn.Sequential(fn.Linear(100), fn.ReLU(), fn.Linear(10, initializer=_small))
    model.build((3072,), seed=report.seed)
    X = rng.normal(size=(500, 3072)).astype(np.float32)
    found = model.evaluate(X, rng.integers(0, 10, 500)).loss
    report.compare("a two-layer network with a small last layer", found, "log(C)", low=2.30, high=2.31)

    stds = np.logspace(-5, -1, 17)
    curves = np.array([losses(10, std) for std in stds])
    report.keep("std", stds)
    report.keep("losses", curves)
    report.claim("large weights: both losses are far above", bool(curves[-1, 0] > 2 * ten and curves[-1, 1] > 18))
    _, ax = report.figure()
    for k, (name, at_zero) in enumerate({"softmax": math.log(10), "SVM": 9.0}.items()):
        ax.loglog(stds, curves[:, k], "o-", color=f"C{k}", label=name)
        ax.axhline(at_zero, color=f"C{k}", linestyle=":")
        ax.text(stds[0], at_zero * 1.08, ("log 10 = 2.303", "10 - 1 = 9")[k], color=f"C{k}")
    ax.set(
        title="Loss of a linear classifier before training\n(10 classes, 3072 inputs of variance 1)",
        xlabel="standard deviation of the weights",
        ylabel="loss",
    )
    ax.legend()


def _small(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(0, 1e-3, shape)

"""Neighbours, linear classifiers, hand-made features, networks and a ConvNet on one table.

Every method learns from the same images.  The first picture shows the templates of the linear classifiers, the second
the accuracies, the third how perceptron and Adaline converge on separable data.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnet.lectures.report import Report
from fastnet.types import Array

DATA = True


def run(report: Report) -> None:
    from fastnet.classical import choose_k
    from fastnet.classical.linear import draw_template

    data = report.data()
    scale = 255 if data.X_train.dtype.kind == "u" else 1
    X, Q = (images.astype(np.float32) / scale for images in (data.X_train, data.X_test))
    y, labels = data.y_train, data.y_test
    if len(X) > 5000 and not report.full:
        X, y, Q, labels = X[:5000], y[:5000], Q[:1000], labels[:1000]
    choice = choose_k(X, y, ks=(1, 3, 5, 8, 12, 20), seed=report.seed)
    report.say(f"k of the nearest neighbours, by cross-validation on the {len(X):,} training images: {choice.k}.")
    rows, models = [], {}
    for name, make in _methods(X, len(data.classes), choice.k, report.seed).items():
        start = time.perf_counter()
        models[name], score = make(X, y)
        middle = time.perf_counter()
        rows.append((name, score(X, y), score(Q, labels), middle - start, time.perf_counter() - middle))
    report.table(["method", "training images", "test images", "fit, s", "predict all, s"], rows, digits=3)
    accuracy = {name: test for name, _, test, _, _ in rows}
    chance = float(np.bincount(labels).max() / len(labels))
    report.compare(
        "worst method: accuracy / that of guessing the commonest class", min(accuracy.values()) / chance, low=1.5
    )
    linear = max(accuracy["linear SVM"], accuracy["softmax classifier"])
    features = max(accuracy[name] for name in accuracy if name.endswith("+ SVM"))
    report.compare("best features + SVM - best linear classifier on pixels", features - linear, low=-0.01, digits=3)
    report.compare("ConvNet - best linear classifier on pixels", accuracy["ConvNet"] - linear, low=0, digits=3)
    _units(report)

    linear_models = [models["linear SVM"], models["softmax classifier"]]
    _, axes = report.figure(2, len(data.classes), name="templates", size=(1.2 * len(data.classes), 3))
    for line, model in zip(axes, linear_models, strict=True):
        for ax, title, template in zip(line, data.classes, model.templates(), strict=True):
            draw_template(ax, template)
            ax.set_title(title, fontsize=9)
        line[0].set_ylabel("SVM" if model is linear_models[0] else "softmax")
    _, ax = report.figure(name="accuracy", size=(7, 4.6))
    bars = ax.barh([name for name, *_ in rows], [100 * row[2] for row in rows], color="C0")
    ax.bar_label(bars, fmt="%.1f %%", padding=3)
    ax.axvline(100 * chance, color="black", linestyle=":")
    ax.set(
        xlabel="accuracy on test images, % (dotted: guessing the commonest class)",
        title=f"{data.name}: {len(X):,} training images",
        xlim=(0, 112),
    )
    ax.invert_yaxis()


Fit = Callable[[Array, Array], tuple[Any, Callable[[Array, Array], float]]]


def _methods(X: Array, classes: int, k: int, seed: int) -> dict[str, Fit]:
    """Functions that fit a method and return it and its score."""
    from fastnet import models
    from fastnet.classical import (
        HOG,
        BagOfVisualWords,
        ColorHistogram,
        KNearestNeighbors,
        LinearSVM,
        Pipeline,
        SoftmaxClassifier,
    )

    shape, small = X.shape[1:], min(X.shape[2:]) < 16
    cell, patch = (2, 3) if small else (8, 6)
    hog, bag = HOG(cell=cell, block=2), BagOfVisualWords(100, patch, grid=2, samples=10000, seed=seed)
    found: dict[str, Any] = {
        f"{k} nearest neighbours, L2": KNearestNeighbors(k),
        f"{k} nearest neighbours, L1": KNearestNeighbors(k, "l1"),
        "linear SVM": LinearSVM(seed=seed),
        "softmax classifier": SoftmaxClassifier(seed=seed),
        "HOG + SVM": Pipeline(hog, LinearSVM(seed=seed)),
        "bag of visual words + SVM": Pipeline(bag, LinearSVM(seed=seed)),
    }
    if shape[0] == 3:
        found["colour histogram + SVM"] = Pipeline(ColorHistogram(), LinearSVM(seed=seed))
        found["HOG, colours + SVM"] = Pipeline([hog, ColorHistogram()], LinearSVM(seed=seed))
    fits: dict[str, Fit] = {name: _classifier(method) for name, method in found.items()}
    fits["2-layer network"] = _network(
        lambda: models.pattern("FC-RELU-FC", classes, shape, hidden=100, seed=seed), seed
    )
    text = "(CONV-RELU-POOL)*2-FC-RELU-FC" if small else "((CONV-RELU)*2-POOL)*2-FC-RELU-FC"
    fits["ConvNet"] = _network(lambda: models.pattern(text, classes, shape, 16, 100, seed=seed), seed)
    return fits


def _classifier(method: Any) -> Fit:
    return lambda X, y: (method.fit(X, y), method.score)


def _network(make: Callable[[], Any], seed: int) -> Fit:
    def fit(X: Array, y: Array) -> tuple[Any, Callable[[Array, Array], float]]:
        from fastnet import optim

        model = make()
        options: Any = {"batch_size": 50, "seed": seed, "preprocess": "standardize", "verbose": False}
        model.fit(X, y, epochs=15, optimizer=optim.Adam(1e-3), **options)
        return model, lambda Q, labels: float((model.predict_classes(Q) == labels).mean())

    return fit


def _units(report: Report) -> None:
    """Perceptron and Adaline on two classes with a narrow gap between them."""
    from fastnet.classical import Adaline, Perceptron

    rng, margin = np.random.default_rng(report.seed), 0.03
    normal, bias = np.array([0.6, 0.8]), 1.6
    X = rng.normal(1, 1, (2000, 2))
    X = X[np.abs(X @ normal - bias) > margin * np.sqrt(1 + bias**2)][:100]  # (1, x) lies at least `margin` away
    y = (X @ normal > bias).astype(int)
    perceptron, adaline = Perceptron().fit(X, y), Adaline(2e-3).fit(X, y)
    bound = (1 + (X**2).sum(axis=1).max()) / margin**2
    report.claim(
        "perceptron: converges on separable data", perceptron.converged_, f"{len(perceptron.mistakes_)} passes"
    )
    report.compare("its mistakes, against Novikoff's bound", sum(perceptron.mistakes_), high=bound)
    report.compare("its accuracy", perceptron.score(X, y), low=1)
    report.claim("Adaline: converges", adaline.converged_, f"{len(adaline.losses_)} passes")
    report.compare("its accuracy", adaline.score(X, y), low=0.97)
    design = np.hstack([np.ones((len(X), 1)), X])
    best, *_ = np.linalg.lstsq(design, 2.0 * y - 1, rcond=None)
    found = np.array([adaline.intercept_[0], *adaline.coef_[0]])
    report.compare("its weights - the least squares fit", np.abs(found - best).max(), high=0.05, digits=2)

    _, axes = report.figure(1, 3, name="units", size=(15, 4.6))
    ends = np.array([-2.0, 4.0])
    axes[0].scatter(*X.T, c=y, cmap="coolwarm", s=12)
    for name, model, color in (("perceptron", perceptron, "black"), ("Adaline", adaline, "C2")):
        w, b = model.coef_[0], model.intercept_[0]
        axes[0].plot(ends, -(b + w[0] * ends) / w[1], color=color, label=name)
    axes[0].set(xlim=(-2, 4), ylim=(-2, 4), title="Two separable classes", xlabel="x1", ylabel="x2")
    axes[0].legend()
    axes[1].plot(np.arange(1, len(perceptron.mistakes_) + 1), perceptron.mistakes_, "o-", color="black")
    axes[1].set(xlabel="pass over the data", ylabel="wrong outputs", title="Perceptron", ylim=(0, None))
    axes[2].plot(np.arange(1, len(adaline.losses_) + 1), adaline.losses_, "o-", color="C2")
    axes[2].set(xlabel="pass over the data", ylabel="mean squared error", title="Adaline", ylim=(0, None))

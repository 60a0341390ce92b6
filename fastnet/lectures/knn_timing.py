"""Nearest neighbours train in no time and predict in O(N), linear classifiers the reverse.

Both classify the same examples after seeing more and more training data.  The picture shows the times.
"""

from __future__ import annotations

from math import inf

import numpy as np

from fastnet.lectures.report import Report

SOURCE = "notes on CS231n, lecture 2"


def run(report: Report) -> None:
    import fastnet

    threads = fastnet.get_num_threads()
    fastnet.set_num_threads(1)  # their number must not change with the work
    try:
        _measure(report)
    finally:
        fastnet.set_num_threads(threads)


def _measure(report: Report) -> None:
    from fastnet.bench import best_time
    from fastnet.classical import KNearestNeighbors, SoftmaxClassifier

    sizes, D, M = ([5000, 10000, 20000, 50000], 3072, 1000) if report.full else ([1000, 2000, 4000, 8000], 256, 1000)
    rng = np.random.default_rng(report.seed)
    X, y = rng.random((sizes[-1], D), np.float32), rng.integers(0, 10, sizes[-1])
    Q = rng.random((M, D), np.float32)
    models = {"nearest neighbour": KNearestNeighbors(1), "linear classifier": SoftmaxClassifier(epochs=1)}
    train: dict[str, list[float]] = {name: [inf] * len(sizes) for name in models}
    predict: dict[str, list[float]] = {name: [inf] * len(sizes) for name in models}
    for _ in range(4):  # in turns, so that a moment in which the machine is busy does not hit one size alone
        for i, N in enumerate(sizes):
            for name, model in models.items():
                fit = best_time(lambda model=model, N=N: model.fit(X[:N], y[:N]), 0.01, 1)  # type: ignore[misc]
                ask = best_time(lambda model=model: model.predict(Q), 0.1, 2)  # type: ignore[misc]
                train[name][i], predict[name][i] = min(train[name][i], fit), min(predict[name][i], ask)
    rows = [
        (name, N, train[name][i] * 1e3, predict[name][i] * 1e3) for name in sorted(models) for i, N in enumerate(sizes)
    ]
    report.say(f"{M} examples of {D} numbers are classified; the least time of several runs, on one thread.")
    report.table(["classifier", "training examples N", "training, ms", "prediction, ms"], rows, digits=3)
    slopes = {name: float(np.polyfit(np.log(sizes), np.log(times), 1)[0]) for name, times in predict.items()}
    report.compare(
        "nearest neighbour: prediction grows as N^", slopes["nearest neighbour"], "O(N)", low=0.6, high=1.6, digits=3
    )
    report.compare(
        "linear classifier: prediction grows as N^", slopes["linear classifier"], low=-0.4, high=0.4, digits=3
    )
    ratio = predict["nearest neighbour"][-1] / predict["linear classifier"][-1]
    report.compare(f"prediction at N = {sizes[-1]:,}: times slower than linear", ratio, low=2, digits=3)
    report.say(
        "Training keeps the data; fastnet also looks for NaN in it, one quick pass. The linear classifier needs a "
        "slower pass for each epoch, here one, and usually many."
    )
    _, axes = report.figure(size=(6.4, 4.4))
    for name, times in predict.items():
        axes.loglog(sizes, [1e3 * t for t in times], "o-", label=f"{name}: N^{slopes[name]:.2f}")
    axes.set(xlabel="training examples N", ylabel=f"predicting {M} examples, ms", title="Time of prediction")
    axes.set_xticks(sizes, [f"{N:,}" for N in sizes], minor=False)
    axes.minorticks_off()
    axes.legend()

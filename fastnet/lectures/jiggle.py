"""Scores that move a little: an SVM's loss stays once the margin is met, softmax's never does."""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report

SOURCE = "notes on CS231n"


def run(report: Report) -> None:
    from fastnet import losses

    scores, label = np.array([[1.3, 4.9, 2.0]]), np.array([1])  # cat, car, frog: a car
    rng = np.random.default_rng(report.seed)
    moves = rng.uniform(-0.4, 0.4, (1000, 3))  # the margin, 4.9 - 2.0 - 1, is 1.9
    svm, softmax = (
        np.array([loss(scores + move, label)[0] for move in moves])
        for loss in (losses.svm, losses.softmax_cross_entropy)
    )
    report.say("A car has the scores cat 1.3, car 4.9, frog 2.0. All three move by up to 0.4, a thousand times.")
    report.compare("SVM loss of the car", losses.svm(scores, label)[0], low=0, high=0)
    report.compare("SVM: largest change", np.abs(svm).max(), "nothing", low=0, high=0)
    change = np.abs(softmax - losses.softmax_cross_entropy(scores, label)[0])
    report.compare("softmax: smallest change", change.min(), low=1e-9, digits=2)
    report.compare("softmax: largest change", change.max(), low=1e-3, digits=2)
    far = np.array([[-100.0, 100.0, -100.0]])
    report.compare("SVM: the smallest loss there is", losses.svm(far, label)[0], 0, low=0, high=0)
    bad = losses.svm(np.array([[1e6, 0.0, 0.0]]), label)[0]
    report.compare("SVM: a loss without a bound, at a wrong score of 10^6", bad, "infinity", low=1e6, high=1e6 + 2)

    line = np.linspace(0, 8, 161)
    curves = {
        name: [loss(np.array([[1.3, score, 2.0]]), label)[0] for score in line]
        for name, loss in {"SVM": losses.svm, "softmax": losses.softmax_cross_entropy}.items()
    }
    _, (left, right) = report.figure(1, 2)
    for name, curve in curves.items():
        left.plot(line, curve, label=name)
    left.axvline(3.0, color="gray", linestyle=":")
    left.text(3.1, 3, "margin met:\nscore of frog + 1", color="gray")
    left.plot(4.9, 0, "ko")
    left.annotate("this car", (4.9, 0), (4.9, 0.6), ha="center", arrowprops={"arrowstyle": "->"})
    left.set(title="Loss of an image of a car", xlabel="score of car (cat 1.3, frog 2.0)", ylabel="loss")
    left.legend()
    right.hist(softmax - losses.softmax_cross_entropy(scores, label)[0], 40, color="C1", label="softmax")
    right.axvline(0, color="C0", linewidth=3, label="SVM: all 1000 are exactly 0")
    right.set(title="Change of the loss when scores jiggle by up to 0.4", xlabel="change", ylabel="times of 1000")
    right.legend()

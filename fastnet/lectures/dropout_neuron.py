"""Dropout of one neuron's inputs: the four masks, their mean, and averages over random masks."""

from __future__ import annotations

import itertools
import math

import numpy as np

import fastnet as fn
from fastnet.lectures.report import Report

SOURCE = "CS231n 2017, lecture 7"


def run(report: Report) -> None:
    w, x = np.array([[0.8, 0.5]]), np.array([[1.5, -0.4]])
    report.say(
        "A neuron a = w1 x + w2 y whose inputs are each kept with probability 1/2: E[a] is the mean over four masks, "
        "half of what it computes with all inputs on."
    )
    masks = np.array(list(itertools.product((1.0, 0.0), repeat=2)))
    neuron = built(fn.Sequential(fn.Linear(1, bias=False)), w)
    outputs = neuron(masks * x)[:, 0]
    all_on = float(neuron(x)[0, 0])
    report.table(
        ["mask", "a"], [[f"{int(first)} {int(second)}", a] for (first, second), a in zip(masks, outputs, strict=True)]
    )
    report.compare("E[a] / (w1 x + w2 y)", float(outputs.mean()) / all_on, 0.5, low=0.5 - 1e-12, high=0.5 + 1e-12)
    report.compare("all inputs on: a / E[a]", all_on / outputs.mean(), 2, low=2 - 1e-12, high=2 + 1e-12)

    differences = []
    for p in (0.5, 0.3):
        shares = np.prod(np.where(masks == 1, 1 - p, p), axis=1)
        vanilla, inverted = (
            built(fn.Sequential(fn.Dropout(p, inverted=form), fn.Linear(1, bias=False)), w) for form in (False, True)
        )
        expected = float(shares @ outputs)  # of training, without the division
        differences.append(abs(float(vanilla(x)[0, 0]) - expected))
        differences.append(abs(float(inverted(x)[0, 0]) - expected / (1 - p)))
    report.compare(
        "test time against E[training], vanilla and inverted, largest difference", max(differences), high=1e-12
    )

    model = built(fn.Sequential(fn.Dropout(0.5), fn.Linear(1, bias=False)), w)
    passes, rows = [1, 4, 16, 64, 256, 1024], 400
    errors = []
    for count in passes:
        mean, _ = fn.monte_carlo(model, np.repeat(x, rows, 0), count, rows, seed=report.seed, scores=True)
        errors.append(float(np.sqrt(((mean - all_on) ** 2).mean())))
    slope = float(np.polyfit(np.log(passes), np.log(errors), 1)[0])
    report.table(
        ["passes T", "error of the mean", "error * sqrt(T)"],
        [[n, e, e * n**0.5] for n, e in zip(passes, errors, strict=True)],
    )
    report.compare(
        "error of a mean over T masks: slope of log error over log T", slope, low=-0.53, high=-0.47, digits=3
    )
    report.compare("4096 units: log10 of the number of masks", 4096 * math.log10(2), 1233, low=1233.0, high=1233.1)

    _, (left, right) = report.figure(1, 2)
    names = ["both", "x alone", "y alone", "none"]
    left.bar(names, outputs, color="C0")
    left.axhline(outputs.mean(), color="C3", label="mean over the masks")
    left.axhline(all_on, color="C1", linestyle="--", label="all inputs on: twice the mean")
    left.axhline(0, color="black", linewidth=0.8)
    left.set(title="A neuron under each of four masks", xlabel="inputs that are kept", ylabel="a", ylim=(-0.35, 1.7))
    left.legend()
    right.loglog(passes, errors, "o-", label="measured, over 400 repetitions")
    right.loglog(passes, errors[0] / np.sqrt(passes), "k--", label="1 / sqrt(T)")
    right.set(title="Monte Carlo dropout converges slowly", xlabel="masks T", ylabel="RMS error of the mean")
    right.legend()


def built(model: fn.Sequential, weight: np.ndarray) -> fn.Sequential:
    """The model in float64, with this weight in its last layer."""
    model.build((weight.shape[1],), dtype="float64")
    model[-1].weight.value[:] = weight
    return model

"""Xavier's argument in numbers: Var(y) = Din Var(x) Var(w), so Var(w) = 1 / Din keeps it."""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report


def run(report: Report) -> None:
    rng, examples = np.random.default_rng(report.seed), 20000 if report.full else 4000
    rows, measured, predicted = [], [], []
    report.say(
        f"y = Wx with {examples} inputs x of mean 0, and 300 outputs. Each factor of Din Var(x) Var(w) in turn, then "
        "the two assumptions: x of mean 0, and x independent of w."
    )
    cases = [
        *((inputs, 1.0, 0.05) for inputs in (25, 100, 400, 1600)),
        *((400, std, 0.05) for std in (0.25, 4.0)),
        *((400, 1.0, std) for std in (0.01, 0.2)),
        *((inputs, 1.0, inputs**-0.5) for inputs in (25, 100, 400, 1600)),
    ]
    for inputs, x_std, w_std in cases:
        x, w = x_std * rng.standard_normal((examples, inputs)), w_std * rng.standard_normal((300, inputs))
        variance, expected = float((x @ w.T).var()), inputs * x_std**2 * w_std**2
        measured.append(variance)
        predicted.append(expected)
        rows.append((inputs, x_std**2, f"{w_std**2:.3g}", variance, expected, variance / expected))
    report.table(["Din", "Var(x)", "Var(w)", "Var(y)", "Din Var(x) Var(w)", "ratio"], rows)
    ratios = np.array(measured) / np.array(predicted)
    report.compare("Var(y) / (Din Var(x) Var(w)), smallest", ratios.min(), low=0.93, high=1.07, digits=4)
    report.compare("largest", ratios.max(), low=0.93, high=1.07, digits=4)
    kept = np.array(measured[-4:])
    report.compare("Var(w) = 1 / Din: Var(y), furthest from 1", kept[abs(kept - 1).argmax()], low=0.93, high=1.07)

    x = np.abs(rng.standard_normal((examples, 400)))  # a ReLU's output has a mean: E[x**2] counts, not Var(x)
    w = 400**-0.5 * rng.standard_normal((300, 400))
    y = x @ w.T
    report.say(
        "Where x has a mean, as after a ReLU, Var(y) over the draws of w is Din E[x**2] Var(w). Half of a normal "
        "variable's E[x**2] is left by a ReLU, and hence He's factor of 2."
    )
    report.compare("x = |normal|: mean of y**2 / E[x**2]", (y**2).mean() / (x**2).mean(), low=0.9, high=1.1)
    report.compare("relu(normal): E[relu(x)**2] / E[x**2]", relu_share(rng), low=0.49, high=0.51, digits=4)

    _, axes = report.figure(size=(6.5, 4.4))
    axes.loglog(predicted, measured, "o", label="measured")
    ends = [min(predicted) / 2, max(predicted) * 2]
    axes.loglog(ends, ends, color="C1", label="equal")
    axes.set(xlabel="Din Var(x) Var(w)", ylabel="Var(y)", title="Variance of a linear layer's output")
    axes.grid(alpha=0.3)
    axes.legend()


def relu_share(rng: np.random.Generator) -> float:
    """E[relu(x)**2] / E[x**2] of normal numbers."""
    x = rng.standard_normal(1_000_000)
    return float((np.maximum(x, 0) ** 2).mean() / (x**2).mean())

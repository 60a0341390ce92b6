"""L2 prefers weights that are spread over all inputs, L1 a few that are not zero."""

from __future__ import annotations

import numpy as np

import fastnet as fn
from fastnet.lectures.report import Report


def run(report: Report) -> None:
    from fastnet.regularizers import L1, L2, Regularizer

    x = np.ones((1, 4))
    one, spread = np.array([[1.0, 0, 0, 0]]), np.full((1, 4), 0.25)
    penalty = L2(1.0, half=False)
    costs = [penalty.loss([fn.Parameter(w)]) for w in (one, spread)]
    report.say(
        "x = (1, 1, 1, 1): both weight vectors give the score 1, but the spread one has a quarter of the penalty."
    )
    report.claim(
        "w = (1, 0, 0, 0) and (1/4, 1/4, 1/4, 1/4) give the same score", (x @ one.T == x @ spread.T).all(), "1"
    )
    report.compare("sum of squares, (1, 0, 0, 0)", costs[0], low=1, high=1)
    report.compare("sum of squares, (1/4, 1/4, 1/4, 1/4)", costs[1], low=0.25, high=0.25)

    report.say(
        "Four inputs that carry the same signal, times 1, 0.9, 0.8 and 0.7, and a target that is the signal: many "
        "weights fit equally well, and the penalty decides which of them training finds."
    )
    rng = np.random.default_rng(report.seed)
    signal, scales = rng.standard_normal((200, 1)), np.array([1.0, 0.9, 0.8, 0.7])
    start = rng.standard_normal((1, 4))
    found: dict[str, np.ndarray] = {}
    penalties: dict[str, Regularizer | None] = {"none": None, "L2": L2(0.05), "L1": L1(0.05)}
    steps = 3000
    for name, chosen in penalties.items():
        model, sgd = fn.Sequential(fn.Linear(1, bias=False)), fn.optim.SGD(0.2)
        model.build((4,), dtype="float64")
        parameters = model.parameters()
        parameters[0].value[:] = start
        plan = fn.TrainingPlan(model, "mse")
        for step in range(steps):
            model.zero_grad()
            plan(signal * scales, signal)
            if chosen is not None:
                chosen.add_gradients(parameters)
            sgd.step(parameters, 1 - step / steps)
        found[name] = parameters[0].value[0].copy()
    report.table(
        ["penalty", "w1", "w2", "w3", "w4", "score of signal 1"], [[n, *w, w @ scales] for n, w in found.items()]
    )
    shares = found["L2"] / scales
    report.compare("L2: weights / strength of their inputs, largest / smallest", shares.max() / shares.min(), high=1.01)
    report.compare("L1: share of the first weight in sum |w|", abs(found["L1"][0]) / abs(found["L1"]).sum(), low=0.98)
    report.compare("none: score of signal 1", float(found["none"] @ scales), low=0.999, high=1.001)

    _, axes = report.figure(size=(8, 4.2))
    for i, (name, weight) in enumerate(found.items()):
        axes.bar(np.arange(4) + 0.27 * (i - 1), weight, 0.25, label="no penalty" if name == "none" else name)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(4), [f"signal x {scale}" for scale in scales])
    axes.set(title="The same fit, three penalties", xlabel="input", ylabel="weight after training")
    axes.legend()

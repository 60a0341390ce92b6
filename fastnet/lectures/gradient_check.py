"""Gradient check: one-sided against centred differences, and a planted mistake that is found."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.lectures.report import Report

SOURCE = "notes on CS231n; CS231n course notes"


def run(report: Report) -> None:
    import fastnet as fn

    steps = 10.0 ** np.arange(-1, -13, -1)
    report.say(
        "A network of two linear layers, tanh and softmax, float64: the largest relative error of 55 numerical "
        "gradients, without regard to rounding, for each step h."
    )
    errors = {scheme: [largest_error(scheme, h, report.seed) for h in steps] for scheme in ("one-sided", "centred")}
    report.table(["h", *errors], [(f"{h:.0e}", *(errors[s][i] for s in errors)) for i, h in enumerate(steps)], digits=2)
    report.keep("errors", errors)
    best = {scheme: float(steps[int(np.argmin(values))]) for scheme, values in errors.items()}
    report.compare("one-sided: best h", best["one-sided"], low=1e-9, high=1e-6, digits=1)
    report.compare("centred: best h", best["centred"], low=1e-6, high=1e-4, digits=1)
    report.compare("centred at its best against one-sided", min(errors["centred"]) / min(errors["one-sided"]), high=0.1)
    orders = {s: np.log10(values[2] / values[3]) for s, values in errors.items()}
    report.compare(
        "one-sided: the error falls with h to the power", orders["one-sided"], 1, low=0.8, high=1.2, digits=3
    )
    report.compare("centred", orders["centred"], 2, low=1.8, high=2.2, digits=3)

    report.say("The same check by name, and of a layer whose gradient is wrong by 10 % in one weight:")
    model, x, y = network(report.seed)
    good = fn.gradcheck(model, x, y)
    report.claim(
        "right gradients: relative error at most 1e-7", good.error <= 1e-7, f"{good.error:.0e}", "happy: < 1e-7"
    )
    wrong = fn.gradcheck(planted(), x, y, samples=None)
    name, at = wrong.worst or ("", None)
    report.say(wrong.sentence())
    found = at is not None and (name, at.index) == ("1.weight", (2,))
    report.claim("the planted mistake is found, and named", found and not wrong.ok, name, "wrong: > 1e-2")
    kinks = fn.gradcheck(fn.ReLU(), np.linspace(-2e-5, 2e-5, 41)[None], samples=None)
    count = kinks.entries[0].kinks
    report.compare("of 41 inputs of a ReLU near 0, those a step of 1e-5 crosses it from", count, low=20, high=22)
    report.claim("the others agree", kinks.ok, f"{kinks.error:.0e}")

    _, axes = report.figure(size=(7, 4.6))
    for scheme, values in errors.items():
        axes.loglog(steps, values, "o-", markersize=4, label=scheme)
    axes.axhline(1e-7, color="grey", linestyle=":", label="1e-7: happy")
    axes.axhline(1e-2, color="grey", linestyle="--", label="1e-2: wrong")
    axes.set(xlabel="step h", ylabel="largest relative error", title="Numerical gradients: truncation and rounding")
    axes.grid(alpha=0.3)
    axes.legend()


def network(seed: int) -> tuple[Any, Any, Any]:
    """A small smooth network with its data."""
    import fastnet as fn

    model = fn.Sequential(fn.Linear(8), fn.Tanh(), fn.Linear(3))
    model.build((5,), seed=seed, dtype="float64")
    rng = np.random.default_rng(seed)
    return model, rng.standard_normal((20, 5)), np.arange(20) % 3


def largest_error(scheme: str, h: float, seed: int) -> float:
    """Of the formulas themselves: rounding counts, unlike in gradcheck."""
    import fastnet as fn

    model, x, y = network(seed)
    scores, backward = model.forward(x)
    backward(fn.losses.softmax_cross_entropy(scores, y)[1])

    def loss() -> float:
        return fn.losses.softmax_cross_entropy(model(x), y)[0]

    worst = 0.0
    for parameter in model.parameters():
        values, gradient = parameter.value.ravel(), parameter.grad.ravel()
        for i in range(0, values.size, max(1, values.size // 15)):
            kept = values[i]
            values[i] = kept + h
            above = loss()
            values[i] = kept - h if scheme == "centred" else kept
            below = loss()
            values[i] = kept
            numerical = (above - below) / (2 * h if scheme == "centred" else h)
            worst = max(worst, abs(numerical - gradient[i]) / max(abs(numerical), abs(gradient[i])))
    return worst


def planted() -> Any:
    """A network with a layer whose gradient of weight 2 is 10 % too large."""
    import fastnet as fn

    class Wrong(fn.Layer):
        def setup(self, shape: Any, rng: Any, dtype: Any) -> Any:
            self.parameter("weight", shape, "ones", rng, dtype)
            return shape

        def run(self, x: Any, training: bool, ops: Any) -> Any:
            weight: Any = self.own["weight"]

            def backward(dy: Any, input_gradient: bool = True) -> Any:
                gradient = (dy * x).sum(axis=0)
                gradient[2] *= 1.1
                weight.accumulate(gradient)
                return dy * weight.value

            return x * weight.value, backward

    model = fn.Sequential(fn.Linear(8), Wrong(), fn.Tanh(), fn.Linear(3))
    model.build((5,), dtype="float64")
    return model

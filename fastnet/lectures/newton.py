"""Newton's method: a quadratic in one step; its condition number sets first-order methods' pace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.layers import Model
    from fastnet.types import Array


def run(report: Report) -> None:
    one_step(report)
    condition(report)
    network(report)
    picture(report)


def linear(inputs: int, seed: int) -> Model:
    import fastnet as fn

    model = fn.Sequential(fn.Linear(1))
    model.build((inputs,), seed=seed, dtype="float64")
    return model


def data(seed: int, spread: float) -> tuple[Array, Array]:
    """Inputs whose scales differ by the factor `spread`, and targets linear in them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((200, 6)) * np.geomspace(1, spread, 6)
    return x, x @ rng.standard_normal((6, 1)) + 0.1 * rng.standard_normal((200, 1))


def one_step(report: Report) -> None:
    from fastnet.training import minimize

    x, y = data(report.seed, 10.0)
    design = np.hstack([x, np.ones((len(x), 1))])
    best = float(np.mean((design @ np.linalg.lstsq(design, y, rcond=None)[0] - y) ** 2))
    found = minimize(linear(6, report.seed), "mse", x, y, "newton", iterations=1)
    report.say(
        "Newton's step w - H^-1 g minimises the second-order Taylor expansion; it has no learning rate. Least "
        "squares with 7 "
        "parameters is its own expansion."
    )
    report.compare("loss after one step / least loss", found.loss / best, low=1 - 1e-9, high=1 + 1e-9, digits=10)
    report.compare("norm of the gradient after one step", found.gradient_norm, high=1e-7, digits=2)


def condition(report: Report) -> None:
    """Steps of gradient descent at its best rate against the condition number."""
    from fastnet.optim import SGD
    from fastnet.training import Objective, minimize

    rows = []
    for spread in (1.0, 3.0, 10.0):
        x, y = data(report.seed, spread)
        objective = Objective(linear(6, report.seed), "mse", x, y)
        values = np.linalg.eigvalsh(objective.hessian())
        least = minimize(linear(6, report.seed), "mse", x, y, "newton").loss
        model, steps = objective.model, 0
        sgd, limit = SGD(2 / (values[0] + values[-1])), objective(objective.vector)[0] * 1e-6
        while objective(objective.vector)[0] - least > limit and steps < 20_000:
            model.zero_grad()
            scores, backward = model.forward(x, training=True)
            difference = scores - y
            backward(2 * difference / difference.size, input_gradient=False)
            sgd.step(model.parameters())
            steps += 1
        rows.append((spread, values[-1] / values[0], steps))
    report.say("Inputs of unequal scale make the Hessian ill-conditioned: largest / smallest of its eigenvalues.")
    report.table(["largest / smallest scale", "condition number", "steps of gradient descent, best rate"], rows)
    ratio = rows[-1][2] / rows[0][2] / (rows[-1][1] / rows[0][1])
    report.compare("steps grow as the condition number: ratio of growths", ratio, low=0.3, high=3, digits=3)


def network(report: Report) -> None:
    import fastnet as fn
    from fastnet.training import minimize

    rng = np.random.default_rng(report.seed)
    x = rng.standard_normal((60, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    model = fn.Sequential(fn.Linear(4), fn.Tanh(), fn.Linear(2))
    model.build((2,), seed=report.seed, dtype="float64")
    start = minimize(model, "softmax", x, y, "l-bfgs", iterations=15, regularizer=fn.regularizers.L2(0.01))
    found = minimize(model, "softmax", x, y, "newton", iterations=20, regularizer=fn.regularizers.L2(0.01))
    report.say(
        f"A network of 22 parameters: after {start.iterations} iterations of L-BFGS, Newton's method roughly doubles "
        "the digits with each step near the minimum: losses above the last "
        f"{', '.join(f'{v - found.loss:.1e}' for v in found.losses)}."
    )
    report.compare("Newton's iterations to a gradient below 1e-8", found.iterations, high=10)
    try:
        million = fn.Sequential(fn.Linear(1000))
        million.build((999,), dtype="float64")
        minimize(million, "mse", np.zeros((2, 999)), np.zeros((2, 1000)), "newton")
        refused = ""
    except ValueError as error:
        refused = str(error)
    report.say(refused)
    report.claim("a Hessian of 10^6 parameters is refused with its size", "3,725 GiB" in refused)


def picture(report: Report) -> None:
    """First and second order on a function of one parameter."""

    def f(w: Any) -> Any:
        return np.log(np.cosh(w - 1)) + 0.05 * w**2

    w = np.linspace(-4, 6, 300)
    at, h = -0.6, 1e-4
    slope = (f(at + h) - f(at - h)) / (2 * h)
    curve = (f(at + h) - 2 * f(at) + f(at - h)) / h**2
    newton = at - slope / curve
    _, axes = report.figure(1, 2, size=(11, 4.2))
    for ax in axes:
        ax.plot(w, f(w), "k", label="loss")
        ax.plot(at, f(at), "ko", label="w")
        ax.set(xlabel="w", ylabel="loss", ylim=(-1, 6))
    axes[0].plot(w, f(at) + slope * (w - at), "C0--", label="linear approximation")
    for rate in (0.5, 2.0, 4.0):
        to = at - rate * slope
        axes[0].plot(to, f(to), "C0" + "v^s"[(0.5, 2.0, 4.0).index(rate)], label=f"w - {rate:g} gradient")
    axes[0].set_title("first order: how far to go is the learning rate's choice")
    axes[1].plot(w, f(at) + slope * (w - at) + curve / 2 * (w - at) ** 2, "C1--", label="quadratic approximation")
    axes[1].plot(newton, f(at) - slope**2 / (2 * curve), "C1x", markersize=9, label="its minimum")
    axes[1].plot(newton, f(newton), "C1s", label="w - gradient / curvature")
    axes[1].set_title("second order: to the minimum of the approximation")
    for ax in axes:
        ax.legend(fontsize=8)

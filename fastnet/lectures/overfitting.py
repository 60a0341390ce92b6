"""Overfitting: training and test error against the size of the model, polynomials and networks."""

from __future__ import annotations

import numpy as np

import fastnet as fn
from fastnet.lectures.report import Report

DATA = True


def run(report: Report) -> None:
    rng = np.random.default_rng(report.seed)
    report.say(
        "Polynomials of degree 0 to 14 through 20 noisy points of a sine: least squares, then with an L2 penalty."
    )
    x, dense = np.sort(rng.uniform(-1, 1, 20)), np.linspace(-0.98, 0.98, 400)
    y = np.sin(3 * x) + rng.normal(0, 0.25, 20)
    degrees = list(range(15))
    errors = {
        degree: (rms(fitted(x, y, degree, x) - y), rms(fitted(x, y, degree, dense) - np.sin(3 * dense)))
        for degree in degrees
    }
    best = min(degrees, key=lambda degree: errors[degree][1])
    decayed = rms(fitted(x, y, 14, dense, 1e-2) - np.sin(3 * dense))
    report.table(["degree", "training error", "test error"], [[d, *errors[d]] for d in degrees])
    falls = all(errors[d + 1][0] <= errors[d][0] + 1e-9 for d in degrees[:-1])
    report.claim(
        "the training error only falls as the model grows", falls, f"{errors[0][0]:.2f} to {errors[14][0]:.2f}"
    )
    report.compare("degree with the least test error (Occam: the simplest that fits)", best, low=2, high=7)
    report.compare("test error, degree 14 / best degree", errors[14][1] / errors[best][1], low=1.5, digits=3)
    report.compare("degree 14 with an L2 penalty: test error / without", decayed / errors[14][1], high=0.7, digits=3)

    digits = report.data()
    count = min(200, len(digits.X_train))
    sizes = [1, 2, 4, 8, 16, 64, 256] + ([1024] if report.full else [])
    report.say(
        f"Networks with one hidden layer on {count} training images of {digits.name}, trained until nothing changes."
    )
    found = [trained(digits, count, size, report.seed) for size in sizes]
    report.table(
        ["hidden units", "training error", "test error"],
        [[s, 1 - a, 1 - b] for s, (a, b) in zip(sizes, found, strict=True)],
    )
    report.compare("largest network: training error", 1 - found[-1][0], high=0.01, digits=3)
    gaps = [train - test for train, test in found]
    report.claim(
        "the gap between test and training error is wider than that of one unit", gaps[-1] > gaps[0], f"{gaps[-1]:.3f}"
    )
    report.say(
        "Networks differ from polynomials here: their test error need not rise again when they grow, since training "
        "finds small weights among the many that fit."
    )

    _, (left, middle, right) = report.figure(1, 3)
    left.plot(x, y, "ko", label="training points")
    for degree, style in ((1, "C0--"), (best, "C2-"), (14, "C3-")):
        left.plot(dense, fitted(x, y, degree, dense), style, label=f"degree {degree}")
    left.set(title="Too simple, right, too complex", xlabel="x", ylabel="y", ylim=(-2.2, 2.2))
    left.legend(fontsize=8)
    for column, label in enumerate(("training", "test")):
        middle.semilogy(degrees, [errors[d][column] for d in degrees], "o-", label=label)
        right.semilogx(sizes, [1 - pair[column] for pair in found], "o-", base=2, label=label)
    middle.axvline(best, color="grey", linestyle=":")
    middle.set(title="Polynomials", xlabel="degree", ylabel="RMS error")
    right.set(title=f"Networks on {count} images", xlabel="hidden units", ylabel="error")
    middle.legend()
    right.legend()


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def fitted(x: np.ndarray, y: np.ndarray, degree: int, at: np.ndarray, decay: float = 0.0) -> np.ndarray:
    """The polynomial that minimises sum (p(x) - y)^2 + decay * sum of squared coefficients (of Legendre's), at `at`."""
    from numpy.polynomial import legendre

    rows = legendre.legvander(x, degree)
    rows = np.vstack([rows, np.sqrt(decay) * np.eye(degree + 1)])
    coefficients = np.linalg.lstsq(rows, np.concatenate([y, np.zeros(degree + 1)]), rcond=None)[0]
    values: np.ndarray = legendre.legval(at, coefficients)
    return values


def trained(digits: fn.data.Dataset, count: int, size: int, seed: int) -> tuple[float, float]:
    """Training and test accuracy of a network with `size` hidden units."""
    model = fn.Sequential(fn.Flatten(), fn.Linear(size), fn.ReLU(), fn.Linear(len(digits.classes)))
    model.build(digits.image_shape, seed=seed)
    part = digits.X_train[:count], digits.y_train[:count]
    solver = fn.Solver(
        model,
        part,
        optimizer=fn.optim.Adam(3e-3),
        schedule=fn.optim.CosineDecay(),
        batch_size=50,
        epochs=150,
        seed=seed,
        preprocess="standardize",
        verbose=False,
    )
    solver.train()
    return solver.evaluate(*part).accuracy, solver.evaluate(digits.X_test, digits.y_test).accuracy

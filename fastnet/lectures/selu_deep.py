"""SELU normalises itself: thirty layers keep mean 0 and deviation 1, and train without batch norm."""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report

DATA = True


def run(report: Report) -> None:
    import fastnet as fn

    rng = np.random.default_rng(report.seed)
    depth, width = 30, 512
    kinds = {"SELU": fn.SELU, "ReLU": fn.ReLU, "tanh": fn.Tanh, "ELU": fn.ELU}
    start = rng.normal(size=(500, width)).astype(np.float32)
    moments = {}
    for name, kind in kinds.items():
        x, found = start, [(0.0, 1.0)]
        for layer in range(depth):
            net = fn.Sequential(fn.Linear(width, bias=False, initializer="lecun_normal"), kind())
            net.build((width,), seed=report.seed + layer)
            x = net(x)
            found.append((float(x.mean()), float(x.std())))
        moments[name] = np.array(found)
    report.say(
        'CS231n 2024, "Training neural networks", says that deep SELU networks train without batch norm; it prints no '
        "numbers.  "
        f"{depth} layers of {width} units; weights of variance 1 / {width}, inputs of mean 0, deviation 1."
    )
    shown = (1, 5, 10, 20, 30)
    report.table(
        ["activation", *(f"std {k}" for k in shown), *(f"mean {k}" for k in shown)],
        [(name, *values[shown, 1].tolist(), *values[shown, 0].tolist()) for name, values in moments.items()],
        digits=2,
    )
    selu = moments["SELU"]
    report.compare("SELU: largest |mean| of 30 layers", np.abs(selu[:, 0]).max(), high=0.1, digits=3)
    report.compare("SELU: smallest deviation", selu[:, 1].min(), low=0.9, digits=3)
    report.compare("SELU: largest deviation", selu[:, 1].max(), high=1.1, digits=3)
    report.compare("ReLU with the same weights: deviation of layer 30", moments["ReLU"][-1, 1], high=0.01, digits=2)

    data = report.data()
    X, y = fn.data.Standardize.fit(data.X_train)(data.X_train, "float32"), data.y_train
    X, y = (X, y) if report.full else (X[:1400], y[:1400])
    rates, epochs, curves = (0.003, 0.01, 0.03), 6, {}
    for name in ("SELU", "ReLU", "tanh"):
        tried = [_train(X, y, kinds[name], rate, epochs, report.seed) for rate in rates]
        curves[name] = min(tried, key=lambda losses: float(np.mean(losses[-10:])))
    final = {name: float(np.mean(losses[-10:])) for name, losses in curves.items()}
    report.say(
        f"25 such layers of 64 units, without batch norm, {epochs} epochs of SGD with momentum at the best of "
        f"the rates {', '.join(map(str, rates))}: the mean loss of the last 10 steps."
    )
    report.compare("25 layers of SELU train: final loss", final["SELU"], high=0.5, digits=3)
    report.claim(
        "better than ReLU with the same weights",
        final["SELU"] < final["ReLU"],
        f"{final['SELU']:.3g} < {final['ReLU']:.3g}",
    )
    report.table(["activation", "final training loss"], list(final.items()), digits=3)

    _, (left, middle, right) = report.figure(1, 3)
    for name, values in moments.items():
        left.plot(values[:, 1], ".-", label=name)
        middle.plot(values[:, 0], ".-", label=name)
    left.axhspan(0.9, 1.1, alpha=0.15, color="C0")
    middle.axhspan(-0.1, 0.1, alpha=0.15, color="C0")
    left.set(title="Standard deviation of the activations", xlabel="layer", ylabel="std", yscale="log")
    middle.set(title="Mean of the activations", xlabel="layer", ylabel="mean")
    for name, losses in curves.items():
        smooth = np.convolve(losses, np.ones(5) / 5, mode="valid")
        right.plot(smooth, label=name, color=f"C{list(kinds).index(name)}")
    right.set(title="Training 25 layers without batch norm", xlabel="iteration", ylabel="loss (mean of 5)")
    for ax in (left, middle, right):
        ax.legend()


def _train(X: np.ndarray, y: np.ndarray, kind: type, rate: float, epochs: int, seed: int) -> list[float]:
    """The losses of the iterations."""
    import fastnet as fn

    layers = [layer for _ in range(25) for layer in (fn.Linear(64, initializer="lecun_normal"), kind())]
    model = fn.Sequential(fn.Flatten(), *layers, fn.Linear(int(y.max()) + 1, initializer="lecun_normal"))
    model.build(X.shape[1:], seed=seed)
    plan, sgd, losses = fn.TrainingPlan(model, "softmax"), fn.optim.SGD(rate, momentum=0.9), []
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(X))
        for k in range(0, len(X) - 49, 50):
            model.zero_grad()
            losses.append(plan(X[order[k : k + 50]], y[order[k : k + 50]])[0])
            sgd.step(model.parameters())
    return losses

"""Dead ReLUs: units that no example activates, against the learning rate; leaky ReLUs do not die."""

from __future__ import annotations

import numpy as np

from fastnet.lectures.report import Report

SOURCE = 'CS231n 2024, "Training neural networks"'
DATA = True
RATES = (0.03, 0.1, 0.3, 1.0, 3.0)


def run(report: Report) -> None:
    import fastnet as fn
    from fastnet import functional as F

    data = report.data()
    X, y = fn.data.Standardize.fit(data.X_train)(data.X_train, "float32"), data.y_train
    if not report.full:
        X, y = X[:1500], y[:1500]
    x = np.array([-2.0, -0.5, 0.5])
    _, backward = F.relu(x)
    slopes = backward(np.ones(3))
    report.compare("the gradient of a ReLU when x < 0", np.abs(slopes[:2]).max(), 'asks "what?"', low=0, high=0)
    _, backward = F.leaky_relu(x, 0.01)
    report.compare("that of a leaky ReLU", np.abs(backward(np.ones(3))[:2]).min(), low=0.01, high=0.01)

    def train(activation: fn.Layer, rate: float) -> tuple[float, float, float]:
        """The share of hidden units that never have a positive input, of those that get no gradient, and accuracy."""
        model = fn.Sequential(fn.Flatten(), fn.Linear(100), activation, fn.Linear(int(y.max()) + 1))
        model.build(X.shape[1:], seed=report.seed)
        plan, sgd = fn.TrainingPlan(model, "softmax"), fn.optim.SGD(rate)
        for epoch in range(4):
            order = np.random.default_rng([report.seed, epoch]).permutation(len(X))
            for k in range(0, len(X) - 49, 50):
                model.zero_grad()
                plan(X[order[k : k + 50]], y[order[k : k + 50]])
                sgd.step(model.parameters())
        hidden = fn.Sequential(*list(model)[:2])(X)
        model.zero_grad()
        scores, back = model.forward(X, training=True)
        back(fn.losses.softmax_cross_entropy(scores, y)[1], input_gradient=False)
        stuck = (model[1].weight.grad == 0).all(axis=1)
        return float((hidden <= 0).all(axis=0).mean()), float(stuck.mean()), float((scores.argmax(1) == y).mean())

    rows, found = [], {}
    for name, layer in {"ReLU": fn.ReLU, "leaky ReLU": fn.LeakyReLU}.items():
        found[name] = np.array([train(layer(), rate) for rate in RATES])
        rows += [(name, rate, *map(float, line)) for rate, line in zip(RATES, found[name], strict=True)]
    report.table(["activation", "rate", "never active", "no gradient at all", "train accuracy"], rows, digits=3)
    relu, leaky = found["ReLU"], found["leaky ReLU"]
    report.compare("ReLU, smallest rate: share of dead units", relu[0, 0], high=0.1, digits=3)
    report.compare("ReLU, largest rate: share of dead units", relu[-1, 0], low=relu[0, 0] + 0.3, digits=3)
    report.claim("a dead unit gets no gradient, so it stays dead", bool((relu[:, 1] >= relu[:, 0]).all()))
    report.compare("leaky ReLU: units without a gradient", leaky[:, 1].max(), '"will not die"', low=0, high=0)
    report.say(
        "Units die where one large step takes them below zero for every example. Leaky units keep a gradient at every "
        "rate; whether the network learns is another question, which the accuracies answer."
    )
    report.keep("rates", RATES)
    report.keep("found", {name: values for name, values in found.items()})

    _, (left, right) = report.figure(1, 2)
    for (name, values), line in zip(found.items(), ("o-", "s--"), strict=True):
        left.semilogx(RATES, values[:, 1], line, label=name)
        right.semilogx(RATES, values[:, 2], line, label=name)
    left.set(title="Hidden units without any gradient", xlabel="learning rate", ylabel="share of 100 units")
    right.set(title="Accuracy after 4 epochs of SGD", xlabel="learning rate", ylabel="training accuracy")
    left.legend()
    right.legend()

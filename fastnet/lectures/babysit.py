"""Babysitting: the initial loss, 20 examples by heart, rates too low and too high."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.training import History

SOURCE = "CS231n 2017, lecture 6"
DATA = True


def run(report: Report) -> None:
    from fastnet import diagnose, losses
    from fastnet.optim import SGD
    from fastnet.regularizers import L2

    dataset = report.data().split(0.2, report.seed)
    scale, count = np.float32(255 / float(dataset.X_train.max())), None if report.full else 5000
    assert dataset.X_val is not None and dataset.y_val is not None
    x, x_val = enlarged(dataset.X_train[:count]) * scale, enlarged(dataset.X_val[:count]) * scale
    x, x_val, y, y_val = x - x.mean(axis=0), x_val - x.mean(axis=0), dataset.y_train[:count], dataset.y_val[:count]
    classes, pixels = len(dataset.classes), x[0].size
    same = (pixels, classes) == (3072, 10)  # the lecture's own network
    report.say(
        f"{dataset.name}: {len(y):,} images as {pixels} numbers from 0 to 255 (small ones enlarged to 3 x 32 x 32), "
        "less their mean; a network of 50 hidden ReLU units with weights of std 0.0001, plain SGD, as in the lecture."
    )

    # 1: the initial loss
    model = network(x, classes, report.seed)
    scores = model(x[:1000])
    first = losses.softmax_cross_entropy(scores, y[:1000])[0]
    expected = math.log(classes)
    slide = 2.30261216167 if classes == 10 else None
    report.compare("1. loss without regularization: log C", first, slide, low=expected - 1e-3, high=expected + 1e-3)
    squares = sum(float((p.value.astype(np.float64) ** 2).sum()) for p in model.parameters() if p.decay)
    total = first + L2(1e3).loss(model.parameters())
    low, high = (first + 0.5e3 * squares * factor for factor in (1 - 1e-5, 1 + 1e-5))
    report.compare(
        "with strength 1e3: higher by the penalty", total, 3.06859716482 if same else None, low=low, high=high
    )

    # 2: the first 20 examples by heart
    few = train(network(x, classes, report.seed), (x[:20], y[:20]), None, SGD(1e-3), 200, 20)
    report.compare("2. 20 examples, 200 epochs: loss", few.losses[-1], 0.002597, high=0.01)
    report.compare("accuracy", few.history["accuracy"][-1], 1.0, low=1.0)

    # 3: rates
    runs: dict[str, History | None] = {}
    rows: list[tuple[Any, ...]] = []
    slides = {1e-6: "barely changes", 3e-3: "inf, epoch 5", 1e6: "nan, epoch 1"}
    for rate in (1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 3e-2, 1e6):
        watch = diagnose.LiveDiagnosis(patience=40, examples=0)
        history = train(network(x, classes, report.seed), (x, y), (x_val, y_val), SGD(rate), 10, 100, watch)
        runs[f"{rate:g}"] = history
        says = ", ".join(finding.kind for finding in watch.findings) or "-"
        if history is None:
            rows.append((f"{rate:g}", "NaN or infinite", "", "", "error", slides.get(rate, "")))
        else:
            ends = history.losses[0], float(np.mean(history.losses[-10:])), history.history["val_accuracy"][-1]
            rows.append((f"{rate:g}", *ends, says, slides.get(rate, "")))
    report.say("3. All images, 10 epochs, strength 1e-6. The loss at first and at the end, and the live diagnosis:")
    report.table(["rate", "first loss", "last loss", "validation", "diagnosis", "lecture"], rows)
    slow = runs["1e-06"]
    change = abs(float(np.mean(slow.losses[-10:])) / slow.losses[0] - 1) if slow else math.nan
    report.compare("rate 1e-6: relative change of the loss", change, 6.8e-5, high=0.01, digits=2)
    report.claim("its diagnosis: rate too low, or bad initialization", rows[0][4] == "flat", str(rows[0][4]))
    fast = runs["0.003"]
    explodes = fast is None or fast.losses[-1] > fast.losses[0]
    if dataset.image_shape == (3, 32, 32):
        report.claim("rate 3e-3 explodes", explodes, "", "inf, epoch 5")
    elif not explodes:
        report.say("The lecture's rate of 3e-3, too high for its photographs, is not too high for these images.")
    report.claim(
        "rate 1e6 ends in NaN or infinity", runs["1e+06"] is None, "stopped" if runs["1e+06"] is None else "", "nan"
    )
    alive = {name: history for name, history in runs.items() if history is not None}
    best = max(alive, key=lambda name: alive[name].history["val_accuracy"][-1])
    report.compare(
        f"best rate {best}: validation accuracy", alive[best].history["val_accuracy"][-1], low=2 / classes, digits=3
    )

    # the same by name
    check = diagnose.sanity_check(
        network(x, classes, report.seed), (x, y), batch_size=100, rates=(1e-2, 1e-3, 1e-4, 1e-5)
    )
    report.say("The same steps by fastnet.diagnose.sanity_check:")
    report.say(check.sentence())
    for step in check.steps:
        report.say(f"{step.title}: {step.status}; {'; '.join(step.lines)}")
    ratios = diagnose.UpdateRatios(5)
    train(network(x, classes, report.seed), (x, y), None, SGD(float(best)), 10, 100, ratios)
    report.say(ratios.sentence() + ".")
    report.keep("update ratios", ratios.ratios)

    figure, (left, right) = report.figure(1, 2, size=(13, 4.2))
    for n, (name, history) in enumerate(alive.items()):
        steps = np.arange(1, len(history.losses) + 1)
        left.scatter(steps, history.losses, s=4, alpha=0.25, linewidths=0, color=f"C{n}")
        left.plot(*averages(history.losses), color=f"C{n}", label=f"rate {name}")
        right.plot(history.history["epoch"], history.history["accuracy"], "--", color=f"C{n}")
        right.plot(history.history["epoch"], history.history["val_accuracy"], color=f"C{n}", label=f"rate {name}")
    left.set(
        xlabel="iteration", ylabel="loss", title="Loss: each iteration, and a moving average", ylim=(0, 1.5 * expected)
    )
    right.set(xlabel="epoch", ylabel="accuracy", title="Accuracy: training (dashed), validation", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.legend(*right.get_legend_handles_labels(), loc="outside right upper")


def enlarged(images: Any) -> Any:
    """Images of a size that divides 32 as 3 x 32 x 32, each pixel repeated; others as they are."""
    _, channels, height, width = images.shape
    if 32 % height == 0 and 32 % width == 0:
        images = images.repeat(32 // height, axis=2).repeat(32 // width, axis=3)
        images = images.repeat(3, axis=1) if channels == 1 else images
    return images.astype(np.float32)


def averages(values: list[float]) -> tuple[Any, Any]:
    from fastnet.training.history import moving_average

    return moving_average(np.asarray(values, float))


def network(x: Any, classes: int, seed: int) -> Any:
    """The lecture's: weights of 0.0001 * randn, biases 0."""
    import fastnet as fn

    model = fn.Sequential(fn.Flatten(), fn.Linear(50), fn.ReLU(), fn.Linear(classes))
    model.build(x.shape[1:], seed=seed)
    fn.initializers.initialize(model, lambda rng, shape: fn.initializers.normal(rng, shape, 1e-4), seed=seed)
    return model


def train(model: Any, data: Any, validation: Any, optimizer: Any, epochs: int, batch: int, *callbacks: Any) -> Any:
    """The history, or None if the run ended in NaN or infinity."""
    from fastnet.regularizers import L2
    from fastnet.training import Solver

    strength = 1e-6 if validation is not None else 0.0
    solver = Solver(
        *(model, data, validation),
        optimizer=optimizer,
        regularizer=L2(strength),
        batch_size=batch,
        epochs=epochs,
        callbacks=callbacks,
        verbose=False,
    )
    try:
        with np.errstate(all="ignore"):
            return solver.train()
    except FloatingPointError:
        return None

"""Step decay: the loss curve falls at each drop of the learning rate."""

from __future__ import annotations

from typing import Any

from fastnet.lectures.report import Report

DATA = True


def options(parser: Any) -> None:
    parser.add_argument("--every", type="several", default=6, metavar="N", help="epochs between drops (default: 6)")
    parser.add_argument(
        "--factor", type="positive", default=0.2, metavar="F", help="what a drop multiplies by (default: 0.2)"
    )


def run(report: Report) -> None:
    import fastnet as fn

    data, every, factor = report.data(), report.args.every, report.args.factor
    count = None if report.full else 2000
    images = data.X_train[:count], data.y_train[:count]
    solver = fn.Solver(
        fn.Sequential(fn.Flatten(), fn.Dropout(0.3), fn.Linear(len(data.classes))),
        images,
        images,
        optimizer=fn.optim.SGD(1.0),
        schedule=fn.optim.StepDecay(every, factor),
        batch_size=8,
        epochs=3 * every,
        preprocess="standardize",
        seed=report.seed,
        verbose=False,
    )
    report.say(
        "CS231n 2017, lecture 7, draws such a curve, without numbers.  "
        f"A softmax classifier with dropout on {data.name}, SGD in batches of 8 at rate 1, times {factor:g} after "
        f"every {every} epochs.  While the rate is high, the noise of the gradients keeps the loss up.  The loss is "
        "that of all training images, without dropout, after each epoch."
    )
    history = solver.train().history
    losses, rates = history["val_loss"], history["lr"]
    report.table(["epoch", "rate", "loss"], list(zip(history["epoch"], rates, losses, strict=True)))
    before = min(every, 3)
    for drop in (every, 2 * every):
        ratio = losses[drop] / (sum(losses[drop - before : drop]) / before)
        report.compare(
            f"epoch {drop + 1}, after a drop: loss / mean of the {before} epochs before", ratio, high=0.95, digits=3
        )

    _, axes = report.figure(size=(7.5, 4.6))
    axes.plot(history["epoch"], losses, "o-", markersize=4)
    for drop in (every, 2 * every):
        axes.axvline(drop + 0.5, color="black", linestyle=":")
        axes.annotate(f" rate times {factor:g}", (drop + 0.5, max(losses)), va="top")
    axes.set(xlabel="epoch", ylabel="training loss", yscale="log", title="The loss falls at each drop of the rate")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(True, alpha=0.3, which="both")

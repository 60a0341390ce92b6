"""Polyak's average: x_test = 0.995 x_test + 0.005 x, and its smoother validation curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.layers import Model
    from fastnet.types import Array

DATA = True


def options(parser: Any) -> None:
    parser.add_argument("--epochs", type="count", default=20, metavar="N", help="epochs (default: 20)")
    parser.add_argument("--decay", type="fraction", default=0.995, metavar="D", help="(default: 0.995)")


def run(report: Report) -> None:
    import fastnet as fn
    from fastnet.training import Callback, PolyakAverage

    class Slide(Callback):
        """The slide's two lines on one flat float64 vector: after each step, x_test = 0.995*x_test + 0.005*x."""

        x_test: Array | None = None

        def on_iteration_end(self, solver: Any) -> None:
            x = _flat(solver.model)
            decay = report.args.decay
            self.x_test = x if self.x_test is None else decay * self.x_test + (1 - decay) * x

    data = report.data()
    count = None if report.full else 1000
    slide, polyak = Slide(), PolyakAverage(report.args.decay)
    model = fn.Sequential(fn.Flatten(), fn.Dropout(0.3), fn.Linear(len(data.classes)))
    model.build(data.image_shape, seed=report.seed, dtype="float64")
    solver = fn.Solver(
        model,
        (data.X_train[:count], data.y_train[:count]),
        (data.X_test[:count], data.y_test[:count]),
        optimizer=fn.optim.SGD(1.0),
        batch_size=8,
        epochs=report.args.epochs,
        preprocess="standardize",
        seed=report.seed,
        verbose=False,
        callbacks=[slide, polyak],
    )
    report.say(
        "CS231n 2017, lecture 7, prints the recurrence, with 0.995, and no result.  "
        f"A softmax classifier with dropout on {data.name}, SGD at a constant rate of 1 in batches of 8, "
        "float64; both the weights and their average are evaluated on held-out images after each epoch."
    )
    history = solver.train()
    assert slide.x_test is not None
    difference = np.abs(_flat(model) - slide.x_test).max()
    report.compare("the slide's recurrence, largest difference of a weight", difference, high=1e-12, digits=2)
    pairs = [("loss", "val_loss", 0), ("accuracy", "val_accuracy", 1)]
    rough, smooth = {}, {}
    for name, column, place in pairs:
        own = np.array(history.history[column])
        average = np.array([evaluation[place] for evaluation in polyak.evaluations])
        rough[name], smooth[name] = own, average
        later = slice(len(own) // 4, None)  # after the first steep fall
        roughness = [float(np.abs(np.diff(curve[later])).mean()) for curve in (own, average)]
        report.table(
            ["validation " + name, "mean change from epoch to epoch", "last"],
            [["of the weights", roughness[0], own[-1]], ["of their average", roughness[1], average[-1]]],
        )
        report.claim(
            f"the validation {name} of the average changes less from epoch to epoch",
            roughness[1] < roughness[0],
            f"{roughness[1] / roughness[0]:.2f} times",
        )

    _, axes = report.figure(1, 2)
    epochs = history.history["epoch"]
    for ax, (name, _, _) in zip(axes, pairs, strict=True):
        ax.plot(epochs, rough[name], "o-", markersize=3, label="weights")
        ax.plot(epochs, smooth[name], "o-", markersize=3, label=f"Polyak's average, {report.args.decay:g}")
        ax.set(xlabel="epoch", ylabel=f"validation {name}", title=f"Validation {name}")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(True, alpha=0.3)
        ax.legend()
    axes[0].set_yscale("log")


def _flat(model: Model) -> Array:
    flat: Array = np.concatenate([value.ravel() for value in model.state_dict().values()]).astype(np.float64)
    return flat

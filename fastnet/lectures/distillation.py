"""Distillation: one small network learns from the soft scores of an ensemble ("dark knowledge").

Teachers and students see the same images; a student may learn from the teacher alone, without a label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.lectures.report import Report

if TYPE_CHECKING:
    from fastnet.data import Loader
    from fastnet.layers import Model
    from fastnet.types import Loss

DATA = True


def options(parser: Any) -> None:
    parser.add_argument("--images", type="count", default=300, metavar="N", help="training images (default: 300)")
    parser.add_argument("--students", type="count", default=5, metavar="N", help="of each kind (default: 5)")
    parser.add_argument("--temperature", type="positive", default=4.0, metavar="T", help="(default: 4)")
    parser.add_argument("--epochs", type="count", default=30, metavar="N", help="of each training (default: 30)")


def run(report: Report) -> None:
    import fastnet as fn
    from fastnet.training import Distillation, DistillationLoader

    data, args = report.data(), report.args
    X, y = data.X_train[: args.images], data.y_train[: args.images]
    prepare = fn.data.Standardize.fit(X)
    options: dict[str, Any] = {"batch_size": 16, "preprocess": prepare, "seed": report.seed}
    plain = fn.data.Loader(X, y, **options)
    classes, tests = len(data.classes), (data.X_test, data.y_test)
    members = [_train(report, 64, classes, plain, report.seed + 100 + i) for i in range(5)]
    teacher = fn.Ensemble(members)
    soft = DistillationLoader(X, y, teacher.predict(X), **options)
    kinds: dict[str, tuple[Loader, str | Loss]] = {
        "labels": (plain, "softmax"),
        "teacher and labels": (soft, Distillation(args.temperature, 0.7)),
        "teacher alone": (soft, Distillation(args.temperature, 1.0)),
    }
    report.say(
        "The CS231n course notes name it, without numbers.  "
        f"Teacher: 5 networks with 64 hidden units.  Students: {args.students} of each kind with 8, trained for "
        f"{args.epochs} epochs on the same {len(X)} images of {data.name}; temperature {args.temperature:g}."
    )
    rows: list[list[Any]] = [_row("the teacher itself", [teacher.evaluate(*tests)])]
    for kind, (loader, loss) in kinds.items():
        students = [_train(report, 8, classes, loader, report.seed + i, loss) for i in range(args.students)]
        rows.append(_row(kind, [student.evaluate(*tests) for student in students]))
    report.table(["taught by", "test loss", "deviation", "test accuracy", "deviation"], rows)
    labels, _, alone = rows[1:]
    report.compare("test loss: from the teacher alone / from labels", alone[1] / labels[1], high=1.0, digits=3)
    report.compare("test accuracy: from the teacher alone - from labels", alone[3] - labels[3], low=-0.02, digits=2)

    _, axes = report.figure(1, 2, size=(11, 4.6))
    names = [row[0] for row in rows]
    for ax, place, title in ((axes[0], 1, "test loss"), (axes[1], 3, "test accuracy")):
        means, deviations = [row[place] for row in rows], [row[place + 1] for row in rows]
        ax.errorbar(means, names, xerr=deviations, fmt="o", capsize=3)  # no bars: the axes do not begin at 0
        ax.grid(True, axis="x", alpha=0.3)
        ax.set(xlabel=f"{title}, mean and standard deviation of {args.students}", title=title.capitalize())
        ax.invert_yaxis()
    axes[1].set_yticklabels([])


def _row(name: str, evaluations: list[Any]) -> list[Any]:
    values = np.array([[each.loss, each.accuracy] for each in evaluations])
    (loss, accuracy), (a, b) = values.mean(axis=0), values.std(axis=0)
    return [name, float(loss), float(a), float(accuracy), float(b)]


def _train(report: Report, width: int, classes: int, loader: Loader, seed: int, loss: str | Loss = "softmax") -> Model:
    import fastnet as fn

    model = fn.Sequential(fn.Flatten(), fn.Linear(width), fn.ReLU(), fn.Linear(classes))
    model.build(loader.X.shape[1:], seed=seed)
    solver = fn.Solver(
        model,
        loader,
        loss=loss,
        optimizer=fn.optim.Adam(3e-3),
        schedule=fn.optim.CosineDecay(),
        epochs=report.args.epochs,
        verbose=False,
    )
    solver.train()
    model.preprocessing = loader.preprocess
    return model

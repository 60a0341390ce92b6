"""Test-time views: five scales of ten windows each, exactly 50, and what their average is worth.

The lecture's network has images of 224, tested at short sides of 224, 256, 384, 480 and 640.  Here the sizes are in
proportion to the data's, and a small network is trained on windows at random scales, as ResNet was.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.lectures.report import Report, as_bytes

SOURCE = "CS231n 2017, lecture 7"
DATA = True
SCALES = (224, 256, 384, 480, 640)


def options(parser: Any) -> None:
    parser.add_argument("--images", type="count", default=1000, metavar="N", help="training images (default: 1000)")
    parser.add_argument("--epochs", type="count", default=30, metavar="N", help="passes over them (default: 30)")


def run(report: Report) -> None:
    import fastnet as fn
    from fastnet.training.views import VIEWS, Views

    rows, columns = np.mgrid[:224, :224].astype(np.uint8)
    rng = np.random.default_rng(0)
    image = np.stack([rows, columns, rows])[None]
    crops: Any = VIEWS["five-scales"]((224, 224))
    report.compare("views", sum(len(crop(image, rng)) for crop in crops), 50, low=50, high=50)
    for crop, size in zip(crops, SCALES, strict=True):
        resized = crop.transforms[0].size
        report.claim(f"short side {size}: 10 windows", resized == size and len(crop(image, rng)) == 10)
    rows, columns = np.mgrid[:256, :256].astype(np.uint8)
    views = fn.augment.TenCrop(224)(np.stack([rows, columns, rows])[None], rng)
    corners = [tuple(int(v) for v in view[:2, 0, 0]) for view in views]
    report.table(["view", "row of its corner", "column", "mirrored"], [[i, *c, i >= 5] for i, c in enumerate(corners)])
    plain = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    report.claim("corners and centre of 224 in 256", corners[:5] == plain)
    report.claim("then those of the mirror image", corners[5:] == [(row, 255 - column) for row, column in plain])

    data = report.data()
    X, X_test = as_bytes(data.X_train[: report.args.images]), as_bytes(data.X_test)
    side = X.shape[2]
    model = fn.Sequential(
        *(fn.Conv2d(32, 3, padding=1), fn.ReLU(), fn.Conv2d(32, 3, padding=1), fn.ReLU(), fn.MaxPool2d(2)),
        *(fn.Conv2d(64, 3, padding=1), fn.ReLU(), fn.AdaptiveAvgPool2d(2), fn.Flatten(), fn.Linear(len(data.classes))),
    )
    model.build(X.shape[1:], seed=report.seed)
    sizes = range(side, round(side * 480 / 224) + 1)
    model.fit(
        X,
        data.y_train[: len(X)],
        epochs=report.args.epochs,
        batch_size=50,
        seed=report.seed,
        preprocess="standardize",
        augment=[fn.augment.RandomShortestSize(sizes), fn.augment.RandomCrop(side)],
        optimizer=fn.optim.Adam(2e-3),
        schedule=fn.optim.CosineDecay(),
        verbose=False,
    )
    single = 100 * model.evaluate(X_test, data.y_test).accuracy
    found: list[list[Any]] = []
    for name in VIEWS:
        averaged = Views(model, name)
        number = sum(map(len, averaged.images(X_test[:1])))
        found.append([name, number, 100 * averaged.evaluate(X_test, data.y_test).accuracy, single])
    report.say(f"{data.name}: {len(X)} training images of {side} x {side}, {len(X_test)} test images; accuracies in %.")
    report.table(["views", "number", "accuracy of the mean", "accuracy of the image itself"], found)
    alone = _each(Views(model, "five-scales"), X_test, data.y_test)
    report.keep("accuracy of each view", alone)
    mean = 100 * float(np.mean(alone))
    report.compare("five scales: mean of 50 - average single view, points", found[2][2] - mean, low=0, digits=3)
    report.say(
        f"The network is right for {found[2][3]:.1f} % of the images themselves, for {mean:.1f} % of the 50 windows on "
        f"average, and for {found[2][2]:.1f} % by their mean.  Whether 50 views beat the image itself depends on the "
        "data: photographs show their object in most windows, digits do not, and a mirrored digit is another sign."
    )

    _, axes = report.figure(size=(7.5, 4.2))
    for number, scale in enumerate(SCALES):
        axes.plot(range(10), alone[10 * number : 10 * number + 10], "o-", label=f"scale {scale / 224:.2f}")
    axes.axhline(found[2][2] / 100, color="black", label="mean of 50")
    axes.set(xlabel="view: corners, centre; then mirrored", ylabel="test accuracy", xticks=range(10))
    axes.set_title("Each of the 50 windows alone, and their mean")
    axes.legend(fontsize=8)
    axes.grid(True, alpha=0.3)


def _each(views: Any, X: Any, y: Any) -> list[float]:
    """The accuracy of each of the 50 views alone."""
    found: list[float] = []
    for made in views.images(X):
        taken = views.model.predict_classes(made).reshape(len(X), -1)
        found += [float(share) for share in (taken == y[:, None]).mean(axis=0)]
    return found

"""Class visualisation: images that maximise the score of a class, from noise.

Gradient ascent with an L2 penalty, jitter and blur.  The scores rise to those of real images and above, and the images
show what the network takes for typical.  ``--net resnet18 --weights resnet18.pth`` makes the six images of CS231n's
lectures with a network that was trained on ImageNet: strawberry, throne, mushroom, tarantula, flamingo, king penguin.
"""

from __future__ import annotations

import argparse

import numpy as np

from fastnet.lectures.material.networks import trained_three_convolutions
from fastnet.lectures.material.published import add_published, published
from fastnet.lectures.report import Report
from fastnet.visualize.canvas import value_range

DATA = True
SIX = {"strawberry": 949, "throne": 857, "mushroom": 947, "tarantula": 76, "flamingo": 130, "king penguin": 145}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type="count", default=200, metavar="N", help="of gradient ascent (default: 200)")
    add_published(parser)
    parser.add_argument("--epochs", type="count", default=8, metavar="N", help="of the training (default: 8)")


def run(report: Report) -> None:
    if report.args.net is not None:
        _six(report)
    else:
        _own(report)


def _six(report: Report) -> None:
    from fastnet import visualize

    args = report.args
    model = published(args.net, args.weights)
    made = visualize.class_images(
        model,
        list(SIX.values()),
        steps=args.steps,
        rate=0.1,
        blur=0.7,
        blur_every=2,
        jitter=32,
        bounds=(0, 255),
        seed=report.seed,
    )
    rows = zip(SIX, made.scores[0], made.scores[-1], made.probabilities, strict=True)
    report.table(["class", "score at first", "at the end", "probability"], [[k, *map(float, v)] for k, *v in rows], 3)
    report.compare("rise of the score, least", (made.scores[-1] - made.scores[0]).min(), low=1, digits=3)
    report.compare("probability of the class, median", float(np.median(made.probabilities)), low=0.9, digits=3)
    visualize.plot_images(made.images, list(SIX), bounds=(0, 255), columns=3, path=report.file())


def _own(report: Report) -> None:
    from fastnet import visualize

    args, data = report.args, report.data()
    model, accuracy = trained_three_convolutions(data, args.epochs, report.seed)
    classes = np.arange(min(len(data.classes), 12))
    bounds = value_range(data.X_train)
    made = visualize.class_images(model, classes, steps=args.steps, blur=0.4, bounds=bounds, seed=report.seed)
    scores = model.predict(data.X_test)
    real = np.array([scores[data.y_test == k, k].mean() for k in classes])
    means = np.stack([data.X_train[data.y_train == k].mean(axis=0) for k in classes])
    report.say(
        f"A network of three convolutions on {data.name}: {accuracy:.1%} of the test images.  {args.steps} steps from "
        f"noise for each of {len(classes)} classes."
    )
    report.table(
        ["class", "score at first", "at the end", "of test images, mean", "probability"],
        [
            [data.classes[k], *map(float, (made.scores[0, k], made.scores[-1, k], real[k], made.probabilities[k]))]
            for k in classes
        ],
        digits=3,
    )
    report.compare("rise of the score, least", (made.scores[-1] - made.scores[0]).min(), low=1, digits=3)
    report.compare("probability of the class, median", float(np.median(made.probabilities)), low=0.9, digits=3)
    report.compare("probability of the class, least", made.probabilities.min(), low=0.5, digits=3)

    names = [str(data.classes[k]) for k in classes]
    pictures = np.concatenate([made.images, means.astype(made.images.dtype)])
    titles = [*names, *(f"{name}: mean of training" for name in names)]
    visualize.plot_images(pictures, titles, bounds=bounds, columns=len(classes), path=report.file())

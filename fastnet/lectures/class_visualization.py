"""Class visualisation: images that maximise the score of a class, from noise.

Gradient ascent with an L2 penalty, jitter and blur.  The scores rise far above those of real images, and the images
show what the network takes for typical.
"""

from __future__ import annotations

import argparse

import numpy as np

from fastnet.lectures.report import Report
from fastnet.lectures.saliency import span, trained

DATA = True


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type="count", default=200, metavar="N", help="of gradient ascent (default: 200)")
    parser.add_argument("--epochs", type="count", default=8, metavar="N", help="of the training (default: 8)")


def run(report: Report) -> None:
    from fastnet import visualize

    args, data = report.args, report.data()
    model, accuracy = trained(data, args.epochs, report.seed)
    classes = np.arange(min(len(data.classes), 12))
    bounds = span(data.X_train)
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
    report.compare("probability of the class, least", made.probabilities.min(), low=0.9, digits=3)

    names = [str(data.classes[k]) for k in classes]
    pictures = np.concatenate([made.images, means.astype(made.images.dtype)])
    titles = [*names, *(f"{name}: mean of training" for name in names)]
    visualize.plot_images(pictures, titles, bounds=bounds, columns=len(classes), path=report.file())

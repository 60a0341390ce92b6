"""Augmented versions of one picture: resize, colour jitter, flip, rotation, within their bounds."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np

from fastnet.lectures.report import Report

SOURCE = "WWU CSCI 497P"
SIDE, VERSIONS = 224, 200


def options(parser: Any) -> None:
    parser.add_argument("--degrees", type="positive", default=20, metavar="D", help="largest rotation (default: 20)")


def scene() -> Any:
    """A picture, uint8 (1, 3, 280, 280): sky, a meadow, a house; a red disc in the middle, and a white one above it."""
    rows, columns = np.mgrid[:280, :280]
    picture = np.stack([90 + rows // 4, 150 + rows // 5, 220 - rows // 4])
    picture[:, rows > 190] = np.array([70, 140, 60])[:, None]
    picture[:, (rows > 120) & (rows < 230) & (columns > 30) & (columns < 100)] = np.array([170, 120, 70])[:, None]
    picture[:, (rows - 139.5) ** 2 + (columns - 139.5) ** 2 < 30**2] = np.array([200, 60, 40])[:, None]
    picture[:, (rows - 39.5) ** 2 + (columns - 139.5) ** 2 < 10**2] = 255
    return picture[None].astype(np.uint8)


def run(report: Report) -> None:
    import fastnet as fn

    degrees = report.args.degrees
    report.say(
        "The pipeline of the lecture's example: Resize((224, 224)), ColorJitter(hue=.05, saturation=.05), "
        f"RandomHorizontalFlip(), RandomRotation({degrees:g}, bilinear), {VERSIONS} times for one picture.  The place "
        "of the white disc shows the angle, the colour of the red one hue and saturation."
    )
    pipeline = fn.augment.Compose(
        [
            fn.augment.Resize((SIDE, SIDE)),
            fn.augment.ColorJitter(hue=0.05, saturation=0.05),
            fn.augment.RandomHorizontalFlip(),
            fn.augment.RandomRotation(degrees, "bilinear"),
        ]
    )
    images = pipeline(np.repeat(scene(), VERSIONS, axis=0), np.random.default_rng(report.seed))
    report.claim("all versions are 224 x 224", images.shape == (VERSIONS, 3, SIDE, SIDE))
    angles, hues, saturations = zip(*map(measured, images), strict=True)
    hue, saturation, _ = colorsys.rgb_to_hsv(200 / 255, 60 / 255, 40 / 255)
    shift = [(value - hue + 0.5) % 1 - 0.5 for value in hues]
    factor = [value / saturation for value in saturations]
    for what, values, bound, slack in [("angle", angles, degrees, 1), ("shift of the hue", shift, 0.05, 0.005)]:
        report.compare(f"largest {what}", max(values), bound, low=0.85 * bound, high=bound + slack, digits=3)
        report.compare(f"smallest {what}", min(values), -bound, low=-bound - slack, high=-0.85 * bound, digits=3)
    report.compare("largest change of the saturation", max(factor), low=1.02, high=1.07, digits=3)
    house = (images[:, 0, 150:165, 28:70].mean(axis=(1, 2)) > images[:, 0, 150:165, 154:196].mean(axis=(1, 2))).mean()
    report.compare("share that is not mirrored", float(house), 0.5, low=0.38, high=0.62, digits=3)

    figure, _ = report.figure(size=(9, 4.7))
    figure.clear()
    for i, axes in enumerate(figure.subplots(3, 6).flat):
        axes.imshow(images[i].transpose(1, 2, 0))
        axes.axis("off")
    figure.suptitle("Eighteen versions of one picture: hue, saturation, mirror image, rotation")


def measured(image: Any) -> tuple[float, float, float]:
    """Angle of the white disc above the middle in degrees, hue and saturation of the middle."""
    rows, columns = np.nonzero(image.min(axis=0) > 235)
    angle = np.degrees(np.arctan2(columns.mean() - 111.5, 111.5 - rows.mean()))
    hue, saturation, _ = colorsys.rgb_to_hsv(*(image[:, 105:119, 105:119].mean(axis=(1, 2)) / 255))
    return float(angle), hue, saturation

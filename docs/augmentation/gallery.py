"""The picture of docs/augmentation.md: ``python docs/augmentation/gallery.py`` draws it anew, beside this file.

Each row shows five versions of a part of scikit-learn's photograph of a flower, and for MixUp and CutMix of both
photographs.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

import fastnet as fn

A, SIDE, VERSIONS = fn.augment, 96, 5
ROWS = {
    "RandomHorizontalFlip()": A.RandomHorizontalFlip(),
    "RandomCrop(96, padding=16)": A.RandomCrop(SIDE, padding=16),
    "RandomResizedCrop(96)": A.RandomResizedCrop(SIDE),
    "RandomRotation(30)": A.RandomRotation(30, "bilinear"),
    "RandomAffine(15, (.1, .1), (.8, 1.2), 15)": A.RandomAffine(15, (0.1, 0.1), (0.8, 1.2), 15, "bilinear"),
    "RandomPerspective(0.5, p=1)": A.RandomPerspective(0.5, p=1),
    "RandomLensDistortion(0.3)": A.RandomLensDistortion(0.3),
    "ColorJitter(.5, .5, .5, .1)": A.ColorJitter(0.5, 0.5, 0.5, 0.1),
    "PCAColor(1)": A.PCAColor(1),
    "RandomGrayscale(0.5)": A.RandomGrayscale(0.5),
    "RandomInvert()": A.RandomInvert(),
    "RandomPosterize(2)": A.RandomPosterize(2),
    "RandomSolarize(128)": A.RandomSolarize(128),
    "RandomAutocontrast()": A.RandomAutocontrast(),
    "RandomEqualize()": A.RandomEqualize(),
    "RandomAdjustSharpness(5)": A.RandomAdjustSharpness(5),
    "GaussianBlur(9, (0.5, 4))": A.GaussianBlur(9, (0.5, 4.0)),
    "RandomErasing(1)": A.RandomErasing(1),
    "Cutout(32)": A.Cutout(32),
    "AutoAugment()": A.AutoAugment(),
    "RandAugment()": A.RandAugment(),
    "TrivialAugmentWide()": A.TrivialAugmentWide(),
    "MixUp()": A.MixUp(),
    "CutMix()": A.CutMix(),
}


def photographs() -> np.ndarray:
    """The flower and the temple, uint8 (2, 3, 96, 96)."""
    temple, flower = load_sample_images().images
    parts = flower[60:380, 240:560], temple[60:380, 160:480]
    resize = A.Resize((SIDE, SIDE))
    return resize(np.stack(parts).transpose(0, 3, 1, 2).copy(), np.random.default_rng(0))


def versions(transform: fn.augment.Transform) -> np.ndarray:
    """Five images (5, 3, H, W)."""
    both, rng = photographs(), np.random.default_rng(3)
    if transform.mixes_labels:  # one number for each batch
        return np.concatenate([transform(both, np.eye(2), rng)[0][:1] for _ in range(VERSIONS)])
    return transform(np.repeat(both[:1], VERSIONS, axis=0), rng)


def draw(path: Path) -> None:
    half = -(-len(ROWS) // 2)
    figure, grid = plt.subplots(half, 2 * VERSIONS, figsize=(11, 0.98 * half + 0.4))
    for number, (title, transform) in enumerate(ROWS.items()):
        row, start = number % half, VERSIONS * (number // half)
        for axes, image in zip(grid[row, start:], versions(transform), strict=False):
            axes.imshow(image.transpose(1, 2, 0))
        grid[row, start].set_title(title, fontsize=8, loc="left", pad=3)
    for axes in grid.flat:
        axes.axis("off")
    figure.subplots_adjust(0.01, 0.005, 0.99, 0.985, 0.04, 0.28)
    figure.savefig(path, dpi=85)
    Image.open(path).convert("RGB").quantize(160).save(path, optimize=True)


if __name__ == "__main__":
    draw(Path(__file__).with_name("transforms.png"))

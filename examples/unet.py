"""Train a small U-Net that finds and names handwritten digits in noisy pictures, pixel by pixel.

    python examples/unet.py [FOLDER]

The pictures are made from scikit-learn's digits.  Writes unet.png, a few test pictures with their true and predicted
maps, and model.npz to FOLDER (runs/unet).
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np

import fastnet as fn

SIDE, UNSURE = 48, 255  # pixels; the label of pixels that are neither ink nor background


def scenes(X, y, count, seed):
    """Pictures (N, 1, 48, 48) of three or four digits on noise, and the maps (N, 48, 48) of their pixels' classes.

    Class 0 is background and class d + 1 the ink of digit d; pixels at the edges of the ink are UNSURE.
    """
    rng = np.random.default_rng(seed)
    pictures = rng.uniform(0, 0.35, (count, 1, SIDE, SIDE)).astype(np.float32)
    maps = np.zeros((count, SIDE, SIDE), np.int64)
    large, _ = fn.functional.interpolate(np.float32(X) / 255, scale_factor=2.5, mode="bilinear")  # 8x8 to 20x20
    size, cells = large.shape[-1], SIDE // 2
    for picture, labels in zip(pictures[:, 0], maps, strict=True):
        for cell in rng.permutation(4)[: rng.integers(3, 5)]:
            i, (row, column) = rng.integers(len(X)), rng.integers(0, cells - size + 1, 2)
            rows = slice(cell // 2 * cells + row, cell // 2 * cells + row + size)
            columns = slice(cell % 2 * cells + column, cell % 2 * cells + column + size)
            ink = large[i, 0]
            picture[rows, columns] = np.maximum(picture[rows, columns], ink)
            labels[rows, columns] = np.where(ink > 0.5, y[i] + 1, np.where(ink > 0.3, UNSURE, 0))
    return pictures, maps


def convolutions(width):
    return [layer for _ in range(2) for layer in (fn.Conv2d(width, 3, padding=1), fn.BatchNorm2d(), fn.ReLU())]


def level(width, *deeper):
    """A level of the U and all below it (Ronneberger et al. 2015, arXiv:1505.04597).

    Two convolutions; their result beside what the lower levels make of it at half the resolution; two convolutions.
    """
    if not deeper:
        return convolutions(width)
    below = [fn.MaxPool2d(2), *level(*deeper), fn.ConvTranspose2d(width, 2, stride=2)]
    return [*convolutions(width), fn.Concat([fn.Identity(), below]), *convolutions(width)]


def draw(path, pictures, maps, found):
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    colours = ListedColormap(["white", *(f"C{i}" for i in range(10))])
    figure = Figure(figsize=(2 * len(pictures), 6.6), layout="constrained")
    titles = ("picture", "true classes", "U-Net")
    for row, (title, shown) in enumerate(zip(titles, (pictures[:, 0], maps, found), strict=True)):
        for column, image in enumerate(shown):
            axes = figure.add_subplot(3, len(pictures), row * len(pictures) + column + 1)
            if row == 0:
                axes.imshow(image, cmap="gray_r")
            else:
                drawn = axes.imshow(np.ma.masked_equal(image, UNSURE), cmap=colours, vmin=-0.5, vmax=10.5)
            axes.set(xticks=[], yticks=[], ylabel=title if column == 0 else "", facecolor="lightgrey")
    bar = figure.colorbar(drawn, ax=figure.axes, ticks=range(11), shrink=0.6)
    bar.ax.set_yticklabels(["none", *"0123456789"])
    figure.savefig(path, dpi=110)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    digits = fn.data.digits()
    X, y = scenes(digits.X_train, digits.y_train, 1500, seed=0)
    X_test, y_test = scenes(digits.X_test, digits.y_test, 100, seed=1)
    model = fn.Sequential(*level(8, 16, 32), fn.Conv2d(11, 1))
    model.build(X.shape[1:], seed=0)
    print(f"U-Net of {model.summary().parameters:,} parameters, {len(X)} pictures of {SIDE}x{SIDE}")
    solver = fn.Solver(
        model,
        (X, y),
        (X_test, y_test),
        loss=partial(fn.losses.softmax_cross_entropy, ignore_index=UNSURE),
        optimizer=fn.optim.AdamW(1e-2),
        schedule=fn.optim.CosineDecay(),
        batch_size=10,
        epochs=6,
    )
    solver.train()
    found = model.predict(X_test).argmax(axis=1)
    sure = y_test != UNSURE
    both = [(sure & (found == c) & (y_test == c)).sum() for c in range(1, 11)]
    either = [(sure & ((found == c) | (y_test == c))).sum() for c in range(1, 11)]
    right, background = solver.evaluate(X_test, y_test).accuracy, (y_test == 0).mean()
    print(f"pixels right: {right:.3f} ({background:.3f} are background)")
    print(f"intersection over union, mean of the digits: {np.mean(np.divide(both, either)):.3f}")
    draw(folder / "unet.png", X_test[:6], y_test[:6], found[:6])
    model.save(folder / "model.npz")
    print(f"{folder / 'unet.png'} shows test pictures")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/unet"))

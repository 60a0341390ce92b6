"""What papers.py trains: networks, data and settings in one table, which fastnet's side and PyTorch's both read."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist
DISTORTIONS = {"affine": {"degrees": 10, "translate": 0.1, "scale": 0.1, "shear": 10}}
WINDOWS = {"crop": {"padding": 4}, "flip": {}}


class Recipe(NamedTuple):
    """One training.

    Attributes
    ----------
    title, net, data : str
        `net` is one of nets.py and torch_nets.py; `data` one of `READERS`.
    published : float
        Accuracy in percent, as `source` has it.
    goal : float
        The accuracy in percent up to which time is measured.
    augment : dict
        Options by name: "affine" (rotation and shear in degrees, translation and scaling as shares), "crop", "flip".
    remark : str
        What a reader must know about the comparison with the published figure.
    """

    title: str
    net: str
    data: str
    published: float
    source: str
    goal: float
    epochs: int
    lr: float
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: dict[str, dict[str, Any]] = {}
    remark: str = ""


RECIPES = {
    "lenet5": Recipe(
        *("LeNet-5, MNIST", "lenet5", "mnist", 99.05, "LeCun et al. 1998", 99.0),
        **{"epochs": 20, "lr": 0.02, "batch_size": 64},
        remark="ReLU, max pooling and cross-entropy in place of the paper's",
    ),
    "lenet5-distorted": Recipe(
        *("LeNet-5, MNIST, distortions", "lenet5", "mnist", 99.2, "LeCun et al. 1998", 99.0),
        **{"epochs": 30, "lr": 0.02, "batch_size": 64, "augment": DISTORTIONS, "weight_decay": 1e-4},
        remark="distortions are drawn anew in each epoch; the paper had nine versions of each image",
    ),
    "two-conv": Recipe(
        *("two convolutions, Fashion-MNIST", "two_conv", "fashion", 91.6, "the data set's list of results", 90.0),
        **{"epochs": 15, "lr": 0.03},
        remark="the list does not give the widths: 32 and 64 filters of 3x3 here, and 128 units with dropout",
    ),
    "resnet18": Recipe(
        *("ResNet-18, Fashion-MNIST", "resnet18", "fashion", 94.9, "the data set's list of results", 93.0),
        **{"epochs": 30, "lr": 0.05, "augment": WINDOWS},
    ),
    "resnet20": Recipe(
        *("ResNet-20, CIFAR-10 as JPEG", "resnet20", "cifar10-jpeg", 91.25, "He et al. 2015", 85.0),
        **{"epochs": 60, "lr": 0.1, "augment": WINDOWS, "weight_decay": 1e-4},
        remark="the images are JPEG-compressed, so neither side's figure is an accuracy on CIFAR-10",
    ),
}


def factor(iteration: int, total: int, _: int = 0) -> float:
    """The share of the rate: half a cosine over the whole run."""
    return 0.5 * (1 + math.cos(math.pi * iteration / total))


def settings(recipe: Recipe) -> str:
    """The recipe in words."""
    changes = f"; {', '.join(recipe.augment)}" if recipe.augment else ""
    return (
        f"SGD {recipe.lr:g}, Nesterov momentum {recipe.momentum:g}, cosine; batches of {recipe.batch_size}; weight "
        f"decay {recipe.weight_decay:g}{changes}"
    )


# ---------------------------------------------------------------- data


def read(name: str, folder: Path | None) -> dict[str, np.ndarray]:
    """X_train, y_train, X_test, y_test (uint8 images (N, C, H, W)), and mean and std of the training pixels."""
    arrays = READERS[name](folder)
    pixels = arrays["X_train"].astype(np.float32)
    return {**arrays, "mean": pixels.mean((0, 2, 3)), "std": pixels.std((0, 2, 3))}


def _idx(kind: str, folder: Path) -> dict[str, np.ndarray]:
    import fastnet as fn

    found = fn.data.mnist(folder, kind)
    return {name: getattr(found, name) for name in ("X_train", "y_train", "X_test", "y_test")}


def _needed(folder: Path | None, what: str) -> Path:
    if folder is None:
        raise SystemExit(f"papers: --data must name {what}")
    return folder


def _packed(folder: Path | None) -> dict[str, np.ndarray]:
    """60,000 images as JPEG in one file: a common header, and the rest of each; the first 50,000 are to train on."""
    from PIL import Image

    with np.load(_needed(folder, "the file cifar10_jpeg_packed.npz")) as packed:
        header, payload = packed["header"].tobytes(), packed["payload"].tobytes()
        offsets, labels = packed["offsets"], packed["labels"]
    files = (header + payload[start:end] for start, end in zip(offsets[:-1], offsets[1:], strict=True))
    images = np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])
    images, labels = np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels.astype(np.int64)
    return {
        "X_train": images[:50000],
        "y_train": labels[:50000],
        "X_test": images[50000:],
        "y_test": labels[50000:],
    }


READERS = {
    "mnist": lambda folder: _idx("mnist", _needed(folder, "the folder of MNIST's files")),
    "fashion": lambda folder: _idx("fashion", folder or DEBIAN),
    "cifar10-jpeg": _packed,
}

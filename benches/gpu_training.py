"""gpu_check.py: ResNet-20, trained on the CPU and on the GPU from the same weights, reaches the same accuracy."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gpu_rows
import nets
import numpy as np
import recipes
from gpu_rows import Row, Settings

import fastnet as fn

PACKED = "cifar10_jpeg_packed.npz"
PARTS = "X_train", "y_train", "X_test", "y_test"
IMAGES, TESTED = 10_000, 2_000
FIRST = 1e-3  # relative difference of the first losses
APART = 0.05  # of accuracies on 2,000 images, whose standard deviation is 0.01 each, and more over trainings


def images(data: str | None, quick: bool) -> tuple[str, dict[str, np.ndarray]]:
    """The data's name, and X_train, y_train, X_test, y_test: CIFAR-10 as JPEG, else digits, else what is drawn here."""
    file = Path(data) if data else Path(os.environ.get("FASTNET_TEST_DATA", gpu_rows.HERE.parents[1] / "shared/data"))
    file = file if file.is_file() else file / "cifar10" / PACKED
    rng = np.random.default_rng(0)
    if file.is_file() and not quick:
        arrays, name = recipes.read("cifar10-jpeg", file), "CIFAR-10 as JPEG"
    else:
        try:
            digits = fn.data.digits(test=360)
            arrays, name = {part: getattr(digits, part) for part in PARTS}, "digits"
        except ImportError:
            arrays, name = noisy(rng), "drawn images"
    most = (24, 8) if quick else (IMAGES, TESTED)
    for part, count in zip(("train", "test"), most, strict=True):
        chosen = rng.permutation(len(arrays[f"y_{part}"]))[:count]
        arrays |= {f"{axis}_{part}": arrays[f"{axis}_{part}"][chosen] for axis in "Xy"}
    return name, arrays


def noisy(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Ten pictures in noise."""
    y = rng.integers(0, 10, 2400)
    X = rng.integers(0, 256, (10, 3, 16, 16))[y] // 4 + rng.integers(0, 192, (len(y), 3, 16, 16))
    return dict(zip(PARTS, (X[:2000].astype(np.uint8), y[:2000], X[2000:].astype(np.uint8), y[2000:]), strict=True))


def train(arrays: dict[str, np.ndarray], epochs: int, width: int) -> dict[str, Any]:
    """Losses and accuracies on the backend in use."""
    X, y = arrays["X_train"], arrays["y_train"]
    options = {} if width == 16 else {"width": width}
    model = nets.create("resnet20", options, X.shape[1:], "float32", seed=1)
    solver = fn.Solver(
        model,
        (X, y),
        (arrays["X_test"], arrays["y_test"]),
        optimizer=fn.optim.SGD(0.1, momentum=0.9, weight_decay=1e-4, nesterov=True),
        schedule=recipes.factor,
        **{"batch_size": min(128, len(X) // 2), "epochs": epochs, "seed": 1},
        **{"preprocess": "standardize", "verbose": False},
    )
    start = time.perf_counter()
    history = solver.train()
    return {
        "losses": history.losses,
        "accuracy": history.history["val_accuracy"][-1],
        "seconds": time.perf_counter() - start,
    }


def rows(settings: Settings) -> Iterator[Row]:
    name, arrays = images(settings.data, settings.quick)
    epochs, width = (1, 2) if settings.quick else (5, 16)
    with gpu_rows.device():
        gpu = train(arrays, epochs, width)
    with fn.use_backend(gpu_rows.host().name):
        cpu = train(arrays, epochs, width)
    drift = abs(gpu["losses"][0] / cpu["losses"][0] - 1)
    chance = 1 / len(np.unique(arrays["y_train"]))
    learned = settings.quick or min(gpu["accuracy"], cpu["accuracy"]) > 2 * chance
    passed = drift < FIRST and learned and abs(gpu["accuracy"] - cpu["accuracy"]) <= APART
    yield Row(
        f"ResNet-20, {name}, {len(arrays['y_train'])} images, {epochs} epochs",
        bool(passed),
        f"GPU {gpu['accuracy']:.1%} in {gpu['seconds']:.1f} s, CPU {cpu['accuracy']:.1%} in {cpu['seconds']:.1f} s; "
        f"first losses differ by {drift:.1e} (allowed: {APART:.0%} and {FIRST:g})",
        {"gpu": gpu, "cpu": cpu},
    )

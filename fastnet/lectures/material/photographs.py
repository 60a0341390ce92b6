"""scikit-learn's two photographs, and a network that learns from patches of them."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnet as fn
from fastnet.functional import avg_pool2d
from fastnet.layers import Model
from fastnet.types import Array

__all__ = ["full_photographs", "sample_photographs", "trained_on_patches"]

_PATCH = 32


def full_photographs() -> dict[str, Array]:
    """scikit-learn's two photographs, (3, 427, 640) uint8, by name."""
    try:
        from sklearn.datasets import load_sample_images
    except ImportError as error:
        raise ImportError('the photographs need scikit-learn: pip install "fastnet-cnn[datasets]"') from error
    found = load_sample_images().images
    return {name: image.transpose(2, 0, 1) for name, image in zip(("china", "flower"), found, strict=True)}


def sample_photographs() -> dict[str, Array]:
    """The same at half their size, (1, 3, 213, 320) uint8, by name."""
    halves = {}
    for name, image in full_photographs().items():
        halves[name] = np.rint(avg_pool2d(image[None, :, :426].astype(np.float32), 2)[0]).astype(np.uint8)
    return halves


def trained_on_patches(photographs: dict[str, Array], seed: int) -> tuple[Model, float]:
    """A network that knows which photograph a patch is from and how it is turned; its accuracy on unseen patches."""
    rng = np.random.default_rng(seed)
    cut = {name: int(0.75 * image.shape[3]) for name, image in photographs.items()}
    X, y = _patches({name: image[..., : cut[name]] for name, image in photographs.items()}, 800, rng)
    tests, classes = _patches({name: image[..., cut[name] :] for name, image in photographs.items()}, 200, rng)
    model = fn.Sequential(
        *(fn.Conv2d(16, 5, padding=2), fn.BatchNorm2d(), fn.ReLU(), fn.MaxPool2d(2), fn.Conv2d(32, 3, padding=1)),
        *(fn.BatchNorm2d(), fn.ReLU(), fn.Conv2d(32, 3, padding=1), fn.ReLU(), fn.GlobalAvgPool2d(), fn.Flatten()),
        fn.Linear(4 * len(photographs)),
    )
    model.build(X.shape[1:], seed=seed)
    options: dict[str, Any] = {"optimizer": fn.optim.Adam(3e-3), "schedule": fn.optim.CosineDecay(), "batch_size": 32}
    model.fit(X, y, 10, preprocess="standardize", verbose=False, seed=seed, **options)
    return model, float(model.evaluate(tests, classes).accuracy)


def _patches(photographs: dict[str, Array], count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """`count` patches of each photograph, and their classes: 4 times the photograph's number plus the quarter turns."""
    found, classes = [], []
    for n, image in enumerate(photographs.values()):
        for _ in range(count):
            top, left = rng.integers(0, (image.shape[2] - _PATCH + 1, image.shape[3] - _PATCH + 1))
            turns = int(rng.integers(4))
            found.append(np.rot90(image[0, :, top : top + _PATCH, left : left + _PATCH], turns, axes=(1, 2)))
            classes.append(4 * n + turns)
    return np.stack(found), np.array(classes)

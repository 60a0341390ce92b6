"""The data sets of the assignments.  Pickles are read by a restricted reader that runs no code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastnet.compat.cs231n.saved import read_boxed_member
from fastnet.compat.cs231n.tiny_imagenet import load_tiny_imagenet
from fastnet.data import load_plain_pickle, read_npz

__all__ = [
    "get_CIFAR10_data",
    "load_CIFAR10",
    "load_CIFAR_batch",
    "load_imagenet_val",
    "load_models",
    "load_pickle",
    "load_tiny_imagenet",
]

DATASETS = Path("cs231n", "datasets")  # beside the notebook


def load_pickle(f: BinaryIO) -> Any:
    """Load a pickle of plain containers, text, numbers and arrays from a binary file; Python 2's str becomes bytes.

    Raises
    ------
    ValueError
        If the pickle is damaged or contains anything else.
    """
    return load_plain_pickle(f.read(), getattr(f, "name", "pickle"))


def load_CIFAR_batch(filename: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """One batch file of CIFAR-10: images (N, 32, 32, 3) in float64, labels (N,)."""
    with open(filename, "rb") as file:
        batch = load_pickle(file)
    if not isinstance(batch, dict) or not {"data", "labels"} <= batch.keys():
        raise ValueError(f"{filename}: expected a CIFAR-10 batch, a dict with 'data' and 'labels'")
    images = batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).astype("float")
    return images, np.array(batch["labels"])


def load_CIFAR10(ROOT: str | os.PathLike) -> tuple[np.ndarray, ...]:
    """CIFAR-10 from the folder `ROOT`, cifar-10-batches-py.

    Returns
    -------
    Xtr, Ytr, Xte, Yte : arrays
        Images (N, 32, 32, 3) in float64 and labels (N,), from the five training batches and the test batch.

    Raises
    ------
    FileNotFoundError
        If a batch is missing.
    """
    if not Path(ROOT, "test_batch").is_file():
        raise FileNotFoundError(
            f"no CIFAR-10 in {ROOT}: it should hold data_batch_1 to data_batch_5 and test_batch; unpack "
            "cifar-10-python.tar.gz there (www.cs.toronto.edu/~kriz/cifar.html)"
        )
    batches = [load_CIFAR_batch(os.path.join(ROOT, f"data_batch_{number}")) for number in range(1, 6)]
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels), *load_CIFAR_batch(os.path.join(ROOT, "test_batch"))


def get_CIFAR10_data(
    num_training: int = 49000,
    num_validation: int = 1000,
    num_test: int = 1000,
    subtract_mean: bool = True,
    cifar10_dir: str | os.PathLike = DATASETS / "cifar-10-batches-py",
) -> dict[str, np.ndarray]:
    """CIFAR-10, split for training, validation and test, ready for a network.

    Parameters
    ----------
    num_training, num_validation : int
        How many of the training images to use; the validation images follow the training images.
    num_test : int
    subtract_mean : bool
        Subtract the mean training image from all images.
    cifar10_dir : path
        Default: cs231n/datasets/cifar-10-batches-py in the current folder, which is the assignment's.

    Returns
    -------
    dict
        X_train, X_val, X_test (N, 3, 32, 32) in float64, y_train, y_val, y_test (N,).
    """
    X, y, X_test, y_test = load_CIFAR10(cifar10_dir)
    parts = {
        "train": (X[:num_training], y[:num_training]),
        "val": (X[num_training : num_training + num_validation], y[num_training : num_training + num_validation]),
        "test": (X_test[:num_test], y_test[:num_test]),
    }
    mean = parts["train"][0].mean(axis=0) if subtract_mean else 0
    data = {}
    for name, (images, labels) in parts.items():
        data[f"X_{name}"] = np.ascontiguousarray((images - mean).transpose(0, 3, 1, 2))
        data[f"y_{name}"] = labels
    return data


def load_models(models_dir: str | os.PathLike) -> dict[str, Any]:
    """Models that were pickled as ``{"model": ...}``, by file name.

    Only plain models (dicts of arrays, like those of 2015) can be loaded: instances of classes would require running
    code from the file.  Files that cannot be read are skipped, with a printed message.
    """
    models = {}
    for path in sorted(Path(models_dir).iterdir()):
        try:
            with open(path, "rb") as file:
                models[path.name] = load_pickle(file)["model"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            print(f"{path.name} is skipped: {error}")
    return models


def load_imagenet_val(num: int | None = None) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Some validation images of ImageNet, from cs231n/datasets/imagenet_val_25.npz in the current folder.

    Returns
    -------
    X : array, (N, 224, 224, 3) uint8
    y : array of int, (N,)
    class_names : dict of int to str
    """
    path = DATASETS / "imagenet_val_25.npz"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}: the assignment's datasets folder has a script that downloads it")
    arrays = read_npz(path, ["X", "y"])
    names = read_boxed_member(path, "label_map")
    decoded = {int(key): name.decode() if isinstance(name, bytes) else name for key, name in names.items()}
    return arrays["X"][:num], arrays["y"][:num], decoded

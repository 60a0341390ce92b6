"""Tiny ImageNet: 64x64 images of up to 200 classes, in folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["load_tiny_imagenet"]


def _image(path, dtype):
    """An image as (3, 64, 64); grey images get three equal channels."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError('load_tiny_imagenet reads images with Pillow: pip install "fastnet-cnn[images]"') from None
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype).transpose(2, 0, 1)


def _images(paths, dtype):
    return np.stack([_image(path, dtype) for path in paths]) if paths else np.zeros((0, 3, 64, 64), dtype)


def _fields(path):
    """The first two fields of each line."""
    return [line.split("\t")[:2] for line in path.read_text().splitlines() if line]


def load_tiny_imagenet(
    path: str | os.PathLike, dtype: DTypeLike = np.float32, subtract_mean: bool = True
) -> dict[str, Any]:
    """Tiny ImageNet, or a data set with the same folders, from `path`.

    Parameters
    ----------
    path : path
        Holds wnids.txt, words.txt, train/<wnid>/images, val and test.
    dtype : dtype
        The dtype of the images.
    subtract_mean : bool
        Subtract the mean training image from all images.

    Returns
    -------
    dict
        class_names : list of lists of str; X_train, X_val, X_test (N, 3, 64, 64); y_train, y_val (N,); y_test (N,), or
        None if there are no labels; mean_image (3, 64, 64).
    """
    path = Path(path)
    wnids = path.joinpath("wnids.txt").read_text().split()
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    words = dict(_fields(path / "words.txt"))

    images, labels = [], []
    for label, wnid in enumerate(wnids):
        if label % 20 == 0:
            print(f"loading training data for synset {label + 1} / {len(wnids)}")
        names = [fields[0] for fields in _fields(path / "train" / wnid / f"{wnid}_boxes.txt")]
        images.append(_images([path / "train" / wnid / "images" / name for name in names], dtype))
        labels.append(np.full(len(names), label))
    X_train = np.concatenate(images)

    print("loading validation data")
    val = _fields(path / "val" / "val_annotations.txt")
    X_val = _images([path / "val" / "images" / name for name, _ in val], dtype)

    print("loading test data")
    test = sorted(path.joinpath("test", "images").iterdir())
    X_test, y_test, annotations = _images(test, dtype), None, path / "test" / "test_annotations.txt"
    if annotations.is_file():
        wnid_of = dict(_fields(annotations))
        y_test = np.array([label_of[wnid_of[image.name]] for image in test])

    mean_image = X_train.mean(axis=0)
    if subtract_mean:
        X_train, X_val, X_test = X_train - mean_image, X_val - mean_image, X_test - mean_image
    return {
        "class_names": [[word.strip() for word in words[wnid].split(",")] for wnid in wnids],
        "X_train": X_train,
        "y_train": np.concatenate(labels),
        "X_val": X_val,
        "y_val": np.array([label_of[wnid] for _, wnid in val]),
        "X_test": X_test,
        "y_test": y_test,
        "mean_image": mean_image,
    }

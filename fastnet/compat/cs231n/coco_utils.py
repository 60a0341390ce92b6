"""Image captions as rows of word indices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["decode_captions", "sample_coco_minibatch"]


def sample_coco_minibatch(data: dict[str, Any], batch_size: int = 100, split: str = "train") -> tuple[np.ndarray, ...]:
    """Random captions with their images' features, drawn by ``np.random.choice(number of captions, batch_size)``.

    Parameters
    ----------
    data : dict
        For each split: ``<split>_captions`` (M, T), word indices; ``<split>_image_idxs`` (M,), each caption's image;
        ``<split>_features`` (images, D); and ``<split>_urls`` (images,).
    batch_size : int
    split : "train" or "val"

    Returns
    -------
    captions : array, (batch_size, T)
    features : array, (batch_size, D)
    urls : array, (batch_size,)
    """
    chosen = np.random.choice(len(data[f"{split}_captions"]), batch_size)
    images = data[f"{split}_image_idxs"][chosen]
    return data[f"{split}_captions"][chosen], data[f"{split}_features"][images], data[f"{split}_urls"][images]


def decode_captions(captions: np.ndarray, idx_to_word: Mapping[int, str]) -> str | list[str]:
    """Decode captions (N, T) to a list of str, or one (T,) to a str: without <NULL>, up to and including <END>."""
    rows = np.atleast_2d(captions)
    decoded = []
    for row in rows:
        words = []
        for word in (idx_to_word[number] for number in row):
            if word != "<NULL>":
                words.append(word)
            if word == "<END>":
                break
        decoded.append(" ".join(words))
    return decoded[0] if np.ndim(captions) == 1 else decoded

"""Read and resize pictures like the functions that ``scipy.misc`` used to have, with Pillow."""

from __future__ import annotations

import os
from typing import IO

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["imread", "imresize"]


def _pillow(name):
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(f'{name} needs Pillow: pip install "fastnet-cnn[images]"') from error
    return Image


def imread(name: str | os.PathLike | IO[bytes], flatten: bool = False, mode: str | None = None) -> np.ndarray:
    """Read a picture as scipy.misc did.

    Parameters
    ----------
    name : path or file
    flatten : bool
        Convert to a single grey channel in float32.
    mode : str, optional
        The Pillow mode to convert to, such as "RGB" or "L".

    Returns
    -------
    ndarray, (H, W), (H, W, 3) or (H, W, 4), uint8 (float32 with `flatten`)

    Raises
    ------
    ImportError
        If Pillow is not installed.
    """
    with _pillow("imread").open(name) as image:
        if mode is not None and mode != image.mode:
            image = image.convert(mode)
        elif mode is None and image.mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        if flatten:
            image = image.convert("F")
        elif image.mode == "1":
            image = image.convert("L")
        return np.array(image)


def imresize(
    arr: ArrayLike, size: float | tuple[int, int], interp: str = "bilinear", mode: str | None = None
) -> np.ndarray:
    """Resize a picture as scipy.misc did.

    Parameters
    ----------
    arr : array, (H, W), (H, W, 3), (H, W, 4), or one of these with channels first
        Unless uint8, values are scaled first: the smallest to 0 and the largest to 255.
    size : int, float or (height, width)
        An int is a percentage, a float a fraction.
    interp : "nearest", "lanczos", "bilinear", "bicubic" or "cubic"
    mode : str, optional
        The Pillow mode of `arr`, such as "RGB" or "L".

    Returns
    -------
    ndarray, uint8, channels last

    Raises
    ------
    ImportError
        If Pillow is not installed.
    ValueError
        If the shape or `interp` is none of the above.
    """
    Image = _pillow("imresize")
    filters = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "cubic": 3}
    if interp not in filters:
        raise ValueError(f"imresize: interp must be one of {', '.join(map(repr, filters))}, got {interp!r}")
    arr = np.asarray(arr)
    if arr.ndim == 3 and arr.shape[2] not in (3, 4) and arr.shape[0] in (3, 4):
        arr = arr.transpose(1, 2, 0)
    if arr.ndim != 2 and (arr.ndim != 3 or arr.shape[2] not in (3, 4)):
        raise ValueError(f"imresize: arr must have shape (H, W), (H, W, 3) or (H, W, 4), got {arr.shape}")
    if arr.dtype != np.uint8:
        low, high = float(arr.min()), float(arr.max())
        arr = ((arr - low) * (255.0 / ((high - low) or 1.0)) + 0.5).clip(0, 255).astype(np.uint8)
    if isinstance(size, (tuple, list, np.ndarray)):
        height, width = (int(n) for n in size)
    else:
        scale = size / 100.0 if isinstance(size, (int, np.integer)) else size
        height, width = (int(n * scale) for n in arr.shape[:2])
    image = Image.fromarray(np.ascontiguousarray(arr))
    if mode is not None and mode != image.mode:
        image = image.convert(mode)
    return np.array(image.resize((width, height), resample=filters[interp]))

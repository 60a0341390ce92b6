"""Image files as an array that decodes what is asked of it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from fastnet.data.decoding import Request
from fastnet.data.pictures import decode, quiet_pillow, reason
from fastnet.data.prefetch import in_order
from fastnet.data.rows import Rows
from fastnet.threads import threads_here
from fastnet.types import Array

__all__ = ["Files", "read_lazily"]

_OPENED = 100  # so many files, at most, to find one with colours


class Files:
    """Image files as a uint8 array (N, C, H, W), of which nothing is kept: indexing decodes.

    Of files of different sizes the shape is (N, C, None, None), and a list takes the place of an array.

    Several images are decoded on as many threads as kernels would use here, which is one on a Loader's worker.  Any
    thread may index.

    Parameters
    ----------
    request : Request
        Whose `skip_bad` is False.
    image_shape : (C, H, W), or (C, None, None)
        What each file must have.

    Raises
    ------
    ValueError
        When indexed: a file that cannot be read, or has another size; the message names it.

    Warns
    -----
    UserWarning
        When indexed: what is not used of a file, each kind once, with the first file.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, request: Request, image_shape: tuple[Any, ...]) -> None:
        self.request = request
        self.shape: tuple[Any, ...] = (len(request.files), *image_shape)
        self._said: dict[str, object] = {}
        quiet_pillow()

    def __len__(self) -> int:
        return len(self.request.files)

    def __getitem__(self, index: Any) -> Array | list[Array]:
        """The image of an integer, or those of an array of integers (n,): (C, H, W), or (n, C, H, W)."""
        if np.ndim(index) == 0:
            return np.array(self._image(int(index)), order="C")
        found = in_order(self._image, index.tolist(), _workers(len(index)))
        if None in self.shape:
            return [np.array(image, order="C") for image in found]
        images = np.empty((len(index), *self.shape[1:]), np.uint8)
        for place, image in enumerate(found):
            images[place] = image
        return images

    def _image(self, number: int) -> Array:
        image, _, remarks = _decoded(self.request, number)
        if None not in self.shape and image.shape != self.shape[1:]:
            (height, width), (H, W) = image.shape[1:], self.shape[2:]
            raise ValueError(
                f"{self.request.where}: {self.request.files[number]} has {height}x{width} pixels, and the first image "
                f"{H}x{W}; use size=(height, width) to scale them"
            )
        for remark in remarks:
            mine = object()
            if self._said.setdefault(remark, mine) is mine:
                warnings.warn(f"images {remark}, such as {self.request.files[number]}", stacklevel=2)
        return image


def read_lazily(request: Request) -> Array:
    """All images as Rows of Files.

    The first file is opened, whose size all others must have if `request.size` is None.  If `request.gray`
    is None, more are opened until one has colours, at most 100, at equal distances.

    Raises
    ------
    ValueError
        No file, one of these that cannot be read, or none of them with colours.
    """
    if not request.files:
        raise ValueError(f"{request.where}: there are no images")
    quiet_pillow()
    opened = np.unique(np.linspace(0, len(request.files) - 1, _OPENED).astype(np.int64)).tolist()
    shape: Any = None
    for number in opened:
        image, coloured, _ = _decoded(request, number)
        shape = image.shape if shape is None else shape
        if coloured or request.gray is not None:
            shape = (shape[0], None, None) if request.size == "any" else shape
            rows: Any = Rows(Files(request, shape))
            images: Array = rows
            return images
    raise ValueError(
        f"{request.where}: the {len(opened)} images that were opened are greyscale; use gray=True for one channel, or "
        "gray=False for three equal ones"
    )


def _workers(count: int) -> int:
    """How many threads decode `count` images; 0: this one."""
    threads = min(count, threads_here())
    return threads if threads > 1 else 0


def _decoded(request: Request, number: int) -> tuple[Array, bool, list[str]]:
    """The image (C, H, W), whether it has colours, and what was not used of it."""
    file = request.files[number]
    try:
        image, coloured, remarks = decode(file, request.scaled, bool(request.gray))
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ValueError(
            f"{request.where}: cannot read {file} ({reason(error)}); repair or remove it, or use skip_bad=True without "
            "lazy=True, which finds all such files first"
        ) from error
    return image.transpose(2, 0, 1), coloured, remarks

"""Many image files, decoded on all threads, and what is to be said of them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fastnet.bars import counted
from fastnet.data.pictures import decode, quiet, reason
from fastnet.data.prefetch import in_order
from fastnet.data.rows import Rows, require_memory
from fastnet.threads import get_num_threads
from fastnet.types import Array
from fastnet.wording import name_some

__all__ = ["Findings", "Request", "decoded", "read_pictures"]

_LISTED = 100  # so many bad files are named


@dataclass(frozen=True)
class Request:
    """Image files, and how they are to be read.

    Attributes
    ----------
    files : sequence of paths
    size : (height, width), "any" or None
        See `read_picture`; with None they must all have one size, with "any" they keep their own.
    gray : bool or None
        None: RGB, and an error if no file has colours.
    skip_bad : bool
        Leave unreadable files out, with a warning, instead of raising an error.
    where : str
        The caller, for errors.
    """

    files: Sequence[Path]
    size: tuple[int, int] | Literal["any"] | None
    gray: bool | None
    skip_bad: bool
    where: str

    @property
    def scaled(self) -> tuple[int, int] | None:
        """The size to which images are scaled, if they are."""
        return None if self.size == "any" else self.size


@dataclass
class Findings:
    """What decoding found; files are known by their number.

    Attributes
    ----------
    bad : dict of int to str
        Why a file cannot be read.
    sizes : dict of (height, width) to list of int
    remarks : dict of str to list of int
        What was not used of files, in words that continue "3 images".
    coloured : bool
        Whether a file has colours.
    """

    bad: dict[int, str] = field(default_factory=dict)
    sizes: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    remarks: dict[str, list[int]] = field(default_factory=dict)
    coloured: bool = False

    def used(self, count: int) -> np.ndarray:
        """Which of `count` files were read: bool (count,)."""
        used = np.ones(count, bool)
        used[list(self.bad)] = False
        return used

    def in_order(self) -> list[tuple[int, int]]:
        """The (height, width) of each file that was read."""
        return [size for _, size in sorted((i, size) for size, found in self.sizes.items() for i in found)]

    def check(self, request: Request) -> None:
        """Raise a ValueError that names all unreadable files, or the sizes that there are."""
        files, problems = request.files, []
        if self.bad and not request.skip_bad:
            listing = name_some(self._bad(files), _LISTED)
            problems.append(
                f"cannot read {len(self.bad)} of {len(files)} images: {listing}; use skip_bad=True to leave them out"
            )
        if len(self.sizes) > 1 and request.size != "any":
            counts = Counter({size: len(found) for size, found in self.sizes.items()}).most_common()
            sizes = [f"{h}x{w} pixels ({count}, such as {files[self.sizes[h, w][0]]})" for (h, w), count in counts]
            problems.append(
                f"the images have {len(sizes)} sizes, {name_some(sizes, 4)}; use size=(height, width) to scale them, "
                'or size="any" to keep them as they are, for augmentations that crop'
            )
        if request.gray is None and self.sizes and not self.coloured:
            problems.append(
                "all images are greyscale; use gray=True for one channel, or gray=False for three equal ones"
            )
        if problems:
            raise ValueError(f"{request.where}: {'; and '.join(problems)}")

    def warn(self, files: Sequence[Path], stacklevel: int) -> None:
        """Warn of files that were left out, and of what was not used of others."""
        if self.bad:
            names = name_some(self._bad(files))
            warnings.warn(
                f"left out {len(self.bad)} of {len(files)} images, unreadable: {names}", stacklevel=stacklevel
            )
        for remark, found in self.remarks.items():
            names = name_some([files[i] for i in found], 3)
            warnings.warn(f"{len(found)} of {len(files)} images {remark}: {names}", stacklevel=stacklevel)

    def _bad(self, files: Sequence[Path]) -> list[str]:
        return [f"{files[i]} ({why})" for i, why in self.bad.items()]

    def state_dict(self) -> dict[str, Any]:
        """Plain values for JSON, and `from_state_dict`."""
        sizes = [[*size, found] for size, found in self.sizes.items()]
        bad = [list(item) for item in self.bad.items()]
        return {"bad": bad, "sizes": sizes, "remarks": self.remarks, "coloured": self.coloured}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Findings:
        sizes = {(int(h), int(w)): list(found) for h, w, found in state["sizes"]}
        bad = {int(i): str(why) for i, why in state["bad"]}
        return cls(bad, sizes, dict(state["remarks"]), bool(state["coloured"]))


def decoded(request: Request, findings: Findings, title: str) -> Iterator[Array]:
    """The images (C, H, W) that can be read and have the first one's size, or any, in order; fills `findings`.

    A bar, or a line now and then, shows the progress under `title`.
    """
    files = request.files

    def one(i: int) -> Any:
        try:
            return decode(files[i], request.scaled, bool(request.gray))
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
            return error

    with quiet():
        results = in_order(one, range(len(files)), get_num_threads())
        for i, result in enumerate(counted(results, len(files), title, "image")):
            if isinstance(result, Exception):
                findings.bad[i] = reason(result)
                continue
            image, coloured, remarks = result
            findings.coloured |= coloured
            findings.sizes.setdefault(image.shape[:2], []).append(i)
            for remark in remarks:
                findings.remarks.setdefault(remark, []).append(i)
            if len(findings.sizes) == 1 or request.size == "any":
                yield image.transpose(2, 0, 1)


def read_pictures(request: Request) -> tuple[Array, Findings]:
    """All images in memory, uint8 (M, C, H, W); Rows if they keep their own sizes.

    Raises
    ------
    ValueError
        Files that cannot be read, or differ in size; more images than memory.
    """
    count, what = len(request.files), f"{request.where}: {len(request.files)} images"
    smaller = "choose a smaller size" if request.size is not None else "use size=(height, width) to scale them down"
    advice = f"{smaller}, cache=FOLDER to keep them on disk, or lazy=True to decode them when a batch needs them"
    if request.size == "any":
        return _read_any(request, what, "use lazy=True to decode them when a batch needs them, or cache=FOLDER")
    if request.size is not None:  # before one image is scaled to it
        require_memory(count * request.size[0] * request.size[1], f"{what} of {_by(request.size)}", advice)
    findings, X, done = Findings(), np.empty((0, 3, 0, 0), np.uint8), 0
    for image in decoded(request, findings, "reading images"):
        if not len(X):
            require_memory(count * image.size, f"{what} of {_by(image.shape[1:])}", advice)
            X = np.empty((count, *image.shape), np.uint8)
        X[done], done = image, done + 1
    findings.check(request)
    return X[:done], findings


def _read_any(request: Request, what: str, advice: str) -> tuple[Array, Findings]:
    """Images of any size, in memory."""
    images: list[Array] = []
    findings, pixels = Findings(), 0
    for image in decoded(request, findings, "reading images"):
        pixels += image.size
        require_memory(pixels * len(request.files) // (len(images) + 1), what, advice)
        images.append(np.ascontiguousarray(image))
    findings.check(request)
    rows: Any = Rows(images) if images else np.empty((0, 3, 0, 0), np.uint8)
    found: Array = rows
    return found, findings


def _by(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"

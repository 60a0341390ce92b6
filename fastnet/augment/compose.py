"""Several transforms as one."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import numpy as np

from fastnet.arguments import at_least_zero, several
from fastnet.augment.streams import Streams
from fastnet.augment.transform import Transform, probability, together
from fastnet.augment.window import Flip, Window

__all__ = ["Compose", "RandomApply", "RandomChoice"]


def _transforms(value: Any, name: str, mixing: bool = False) -> list[Transform]:
    found = several(value, name, "transforms") if not isinstance(value, Transform) else [value]
    for transform in found:
        if not isinstance(transform, Transform):
            raise TypeError(f"{name} must be transforms of fastnet.augment, got {transform!r}")
        if transform.mixes_labels and not mixing:
            raise TypeError(f"{name}: {transform!r} mixes labels, too; let it follow on its own in the list `augment`")
    if not found:
        raise ValueError(f"{name} must have at least one transform, got none")
    return found


def _in_order(transforms: list[Transform], x: Any, streams: Streams) -> Any:
    """One after the other; a window and the flips that follow it are one pass."""
    rest = list(transforms)
    while rest:
        transform = rest.pop(0)
        if isinstance(transform, Window) and isinstance(x, np.ndarray) and len(x):
            flips = list(takewhile(lambda each: isinstance(each, Flip), rest))
            del rest[: len(flips)]
            x = transform.flipped(x, streams, flips)
        else:
            x = transform.run(x, streams)
    return x


class Compose(Transform):
    """Transforms one after the other.

    Parameters
    ----------
    transforms : list of Transform
    """

    def __init__(self, transforms: Any) -> None:
        self.transforms = _transforms(transforms, "Compose: transforms")

    def run(self, x: Any, streams: Streams) -> Any:
        return _in_order(self.transforms, x, streams)


class _Subsets(Transform):
    """Different transforms for different images of a batch."""

    def replace(self, x: Any, streams: Streams, choices: list[tuple[Any, list[Transform]]]) -> Any:
        """x with the transforms of each choice, (indices of images, transforms), in place of those images."""
        if not len(x):
            return x
        results = list(x)
        for index, transforms in choices:
            if not len(index):
                continue
            part = x[index] if isinstance(x, np.ndarray) else [x[i] for i in index]
            if len(index) == len(x):
                return _in_order(transforms, part, streams)
            for i, image in zip(index, _in_order(transforms, part, streams.take(index)), strict=True):
                results[i] = image
        return together(results)


class RandomApply(_Subsets):
    """Transforms one after the other, to each image with probability p; else the image stays as it is.

    Parameters
    ----------
    transforms : list of Transform
    p : float
        Probability, in [0, 1].
    """

    def __init__(self, transforms: Any, p: float = 0.5) -> None:
        self.transforms = _transforms(transforms, "RandomApply: transforms")
        self.p = probability(p, "RandomApply: p")

    def run(self, x: Any, streams: Streams) -> Any:
        return self.replace(x, streams, [(np.flatnonzero(streams.happens(self.p)), self.transforms)])


class RandomChoice(_Subsets):
    """One of several transforms for each image.

    Parameters
    ----------
    transforms : list of Transform
        All or none of them mix labels, as MixUp and CutMix do, of which one is chosen for each batch.
    p : list of float, optional
        How often each is chosen, relative to the others; by default all are equally likely.
    """

    def __init__(self, transforms: Any, p: Any = None) -> None:
        self.transforms = _transforms(transforms, "RandomChoice: transforms", mixing=True)
        self.mixes_labels = any(transform.mixes_labels for transform in self.transforms)
        if not all(transform.mixes_labels == self.mixes_labels for transform in self.transforms):
            raise TypeError(f"RandomChoice: all or none of the transforms may mix labels, got {transforms!r}")
        name = "RandomChoice: p"
        self.p = None if p is None else [at_least_zero(weight, name) for weight in several(p, name)]
        if self.p is not None and (len(self.p) != len(self.transforms) or not sum(self.p)):
            raise ValueError(f"{name} must be {len(self.transforms)} weights, one of them above 0, got {p!r}")

    def __call__(self, x: Any, *rest: Any) -> Any:
        if not self.mixes_labels:
            return super().__call__(x, *rest)
        y, rng = rest
        mixing: Any = self.transforms[int(self._chosen(rng.random()))]
        return mixing(x, y, rng)

    def _chosen(self, numbers: Any) -> Any:
        """The number of the transform for each random number from [0, 1)."""
        weights = np.ones(len(self.transforms)) if self.p is None else np.array(self.p)
        ends = np.cumsum(weights) / weights.sum()
        return np.searchsorted(ends, numbers, side="right").clip(max=len(ends) - 1)

    def run(self, x: Any, streams: Streams) -> Any:
        chosen = self._chosen(streams.uniform()[:, 0])
        each = enumerate(self.transforms)
        return self.replace(x, streams, [(np.flatnonzero(chosen == i), [transform]) for i, transform in each])

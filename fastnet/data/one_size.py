"""Images of any size in the size that a network takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnet.arguments import integer, pair
from fastnet.arrays import on_host
from fastnet.augment import CenterCrop, Compose, Resize
from fastnet.data.preprocess import Fitted
from fastnet.data.rows import Rows, as_rows
from fastnet.types import Array, DTypeLike, Pair

__all__ = ["OneSize"]

_IMAGES = 32  # that are cut at a time


class OneSize(Fitted):
    """Scale each image so that its shorter side is `side`, crop the centre, then go on with another preprocessing.

    An image that has the size already stays as it is: training images that an augmentation has cut to this size do.
    The arithmetic is that of `augment.Resize` and `augment.CenterCrop`, and Pillow's.

    Parameters
    ----------
    size : int or (height, width)
        What the network takes.
    then : Standardize or PCA, optional
        Applied to the images of this size; without it they are only cast.
    side : int, optional
        By default 8/7 of the larger of height and width, as 256 is of 224 (Krizhevsky et al. 2012).

    Examples
    --------
    >>> data = fn.data.image_folder("photos", size="any", lazy=True)
    >>> prepare = fn.data.OneSize(224, fn.data.Standardize.fit(data.X_train))
    >>> fn.Solver(model, data, augment=[fn.augment.RandomResizedCrop(224)], preprocess=prepare).train()
    """

    resizes = True

    def __init__(self, size: Pair, then: Fitted | None = None, side: int | None = None) -> None:
        self.size = pair(size, "OneSize: size")
        if then is not None and (not isinstance(then, Fitted) or isinstance(then, OneSize)):
            raise TypeError(f"OneSize: then must be a Standardize or PCA, or None, got {then!r}")
        self.then = then
        self.side = round(max(self.size) * 8 / 7) if side is None else integer(side, "OneSize: side", min(self.size))
        self._view = Compose([Resize(self.side), CenterCrop(self.size)])

    def __repr__(self) -> str:
        return f"OneSize({self.size}, {self.then!r}, side={self.side})"

    def __call__(self, X: Array | Sequence[Array], dtype: DTypeLike = "float32") -> np.ndarray:
        """The prepared images (N, C, height, width), in `dtype`, or what `then` makes of them.

        Parameters
        ----------
        X : array (N, C, H, W), or list of arrays (C, H, W)
            uint8, or any numbers if all have the size already.
        dtype : dtype
        """
        images = self._cut(X)
        return images.astype(dtype) if self.then is None else self.then(images, dtype)

    def _cut(self, X: Any) -> Array:
        rng = np.random.default_rng(0)  # transforms ask for one; these draw nothing
        if not isinstance(X, (list, tuple)):
            images = on_host(X, "OneSize: X")
            self._check(images)
            if images.shape[2:] == self.size:
                return images
            return (
                self._view(images, rng) if len(images) else images[:, :, :0, :0].reshape(*images.shape[:2], *self.size)
            )
        if not X:
            raise ValueError("OneSize: X is a list without images; give at least one")
        others = [i for i, image in enumerate(X) if image.shape[1:] != self.size]
        made = dict(zip(others, self._view([X[i] for i in others], rng) if others else (), strict=True))
        return np.stack([made.get(i, image) for i, image in enumerate(X)])

    def _check(self, X: Array) -> None:
        if X.ndim != 4:
            hint = "; give X[None] of a single image" if X.ndim == 3 else ""
            raise ValueError(
                f"OneSize: X must be images (N, C, H, W) or a list of images (C, H, W), got shape {X.shape}{hint}"
            )

    def windows(self, X: Array | Sequence[Array]) -> Array:
        """The windows that :meth:`__call__` prepares, as Rows (N, C, height, width): each is cut when it is read.

        Parameters
        ----------
        X : array (N, C, H, W), Rows, or list of uint8 arrays (C, H, W)
        """
        images = as_rows(X, "OneSize.windows: X")
        self._check(images)
        rows: Any = Rows(_Windows(self._cut, images, self.size))
        found: Array = rows
        return found

    def inverse(self, Y: Array) -> np.ndarray:
        """The raw values of prepared images, in Y's dtype; their size stays."""
        return on_host(Y, "OneSize.inverse: Y") if self.then is None else self.then.inverse(Y)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Arrays for :func:`fastnet.data.prepared.restore`: (height, width, side), and the state of `then`."""
        return {"one_size": np.array([*self.size, self.side]), **(self.then.state_dict() if self.then else {})}


class _Windows:
    """A base of Rows: of images X, what `cut` makes of them."""

    def __init__(self, cut: Callable[[Any], Array], X: Array, size: tuple[int, int]) -> None:
        self.cut, self.X, self.shape = cut, X, (*X.shape[:2], *size)
        self.dtype, self.ndim = X.dtype, 4

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: Any) -> Array:
        if np.ndim(index) == 0:
            image: Array = self.cut(self.X[int(index)][None])[0]
            return image
        few = (index[start : start + _IMAGES] for start in range(0, len(index), _IMAGES))
        return np.concatenate([np.empty((0, *self.shape[1:]), self.dtype), *(self.cut(self.X[part]) for part in few)])

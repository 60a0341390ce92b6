"""Loader: mini-batches in a seeded order, from any position."""

from __future__ import annotations

import collections.abc
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastnet.arguments import flag, integer
from fastnet.arrays import on_host
from fastnet.data.dataset import as_labels, check_labels
from fastnet.data.prefetch import in_order
from fastnet.data.rows import as_rows
from fastnet.data.sampling import SAMPLING
from fastnet.types import Array, ArrayLike, DTypeLike, Generator, Preprocess

__all__ = ["Loader", "Augment"]

Augment = Callable[[Array, Generator], Array]
Batches = collections.abc.Generator[tuple[np.ndarray, np.ndarray], None, None]


class Loader:
    """Mini-batches of (X, y).

    The order of an epoch and the random numbers of each batch's augmentation are functions of (seed, epoch, batch)
    alone, so a position is two integers and any epoch can be repeated: ``loader.batches(epoch, start)``.  Iterating
    over the loader runs the rest of the current epoch and moves its position: ``for x, y in loader``.

    Parameters
    ----------
    X : array (N, ...), uint8 or another numeric dtype, or Rows, or list of uint8 images (C, H, W) of different sizes
        Never copied whole: each batch is gathered and cast.  A np.memmap is fine.  Batches are copies, so what changes
        them in place (preprocess, augment, a loss, a model) changes neither X nor y.
    y : int array (N,), or (N, H, W) for images (N, C, H, W) whose pixels have classes, or (N, L) for signals (N, C, L)
        Class numbers.
    batch_size : int
    seed : int, 0 to 2**63 - 1
    shuffle : bool
        False keeps the order of X.
    drop_last : bool or "single"
        What happens to a last batch that is not full: False keeps it; True drops it; "single" drops it only if it holds
        one sample, which batch norm cannot take statistics of, and others came before it.  With shuffling other samples
        are dropped in each epoch.
    preprocess : callable ``(x, dtype) -> x``, optional
        Such as Standardize.  Without it a batch is only cast.  One with the attribute ``resizes = True``, as OneSize,
        is given a list where images still differ in size.
    augment : sequence of callables ``(x, rng) -> x``
        Applied to each raw batch in order, before `preprocess`; rng is a numpy Generator.  One with the attribute
        ``mixes_labels = True``, such as MixUp, is called as ``(x, y, rng) -> (x, y)`` with probabilities (N, classes).
        One with ``moves_pixels = True``, such as a crop, is refused where y has an element for each pixel.  Images of
        different sizes are a list of arrays (C, H, W), which a transform must bring to one size.
    dtype : "float32" or "float64"
        Of the batches of images.
    sampling : "uniform" or "balanced"
        uniform: an epoch has each sample once.  balanced: it has as many draws, an equal share for each class; samples
        of rare classes come several times, and not every epoch has all samples of a frequent class.
    workers : int
        Threads that gather, augment and preprocess the next batches while the caller works on one; 0: none.  Batches
        are the same for any number.  With one, a `preprocess` or `augment` of your own never runs on two threads at a
        time; with more it must be thread-safe, as fastnet's are.
    classes : int, optional
        How many there are, for transforms that mix labels; by default the labels' largest + 1, for a Solver those of
        the model.
    targets : bool
        Whether y holds numbers, (N, ...), that outputs are compared with, rather than classes.

    Raises
    ------
    ValueError, TypeError
        X and y that do not fit, no data, or a batch size, seed or drop_last that is not one of the above.
    """

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        batch_size: int = 128,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool | str = False,
        preprocess: Preprocess | None = None,
        augment: Sequence[Augment] = (),
        dtype: DTypeLike = "float32",
        targets: bool = False,
        sampling: str = "uniform",
        workers: int = 1,
        classes: int | None = None,
    ) -> None:
        self.X = as_rows(X, "Loader: X")
        if self.X.ndim < 2 or self.X.dtype.kind not in "buif":
            raise ValueError(f"Loader: X must be numbers of shape (N, ...), got {self.X.dtype} {self.X.shape}")
        self.targets = flag(targets, "Loader: targets")
        given = as_labels("Loader", y)
        if self.targets or of_pixels(self.X.shape, given.shape):
            self.y = _check_targets(self.X, given, maps=not self.targets)
        else:
            self.y = check_labels("Loader", self.X, given)
        if isinstance(self.X, np.ndarray):
            self.X = self.X.view()
            self.X.flags.writeable = False
        self.y.flags.writeable = False
        if len(self.y) == 0:
            raise ValueError("Loader: there are no samples")
        if not isinstance(augment, (list, tuple)) or not all(map(callable, augment)):
            raise TypeError(f"Loader: augment must be a list of callables (x, rng) -> x, got {augment!r}")
        if any(getattr(each, "mixes_labels", False) for each in augment) and not (
            self.y.ndim == 1 and self.y.dtype.kind in "iu" or self.y.ndim == 2 and self.y.dtype.kind == "f"
        ):
            raise ValueError(
                "Loader: an augmentation that mixes labels needs class numbers (N,) or probabilities (N, classes), got "
                f"{self.y.dtype} {self.y.shape}"
            )
        if self.X.ndim == 4 and self.y.ndim > 2 and (moving := list(_moving(augment))):
            raise ValueError(
                f"Loader: {moving[0]!r} moves pixels, and those of y, {self.y.shape}, would stay where they are; "
                "change images and y together before they are given"
            )
        self.classes = None if classes is None else integer(classes, "Loader: classes", int(self.y.max()) + 1)
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise ValueError(f"Loader: dtype must be 'float32' or 'float64', got {dtype!r}")
        self.batch_size = integer(batch_size, "Loader: batch_size")
        self.seed = integer(seed, "Loader: seed", 0, 63)
        self.shuffle = flag(shuffle, "Loader: shuffle")
        self.workers = integer(workers, "Loader: workers", 0)
        self.sampling = self._sampling_of(sampling)
        self.drop_last = "single" if drop_last == "single" else flag(drop_last, "Loader: drop_last, if not 'single',")
        self.preprocess, self.augment, self.dtype = preprocess, tuple(augment), np.dtype(dtype)
        self.epoch = self.batch = 0
        if len(self) == 0:
            raise ValueError(
                f"Loader: drop_last=True leaves nothing of {len(self.y)} samples at batch_size={batch_size}"
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(len(self.y), self.batch_size)
        dropped = self.drop_last is True or (self.drop_last == "single" and rest == 1 and full > 0)
        return full + (rest > 0 and not dropped)

    def batches(self, epoch: int, start: int = 0, workers: int = 0) -> Batches:
        """The batches of an epoch from number `start` on, prefetched by `workers` threads.

        The loader's own position does not change.
        """
        order = np.arange(len(self.y))
        if self.shuffle:
            order = SAMPLING[self.sampling](self.y, np.random.Generator(np.random.Philox(key=[self.seed, epoch])))

        def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
            index = order[number * self.batch_size : (number + 1) * self.batch_size]  # an array, so both are copies
            x, y = self._augmented(self.X[index], self.y[index], epoch, number)
            x = self._prepared(x)
            return x, self._labels(index, x, y)

        return in_order(batch, range(start, len(self)), workers)

    def _sampling_of(self, sampling: str) -> str:
        if sampling not in SAMPLING:
            raise ValueError(f"Loader: sampling must be one of {', '.join(SAMPLING)}, got {sampling!r}")
        if sampling != "uniform" and (not self.shuffle or self.y.ndim != 1 or self.targets):
            what = "shuffle=False" if not self.shuffle else f"y of shape {self.y.shape}, dtype {self.y.dtype}"
            raise ValueError(f"Loader: sampling={sampling!r} draws by class, and does not go with {what}")
        return sampling

    def _labels(self, index: Array, x: Array, y: Array) -> Array:
        """The labels of the batch x, which has the examples `index` and, augmented, the labels y."""
        return y

    def _augmented(self, x: Array, y: Array, epoch: int, batch: int) -> tuple[Array, Array]:
        for position, augment in enumerate(self.augment):
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, epoch, batch, position])))
            name, count = f"augment[{position}]", len(x)
            if getattr(augment, "mixes_labels", False):
                mixing: Any = augment
                x, y = mixing(x, y if y.ndim == 2 else self._soft(y), rng)
            else:
                x = augment(x, rng)
            x = _whole(name, x, count)
        if isinstance(x, (list, tuple)) and not getattr(self.preprocess, "resizes", False):
            sizes = sorted({np.shape(image)[-2:] for image in x})
            what = "the last augmentation returned a list" if self.augment else "X holds lists"
            raise ValueError(
                f"Loader: {what} of images of {len(sizes)} sizes, such as {sizes[0]}, and a batch is one array; let "
                "RandomResizedCrop(size) or Resize((height, width)) be the last of augment, or give "
                "preprocess=OneSize((height, width))"
            )
        return x, y

    def _soft(self, y: Array) -> Array:
        """Class numbers (N,) as probabilities (N, classes)."""
        soft: Array = np.eye(self.classes or int(self.y.max()) + 1, dtype=self.dtype)[y]
        return soft

    def _prepared(self, x: Array) -> Array:
        if self.preprocess is None:
            return x.astype(self.dtype, copy=False)
        return _whole("preprocess", self.preprocess(x, self.dtype), len(x))

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rest of the current epoch; after its last batch the position is the start of the next epoch."""
        for x, y in self.batches(self.epoch, self.batch, self.workers):
            self.batch += 1
            if self.batch == len(self):
                self.epoch, self.batch = self.epoch + 1, 0
            yield x, y

    def state_dict(self) -> dict[str, Any]:
        """The position, all that the order depends on, and a checksum of the labels: plain numbers."""
        settings = ("epoch", "batch", "seed", "batch_size", "shuffle", "drop_last", "sampling")
        labels = zlib.crc32(np.ascontiguousarray(self.y).data)
        return {**{name: getattr(self, name) for name in settings}, "samples": len(self.y), "labels_crc32": labels}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a position that `state_dict` returned.

        Raises
        ------
        ValueError
            The position belongs to another seed, batch size, order or number of samples, or to other labels.
        """
        mine, state = self.state_dict(), {"sampling": "uniform", **state}
        other = [name for name in mine if name not in ("epoch", "batch") and state.get(name) != mine[name]]
        if other:
            words = {name: f"{name} {state.get(name)} (here {mine[name]})" for name in other}
            listing = ", ".join("other labels" if name == "labels_crc32" else words[name] for name in other)
            raise ValueError(f"Loader: the position was saved with {listing}; use the same data and settings")
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])


def of_pixels(X: Sequence[int], y: Sequence[int]) -> bool:
    """Whether labels of shape y are those of pixels, or of a signal's elements: rows of another length are one-hot."""
    return (len(X), len(y)) == (4, 3) or ((len(X), len(y)) == (3, 2) and X[2] == y[1])


def _moving(augment: Sequence[Augment]) -> Iterator[Augment]:
    """Those that move pixels, also inside of others, such as Compose."""
    for each in augment:
        if getattr(each, "moves_pixels", False):
            yield each
        yield from _moving(getattr(each, "transforms", ()))


def _whole(name: str, batch: Any, count: int) -> Array:
    """What a user's function returned for a batch of `count` samples, which must be as many."""
    if batch is None:
        raise TypeError(f"Loader: {name} returned None; it must return the batch, also if it works in place")
    if len(batch) != count:
        raise ValueError(f"Loader: {name} returned {len(batch)} of {count} samples; labels would no longer fit")
    array: Array = batch
    return array


def _check_targets(X: Array, y: Array, maps: bool) -> np.ndarray:
    """A copy of targets, real numbers (N, ...); or of classes of pixels, integers."""
    array = np.array(on_host(y, "Loader: y"))
    if maps and array.dtype.kind not in "iu":
        raise TypeError(f"Loader: classes of pixels must be integers, got dtype {array.dtype}")
    if array.ndim == 0 or len(array) != len(X):
        raise ValueError(f"Loader: X has {len(X)} samples, but y has shape {array.shape}")
    return array

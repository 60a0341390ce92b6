"""Views: several versions of each test image, whose predictions are averaged (test-time augmentation)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnet.arguments import integer
from fastnet.augment import Compose, FiveCrop, Resize, TenCrop, Transform
from fastnet.data.rows import as_rows
from fastnet.layers import Evaluation, Model
from fastnet.training.ensemble import Ensemble, logarithm, measured
from fastnet.types import Array, ArrayLike
from fastnet.wording import did_you_mean

__all__ = ["VIEWS", "Views"]

Size = tuple[int, int]


class _Flips(Transform):
    """Each image, and its mirror image: (N, C, H, W) to (2 N, C, H, W), of any numbers."""

    def run(self, x: Any, streams: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return [view for image in x for view in (image, np.ascontiguousarray(image[..., ::-1]))]
        return self.apply(x, streams)

    def apply(self, x: Array, streams: Any) -> Array:
        return np.stack([x, x[..., ::-1]], axis=1).reshape(-1, *x.shape[1:])

    def _checked(self, x: Any) -> Any:
        return x


class _Windows(FiveCrop):
    """`along` x `along` windows from border to border, row by row; one is the window in the middle."""

    def __init__(self, size: Size, along: int) -> None:
        super().__init__(size)
        self.along = along

    def places(self, x: Array) -> list[tuple[int, int]]:
        middle = super().places(x)[-1]
        if self.along == 1:
            return [middle]
        gaps = (outer - inner for inner, outer in zip(self.size, x.shape[2:], strict=True))
        rows, columns = (np.rint(np.linspace(0, gap, self.along)).astype(int).tolist() for gap in gaps)
        return [(row, column) for row in rows for column in columns]


class _Kind(NamedTuple):
    """What `VIEWS` holds.

    Attributes
    ----------
    scales : tuple of int
        Shorter sides to which an image is scaled for a network of 224 x 224; none leave it as it is.
    windows : function (size, along) -> list of Transform
        Makes the views of a scaled image.
    """

    scales: tuple[int, ...]
    windows: Callable[[Size, int], list[Transform]]

    def sides(self, size: Size) -> list[int]:
        """The shorter sides for a network of another size, (height, width)."""
        return [round(scale / 224 * max(size)) for scale in self.scales]

    def __call__(self, size: Size, sides: Sequence[int] | None = None, along: int = 5) -> list[Transform]:
        """A transform for each side."""
        sides, windows = self.sides(size) if sides is None else sides, self.windows(size, along)
        return [Compose([Resize(side), *windows]) for side in sides] or windows


VIEWS: dict[str, _Kind] = {
    "flips": _Kind((), lambda size, along: [_Flips()]),
    "ten-crop": _Kind((256,), lambda size, along: [TenCrop(size)]),
    "five-scales": _Kind((224, 256, 384, 480, 640), lambda size, along: [TenCrop(size)]),
    "dense": _Kind((256,), lambda size, along: [_Flips(), _Windows(size, along)]),
    "center": _Kind((256,), lambda size, along: [_Windows(size, 1)]),
}
"""``VIEWS[name](size, sides, along)``: transforms that make views for a network of images of a size (height, width).

Each image is scaled so that its shorter side is one of `sides`, and then cut.  By default the sides are to the
network's size as the published ones are to 224.

flips: the whole image, by default not scaled, and its mirror image.  A network that ends in a global pooling takes any
side, and is fully convolutional then (He et al. 2015).
ten-crop: the corners, the centre, and those of the mirror image (Krizhevsky et al. 2012).
five-scales: ten crops at each of five scales, 50 views (He et al. 2015, arXiv:1512.03385).
dense: a regular grid of `along` x `along` windows, and that of the mirror image (Simonyan & Zisserman 2014,
arXiv:1409.1556, section 3.2: 5 x 5).
center: the window in the middle, one view.
"""


class Views:
    """A model, or an ensemble, that sees several views of each image and answers with the mean.

    Parameters
    ----------
    model : Model or Ensemble
        Built, of classes.
    views : name in `VIEWS`, or Transform
        Sides may follow the name, "ten-crop:256" or "ten-crop:224/256/288": shorter sides, in pixels, to which images
        are scaled before they are cut.  A transform makes V N views of N images, those of an image side by side, as
        TenCrop and FiveCrop do.
    average : "probabilities" or "scores"
        What is averaged over the views.
    windows : int, optional
        Of "dense": this many windows along each axis (default: 5).

    Attributes
    ----------
    size : (height, width)
        Of images in the network's proportions that need not be enlarged: image files are read with it.
    scales : bool
        Whether images of any size are taken, uint8, since the views scale or crop them; "flips" does not.

    Raises
    ------
    ValueError, TypeError
        Another name, a side shorter than the network's images, or a model that does not take images or give scores of
        classes.

    Examples
    --------
    >>> fn.training.Views(model, "ten-crop").evaluate(images, labels)
    >>> model.evaluate(images, labels, views="ten-crop")  # the same
    >>> fn.training.Views(model, "dense:256/384", windows=3)  # 36 views
    """

    def __init__(
        self,
        model: Model | Ensemble,
        views: str | Transform,
        average: str = "probabilities",
        windows: int | None = None,
    ) -> None:
        if not isinstance(model, (Model, Ensemble)):
            raise TypeError(f"Views: model must be a Model or an Ensemble, got {model!r}")
        first = model.members[0] if isinstance(model, Ensemble) else model
        if not first.built or len(first.input_shape) != 3:
            raise ValueError("Views: the model must be built for images (C, H, W)")
        if len(first.output_shape) != 1 or first.output_shape[0] < 2:
            raise ValueError(f"Views: the model must give a score for each class, it gives {first.output_shape}")
        if average not in ("probabilities", "scores"):
            raise ValueError(f"Views: average must be 'probabilities' or 'scores', got {average!r}")
        self.model, self.average = model, average
        size = (first.input_shape[1], first.input_shape[2])
        name, sides = ("", []) if isinstance(views, Transform) else _parsed(views, size)
        if windows is not None and name != "dense":
            raise ValueError(f"Views: windows are counted along each axis of 'dense' views, not of {views!r}")
        along = 5 if windows is None else integer(windows, "Views: windows", 1)
        self.views = [views] if isinstance(views, Transform) else VIEWS[name](size, sides, along)
        self.scales = not isinstance(self.views[0], _Flips)
        height, width = (round(max([min(size), *sides]) * side / min(size)) for side in size)
        self.size = (height, width)

    def images(self, X: Array) -> Iterator[Array]:
        """The views of images X, uint8 (N, C, H, W): arrays (V N, C, height, width), one for each scale."""
        rng = np.random.default_rng(0)  # for transforms that draw
        for view in self.views:
            made = view(X, rng)
            if len(made) % len(X):
                raise ValueError(f"Views: {view!r} made {len(made)} views of {len(X)} images, which is no multiple")
            yield made

    def predict(self, X: ArrayLike, batch_size: int = 128) -> Array:
        """Scores (N, classes): means of the views' scores, or logarithms of their mean probabilities.

        Parameters
        ----------
        X : uint8 array (N, C, H, W)
            Raw images, which may be larger than the network's; the model's `preprocessing` is applied to each view.
            For "flips" as the model takes them, also other numbers.
        batch_size : int
            How many views are computed at a time, at least those of one image and scale.
        """
        X, batch_size = as_rows(X, "predict: X"), integer(batch_size, "predict: batch_size")
        if X.ndim != 4:
            raise ValueError(f"predict: X must be images (N, C, H, W), got shape {X.shape}")
        if not len(X):
            raise ValueError("predict: there are no images in X")
        if self.scales and X.dtype != np.uint8:
            raise TypeError(
                f'predict: views are scaled and cropped from images of bytes (uint8), got {X.dtype}; views="flips" '
                "takes any numbers"
            )
        count = sum(len(made) for made in self.images(X[:1]))
        step = max(1, batch_size * len(self.views) // count)
        means = [self._mean(X[start : start + step], count, batch_size) for start in range(0, len(X), step)]
        scores = np.concatenate(means)
        return scores if self.average == "scores" else logarithm(scores)

    def predict_proba(self, X: ArrayLike, batch_size: int = 128) -> Array:
        """Probabilities (N, classes); the arguments are those of `predict`."""
        scores = self.predict(X, batch_size)
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: Array = e / e.sum(axis=1, keepdims=True)
        return probabilities

    def predict_classes(self, X: ArrayLike, batch_size: int = 128) -> Array:
        """The number of the class with the largest score: integers (N,)."""
        classes: Array = self.predict(X, batch_size).argmax(axis=1)
        return classes

    def evaluate(self, X: ArrayLike, y: ArrayLike, batch_size: int = 128) -> Evaluation:
        """Mean cross-entropy and accuracy on (X, y); y holds class numbers, (N,)."""
        return measured(self.predict(X, batch_size), y)

    def _mean(self, X: Array, count: int, batch_size: int) -> Array:
        outputs = self.model.predict if self.average == "scores" else self.model.predict_proba
        total: Any = 0.0
        for made in self.images(X):
            found = outputs(made, batch_size)
            total = total + found.reshape(len(X), -1, found.shape[1]).astype(np.float64).sum(axis=1)
        mean: Array = (total / count).astype(found.dtype)
        return mean


def _parsed(views: Any, size: Size) -> tuple[str, list[int]]:
    """The name and the sides of "ten-crop:256/288", for a network of a size."""
    name, colon, rest = views.partition(":") if isinstance(views, str) else ("", "", "")
    if name not in VIEWS:
        hint = did_you_mean(name, VIEWS) if name else ""
        raise ValueError(f"Views: views must be {', '.join(VIEWS)} or a transform, got {views!r}; {hint}".rstrip("; "))
    if not colon:
        return name, VIEWS[name].sides(size)
    parts = rest.split("/")
    if not all(part.isdecimal() and int(part) >= min(size) for part in parts):
        raise ValueError(
            f"Views: after {name}: must be shorter sides in pixels, at least the network's {min(size)}, such as "
            f"{name}:{round(256 / 224 * min(size))}, got {views!r}"
        )
    return name, [int(part) for part in parts]

"""Views: several versions of each test image, whose predictions are averaged (test-time augmentation)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnet.arguments import integer
from fastnet.augment import Compose, Resize, TenCrop, Transform
from fastnet.data.rows import as_rows
from fastnet.layers import Evaluation, Model
from fastnet.training.ensemble import Ensemble, logarithm, measured
from fastnet.types import Array, ArrayLike, Generator
from fastnet.wording import did_you_mean

__all__ = ["VIEWS", "Views"]

_SCALES = (224, 256, 384, 480, 640)  # shorter sides for a network of 224 x 224 (He et al. 2015, arXiv:1512.03385)


def _flips(x: Array, rng: Generator) -> Array:
    """Each image, and its mirror image: (N, C, H, W) to (2 N, C, H, W)."""
    return np.stack([x, x[..., ::-1]], axis=1).reshape(-1, *x.shape[1:])


def _ten_crop(size: tuple[int, int], side: int) -> Transform:
    """Ten crops of the images scaled so that the shorter side is to the network's as `side` to 224."""
    return Compose([Resize(round(side / 224 * max(size))), TenCrop(size)])


VIEWS: dict[str, Callable[[tuple[int, int]], list[Callable[[Array, Generator], Array]]]] = {
    "flips": lambda size: [_flips],
    "ten-crop": lambda size: [_ten_crop(size, 256)],
    "five-scales": lambda size: [_ten_crop(size, side) for side in _SCALES],
}
"""``VIEWS[name](size)``: functions ``(x, rng)`` that make views for a network of images of a size (height, width).

flips: the image and its mirror image.
ten-crop: the image scaled to 8/7 of the network's size; its corners and centre, and those of its mirror image
(Krizhevsky et al. 2012).
five-scales: ten crops at each of five scales, 50 views (He et al. 2015).
"""


class Views:
    """A model, or an ensemble, that sees several views of each image and answers with the mean.

    Parameters
    ----------
    model : Model or Ensemble
        Built, of classes.
    views : name in `VIEWS`, or Transform
        A transform makes V N views of N images, those of an image side by side, as TenCrop and FiveCrop do.
    average : "probabilities" or "scores"
        What is averaged over the views.

    Attributes
    ----------
    scales : bool
        Whether images of any size are taken, uint8, since the views scale or crop them; "flips" does not.

    Raises
    ------
    ValueError, TypeError
        Another name, or a model that does not take images or give scores of classes.

    Examples
    --------
    >>> fn.training.Views(model, "ten-crop").evaluate(images, labels)
    >>> model.evaluate(images, labels, views="ten-crop")  # the same
    """

    def __init__(self, model: Model | Ensemble, views: str | Transform, average: str = "probabilities") -> None:
        if not isinstance(model, (Model, Ensemble)):
            raise TypeError(f"Views: model must be a Model or an Ensemble, got {model!r}")
        first = model.members[0] if isinstance(model, Ensemble) else model
        if not first.built or len(first.input_shape) != 3:
            raise ValueError("Views: the model must be built for images (C, H, W)")
        if len(first.output_shape) != 1 or first.output_shape[0] < 2:
            raise ValueError(f"Views: the model must give a score for each class, it gives {first.output_shape}")
        if average not in ("probabilities", "scores"):
            raise ValueError(f"Views: average must be 'probabilities' or 'scores', got {average!r}")
        if not isinstance(views, Transform) and (not isinstance(views, str) or views not in VIEWS):
            hint = did_you_mean(views, VIEWS) if isinstance(views, str) else ""
            raise ValueError(
                f"Views: views must be {', '.join(VIEWS)} or a transform, got {views!r}; {hint}".rstrip("; ")
            )
        self.model, self.average = model, average
        _, height, width = first.input_shape
        self.views = [views] if isinstance(views, Transform) else VIEWS[views]((height, width))
        self.scales = views != "flips"

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

"""Where a classifier is wrong: the confusion matrix, and the images on which it is most certainly wrong."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastnet.arguments import flag, integer
from fastnet.arrays import on_host
from fastnet.columns import clip, visible
from fastnet.drawing import new_figure, save
from fastnet.types import Array, ArrayLike
from fastnet.visualize.axes import cells, show
from fastnet.visualize.grids import displayable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Mistakes",
    "class_accuracies",
    "class_labels",
    "confusion_matrix",
    "plot_confusion",
    "plot_mistakes",
    "worst_mistakes",
]


class Mistakes(NamedTuple):
    """The result of :func:`worst_mistakes`: arrays (M,), the most certain mistake first.

    Attributes
    ----------
    images : array of integers
        The positions of the images.
    true, taken : array of integers
        The right class, and the one with the largest probability.
    certainty : array
        The probability of the class taken.
    """

    images: Array
    true: Array
    taken: Array
    certainty: Array


def confusion_matrix(y: ArrayLike, taken: ArrayLike, classes: int | None = None) -> Array:
    """Count how many images of each class were taken for each class.

    Parameters
    ----------
    y : array of integers, (N,)
        The right classes.
    taken : array of integers, (N,)
        The predicted classes, such as ``model.predict_classes`` returns.
    classes : int, optional
        Default: as many as the largest number in either needs.

    Returns
    -------
    array of integers, (classes, classes)
        Row k counts the images of class k; the diagonal counts those that are right.

    Raises
    ------
    ValueError, TypeError
        Other numbers than integers from 0 to classes - 1, or arrays of different lengths.
    """
    right, found = _classes("confusion_matrix: y", y, classes), _classes("confusion_matrix: taken", taken, classes)
    if len(right) != len(found):
        raise ValueError(f"confusion_matrix: y and taken must have one length, got {len(right)} and {len(found)}")
    if classes is None:
        classes = int(max(right.max(initial=-1), found.max(initial=-1))) + 1
    counts: Array = np.bincount(right * classes + found, minlength=classes**2).reshape(classes, classes)
    return counts


def _classes(name: str, given: ArrayLike, classes: int | None) -> Array:
    numbers = on_host(given, name)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise TypeError(f"{name} must be class numbers, integers (N,), got {numbers.dtype} of shape {numbers.shape}")
    most = np.inf if classes is None else integer(classes, "classes") - 1
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() <= most:
        raise ValueError(f"{name} must be from 0 to {most}, got {numbers.min()} to {numbers.max()}")
    return numbers.astype(np.int64)


def class_accuracies(matrix: ArrayLike) -> Array:
    """The share of each class's images that are right, from a confusion matrix.

    Parameters
    ----------
    matrix : array, (classes, classes)
        Such as :func:`confusion_matrix` returns.

    Returns
    -------
    array, (classes,), float64
        NaN for a class without images.

    Raises
    ------
    ValueError
        The matrix is not square.
    """
    counts = _square("class_accuracies", matrix)
    images = counts.sum(axis=1)
    shares: Array = np.divide(np.diag(counts), images, out=np.full(len(counts), np.nan), where=images > 0)
    return shares


def _square(name: str, matrix: ArrayLike) -> Array:
    counts = on_host(matrix, f"{name}: matrix")
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"{name}: matrix must be a confusion matrix (classes, classes), got shape {counts.shape}")
    return counts


def worst_mistakes(probabilities: ArrayLike, y: ArrayLike, count: int = 24) -> Mistakes:
    """The images whose class is wrong though its probability is large, the most certain first.

    Parameters
    ----------
    probabilities : array, (N, classes)
        Such as ``model.predict_proba`` returns.
    y : array of integers, (N,)
        The right classes.
    count : int
        At most this many mistakes.

    Returns
    -------
    Mistakes

    Raises
    ------
    ValueError, TypeError
        Arrays that do not fit.
    """
    p, count = on_host(probabilities, "worst_mistakes: probabilities"), integer(count, "worst_mistakes: count")
    if p.ndim != 2 or not p.shape[1]:
        raise ValueError(f"worst_mistakes: probabilities must have shape (N, classes), got {p.shape}")
    right = _classes("worst_mistakes: y", y, p.shape[1])
    if len(right) != len(p):
        raise ValueError(f"worst_mistakes: got probabilities of {len(p)} images, and classes of {len(right)}")
    taken = p.argmax(axis=1)
    certainty = np.take_along_axis(p, taken[:, None], axis=1)[:, 0]
    wrong = np.flatnonzero(taken != right)
    worst = wrong[np.argsort(-certainty[wrong], kind="stable")][:count]
    return Mistakes(worst, right[worst], taken[worst], certainty[worst])


def class_labels(classes: Sequence[str] | None, count: int, what: str) -> list[str]:
    """The names of `count` classes as they can be drawn; numbers if there are none."""
    if classes is not None and len(classes) < count:
        raise ValueError(f"{what}: {count} classes, but {len(classes)} names of classes")
    return [visible(str(name)) for name in classes] if classes is not None else [str(k) for k in range(count)]


def plot_confusion(
    matrix: ArrayLike,
    classes: Sequence[str] | None = None,
    shares: bool = True,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw a confusion matrix, with the number of images in each field if there is room.

    Parameters
    ----------
    matrix : array, (classes, classes)
        Such as :func:`confusion_matrix` returns.
    classes : sequence of str, optional
        Their names, such as ``model.class_names``; default: numbers.
    shares : bool
        Whether colours show shares of a class's images, which rare classes need; by numbers otherwise.
    path : path, optional
        Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The matrix is not square, or has more classes than there are names.
    ImportError
        matplotlib is not installed.
    """
    counts, shares = _square("plot_confusion", matrix), flag(shares, "plot_confusion: shares")
    K = len(counts)
    names = [clip(name, 20) for name in class_labels(classes, K, "plot_confusion")]
    colours = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) if shares else counts
    side = min(max(4.0, 0.45 * K + 2), 14)
    figure = new_figure(path, side + 1, side)
    axes = figure.subplots()
    image = axes.imshow(colours, cmap="Blues", vmin=0)
    figure.colorbar(image, ax=axes, label="share of the class's images" if shares else "images", shrink=0.8)
    axes.set(xlabel="taken for", ylabel="class", title=f"{int(np.trace(counts)):,} of {int(counts.sum()):,} right")
    if K <= 60:
        axes.set_xticks(range(K), names, rotation=90 if max(map(len, names)) > 2 else 0, parse_math=False)
        axes.set_yticks(range(K), names, parse_math=False)
    if K <= 25:
        half = colours.max() / 2
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if colours[row, column] > half else "black"
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=8, color=colour)
    return save(figure, path)


def plot_mistakes(
    mistakes: Mistakes,
    X: ArrayLike,
    classes: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the images of the worst mistakes, each with its class, what it was taken for, and how certainly.

    Parameters
    ----------
    mistakes : Mistakes
        As :func:`worst_mistakes` returns them.
    X : array, (N, C, H, W)
        The images.
    classes : sequence of str, optional
        Names of the classes; default: numbers.
    path : path, optional
        Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        Arguments that do not fit.
    ImportError
        matplotlib is not installed.
    """
    if not isinstance(mistakes, Mistakes):
        raise TypeError(f"plot_mistakes: mistakes must be the result of worst_mistakes, got {mistakes!r}")
    count = len(mistakes.images)
    known = int(max(mistakes.true.max(initial=-1), mistakes.taken.max(initial=-1))) + 1
    names = [clip(name, 14) for name in class_labels(classes, known, "plot_mistakes")]
    columns = max(1, min(8, count))
    rows = max(1, -(-count // columns))
    figure = new_figure(path, 1.5 * columns, 2.2 * rows)
    grid = cells(figure, count, columns)
    if not count:
        grid[0].text(0.5, 0.5, "no mistakes", ha="center", va="center")
        return save(figure, path)
    images = on_host(X, "plot_mistakes: X")
    if images.ndim != 4 or len(images) <= mistakes.images.max():
        raise ValueError(
            f"plot_mistakes: X must be the images (N, C, H, W) of the mistakes, N > {mistakes.images.max()}, got shape "
            f"{images.shape}"
        )
    for n, (axes, picture) in enumerate(zip(grid, displayable(images[mistakes.images]), strict=False)):
        told = f"{names[mistakes.true[n]]}\ntaken for\n{names[mistakes.taken[n]]} ({mistakes.certainty[n]:.2f})"
        show(axes, picture, told)
    return save(figure, path)

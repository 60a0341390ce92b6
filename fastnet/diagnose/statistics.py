"""Statistics of what a network computes: activations and gradients, layer by layer."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import losses
from fastnet.arguments import flag, integer, real, several
from fastnet.backends import current
from fastnet.drawing import new_figure, save
from fastnet.graph import Node, Program
from fastnet.heads import training_loss
from fastnet.layers import Model
from fastnet.layers.preserved import preserved
from fastnet.tables import html_table, text_table
from fastnet.types import Array, ArrayLike, Loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Row", "Statistics", "activation_statistics", "gradient_statistics"]

# Where an activation is saturated: outputs for which its slope is under 6 % of the steepest, |tanh| > 0.97.
_SATURATED: dict[str, Callable[..., Any]] = {
    "tanh": lambda y: abs(y) > 0.97,
    "sigmoid": lambda y: abs(2 * y - 1) > 0.97,
    "relu": lambda y: y <= 0,
    "relu6": lambda y: (y <= 0) | (y >= 6),
    "hardsigmoid": lambda y: (y <= 0) | (y >= 1),
    "hardswish": lambda y: y == 0,
    "elu": lambda y, alpha: y < -0.94 * alpha,
    "selu": lambda y: y < -0.94 * 1.7580993408473766,
    "softplus": lambda y, beta, threshold: y * beta < 0.06,
}
_DYING = ("relu", "relu6", "hardswish")  # those that can be constant over all examples
_COLUMNS = {  # field: title and format
    "mean": ("mean", "{:+.4g}"),
    "std": ("std", "{:.4g}"),
    "norm": ("norm", "{:.3g}"),
    "ratio": ("/ weights", "{:.2g}"),
    "saturated": ("saturated", "{:.1%}"),
    "dead": ("dead", "{:.1%}"),
}


@dataclass(frozen=True)
class Row:
    """The statistics of one array.

    Attributes
    ----------
    name : str
        The layer's path in the model, a parameter's name, or "input".
    kind : str
        The layer's class.
    mean, std : float
    counts, edges : arrays
        The histogram: numbers of values, and the borders of its bins.
    saturated : float or None
        Of activations that saturate: the share of values where the slope is under 6 % of the steepest (|tanh| > 0.97);
        of ReLU that is the share of zeros.
    dead : float or None
        Of ReLU and the like: the share of units (neurons, or channels) that are 0 for every example and place.
    norm, ratio : float or None
        Of a parameter's gradient: its length, and that divided by the parameter's.
    """

    name: str
    kind: str
    mean: float
    std: float
    counts: Array
    edges: Array
    saturated: float | None = None
    dead: float | None = None
    norm: float | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class Statistics:
    """Rows of statistics, which print as a table and as HTML in a notebook; ``plot()`` draws them.

    ``statistics["2"]`` is the row of that name.

    Attributes
    ----------
    title : str
    rows : list of Row
        In the order of the forward pass.
    """

    title: str
    rows: list[Row]

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no row is named {name!r}: {', '.join(row.name for row in self.rows)}")

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain Python objects, for JSON."""
        plain = [{**vars(row), "counts": row.counts.tolist(), "edges": row.edges.tolist()} for row in self.rows]
        return {"title": self.title, "rows": plain}

    def __str__(self) -> str:
        return f"{self.title}\n\n{text_table(self._titles(), self._cells(), left=2)}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self._titles(), self._cells(), self.title)

    def _fields(self) -> list[str]:
        return [name for name in _COLUMNS if any(getattr(row, name) is not None for row in self.rows)]

    def _titles(self) -> list[str]:
        return ["layer", "", *(_COLUMNS[name][0] for name in self._fields())]

    def _cells(self) -> list[list[str]]:
        def cell(row: Row, name: str) -> str:
            value = getattr(row, name)
            return "" if value is None else _COLUMNS[name][1].format(value)

        return [[row.name, row.kind, *(cell(row, name) for name in self._fields())] for row in self.rows]

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw mean and standard deviation along the layers, and the histograms of all rows but short vectors.

        Parameters
        ----------
        path : path, optional
            Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        drawn = [row for row in self.rows if row.norm is None or row.counts.sum() > len(row.counts)]
        layers = [row for row in self.rows if row.norm is None]
        across = min(len(drawn), 6)
        down = -(-len(drawn) // across)
        figure = new_figure(path, 2.3 * max(across, 4), 3.4 + 1.8 * down)
        parts: Any = figure.subfigures(2, 1, height_ratios=(3.4, 1.8 * down))
        above, below = parts
        figure.suptitle(self.title)
        names, places = [row.name for row in layers], range(len(layers))
        for axes, field in zip(above.subplots(1, 2), ("mean", "std"), strict=True):
            axes.plot(places, [getattr(row, field) for row in layers], "o-", markersize=4)
            axes.set_xticks(places, names, rotation=60 if max(map(len, names)) > 2 else 0, fontsize=8)
            axes.set(title={"mean": "Mean", "std": "Standard deviation"}[field], xlabel="layer")
            axes.grid(alpha=0.3)
        grid = below.subplots(down, across, squeeze=False).ravel()
        for axes, row in zip(grid, drawn, strict=False):
            axes.stairs(row.counts, row.edges, fill=True)
            axes.set_title(f"{row.name} {row.kind}".strip(), fontsize=9)
            axes.set_yticks([])
            axes.locator_params(axis="x", nbins=4)
            axes.tick_params(labelsize=8)
        for axes in grid[len(drawn) :]:
            axes.set_axis_off()
        return save(figure, path)


def activation_statistics(
    model: Model,
    x: ArrayLike,
    *,
    training: bool = True,
    bins: int = 30,
    limits: tuple[float, float] | None = None,
) -> Statistics:
    """Mean, standard deviation, saturation, dead units and a histogram of x and of what every layer gives.

    Parameters
    ----------
    model : Model
        Built.  Nothing of it changes.
    x : array, (N, *input_shape)
        Preprocessed as in training.
    training : bool
        Whether batch norms use the batch's statistics, and dropout drops.
    bins : int
    limits : pair of float, optional
        The range of the histograms; by default that of the values.  What lies outside is not counted.
    """
    rows: list[Row] = []

    def around(node: Node, phase: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        if phase != "forward" or not _computes(node):
            return kernel

        def run(*arrays: Any) -> Any:
            y, saved = kernel(*arrays)
            values = ops.to_numpy(y)
            test = _SATURATED.get(node.name)
            saturated = None if test is None else float(np.mean(test(values, **node.attributes)))
            dead = None
            if node.name in _DYING and values.ndim > 1:
                dead = float((values == 0).all(axis=(0, *range(2, values.ndim))).mean())
            rows.append(_row(*_place(node), values, bins, limits, saturated=saturated, dead=dead))
            return y, saved

        return run

    ops, bins, limits = current(), *_checked("activation_statistics", model, bins, limits)
    with preserved(model):
        x, program = _program(model, x, flag(training, "activation_statistics: training"), around)
        rows.append(_row("input", "", ops.to_numpy(x), bins, limits))
        program.forward(x)
    return Statistics("Activations", rows)


def gradient_statistics(
    model: Model,
    x: ArrayLike,
    labels: ArrayLike,
    *,
    loss: str | Loss = "softmax",
    training: bool = True,
    bins: int = 30,
    limits: tuple[float, float] | None = None,
) -> Statistics:
    """Mean, standard deviation and a histogram of the gradients of what every layer gives, and of every parameter.

    A parameter's row also has the length of its gradient, and its ratio to the parameter's own: times the learning
    rate, that is the relative change of a step of plain SGD, for which about 1e-3 is a good value.

    Parameters
    ----------
    model, x, training, bins, limits
        As for :func:`activation_statistics`.
    labels : array
    loss : str or function
    """
    rows: list[Row] = []

    def around(node: Node, phase: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        if phase != "backward" or not _computes(node):
            return kernel

        def run(dy: Any, *arguments: Any, **more: Any) -> Any:
            rows.append(_row(*_place(node), ops.to_numpy(dy), bins, limits))
            return kernel(dy, *arguments, **more)

        return run

    ops, bins, limits = current(), *_checked("gradient_statistics", model, bins, limits)
    chosen = training_loss(loss, model) if training else losses.get(loss)
    with preserved(model):
        x, program = _program(model, x, flag(training, "gradient_statistics: training"), around)
        y, backward = program.forward(x)
        backward(chosen(ops.xp.array(y), ops.own(labels))[1], input_gradient=True)
        rows.reverse()
        for parameter in model.parameters():
            if parameter.grad is not None:
                gradient, value = ops.to_numpy(parameter.grad), ops.to_numpy(parameter.value)
                norm, size = (float(np.linalg.norm(array.astype(np.float64))) for array in (gradient, value))
                ratio = norm / size if size else None
                rows.append(_row(parameter.name, "", gradient, bins, limits, norm=norm, ratio=ratio))
    return Statistics("Gradients of the loss", rows)


def _checked(name: str, model: Any, bins: Any, limits: Any) -> tuple[int, tuple[float, float] | None]:
    if not isinstance(model, Model):
        raise TypeError(f"{name}: model must be a fastnet.Model, such as Sequential(...), got {model!r}")
    bins = integer(bins, f"{name}: bins")
    if limits is None:
        return bins, None
    ends = [real(end, f"{name}: limits") for end in several(limits, f"{name}: limits")]
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise ValueError(f"{name}: limits must be (low, high) with low < high, got {limits!r}")
    return bins, (ends[0], ends[1])


def _program(model: Model, x: ArrayLike, training: bool, around: Any) -> tuple[Array, Program]:
    entered, _ = model.program(x, training)
    return entered, Program(model.graph(tuple(entered.shape), training), current(), True, around=around)


def _computes(node: Node) -> bool:
    """Whether the op does more than move elements."""
    return node.op is not None and tuple(node.op.flops) != (0, 0)


def _place(node: Node) -> tuple[str, str]:
    layer = node.layers[-1]
    return layer.path or node.name, type(layer).__name__


def _row(name: str, kind: str, values: Array, bins: int, limits: tuple[float, float] | None, **more: Any) -> Row:
    exact = values.astype(np.float64)
    finite = exact[np.isfinite(exact)]
    counts, edges = np.histogram(finite, bins, range=limits)
    with np.errstate(invalid="ignore", over="ignore"):  # an activation may have overflowed
        mean, std = float(exact.mean()), float(exact.std())
    return Row(name, kind, mean, std, counts, edges, **more)

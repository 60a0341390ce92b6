"""The picture of several runs: their learning curves side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.drawing import new_figure, save
from fastnet.training.history import History, moving_average

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_runs"]


def plot_runs(
    runs: Sequence[History] | Mapping[str, History],
    names: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the learning curves of several runs: losses with moving averages, training and validation accuracies.

    Parameters
    ----------
    runs : sequence of History, or dict of them by name
        A Solver, which has a `history`, will do for a History.
    names : sequence of str, optional
        For the legend, which stands beside the plots; by default the dict's keys, or "run 1", "run 2" and so on.
    path : path, optional
        Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError
        No runs, or as many names as there are not runs; something else than a History.
    ImportError
        matplotlib is not installed.
    """
    given = list(runs.values()) if isinstance(runs, Mapping) else list(runs)
    histories = [getattr(run, "history", run) if not isinstance(run, History) else run for run in given]
    if names is None:
        names = (
            [str(name) for name in runs] if isinstance(runs, Mapping) else [f"run {n + 1}" for n in range(len(given))]
        )
    if not histories or len(names) != len(histories):
        raise ValueError(
            f"plot_runs: needs a name for each of at least one run, got {len(given)} runs, {len(names)} names"
        )
    for history in histories:
        if not isinstance(history, History):
            raise TypeError(f"plot_runs: runs must be History objects, as Solver.train returns, got {history!r}")
    metric = "mae" if any("mae" in history.history for history in histories) else "accuracy"
    figure = new_figure(path, 15, 4.2)
    axes = figure.subplots(1, 3)
    axes[2].sharey(axes[1])
    for n, (name, history) in enumerate(zip(names, histories, strict=True)):
        _draw(axes, history, metric, f"C{n % 10}", name, "-" if n < 10 else "--")
    word = "mean absolute error" if metric == "mae" else "accuracy"
    axes[0].set(xlabel="iteration", ylabel="loss", title="Loss: each iteration, and a moving average")
    axes[1].set(xlabel="epoch", ylabel=word, title=f"Training {word}")
    axes[2].set(xlabel="epoch", ylabel=word, title=f"Validation {word}")
    for each in axes:
        each.grid(alpha=0.3)
    for each in axes[1:]:
        each.xaxis.get_major_locator().set_params(integer=True)
    lines, labels = axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside right upper")
    return save(figure, path)


def _draw(axes: Any, history: History, metric: str, color: str, name: str, style: str) -> None:
    losses = np.asarray(history.losses, float)
    axes[0].scatter(np.arange(1, len(losses) + 1), losses, s=4, alpha=0.25, linewidths=0, color=color)
    axes[0].plot(*moving_average(losses), style, color=color, label=name)
    epochs = history.history.get("epoch", [])
    for each, column in ((axes[1], metric), (axes[2], f"val_{metric}")):
        if column in history.history:
            each.plot(epochs, history.history[column], style, marker="o", markersize=3, color=color)

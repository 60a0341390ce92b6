"""All runs of a search on one picture: learning curves, and each hyperparameter against the result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.drawing import new_figure
from fastnet.search.space import Choice, Dimension, Range
from fastnet.storage import atomic_write
from fastnet.training import History

if TYPE_CHECKING:
    from fastnet.search.results import Results, Run
    from fastnet.types import Array

__all__ = ["draw", "mark", "write"]

_POINTS = 200  # of a curve
_LINES = 10  # of the table
_BEST, _PRUNED = "crimson", "0.75"
_MARKERS = {"coarse": "o", "fine": "D"}


def draw(results: Results, path: str | os.PathLike[str] | None, lines: int = _LINES) -> Any:
    """The figure, with so many lines of the table; each curve's and point's link is ``#`` and the run's `mark`.

    Without a path it is pyplot's current figure.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    names = list(dict.fromkeys(name for space in results.spaces.values() for name in space))
    ranges = [name for name in names if isinstance(_whole(results, name), Range)]
    curves = [run for run in results.runs if run.histories]
    panels = [_loss, _metric] if curves else []
    panels += [_against(name) for name in names]
    if len(ranges) >= 2:
        panels.append(_plane(ranges[0], ranges[1]))
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    table = results.lines()[:lines]
    heights = [3.4] * rows + ([0.3 + 0.19 * (len(table) + 1)] if table else [])
    figure = new_figure(path, 5 * columns, sum(heights) + 0.5)
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    colors = _colors(results)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(grid[number // columns, number % columns])
        panel(axes, results, colors)
        axes.grid(alpha=0.3)
    if table:
        text = figure.add_subplot(grid[rows, :])
        text.axis("off")
        rest = len(results.runs) - len(table)
        more = f"\n... and {rest} more" if rest else ""
        text.text(0, 1, "\n".join(table) + more, family="monospace", fontsize=8, va="top", transform=text.transAxes)
    counts = ", ".join(f"{results.count(s)} {s}" for s in ("finished", "pruned", "failed") if results.count(s))
    stages = "; circles: coarse stage, diamonds: fine stage" if len(results.spaces) > 1 else ""
    figure.suptitle(
        f"All runs of the search: {counts}\nthe best is red; of the others, the lighter, the better{stages}"
    )
    return figure


def write(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure atomically, in the format of the suffix."""
    kind = Path(path).suffix.lstrip(".") or "png"
    atomic_write(path, lambda file: figure.savefig(file, format=kind, dpi=120))


def mark(run: Run) -> str:
    """A run's name in links."""
    return f"{run.stage}-{run.number}"


def _whole(results: Results, name: str) -> Dimension:
    return results.spaces["coarse"][name]


def _colors(results: Results) -> dict[str, Any]:
    """Each run's colour: the better the lighter, the best red, grey without a result."""
    from matplotlib import colormaps

    ranked = results.ranked()
    shades = colormaps["viridis"](np.linspace(0.9, 0.0, max(len(ranked), 2)))
    found: dict[str, Any] = {mark(run): _PRUNED for run in results.runs}
    found |= {mark(run): shade for run, shade in zip(ranked, shades, strict=False)}
    if ranked:
        found[mark(ranked[0])] = _BEST
    return found


def _style(run: Run, results: Results, colors: dict[str, Any]) -> dict[str, Any]:
    best = bool(results.ranked()) and run is results.ranked()[0]
    width, order = (2.2, 5) if best else (1.1, 3 if run.state == "finished" else 2)
    return {"color": colors[mark(run)], "linewidth": width, "zorder": order, "url": f"#{mark(run)}"}


def _mean(histories: tuple[History, ...], column: str) -> Array:
    """The mean over the folds, as far as all of them go."""
    columns = [h.losses if column == "" else h.history.get(column, []) for h in histories]
    length = min(map(len, columns))
    return np.mean([values[:length] for values in columns], axis=0) if length else np.empty(0)


def _loss(axes: Any, results: Results, colors: dict[str, Any]) -> None:
    highest = 0.0
    for run in results.runs:
        losses = _mean(run.histories, "") if run.histories else np.empty(0)
        if not len(losses):
            continue
        window = max(1, len(losses) // 25)
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        steps = np.arange(window, len(losses) + 1)
        chosen = np.unique(np.linspace(0, len(smooth) - 1, min(len(smooth), _POINTS)).astype(int))
        axes.plot(steps[chosen], smooth[chosen], **_style(run, results, colors))
        highest = max(highest, float(losses[0]))
    axes.set(xlabel="iteration", ylabel="training loss, smoothed", title="Training loss", yscale="log")
    if highest:
        axes.set_ylim(top=3 * highest)


def _metric(axes: Any, results: Results, colors: dict[str, Any]) -> None:
    from matplotlib.ticker import MaxNLocator

    for run in results.runs:
        values = _mean(run.histories, results.monitor) if run.histories else np.empty(0)
        if len(values):
            axes.plot(np.arange(1, len(values) + 1), values, marker=".", **_style(run, results, colors))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel=results.monitor, title=f"{results.monitor} after each epoch")


def _points(axes: Any, results: Results, colors: dict[str, Any], place: Any) -> None:
    """The finished runs as points; `place` gives a run's (x, y)."""
    for stage, marker in _MARKERS.items():
        runs = [run for run in results.ranked() if run.stage == stage]
        if runs:
            x, y = zip(*(place(run) for run in runs), strict=True)
            points = axes.scatter(x, y, c=[colors[mark(run)] for run in runs], marker=marker, s=26, zorder=3)
            points.set_urls([f"#{mark(run)}" for run in runs])


def _scale(axes: Any, which: str, dimension: Dimension) -> None:
    if isinstance(dimension, Choice):
        ticks = getattr(axes, f"set_{which}ticks")
        ticks(range(len(dimension.values)), [str(value).replace(",", ",\n") for value in dimension.values])
        getattr(axes, f"set_{which}lim")(-0.5, len(dimension.values) - 0.5)
    elif isinstance(dimension, Range):
        axes.set(**{f"{which}scale": "log" if dimension.log else "linear"})
        width = getattr(axes, f"get_{which}lim")()
        getattr(axes, f"set_{which}lim")(min(dimension.low, width[0]), max(dimension.high, width[1]))


def _against(name: str) -> Any:
    def panel(axes: Any, results: Results, colors: dict[str, Any]) -> None:
        dimension = _whole(results, name)

        def place(run: Run) -> tuple[float, float]:
            value = run.setting[name]
            x = dimension.values.index(value) if isinstance(dimension, Choice) else value
            return x, run.value if run.value is not None else np.nan

        for run in results.ranked():
            if run.spread is not None:
                axes.errorbar(*place(run), yerr=run.spread, color=colors[mark(run)], linewidth=0.8, zorder=2)
        _points(axes, results, colors, place)
        _scale(axes, "x", dimension)
        spread = "; bars: standard deviation over the folds" if any(run.folds[1:] for run in results.runs) else ""
        axes.set(xlabel=name, ylabel=results.monitor, title=f"{name} against the result{spread}")
        axes.title.set_fontsize(9 if spread else 12)

    return panel


def _plane(first: str, second: str) -> Any:
    def panel(axes: Any, results: Results, colors: dict[str, Any]) -> None:
        dropped = [run for run in results.runs if run.state in ("pruned", "failed")]
        axes.scatter(
            [run.setting[first] for run in dropped],
            [run.setting[second] for run in dropped],
            marker="x",
            c=_PRUNED,
        )
        _points(axes, results, colors, lambda run: (run.setting[first], run.setting[second]))
        for which, name in (("x", first), ("y", second)):
            _scale(axes, which, _whole(results, name))
        axes.set(
            xlabel=first, ylabel=second, title="Where was searched" + ("; crosses: stopped early" if dropped else "")
        )

    return panel

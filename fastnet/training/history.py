"""History: the losses, accuracies and times of training, as numbers, a plot, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.drawing import new_figure, save
from fastnet.storage import atomic_write, number, write_json
from fastnet.tables import html_table

__all__ = ["History", "COLUMNS", "moving_average"]


def moving_average(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The iterations, from 1, and the means of the last 2 % (at least 5) of all losses there."""
    window = max(5, len(losses) // 50)
    if len(losses) < window:
        return np.empty(0), np.empty(0)
    return np.arange(window, len(losses) + 1), np.convolve(losses, np.ones(window) / window, mode="valid")


COLUMNS = {  # of the epoch table: title and format
    "epoch": ("epoch", "d"),
    "loss": ("loss", ".4f"),
    "accuracy": ("train acc", ".4f"),
    "mae": ("train mae", ".4f"),
    "val_loss": ("val loss", ".4f"),
    "val_accuracy": ("val acc", ".4f"),
    "val_mae": ("val mae", ".4f"),
    "lr": ("lr", ".3g"),
    "seconds": ("seconds", ".1f"),
    "images_per_second": ("images/s", ".0f"),
    "waiting": ("data wait", ".1%"),
}


class History:
    """The losses, accuracies and times of training.

    Attributes
    ----------
    losses, learning_rates : list of float
        One per iteration; the loss includes the regulariser's penalty.
    history : dict of str to list
        One value per epoch: "epoch" (from 1), "loss" and "accuracy" (means over the epoch's training batches,
        computed as it runs), "val_loss" and "val_accuracy" (with validation data), for losses of regression "mae" and
        "val_mae" (mean absolute error) in place of accuracies, "lr" (of the last iteration),
        "seconds" (training and validation), "images_per_second" (training), and "waiting", the share of the training
        time in which the step waited for its batch, from 0 to 1.
    """

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.learning_rates: list[float] = []
        self.history: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        """Epochs."""
        return len(self.history.get("epoch", ()))

    def __repr__(self) -> str:
        last = ", ".join(f"{COLUMNS[k][0]} {v[-1]:{COLUMNS[k][1]}}" for k, v in self.history.items() if k in COLUMNS)
        return f"History({len(self)} epochs, {len(self.losses)} iterations{'; ' + last if last else ''})"

    def append(self, record: dict[str, Any]) -> None:
        """Add an epoch.

        A column that earlier epochs lack, such as one that the version which began the run did not keep, holds NaN
        for them.
        """
        epochs = max(map(len, self.history.values()), default=0)
        for name, value in record.items():
            column = self.history.setdefault(name, [])
            column += [float("nan")] * (epochs - len(column))
            column.append(value)

    def rows(self) -> list[dict[str, Any]]:
        """One dict per epoch."""
        return [dict(zip(self.history, values, strict=True)) for values in zip(*self.history.values(), strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Everything, in dicts and lists."""
        return {"history": self.history, "losses": self.losses, "learning_rates": self.learning_rates}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> History:
        """The History that `to_dict` described, directly or by way of JSON."""
        result = cls()
        result.history = {name: [number(value) for value in values] for name, values in data["history"].items()}
        result.losses, result.learning_rates = list(data["losses"]), list(data["learning_rates"])
        return result

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a JSON file, atomically; a NaN in a column of your own becomes the string "NaN"."""
        write_json(path, self.to_dict())

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> History:
        """Read what `to_json` wrote."""
        return cls.from_dict(json.loads(Path(path).read_bytes()))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the epochs to a CSV file in UTF-8, one row each, atomically."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(self.history))
        writer.writeheader()
        writer.writerows(self.rows())
        atomic_write(path, lambda file: file.write(text.getvalue().encode()))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the learning curves: the loss of each iteration with its moving average, and the accuracies.

        Parameters
        ----------
        path : path, optional
            Write the plot there (PNG, PDF, SVG by the suffix); no window or display is needed.

        Returns
        -------
        matplotlib.figure.Figure
            Without `path` it is pyplot's current figure: ``plt.show()`` shows it.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        figure = new_figure(path, 11, 4.2)
        left, right = figure.subplots(1, 2)
        count, epochs = len(self.losses), len(self)
        steps = np.arange(1, count + 1)
        left.scatter(steps, self.losses, s=6, alpha=0.4, linewidths=0, label="each iteration")
        at, smooth = moving_average(np.asarray(self.losses, float))
        if len(at):
            left.plot(at, smooth, color="C3", label=f"mean of {at[0]:.0f}")
        if "val_loss" in self.history:
            ends = [round(count * (i + 1) / epochs) for i in range(epochs)]
            left.plot(ends, self.history["val_loss"], "o-", color="C1", markersize=3, label="validation")
        left.set(xlabel="iteration", ylabel="loss", title="Loss")
        metric = "mae" if "mae" in self.history else "accuracy"
        for name, label in ((metric, "training"), (f"val_{metric}", "validation")):
            if name in self.history:
                right.plot(self.history["epoch"], self.history[name], "o-", markersize=3, label=label)
        right.xaxis.get_major_locator().set_params(integer=True)
        right.set(xlabel="epoch", ylabel=metric, title="Mean absolute error" if metric == "mae" else "Accuracy")
        for axes in (left, right):
            axes.grid(alpha=0.3)
            if axes.get_legend_handles_labels()[0]:
                axes.legend()
        return save(figure, path)

    def _repr_html_(self) -> str:
        names = [name for name in self.history if name in COLUMNS]
        rows = self.rows()
        shown = rows if len(rows) <= 20 else rows[-20:]
        cells = ([f"{row[name]:{COLUMNS[name][1]}}" for name in names] for row in shown)
        caption = f"{len(rows)} epochs, {len(self.losses)} iterations"
        caption += "" if len(rows) == len(shown) else f" (the last {len(shown)} epochs are shown)"
        return html_table([COLUMNS[name][0] for name in names], cells, caption)

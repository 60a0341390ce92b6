"""The picture of a schedule: the rate, and the momentum, over a run."""

from __future__ import annotations

import math
import os
from typing import Any

from fastnet.drawing import new_figure, save

__all__ = ["draw"]


def draw(
    schedule: Any,
    total: int,
    iterations_per_epoch: int | None,
    lr: float,
    path: str | os.PathLike[str] | None,
    axes: Any,
) -> Any:
    """See :meth:`Schedule.plot`."""
    rates = [lr * float(factor) for factor in schedule.values(total, iterations_per_epoch)]
    momenta = [schedule.momentum_at(iteration, total, iterations_per_epoch) for iteration in range(total)]
    time = [iteration / (iterations_per_epoch or 1) for iteration in range(total)]
    alone = axes is None
    if alone:
        axes = new_figure(path, 7.5, 4.2).subplots()
    axes.plot(time, rates, label=repr(schedule))
    axes.set(xlabel="epoch" if iterations_per_epoch else "iteration", ylabel="learning rate")
    axes.set_ylim(bottom=0)
    axes.grid(True, alpha=0.3)
    if alone:
        axes.set_title(repr(schedule), fontsize="medium", wrap=True)
    if any(momentum is not None for momentum in momenta):
        other = axes.twinx()
        other.plot(time, [math.nan if m is None else m for m in momenta], color="C1", linestyle="--")
        other.set_ylabel("momentum", color="C1")
    figure: Any = axes.figure
    return save(figure, path)

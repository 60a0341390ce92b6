"""Gradual unfreezing: the head first, then one group of layers more every few epochs."""

from __future__ import annotations

from typing import Any

from fastnet.arguments import integer
from fastnet.training import Callback, Solver
from fastnet.transfer.depth import depth_groups

__all__ = ["GradualUnfreezing"]


class GradualUnfreezing(Callback):
    """Train the head alone, and unfreeze the next group of layers below it every few epochs.

    Howard & Ruder 2018 (ULMFiT, arXiv:1801.06146).  What is frozen is a function of the epoch, so that a resumed run
    goes on with the same layers.

    Parameters
    ----------
    every : int
        Epochs between two groups.
    count : int, optional
        At most this many groups; see :func:`fastnet.transfer.depth_groups`.
    """

    def __init__(self, every: int = 1, count: int | None = None) -> None:
        self.every = integer(every, "GradualUnfreezing: every")
        self.count = None if count is None else integer(count, "GradualUnfreezing: count", 2)
        self._trained = 0

    def on_train_begin(self, solver: Solver) -> None:
        solver.model.freeze()
        self._trained = 0
        self._unfreeze(solver)

    def on_epoch_end(self, solver: Solver, record: dict[str, Any]) -> None:
        self._unfreeze(solver)

    def _unfreeze(self, solver: Solver) -> None:
        """Unfreeze the groups whose epoch has come; ``solver.epoch`` counts those that are done."""
        groups = depth_groups(solver.model, self.count)[::-1]
        wanted = min(1 + solver.epoch // self.every, len(groups))
        for paths in groups[self._trained : wanted]:
            for path in paths:
                solver.model.unfreeze(path)
        if 0 < self._trained < wanted:
            names = ", ".join(path for paths in groups[self._trained : wanted] for path in paths)
            solver.report(f"from epoch {solver.epoch + 1} on, {names} train too")
        self._trained = wanted

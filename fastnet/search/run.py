"""search: tries settings of hyperparameters in a folder, or goes on where that folder's search ended."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastnet.arguments import flag
from fastnet.data import Dataset
from fastnet.search import journal
from fastnet.search.loop import Loop
from fastnet.search.plan import Plan
from fastnet.search.results import Results
from fastnet.search.space import Dimension
from fastnet.types import ArrayLike

__all__ = ["search"]


def search(
    function: Callable[..., Any],
    space: Mapping[str, Dimension],
    *,
    trials: int = 20,
    folder: str | os.PathLike[str] | None = None,
    data: Dataset | tuple[ArrayLike, ArrayLike] | None = None,
    method: str = "random",
    fine: int = 0,
    folds: int | None = None,
    epochs: int | tuple[int, int] | None = None,
    monitor: str = "val_accuracy",
    mode: str = "auto",
    stop_above: float | None = 3.0,
    median: bool = False,
    seed: int = 0,
    info: Mapping[str, Any] | None = None,
    verbose: bool = True,
) -> Results:
    """Try settings of hyperparameters, and find the best.

    Parameters
    ----------
    function : function
        Called with a setting, ``function(**setting)``, or with `data` as ``function(part, **setting)``, where `part` is
        a Dataset with training and validation images and without test images.  It builds a new model and returns a
        Solver, which the search trains (silently), or it returns the result itself, a number.
    space : dict of str to `log_uniform`, `uniform`, `integer` or `choice`
        The hyperparameters.
    trials : int
        How many settings are tried.  A grid has equally many values of each range, as many as this allows.
    folder : path, optional
        Where everything is kept: the same call goes on with an interrupted search (also after SIGKILL) without losing a
        finished trial, and several processes that make the same call share the work.  None keeps nothing.
    data : Dataset or (X, y), optional
        Images (N, C, H, W) and their classes.  The validation images are the Dataset's own, or a tenth is drawn.
    method : "random", "grid" or "tpe"
        random: independent draws (Bergstra & Bengio 2012); grid: all combinations; tpe: after five random trials, the
        tree-structured Parzen estimator (Bergstra et al. 2011) looks where results were good.
    fine : int
        Trials of a second stage.  Its ranges enclose the best fifth of the first stage's settings (at least three of
        them) with a margin of a tenth of the range; they never leave `space`.
    folds : int, optional
        k-fold cross-validation: a setting's result is the mean over k runs, each validated on another k-th of the
        training images, stratified by class.
    epochs : int or (int, int), optional
        Epochs of each run, or those of the first and the second stage; None leaves them to each Solver.
    monitor : str
        The column of the history whose value after the last epoch is the result, such as "val_loss".
    mode : "max", "min" or "auto"
        Which results are better; "auto" is "max" for accuracies, "min" for everything else.
    stop_above : float, optional
        A run is stopped as soon as its loss, the mean over ten iterations, exceeds this multiple of the first, or as it
        is not finite; None: only then.
    median : bool
        Also stop runs that, after an epoch, are worse than the median of the earlier trials at that point.
    seed : int
        For the draws, the folds and the validation images.  One process with the same seed tries the same settings,
        interrupted or not; for several processes this holds for random and grid.
    info : dict, optional
        Anything JSON can hold that tells this search from others; a resumed search must have the same.
    verbose : bool
        Print each trial as it ends.

    Returns
    -------
    Results

    Raises
    ------
    RuntimeError
        No trial has finished.  Single trials whose `function` raises an error are reported as failed, with a warning;
        the same call runs them again.
    ValueError, TypeError
        Arguments that are not understood, more folds than images, or a folder that holds another search.
    ImportError
        Optuna is not installed.
    """
    journal.optuna()
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"search: expected a function that takes a setting, got {function!r}")
    plan = Plan.of(
        space,
        data=data,
        trials=trials,
        method=method,
        fine=fine,
        folds=folds,
        epochs=epochs,
        monitor=monitor,
        mode=mode,
        stop_above=stop_above,
        median=median,
        seed=seed,
        info=info,
    )
    say = print_line if flag(verbose, "search: verbose") else None
    if folder is not None:
        results = Loop(function, plan, Path(folder), say).run()
    else:
        with tempfile.TemporaryDirectory() as temporary:
            results = Loop(function, plan, Path(temporary), say).run()
    if say:
        say(f"best: {results.line(results.best)}")
        for line in results.advice():
            say(line)
    return results


def print_line(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)

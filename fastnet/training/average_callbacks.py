"""Callbacks that average weights, or keep snapshots of them, during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnet.arguments import flag, integer
from fastnet.layers import Evaluation, Model
from fastnet.layers.evaluation import evaluation
from fastnet.training.averages import WeightAverage, checked_decay, update_bn
from fastnet.training.callbacks import Callback
from fastnet.training.ensemble import Ensemble
from fastnet.types import Array

if TYPE_CHECKING:
    from fastnet.training.solver import Solver

__all__ = ["PolyakAverage", "Snapshots", "StochasticWeightAverage"]

_WHEN = "'iteration', 'epoch' or 'cycle'"


def _check_when(name: str, every: object, start: object) -> int:
    if every not in ("iteration", "epoch", "cycle"):
        raise ValueError(f"{name}: every must be {_WHEN}, got {every!r}")
    return integer(start, f"{name}: start", 0)


def _due(solver: Solver, every: str, start: int) -> bool:
    """Whether the iteration that has just been done is one of those that count."""
    if solver.epoch < start:
        return False
    if every == "epoch":
        return solver.batch == len(solver.loader)
    return every == "iteration" or _ends_cycle(solver, solver.iteration - 1)


def _ends_cycle(solver: Solver, iteration: int) -> bool:
    return solver.schedule.ends_cycle(iteration, solver.epochs * len(solver.loader), len(solver.loader))


def _require_any(name: str, solver: Solver, every: str, start: int) -> None:
    """Raise ValueError unless some iteration of the run counts."""
    total = solver.epochs * len(solver.loader)
    if every == "cycle" and not any(_ends_cycle(solver, i) for i in range(total)):
        raise ValueError(
            f"{name}: every='cycle' needs a schedule whose cycles end within the run, such as "
            f"optim.CosineRestarts({max(solver.epochs // 5, 1)}); {solver.schedule!r} has none in {solver.epochs} "
            "epochs"
        )
    first = start * len(solver.loader)
    if first >= total or (every == "cycle" and not any(_ends_cycle(solver, i) for i in range(first, total))):
        what = "end of a cycle" if every == "cycle" else "epoch"
        raise ValueError(
            f"{name}: start={start} leaves no {what} of the run of {solver.epochs} epochs; give a smaller start, or "
            "more epochs"
        )


class _Averaging(Callback):
    """Keep a WeightAverage; evaluate it after each epoch, and end training with it."""

    holds_model = True

    def __init__(self, decay: float | None, every: str, start: int, recompute: bool, validate: bool) -> None:
        name = type(self).__name__
        self.decay, self.every, self.start = checked_decay(name, decay), every, _check_when(name, every, start)
        self.recompute = flag(recompute, f"{name}: update_bn")
        self.validate = flag(validate, f"{name}: validate")
        self.evaluations: list[Evaluation] = []
        self.average: WeightAverage | None = None
        self._metric = "accuracy"
        self._loaded: tuple[dict[str, Array], int] | None = None

    def on_train_begin(self, solver: Solver) -> None:
        _require_any(type(self).__name__, solver, self.every, self.start)
        if self.average is None or self.average.model is not solver.model:
            self.average = WeightAverage(solver.model, self.decay)
        if self._loaded is not None:
            self.average.load_state_dict(*self._loaded)
            self._loaded = None

    def on_iteration_end(self, solver: Solver) -> None:
        assert self.average is not None
        if _due(solver, self.every, self.start):
            self.average.update()

    def on_epoch_end(self, solver: Solver, record: dict[str, Any]) -> None:
        assert self.average is not None
        if self.validate and solver.validation is not None and self.average.count:
            with self.average.swapped():
                self.evaluations.append(solver.evaluate_loader(solver.validation))
                self._metric = solver.metric.name

    def on_train_end(self, solver: Solver) -> None:
        assert self.average is not None
        if not self.average.count:
            solver.report(f"{type(self).__name__}: nothing was averaged: training ended before epoch {self.start + 1}")
            return
        solver.model.load_state_dict(self.average.state_dict())
        if self.recompute:
            update_bn(solver.model, solver.loader)
        solver.report(f"the model has the average of {self.average.count} weights")

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Array]]:
        count = self.average.count if self.average is not None else 0
        plain = {"count": count, "metric": self._metric, "evaluations": [list(pair) for pair in self.evaluations]}
        return plain, self.average.state_dict() if self.average is not None and count else {}

    def load_state_dict(self, plain: dict[str, Any], arrays: dict[str, Array]) -> None:
        self._metric = plain["metric"]
        self.evaluations = [evaluation(self._metric, *pair) for pair in plain["evaluations"]]
        self._loaded = (dict(arrays), plain["count"]) if plain["count"] else None


class PolyakAverage(_Averaging):
    """Keep ``average = decay*average + (1 - decay)*weights``, validate it, and end training with it.

    Polyak & Juditsky 1992; CS231n 2017, lecture 7.  The running statistics of batch norms are averaged, too.  If
    another callback restores weights when training ends, as EarlyStopping does, the later of the two in Solver's list
    decides; EarlyStopping given as `early_stopping` is the last.

    Parameters
    ----------
    decay : float in [0, 1)
    every : "iteration", "epoch" or "cycle"
        What an update follows: each step, each epoch, or each cycle of the schedule.
    start : int
        Epochs before the first update.
    update_bn : bool
        Compute the running statistics of batch norms again at the end, from the training data, instead of averaging.
    validate : bool
        Evaluate the average after each epoch, which takes as long as the validation of the weights themselves.

    Attributes
    ----------
    average : WeightAverage
    evaluations : list of Evaluation
        Of the average on the validation data, one an epoch.
    """

    def __init__(
        self,
        decay: float = 0.995,
        every: str = "iteration",
        start: int = 0,
        update_bn: bool = False,
        validate: bool = True,
    ) -> None:
        super().__init__(decay, every, start, update_bn, validate)


class StochasticWeightAverage(_Averaging):
    """The mean of the weights after each epoch, or each cycle, from `start` on; training ends with it.

    Izmailov et al. 2018, arXiv:1803.05407, with a high constant or a cyclic rate.  By default the running statistics of
    batch norms are computed again at the end.

    Parameters
    ----------
    start : int
        Epochs before those that count; the paper has three quarters of the run.
    every, update_bn, validate
        As for :class:`PolyakAverage`, and its attributes.
    """

    def __init__(self, start: int, every: str = "epoch", update_bn: bool = True, validate: bool = False) -> None:
        super().__init__(None, every, start, update_bn, validate)


class Snapshots(Callback):
    """Keep the weights at the end of each cycle of the schedule, for a snapshot ensemble.

    Huang et al. 2017, arXiv:1704.00109: with a cyclic rate, such as CosineRestarts, one training gives several models.

    Parameters
    ----------
    every : "cycle" or "epoch"
    start : int
        Epochs before the first snapshot.
    keep : int, optional
        How many of the last snapshots are kept; all by default.

    Attributes
    ----------
    states : list of dict
        State dicts.
    iterations : list of int
        The iterations after which they were taken, from 1.
    """

    def __init__(self, every: str = "cycle", start: int = 0, keep: int | None = None) -> None:
        self.every, self.start = every, _check_when("Snapshots", every, start)
        self.keep = None if keep is None else integer(keep, "Snapshots: keep")
        self.states: list[dict[str, Array]] = []
        self.iterations: list[int] = []

    def on_train_begin(self, solver: Solver) -> None:
        _require_any("Snapshots", solver, self.every, self.start)

    def on_iteration_end(self, solver: Solver) -> None:
        if _due(solver, self.every, self.start):
            self.states.append(solver.model.state_dict())
            self.iterations.append(solver.iteration)
            if self.keep is not None:
                self.states, self.iterations = self.states[-self.keep :], self.iterations[-self.keep :]

    def ensemble(self, model: Model) -> Ensemble:
        """An Ensemble of copies of `model`, the one that was trained, with these weights.

        The copies have its `preprocessing`; Solver does not set that, ``model.preprocessing = solver.preprocess`` does.
        """
        return Ensemble.of_states(model, self.states)

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Array]]:
        arrays = {f"{i}/{name}": value for i, state in enumerate(self.states) for name, value in state.items()}
        return {"iterations": self.iterations}, arrays

    def load_state_dict(self, plain: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.iterations = list(plain["iterations"])
        self.states = [{} for _ in self.iterations]
        for key, value in arrays.items():
            position, _, name = key.partition("/")
            self.states[int(position)][name] = value

"""Runs a search's trials, beside other processes that share its folder."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.search import journal
from fastnet.search import space as spaces
from fastnet.search.locks import Lock, Worker
from fastnet.search.plan import Plan, agree
from fastnet.search.results import Results, Run, history_file, narrowed, read
from fastnet.search.space import Dimension
from fastnet.search.trials import Outcome, Pruned, evaluate
from fastnet.storage import write_json

__all__ = ["Loop"]

_WAIT = 0.2  # seconds between looks at what other processes do


class Loop:
    """A search, as one of the processes runs it that share its folder.

    A trial belongs to the process whose name it carries.  Whoever looks for work, under a lock, first gives up the
    trials of processes that have died, so that they are run again.

    Parameters
    ----------
    function : callable
    plan : Plan
    folder : Path
    say : function (line), optional
        Called with each line of progress.
    goes_on : function, optional
        Asked before each trial; False ends this process's part.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        plan: Plan,
        folder: Path,
        say: Callable[[str], None] | None = None,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self.function, self.plan, self.folder, self.say, self.goes_on = function, plan, folder, say, goes_on
        self.lock = Lock(folder / "search.lock")
        self.studies: dict[str, Any] = {}
        self._said: set[tuple[str, int]] = set()
        self._error: Exception | None = None

    def run(self) -> Results:
        """Run trials until all are done, by this process or others.

        Raises
        ------
        RuntimeError
            No trial has finished.
        ValueError
            The folder holds another search.
        """
        (self.folder / "runs").mkdir(parents=True, exist_ok=True)
        with journal.quiet():
            with self.lock:
                agree(self.folder, self.plan.description)
                self.storage = journal.open_storage(self.folder)
            self.worker = Worker(self.folder / "workers")
            try:
                self._stage("coarse", self.plan.space, self.plan.trials)
                if self.plan.fine:
                    self._stage("fine", narrowed(self.plan.space, self._results().ranked()), self.plan.fine)
                results = self._results(curves=True)
            finally:
                self.worker.close()
        if results.count("failed"):
            warnings.warn(f"search: {results.fates('failed')}", stacklevel=3)
        return results

    def _stage(self, stage: str, space: Mapping[str, Dimension], trials: int) -> None:
        """A stage's trials.  The process that opens it first decides its space, for all."""
        with self.lock:
            study = journal.create_study(self.storage, stage, self.plan.rules.maximize, self.plan.median)
            if "space" not in study.user_attrs:
                study.set_user_attr("space", spaces.as_dicts(space))
            self._space = {name: spaces.of_dict(entry) for name, entry in study.user_attrs["space"].items()}
            self._grid = spaces.grid(self._space, trials) if self.plan.method == "grid" else None
            self._trials = trials if self._grid is None else len(self._grid)
            if study.user_attrs.get("trials") != self._trials:
                study.set_user_attr("trials", self._trials)
            self._failed_before = {trial.number for trial in study.get_trials(deepcopy=False) if _failed(trial)}
        self.stage, self.study = stage, study
        self.studies[stage] = study
        self._announce()
        while self.goes_on() and self._step():
            self._tell()
        self._tell()

    def _step(self) -> bool:
        """Run one trial, or wait for those of others; False if all are done."""
        with self.lock:
            slots, busy = self._open_slots()
            trial = self._claim(slots[0]) if slots else None
        if trial is not None:
            self._perform(slots[0], trial)
        elif busy:
            time.sleep(_WAIT)
        return trial is not None or busy

    def _open_slots(self) -> tuple[list[int], bool]:
        """The numbers, from 0, of the trials that nobody runs or has run, and whether others run some."""
        done, busy, states = set(), False, journal.optuna().trial.TrialState
        for trial in self.study.get_trials(deepcopy=False):
            claim = trial.user_attrs.get("claim", {})
            slot = claim.get("slot")
            if trial.state == states.RUNNING:
                if claim and self.worker.alive(claim["worker"]):
                    done.add(slot)
                    busy = True
                else:
                    self.study.tell(trial.number, state=states.FAIL)
            elif trial.state != states.FAIL or (_failed(trial) and trial.number not in self._failed_before):
                done.add(slot)
        return [slot for slot in range(self._trials) if slot not in done], busy

    def _claim(self, slot: int) -> Any:
        seed = int(np.random.SeedSequence([self.plan.seed, self.stage == "fine", slot]).generate_state(1)[0])
        fixed = None if self._grid is None else self._grid[slot]
        trial = journal.ask(self.study, self._space, self.plan.method, seed, fixed)
        trial.set_user_attr("claim", {"worker": self.worker.name, "slot": slot})
        return trial

    def _perform(self, slot: int, trial: Any) -> None:
        """Run a trial and keep what it gave; its learning curves are written first, then it counts as done."""
        states = journal.optuna().trial.TrialState
        state, reason, trace = states.COMPLETE, "", ""
        outcome, start = Outcome(), time.perf_counter()
        title = f"{self.stage} trial {slot + 1}/{self._trials}" if self.say else ""
        try:
            rules = self.plan.rules_of(self.stage)
            evaluate(self.function, dict(trial.params), self.plan.parts, rules, trial, outcome, title)
        except Pruned as stop:
            state, reason = states.PRUNED, str(stop)
        except Exception as error:  # of the user's function: it is kept and named
            state, reason, trace = states.FAIL, f"{type(error).__name__}: {error}", traceback.format_exc()
            self._error = error
        except BaseException:  # Ctrl-C: without an outcome, the trial is run again
            self.study.tell(trial, state=states.FAIL)
            raise
        if outcome.histories or trace:
            curves = [history.to_dict() for history in outcome.histories]
            write_json(history_file(self.folder, self.stage, slot), {"histories": curves, "traceback": trace})
        seconds = time.perf_counter() - start
        trial.set_user_attr("outcome", {"folds": outcome.values, "reason": reason, "seconds": seconds})
        self.study.tell(trial, float(np.mean(outcome.values)) if state == states.COMPLETE else None, state)

    # ---------------------------------------------------------------- results

    def _results(self, curves: bool = False) -> Results:
        """The results; RuntimeError if no trial has finished."""
        results = read(self.folder, self.studies, self.plan.description, curves)
        if not results.ranked():
            raise RuntimeError(f"search: no trial has finished: {results.fates()}") from self._error
        return results

    def _announce(self) -> None:
        if self.say is None:
            return
        done = [run for run in self._runs() if run.state != "unfinished"]
        self._said |= {(run.stage, run.number) for run in done if run.state != "failed"}
        again = f", {len(self._said & {(run.stage, run.number) for run in done})} of them done already" if done else ""
        ranges = "; ".join(f"{name}: {dimension}" for name, dimension in self._space.items())
        self.say(f"{self.stage}: {self._trials} trials ({self.plan.method}{again}) of {ranges}")

    def _tell(self) -> None:
        """Say what has become of the trials that ended since the last time, those of other processes, too."""
        if self.say is None:
            return
        results = read(self.folder, self.studies, self.plan.description, False)
        for run in results.runs:
            if run.stage == self.stage and run.state != "unfinished" and (run.stage, run.number) not in self._said:
                self._said.add((run.stage, run.number))
                self.say(results.line(run))

    def _runs(self) -> list[Run]:
        results = read(self.folder, self.studies, self.plan.description, False)
        return [run for run in results.runs if run.stage == self.stage]


def _failed(trial: Any) -> bool:
    """Whether the user's function failed; a trial that was given up has no outcome."""
    return trial.state.name == "FAIL" and "outcome" in trial.user_attrs

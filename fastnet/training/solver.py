"""Solver: trains a model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnet import losses
from fastnet.arguments import integer
from fastnet.data import Dataset, Loader
from fastnet.data.loader import Augment
from fastnet.layers import Evaluation, Model
from fastnet.layers.evaluation import evaluation
from fastnet.losses.names import labels_for
from fastnet.optim import ConstantLR, Optimizer
from fastnet.optim import get as optimizer_of
from fastnet.optim.schedules import as_schedule
from fastnet.regularizers import Regularizer
from fastnet.training.arguments import check_arguments, check_checkpoints, check_folder, check_limit
from fastnet.training.callbacks import Callback, EarlyStopping
from fastnet.training.epoch import Epoch, Totals
from fastnet.training.following import Following, check_schedule
from fastnet.training.history import History
from fastnet.training.inputs import batches_of, ordered, prepare, renumbered
from fastnet.training.interrupt import Interrupt
from fastnet.training.progress import Progress
from fastnet.training.resume import go_on, save
from fastnet.training.step import Step
from fastnet.types import Array, ArrayLike, Loss, Preprocess

__all__ = ["Solver"]


class Solver:
    """Trains a model with mini-batches.

    Parameters
    ----------
    model : Model
        Built here, with `seed`, if it is not built yet.  Training runs in its dtype.
    data : (X, y), Dataset or Loader
        X (N, ...), uint8 or float, is never copied whole; of images of different sizes it is a list, and `augment` cuts
        them to one.  y (N,) holds class numbers, y (N, H, W) or (N, L) those of the pixels of maps or the elements of
        signals.  With "softmax" y may also hold probabilities, floats (N, C) of sum 1; with "mse", "l1", "huber", "bce"
        and "binary_hinge" targets of the outputs' shape.  Of a Dataset the training part is used, and its validation
        part if `validation` is None.  If the model has `class_names`, the Dataset's classes are matched with them by
        name: they may be in another order, or only some of them.
    validation : (X, y) or Loader, optional
        Evaluated after each epoch.
    loss : str or function ``(scores, labels) -> (loss, dscores)``
        See `fastnet.losses`.  It decides what is reported: accuracy, or the mean absolute error ("mae").
    optimizer : Optimizer or name
        A name, such as "adam" or "sgd", is that optimiser with its own settings.
    schedule : Schedule or function, optional
        ``schedule(iteration, total, iterations_per_epoch)`` is the factor on the optimiser's rate; 1 by default.
    regularizer : Regularizer, optional
        ``L2(1e-4)``, or several, ``L1(1e-5) + MaxNorm(3)``: penalties are added to the gradients and to the reported
        training loss, not to the validation loss; bounds are enforced after each update.
    clip_norm, clip_value : float, optional
        Limits of the gradients, penalties included: of their norm, and of each element; see `fastnet.optim`.
    batch_size, epochs, seed : int
    drop_last : bool or "single"
        See Loader.  By default a last batch of one sample is dropped, since batch norm cannot take statistics of it.
    preprocess : Standardize, PCA, OneSize, one of `data.PREPROCESSING` or function ``(x, dtype) -> x``, optional
        Applied to each batch of training, validation, `evaluate` and `predict`; the model's own `preprocessing` by
        default.  A name, such as "standardize", is fitted on the training data; checkpoints keep the result.  For
        images of different sizes it becomes the `then` of a OneSize, which gives all images the size of the batches
        that `augment` makes.
    augment : sequence of functions ``(x, rng) -> x``
        Applied to raw training batches only; see Loader.
    sampling : "uniform" or "balanced"
    workers : int, optional
        Threads that prepare the next batches while a step runs; default: 1.  See Loader.
    checkpoint : path of a folder, optional
        Where checkpoint-<iteration>.npz is written; created if it does not exist.
    checkpoint_every : int
        Epochs between checkpoints; one is always written after the last epoch and at Ctrl-C.
    keep : int
        How many of its checkpoints this run keeps.
    callbacks : sequence of Callback
    early_stopping : int or EarlyStopping, optional
        An int is the patience of ``EarlyStopping("val_loss")``.
    info : dict, optional
        Anything JSON can hold, such as the model's name; checkpoints keep it.
    verbose : bool
        Show a progress bar (with tqdm, on a terminal) and the table of epochs.
    debug : "nan", optional
        Check every array that the layers compute and report the layer, pass and batch of the first NaN or infinity.

    Attributes
    ----------
    history : History
    epoch, batch, iteration : int
        The position of the next batch, each from 0.
    last_checkpoint : Path or None
        The file written last.
    written : list of Path
        This run's checkpoints that are kept, the oldest first.
    """

    def __init__(
        self,
        model: Model,
        data: tuple[ArrayLike, ArrayLike] | Dataset | Loader,
        validation: tuple[ArrayLike, ArrayLike] | Loader | None = None,
        *,
        loss: str | Loss = "softmax",
        optimizer: Optimizer | str = "adam",
        schedule: Callable[[int, int, int], float] | None = None,
        regularizer: Regularizer | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        batch_size: int = 128,
        epochs: int = 10,
        seed: int = 0,
        drop_last: bool | str = "single",
        preprocess: Preprocess | str | None = None,
        augment: Sequence[Augment] = (),
        sampling: str = "uniform",
        workers: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        keep: int = 2,
        callbacks: Sequence[Callback] = (),
        early_stopping: int | EarlyStopping | None = None,
        info: dict[str, Any] | None = None,
        verbose: bool = True,
        debug: str | None = None,
    ) -> None:
        check_arguments(
            model,
            optimizer=optimizer,
            schedule=schedule,
            regularizer=regularizer,
            preprocess=preprocess,
            augment=augment,
            callbacks=callbacks,
            info=info,
            debug=debug,
            verbose=verbose,
        )
        self.model, self.loss, self.regularizer = model, losses.get(loss), regularizer
        self.metric = losses.metric(self.loss)
        self.optimizer = optimizer_of(optimizer)
        self.clip_norm = check_limit(clip_norm, "Solver: clip_norm")
        self.clip_value = check_limit(clip_value, "Solver: clip_value")
        self.schedule = as_schedule(schedule if schedule is not None else ConstantLR(), "Solver: schedule")
        self.epochs, self.seed = integer(epochs, "Solver: epochs"), integer(seed, "Solver: seed", 0, 63)
        self.verbose, self.debug, self.info = verbose, debug, info or {}
        self.checkpoint = Path(checkpoint) if checkpoint is not None else None
        self.checkpoint_every = integer(checkpoint_every, "Solver: checkpoint_every")
        self.keep = integer(keep, "Solver: keep")
        check_checkpoints(checkpoint, checkpoint_every=self.checkpoint_every, keep=self.keep)
        self.written: list[Path] = []
        self.callbacks = [*callbacks, *Following.of(self.schedule)]
        if early_stopping is not None:
            self.callbacks.append(EarlyStopping.of(early_stopping))
        batch_size = integer(batch_size, "Solver: batch_size")
        self.loader, self.validation, self._numbers = prepare(
            model, data, validation, batch_size, self.seed, drop_last, preprocess, augment, sampling, workers, self.loss
        )
        self.optimizer.groups.assign(model.parameters())
        self.preprocess = self.loader.preprocess
        self.history = History()
        self.epoch = self.batch = self.iteration = 0
        self.running = Totals()
        self.last_checkpoint: Path | None = None
        self.interrupt, self.progress = Interrupt(), Progress(False, self.epochs)
        self._stop_reason: str | None = None

    # ---------------------------------------------------------------- training

    def train(self, resume: str | os.PathLike[str] | None = None) -> History:
        """Train until `epochs` are done or a callback stops.

        Ctrl-C takes effect after the current iteration (or validation batch): a checkpoint is written, if there is a
        folder for it, and KeyboardInterrupt is raised.  A second Ctrl-C raises it at once.

        Parameters
        ----------
        resume : "auto" or path, optional
            Continue from a checkpoint file, or from the newest valid one of a folder, with the same bits as if training
            had never been interrupted.  "auto": from the `checkpoint` folder, or from the start if it has none.  None:
            from this object's current position.

        Returns
        -------
        History

        Raises
        ------
        CheckpointError
            A damaged checkpoint, or one of another model, data or settings.
        FloatingPointError
            The training or validation loss is not finite, or an update left a NaN or an infinity in the model.
        """
        if resume is not None and not isinstance(resume, (str, os.PathLike)):
            raise TypeError(f"train: resume must be 'auto', the path of a checkpoint, or None, got {resume!r}")
        if self.checkpoint is not None:
            check_folder(self.checkpoint)
        if resume is not None:
            go_on(self, resume)
        check_schedule(self)
        self.progress, self._stop_reason = Progress(self.verbose, self.epochs), None
        self.interrupt = Interrupt()
        try:
            with self.interrupt:
                self._run()
        except KeyboardInterrupt:
            if self.interrupt.answered:
                self._save_interrupted()
            raise
        finally:
            self.progress.close()
            self.interrupt = Interrupt()
        return self.history

    def _run(self) -> None:
        self._step, before = Step(self), self.iteration
        run_epoch, parameters = Epoch(self, self._step), self._step.parameters
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            warnings.warn("train: no parameter has requires_grad, so that none changes", stacklevel=3)
        self.notify("on_train_begin")
        while self.epoch < self.epochs and self._stop_reason is None:
            run_epoch()
            if self.checkpoint and (self._ends() or self.epoch % self.checkpoint_every == 0):
                self.save_checkpoint()
            self.interrupt.check()
        if self.iteration == before:
            done = f"{self.epoch} epochs are done already, epochs={self.epochs}; give more epochs to go on"
            warnings.warn(f"train: nothing to do: {self._stop_reason or done}", stacklevel=3)
        if self._stop_reason:
            self.report(f"stopped after epoch {self.epoch}: {self._stop_reason}")
        self.notify("on_train_end")

    def _ends(self) -> bool:
        return self.epoch >= self.epochs or self._stop_reason is not None

    def stop(self, reason: str) -> None:
        """For callbacks: end training after this epoch."""
        self._stop_reason = reason

    def report(self, text: str) -> None:
        """For callbacks: print a line between the rows of the table, if `verbose`."""
        self.progress.message(text)

    def notify(self, method: str, *arguments: Any) -> None:
        """Call a method of each callback."""
        for callback in self.callbacks:
            getattr(callback, method)(self, *arguments)

    # ---------------------------------------------------------------- evaluation

    def evaluate(self, X: ArrayLike, y: ArrayLike, batch_size: int | None = None) -> Evaluation:
        """Mean loss and accuracy (for regression, mean absolute error) on (X, y), in inference mode.

        X is preprocessed as in training; y is as in Solver's `data`.
        """
        loader = ordered(self.loader, X, y, batch_size or self.loader.batch_size)
        return self.evaluate_loader(renumbered("y", loader, self._numbers))

    def evaluate_loader(self, loader: Loader) -> Evaluation:
        """The same on a Loader's batches, in their order."""
        total = metric = 0.0
        run: Any = None
        for x, y in batches_of(loader):
            run = run or self.model.runner(x)
            scores = run(x)
            metric += losses.measure(self.loss, scores, y) * len(y)  # before a loss that works in place
            total += self.loss(scores, labels_for(self.loss, y))[0] * len(y)
            self.interrupt.check()
        return evaluation(self.metric.name, total / len(loader.y), metric / len(loader.y))

    def renumber(self, numbers: Array) -> None:
        """Renumber the classes in all labels: what was k becomes ``numbers[k]``."""
        self.loader = renumbered("data", self.loader, numbers)
        self.validation = renumbered("validation", self.validation, numbers) if self.validation else None
        self._numbers = numbers if self._numbers is None else numbers[self._numbers]

    def predict(self, X: Array, batch_size: int | None = None) -> np.ndarray:
        """Scores for X, preprocessed as in training."""
        return self.model.outputs(X, batch_size or self.loader.batch_size, self.preprocess)

    # ---------------------------------------------------------------- checkpoints

    def save_checkpoint(self) -> Path:
        """Write a checkpoint of the current state; all but the `keep` newest of this run are removed.

        Raises
        ------
        ValueError
            The Solver has no `checkpoint` folder.
        FloatingPointError
            The model holds a NaN or an infinity; nothing is written.
        """
        return save(self)

    def _save_interrupted(self) -> None:
        if self.checkpoint is not None:
            path = self.save_checkpoint()
            self.report(
                f"interrupted after iteration {self.iteration}; {path} is written, train(resume='auto') continues"
            )

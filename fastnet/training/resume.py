"""Saves a Solver's state to checkpoints, and restores it."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.data.classes import match_names
from fastnet.data.preprocess import Fitted
from fastnet.storage import to_json
from fastnet.training.checkpoint import Checkpoint, CheckpointError, checkpoint_path, load_checkpoint, write_checkpoint
from fastnet.training.debug import check_state, place
from fastnet.training.history import History
from fastnet.wording import name_some

if TYPE_CHECKING:
    from fastnet.training.solver import Solver

__all__ = ["collect", "go_on", "restore", "save"]


def settings(solver: Solver) -> dict[str, str]:
    """The settings that a run depends on besides its state, as text; resuming with different ones gives a warning."""
    names = ("loss", "optimizer", "schedule", "regularizer", "clip_norm", "clip_value")
    augment = ", ".join(map(_words, solver.loader.augment))
    return {**{name: _words(getattr(solver, name)) for name in names}, "augment": f"[{augment}]"}


def _words(value: object) -> str:
    return getattr(value, "__name__", None) or (type(value).__name__ if " at 0x" in repr(value) else repr(value))


def collect(solver: Solver) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(metadata, arrays) of a Solver between two iterations."""
    arrays = {f"model/{name}": value for name, value in solver.model.state_dict().items()}
    counts = {}
    for name, value in solver.optimizer.state_dict().items():
        if isinstance(value, (int, float)):
            counts[name] = value
        else:
            arrays[f"optimizer/{name}"] = np.ascontiguousarray(value)
    callbacks = []
    for position, callback in enumerate(solver.callbacks):
        plain, own = callback.state_dict()
        callbacks.append({"class": type(callback).__name__, "model": callback.holds_model, "state": plain})
        arrays.update({f"callback{position}/{name}": value for name, value in own.items()})
    if isinstance(solver.preprocess, Fitted):
        arrays.update({f"preprocess/{name}": value for name, value in solver.preprocess.state_dict().items()})
    metadata = {
        "position": {"epoch": solver.epoch, "batch": solver.batch, "iteration": solver.iteration},
        "running": asdict(solver.running),
        "loader": _loader_state(solver),
        "streams": solver.model.rng_state(),
        "settings": settings(solver),
        "optimizer": {"class": type(solver.optimizer).__name__, "counts": counts},
        "callbacks": callbacks,
        "history": solver.history.to_dict(),
        "info": solver.info,
        "classes": solver.model.class_names,
    }
    return json.loads(to_json(metadata)), arrays


def save(solver: Solver) -> Path:
    """Write a checkpoint into the Solver's folder, and remove all but the `keep` newest of this run."""
    if solver.checkpoint is None:
        raise ValueError("save_checkpoint: give Solver(checkpoint='a folder')")
    check_state(solver.model, place(solver, 0), (solver.history.learning_rates or [solver.optimizer.lr])[-1])
    solver.checkpoint.mkdir(parents=True, exist_ok=True)
    path = checkpoint_path(solver.checkpoint, solver.iteration)
    write_checkpoint(path, *collect(solver))
    solver.last_checkpoint = path
    solver.written = [other for other in solver.written if other != path] + [path]
    for old in solver.written[: -solver.keep]:
        old.unlink(missing_ok=True)
    solver.written = solver.written[-solver.keep :]
    return path


def go_on(solver: Solver, resume: str | os.PathLike[str]) -> None:
    """Restore a Solver from what ``train(resume=...)`` names; with "auto" and no checkpoint yet, do nothing."""
    if resume == "auto":
        if solver.checkpoint is None:
            raise ValueError("train: resume='auto' needs Solver(checkpoint='a folder')")
        if not any(solver.checkpoint.glob("checkpoint-*.npz")):
            return
        resume = solver.checkpoint
    checkpoint = load_checkpoint(resume)
    restore(solver, checkpoint)
    solver.last_checkpoint = checkpoint.path
    solver.written = [checkpoint.path] if checkpoint.path.parent == solver.checkpoint else []


def _loader_state(solver: Solver) -> dict[str, Any]:
    return {**solver.loader.state_dict(), "epoch": solver.epoch, "batch": solver.batch}


def restore(solver: Solver, checkpoint: Checkpoint) -> None:
    """Restore a Solver to the state in which `checkpoint` was written.

    Raises
    ------
    CheckpointError
        The checkpoint belongs to another model, optimiser, set of callbacks, data, or order of the data.
    """
    meta, path = checkpoint.metadata, checkpoint.path
    _match_classes(solver, checkpoint)
    state, own = checkpoint.group("model"), solver.model.state_dict()
    differences = [f"{name} only in the checkpoint" for name in state if name not in own]
    differences += [f"{name} only in the model" for name in own if name not in state]
    differences += [
        f"{name} is {state[name].dtype} {state[name].shape} in the checkpoint and {own[name].dtype} {own[name].shape} "
        "in the model"
        for name in own
        if name in state and (state[name].shape, state[name].dtype) != (own[name].shape, own[name].dtype)
    ]
    if differences:
        raise CheckpointError(f"{path}: saved for another model: {name_some(differences, 5, '; ')}")
    classes = [type(callback).__name__ for callback in solver.callbacks]
    saved_classes = [entry["class"] for entry in meta["callbacks"]]
    if classes != saved_classes:
        hints = {"EarlyStopping": ", with early_stopping=N", "Following": ", with the schedule that depends on results"}
        hint = "".join(text for name, text in hints.items() if (name in saved_classes) > (name in classes))
        raise CheckpointError(
            f"{path}: saved with callbacks {saved_classes}, Solver has {classes}; give the same{hint}"
        )
    if type(solver.optimizer).__name__ != meta["optimizer"]["class"]:
        raise CheckpointError(
            f"{path}: saved with optimizer {meta['optimizer']['class']}, Solver has {type(solver.optimizer).__name__}; "
            "give the same, or train a new model without the checkpoint"
        )
    before = solver.loader.epoch, solver.loader.batch
    try:
        solver.loader.load_state_dict(meta["loader"])
        solver.loader.epoch, solver.loader.batch = before  # Solver keeps the position itself
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: {error.args[0]}") from error
    _check_preprocess(solver, checkpoint)  # last: of other data it tells no more than that they differ
    try:
        solver.optimizer.load_state_dict({**meta["optimizer"]["counts"], **checkpoint.group("optimizer")})
        solver.model.set_rng_state(meta["streams"])
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: {error.args[0]}") from error
    changed = [
        f"{name}: {meta['settings'][name]}, now {now}"
        for name, now in settings(solver).items()
        if meta["settings"].get(name, now) != now
    ]
    if changed:
        warnings.warn(f"continuing {path} with other settings: {'; '.join(changed)}", stacklevel=4)
    solver.model.load_state_dict(state)
    for position, (callback, entry) in enumerate(zip(solver.callbacks, meta["callbacks"], strict=True)):
        callback.load_state_dict(entry["state"], checkpoint.group(f"callback{position}"))
    solver.history = History.from_dict(meta["history"])
    solver.epoch, solver.batch, solver.iteration = (meta["position"][k] for k in ("epoch", "batch", "iteration"))
    solver.running = replace(solver.running, **meta["running"])


def _match_classes(solver: Solver, checkpoint: Checkpoint) -> None:
    """Number the classes as in the checkpoint."""
    saved, here = checkpoint.class_names, solver.model.class_names
    if saved is not None and here is not None and tuple(saved) != here:
        try:
            numbers = match_names(here, saved)
            match_names(saved, here)
        except ValueError as error:
            raise CheckpointError(f"{checkpoint.path}: saved with other classes: {error}") from error
        solver.renumber(numbers)
    solver.model.class_names = tuple(saved) if saved is not None else here


def _check_preprocess(solver: Solver, checkpoint: Checkpoint) -> None:
    saved = checkpoint.group("preprocess")
    here = solver.preprocess.state_dict() if isinstance(solver.preprocess, Fitted) else {}
    if saved.keys() != here.keys() or any(not np.array_equal(saved[name], here[name]) for name in saved):
        raise CheckpointError(
            f"{checkpoint.path}: saved with preprocess={checkpoint.preprocess}, and now it is {solver.preprocess}; "
            "give the same preprocess and the same training images, or train a new model without the checkpoint"
        )

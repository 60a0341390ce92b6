"""Checks of a Solver's arguments, made before training starts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.arguments import at_least_zero, real
from fastnet.data import PREPROCESSING
from fastnet.layers import Layer, Model
from fastnet.optim import Optimizer
from fastnet.regularizers import Regularizer
from fastnet.storage import to_json
from fastnet.training.callbacks import Callback

__all__ = ["check_arguments", "check_checkpoints", "check_factor", "check_folder", "check_limit"]


def check_arguments(model: object, **given: Any) -> None:
    """Check the arguments now, so that none fails in the middle of training.

    Parameters
    ----------
    model : object
    **given : object
        Solver's optimizer, schedule, regularizer, preprocess, augment, callbacks, info, debug, verbose.

    Raises
    ------
    TypeError, ValueError
        Which argument of Solver is wrong, and what was expected.
    """
    if not isinstance(model, Model):
        hint = f"; Sequential({model!r}) makes a model of the layer" if isinstance(model, Layer) else ""
        raise TypeError(f"Solver: model must be a fastnet.Model, such as Sequential(...), got {model!r}{hint}")
    for name, fits, wanted in (
        ("optimizer", lambda value: isinstance(value, (Optimizer, str)), "an object such as optim.SGD(0.1), or a name"),
        ("schedule", _function, "callable, such as optim.CosineDecay()"),
        ("regularizer", lambda value: isinstance(value, Regularizer), "an object such as regularizers.L2(1e-4)"),
        ("preprocess", lambda value: isinstance(value, str) or _function(value), "callable or a name: 'standardize'"),
        ("augment", lambda value: _listed(value) and all(map(_function, value)), "a list of callables (x, rng) -> x"),
        ("callbacks", _listed, "a list of training.Callback objects"),
    ):
        if given[name] is not None and not fits(given[name]):
            raise TypeError(f"Solver: {name} must be {wanted}, got {given[name]!r}")
    for callback in given["callbacks"]:
        if not isinstance(callback, Callback):
            raise TypeError(f"Solver: callbacks must be training.Callback objects, got {callback!r}")
        if unknown := [name for name in dir(callback) if name.startswith("on_") and not hasattr(Callback, name)]:
            events = ", ".join(name for name in dir(Callback) if name.startswith("on_"))
            raise TypeError(
                f"Solver: {type(callback).__name__} has {', '.join(unknown)}; methods are called on {events}"
            )
    if isinstance(given["preprocess"], str) and given["preprocess"] not in PREPROCESSING:
        raise ValueError(
            f"Solver: preprocess must be callable or one of {', '.join(PREPROCESSING)}, got {given['preprocess']!r}"
        )
    if not isinstance(given["verbose"], (bool, np.bool_, int, np.integer)):
        raise TypeError(f"Solver: verbose must be True or False, got {given['verbose']!r}")
    if given["debug"] not in (None, "nan"):
        raise ValueError(f"Solver: debug must be None or 'nan', got {given['debug']!r}")
    try:
        to_json(given["info"])
    except (TypeError, ValueError) as error:
        raise TypeError(f"Solver: info must be what JSON can hold (checkpoints keep it): {error}") from error


def _function(value: object) -> bool:
    """Whether it can be called; a class was not meant."""
    return callable(value) and not isinstance(value, type)


def _listed(value: object) -> bool:
    return isinstance(value, (tuple, list))


def check_checkpoints(folder: object, **counts: object) -> None:
    """Refuse `checkpoint_every` and `keep` without a folder: nothing would be written."""
    defaults = {"checkpoint_every": 1, "keep": 2}
    useless = [f"{name}={value!r}" for name, value in counts.items() if value != defaults[name]]
    if folder is None and useless:
        raise ValueError(f"Solver: {', '.join(useless)} needs checkpoint='a folder', where checkpoints are written")


def check_factor(factor: Any) -> float:
    """What a schedule returned: a finite number >= 0."""
    return at_least_zero(factor, "Solver: what schedule returns")


def check_limit(value: Any, name: str) -> float | None:
    """None, or a finite number > 0."""
    if value is not None and real(value, name) <= 0:
        raise ValueError(f"{name} must be > 0, or None for no limit, got {value!r}")
    return None if value is None else float(value)


def check_folder(folder: Path) -> None:
    """Create a run's folder and check that it is writable, so that the first checkpoint does not fail.

    Raises
    ------
    OSError
        The folder cannot be created or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass

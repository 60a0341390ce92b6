"""Checks of a Solver's arguments, made before training starts."""

from __future__ import annotations

import numbers
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fastnet.layers import Layer, Model
from fastnet.storage import to_json
from fastnet.training.callbacks import Callback, EarlyStopping

__all__ = ["check_arguments", "check_folder"]


def check_arguments(
    model: object,
    batch_size: object,
    seed: object,
    regularizer: object,
    augment: object,
    callbacks: Sequence[object],
    early_stopping: object,
    info: object,
) -> None:
    """Check the arguments now, so that none fails in the middle of training.

    Raises
    ------
    TypeError, ValueError
        Which argument of Solver is wrong, and what was expected.
    """
    if not isinstance(model, Model):
        hint = f"; Sequential({model!r}) makes a model of the layer" if isinstance(model, Layer) else ""
        raise TypeError(f"Solver: model must be a fastnet.Model, such as Sequential(...), got {model!r}{hint}")
    for name, value, least, below in (("batch_size", batch_size, 1, 2**62), ("seed", seed, 0, 2**63)):
        if not isinstance(value, (int, numbers.Integral)) or not least <= int(value) < below:
            raise ValueError(f"Solver: {name} must be an integer from {least} to {below - 1}, got {value!r}")
    if regularizer is not None and not (hasattr(regularizer, "loss") and hasattr(regularizer, "add_gradients")):
        raise TypeError(f"Solver: regularizer must be an object such as regularizers.L2(1e-4), got {regularizer!r}")
    if not isinstance(augment, (tuple, list)) or not all(map(callable, augment)):
        raise TypeError(f"Solver: augment must be a list of callables (x, rng) -> x, got {augment!r}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise TypeError(f"Solver: callbacks must be training.Callback objects, got {callback!r}")
    if early_stopping is not None and not isinstance(early_stopping, (numbers.Integral, EarlyStopping)):
        raise TypeError(
            f"Solver: early_stopping must be an int (epochs of patience) or EarlyStopping, got {early_stopping!r}"
        )
    try:
        to_json(info)
    except (TypeError, ValueError) as error:
        raise TypeError(f"Solver: info must be what JSON can hold (checkpoints keep it): {error}") from error


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

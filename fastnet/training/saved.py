"""A trained model on disk: its weights, and a card (JSON) that describes the model and its preprocessing."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from fastnet import models
from fastnet.data.prepared import restore
from fastnet.data.preprocess import Fitted
from fastnet.foreign import explain
from fastnet.layers import Model
from fastnet.storage import SUFFIXES, read_npz, write_arrays, write_json
from fastnet.training.checkpoint import load_checkpoint

__all__ = ["Saved", "create", "save", "read", "load"]

_INLINE = 10_000  # numbers of a preprocessing in the card itself
_OWN_FILE = "preprocess.npz"


@dataclass(frozen=True)
class Saved:
    """The result of `read`.

    Attributes
    ----------
    model : Model
        With its `class_names` and `preprocessing`.
    card : dict
        "model", "options", "classes", "input_shape", "dtype", and what else was given to `save`.
    path : Path
        The file with the weights.
    """

    model: Model
    card: dict[str, Any]
    path: Path


def create(card: dict[str, Any], seed: int = 0) -> Model:
    """The untrained model that a card describes."""
    shape, classes = tuple(card["input_shape"]), tuple(card["classes"])
    model = models.create(card["model"], len(classes), shape, seed=seed, dtype=card["dtype"], **card["options"])
    model.class_names = classes
    return model


def save(folder: Path, model: Model, card: dict[str, Any]) -> Path:
    """Write model.safetensors (model.npz without safetensors), then model.json; returns the former's path."""
    if not isinstance(model.preprocessing, (Fitted, NoneType)):
        raise TypeError(f"a card can only describe Standardize and PCA, not the preprocessing {model.preprocessing!r}")
    suffix = ".safetensors" if importlib.util.find_spec("safetensors") else ".npz"
    path, file = folder / f"model{suffix}", folder / "model.json"
    file.unlink(missing_ok=True)  # should writing fail, no card of an earlier run may describe the new weights
    model.save(path)
    if model.preprocessing is not None:
        card = {**card, "preprocess": _keep(folder, model.preprocessing)}
    write_json(file, {**card, "classes": model.class_names, "weights": path.name})
    return path


def _keep(folder: Path, preprocessing: Fitted) -> dict[str, Any]:
    """The state of a preprocessing as JSON can hold it, or the file of its own that a large one gets."""
    state = preprocessing.state_dict()
    if sum(array.size for array in state.values()) <= _INLINE:
        return state
    write_arrays(folder / _OWN_FILE, state)
    return {"file": _OWN_FILE, "description": repr(preprocessing)}


def load(path: str | os.PathLike[str]) -> Model:
    """Build and load a model that ``fastnet train`` wrote, from its weights and the card (model.json) beside them.

    Parameters
    ----------
    path : path
        A model file, its card, a checkpoint, or a run's folder (its model, or else its newest checkpoint).

    Returns
    -------
    Model
        Its `class_names` are those that it was trained on, and its `preprocessing` lets `predict`, `predict_proba`,
        `predict_classes` and `evaluate` take images as they were before training.

    Raises
    ------
    FileNotFoundError
        No such file, or no card beside it.
    ValueError
        A damaged file, or one that is not a model.

    Examples
    --------
    >>> model = fastnet.load("runs/mnist-lenet5/model.safetensors")
    >>> [model.class_names[k] for k in model.predict_classes(images)]
    """
    return read(path).model


def read(path: str | os.PathLike[str], make: Callable[[], Model] | None = None) -> Saved:
    """Like :func:`load`, with the card; `make` builds a model that the card does not describe."""
    path = Path(path)
    if path.is_dir():
        card = path / "model.json"
        if card.is_file():
            return _from_card(card, None, make)
        if any(path.glob("checkpoint-*.npz")):
            return _from_checkpoint(path)
        raise FileNotFoundError(
            f"{path} holds no model.json and no checkpoint; is it a folder that fastnet train wrote?"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    card = path.with_suffix(".json")
    if card.is_file():
        return _from_card(card, None if path == card else path, make)
    if path.name.startswith("checkpoint-"):
        return _from_checkpoint(path)
    if path.suffix not in SUFFIXES:
        what = explain(path) or "weights of PyTorch are read by interop.load_torch, images by the data module"
        raise ValueError(f"{path} is not a model of fastnet (.safetensors or .npz, with a .json beside it); {what}")
    raise FileNotFoundError(
        f"{card} is missing: it says what model {path.name} holds. fastnet train writes both; for a file that "
        "model.save wrote, build the model, then call model.load(path)"
    )


def _from_card(file: Path, weights: Path | None, make: Callable[[], Model] | None) -> Saved:
    card: dict[str, Any] = {"model": None}
    try:
        card = json.loads(file.read_bytes())
        weights = weights or file.with_name(card["weights"])
        model = create(card) if make is None else make()
        model.class_names = tuple(card["classes"]) if card["classes"] else None
        if card.get("preprocess"):
            state = card["preprocess"]
            model.preprocessing = restore(read_npz(file.with_name(state["file"])) if "file" in state else state)
    except (ValueError, KeyError, TypeError) as error:
        if "model" not in card and make is None:
            raise ValueError(f"{file} does not say how its model is built: give make, a function that does") from error
        raise ValueError(f"{file} is damaged: {type(error).__name__} {error}") from error
    model.load(weights)
    return Saved(model, card, weights)


def _from_checkpoint(path: Path) -> Saved:
    checkpoint = load_checkpoint(path)
    if "model" not in checkpoint.info:
        raise ValueError(
            f"{checkpoint.path} does not say which model it holds, since fastnet train did not write it; build the "
            "model, then call model.load_state_dict(training.load_checkpoint(path).model_state())"
        )
    card = {**checkpoint.info, "classes": checkpoint.class_names}
    model = create(card)
    model.load_state_dict(checkpoint.model_state())
    model.preprocessing = checkpoint.preprocess
    return Saved(model, card, checkpoint.path)

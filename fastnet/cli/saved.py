"""A trained model on disk: its weights, and a card (JSON) that describes the model and its preprocessing."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnet.cli.errors import UserError, user_mistakes

if TYPE_CHECKING:
    from fastnet.data import Standardize
    from fastnet.layers import Model

__all__ = ["Saved", "create", "save", "load"]


@dataclass(frozen=True)
class Saved:
    """The result of `load`.

    Attributes
    ----------
    model : Model
    card : dict
        "model", "options", "classes", "input_shape", "dtype", "data", and the other entries given to `save`.
    preprocess : Standardize or None
    path : Path
        The file with the weights.
    """

    model: Model
    card: dict[str, Any]
    preprocess: Standardize | None
    path: Path


def create(card: dict[str, Any], seed: int = 0) -> Model:
    """The untrained model that a card describes."""
    from fastnet import models

    shape = tuple(card["input_shape"])
    return models.create(card["model"], len(card["classes"]), shape, seed=seed, dtype=card["dtype"], **card["options"])


def save(folder: Path, model: Model, card: dict[str, Any], preprocess: Standardize | None) -> Path:
    """Write model.safetensors (model.npz without safetensors) and model.json; returns the former's path."""
    from fastnet.storage import write_json

    suffix = ".safetensors" if importlib.util.find_spec("safetensors") else ".npz"
    path = folder / f"model{suffix}"
    model.save(path)
    if preprocess is not None:
        state = {name: array.tolist() for name, array in preprocess.state_dict().items()}
        card = {**card, "preprocess": state}
    write_json(folder / "model.json", {**card, "weights": path.name})
    return path


def load(path: Path) -> Saved:
    """Load a model file with its card, a checkpoint, or a run's folder (its model, or else its newest checkpoint)."""
    if path.is_dir():
        card = path / "model.json"
        if card.is_file():
            return _from_card(card, None)
        if any(path.glob("checkpoint-*.npz")):
            return _from_checkpoint(path)
        raise UserError(f"{path} holds no model.json and no checkpoint; is it a folder that fastnet train wrote?")
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    card = path.with_suffix(".json")
    if card.is_file():
        return _from_card(card, None if path == card else path)
    if path.name.startswith("checkpoint-"):
        return _from_checkpoint(path)
    raise UserError(f"{card} is missing: it says what model {path.name} holds; fastnet train writes both")


def _from_card(file: Path, weights: Path | None) -> Saved:
    from fastnet.data import Standardize

    try:
        card = json.loads(file.read_bytes())
        weights = weights or file.with_name(card["weights"])
        state = card.get("preprocess")
        preprocess = Standardize.from_state_dict(state) if state else None
        model = create(card)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged: {type(error).__name__} {error}") from error
    with user_mistakes():
        model.load(weights)
    return Saved(model, card, preprocess, weights)


def _from_checkpoint(path: Path) -> Saved:
    from fastnet.training import load_checkpoint

    with user_mistakes():
        checkpoint = load_checkpoint(path)
        if "model" not in checkpoint.info:
            raise UserError(f"{checkpoint.path} does not say which model it holds; fastnet train did not write it")
        model = create(checkpoint.info)
        model.load_state_dict(checkpoint.model_state())
    return Saved(model, checkpoint.info, checkpoint.preprocess, checkpoint.path)

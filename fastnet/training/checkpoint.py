"""The checkpoint file: one .npz without pickle, written atomically and verified completely when it is read."""

from __future__ import annotations

import json
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastnet
from fastnet.data.prepared import restore
from fastnet.data.preprocess import Fitted
from fastnet.storage import atomic_write, read_npz, to_json
from fastnet.training.history import History

__all__ = ["Checkpoint", "CheckpointError", "load_checkpoint"]

_FORMAT = "fastnet checkpoint"
_VERSION = 1
_KEYS = {
    *("version", "fastnet", "saved", "arrays", "position", "running", "loader", "streams", "settings"),
    *("optimizer", "callbacks", "history", "info", "classes"),
}


class CheckpointError(ValueError):
    """A file that is not a checkpoint, is damaged, or does not fit the Solver that resumes from it."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes
    ----------
    path : Path
    metadata : dict
        Position, settings, history and so on, as plain objects.
    arrays : dict of str to array
        "model/<name>", "optimizer/<name>/<slot>", "callback<i>/<name>", "preprocess/<name>".
    """

    path: Path
    metadata: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def group(self, name: str) -> dict[str, np.ndarray]:
        """The arrays whose names begin with ``name/``, with that prefix removed."""
        return {key[len(name) + 1 :]: array for key, array in self.arrays.items() if key.startswith(f"{name}/")}

    @property
    def info(self) -> dict[str, Any]:
        """What the user gave as ``Solver(info=...)``."""
        info: dict[str, Any] = self.metadata["info"]
        return info

    @property
    def class_names(self) -> list[str] | None:
        """The model's `class_names`, in the order of its scores."""
        names: list[str] | None = self.metadata["classes"]
        return names

    @property
    def history(self) -> History:
        return History.from_dict(self.metadata["history"])

    @property
    def preprocess(self) -> Fitted | None:
        """The fitted preprocessing that training used, if it used one."""
        state = self.group("preprocess")
        return restore(state) if state else None

    def model_state(self, best: bool = True) -> dict[str, np.ndarray]:
        """A state dict for ``model.load_state_dict``: a callback's, of the best epoch or an average, else the last."""
        for position, entry in enumerate(self.metadata["callbacks"]):
            if best and entry["model"] and (state := self.group(f"callback{position}")):
                return state
        return self.group("model")


def write_checkpoint(path: Path, metadata: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a checkpoint file atomically."""
    head = {
        "format": _FORMAT,
        "version": _VERSION,
        "fastnet": fastnet.__version__,
        "saved": time.time_ns(),
        **metadata,
        "arrays": {name: [array.dtype.name, list(array.shape)] for name, array in arrays.items()},
    }
    if objects := [name for name, array in arrays.items() if array.dtype.kind not in "biuf"]:
        raise TypeError(f"checkpoint: {objects} are not arrays of numbers")
    encoded = np.frombuffer(to_json(head).encode(), np.uint8)
    contents: dict[str, Any] = {"metadata": encoded, **arrays}
    atomic_write(path, lambda file: np.savez(file, **contents))


def _read(path: Path, whole: bool = True) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(metadata, arrays) of a file; no arrays unless `whole`."""
    try:
        arrays = read_npz(path, None if whole else ["metadata"])
        metadata = json.loads(arrays.pop("metadata").tobytes()) if "metadata" in arrays else None
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file can raise nearly anything
        reason = str(error).removeprefix(f"{path}: ")
        raise CheckpointError(f"{path}: not accepted as a checkpoint: {reason}") from error
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT or not metadata.keys() >= _KEYS:
        raise CheckpointError(f"{path}: it is not a fastnet checkpoint")
    if metadata["version"] != _VERSION:
        raise CheckpointError(
            f"{path}: written in format {metadata['version']} by fastnet {metadata['fastnet']}; this is fastnet "
            f"{fastnet.__version__}, which reads format {_VERSION}; install a newer one"
        )
    if whole and metadata["arrays"] != {name: [a.dtype.name, list(a.shape)] for name, a in arrays.items()}:
        raise CheckpointError(f"{path}: damaged: its arrays are not those that it lists")
    return metadata, arrays


def checkpoint_path(folder: Path, iteration: int) -> Path:
    return folder / f"checkpoint-{iteration:08d}.npz"


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint file, or the newest valid one of a folder.

    Damaged files in a folder are skipped with a warning.

    Raises
    ------
    FileNotFoundError
        There is none.
    CheckpointError
        The file (or every file of the folder) is damaged, is not a checkpoint, or comes from a newer fastnet.
    """
    path = Path(path)
    if not path.is_dir():
        return Checkpoint(path, *_read(path))
    files, saved = sorted(path.glob("checkpoint-*.npz")), []
    if not files:
        raise FileNotFoundError(f"no checkpoint-*.npz in {path}")
    for file in files:
        try:
            saved.append((_read(file, whole=False)[0]["saved"], file))
        except CheckpointError as error:
            warnings.warn(f"checkpoint skipped: {error}", stacklevel=2)
    for _, file in sorted(saved, reverse=True):
        try:
            return Checkpoint(file, *_read(file))
        except CheckpointError as error:
            warnings.warn(f"checkpoint skipped: {error}", stacklevel=2)
    raise CheckpointError(f"none of the {len(files)} checkpoints in {path} can be read")

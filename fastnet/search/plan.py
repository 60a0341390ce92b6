"""What a search does, checked: its space, trials, folds and rules, and the description that its folder keeps."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastnet.arguments import flag, integer, real
from fastnet.data import Dataset, fold_numbers
from fastnet.data.rows import as_rows, select
from fastnet.search import space as spaces
from fastnet.search.space import Dimension
from fastnet.search.trials import Rules
from fastnet.storage import to_json, write_json

__all__ = ["DESCRIPTION", "METHODS", "Plan", "agree"]

DESCRIPTION = "search.json"
METHODS = ("random", "grid", "tpe")


@dataclass(frozen=True)
class Plan:
    """A search's arguments, checked; see `fastnet.search.search`.

    Attributes
    ----------
    parts : list of functions without arguments
        Each returns the Dataset of a fold, or of the only division; none if the function has its own data.
    fine_rules : Rules
        Those of the second stage.
    description : dict
        What the search's folder keeps, and what a resumed search must agree with.
    """

    space: dict[str, Dimension]
    trials: int
    method: str
    fine: int
    seed: int
    median: bool
    rules: Rules
    fine_rules: Rules
    parts: list[Callable[[], Dataset]]
    description: dict[str, Any]

    @classmethod
    def of(
        cls,
        space: Mapping[str, Dimension],
        *,
        data: Any,
        trials: int,
        method: str,
        fine: int,
        folds: int | None,
        epochs: int | tuple[int, int] | None,
        monitor: str,
        mode: str,
        stop_above: float | None,
        median: bool,
        seed: int,
        info: Mapping[str, Any] | None,
    ) -> Plan:
        """The plan of these arguments.

        Raises
        ------
        TypeError, ValueError
            An argument that is not understood, or more folds than images.
        """
        space = spaces.check(space)
        trials, fine = integer(trials, "search: trials"), integer(fine, "search: fine", 0)
        seed, median = integer(seed, "search: seed", 0, 63), flag(median, "search: median")
        if method not in METHODS:
            raise ValueError(f"search: method must be one of {', '.join(METHODS)}, got {method!r}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"search: mode must be 'auto', 'min' or 'max', got {mode!r}")
        if not isinstance(monitor, str):
            raise TypeError(f"search: monitor must be a column of the history such as 'val_loss', got {monitor!r}")
        if stop_above is not None and real(stop_above, "search: stop_above") <= 1:
            raise ValueError(f"search: stop_above must be above 1, or None, got {stop_above!r}")
        if method == "grid":
            spaces.grid(space, trials)
        both = epochs if isinstance(epochs, (tuple, list)) else (epochs, epochs)
        if len(both) != 2:
            raise ValueError(f"search: epochs must be a number, or those of the two stages, got {epochs!r}")
        first, second = (None if count is None else integer(count, "search: epochs") for count in both)
        maximize = mode == "max" or (mode == "auto" and "acc" in monitor)
        rules = Rules(monitor, maximize, first, stop_above)
        dataset = None if data is None else _dataset(data)
        if folds is not None and dataset is None:
            raise ValueError("search: folds needs data=, of which the folds are made")
        description = {
            "space": spaces.as_dicts(space),
            "trials": trials,
            "method": method,
            "fine": fine,
            "folds": folds,
            "epochs": both,
            "monitor": monitor,
            "maximize": maximize,
            "stop_above": stop_above,
            "median": median,
            "seed": seed,
            "data": None if dataset is None else _fingerprint(dataset),
            "info": dict(info or {}),
        }
        return cls(
            space,
            trials,
            method,
            fine,
            seed,
            median,
            rules,
            dataclasses.replace(rules, epochs=second),
            [] if dataset is None else _divide(dataset, folds, seed),
            json.loads(to_json(description)),
        )

    def rules_of(self, stage: str) -> Rules:
        """The rules of the stage "coarse" or "fine"."""
        return self.fine_rules if stage == "fine" else self.rules


def _dataset(data: Any) -> Dataset:
    """The images to search on.  The test part is left out: no setting may be chosen by it."""
    if isinstance(data, (tuple, list)) and len(data) == 2:
        X, y = as_rows(data[0], "search: data's X"), np.asarray(data[1])
        data = Dataset(X, y, select(X, slice(0)), y[:0], tuple(map(str, range(int(y.max(initial=0)) + 1))), "data")
    if not isinstance(data, Dataset):
        raise TypeError(f"search: data must be a Dataset or (X, y), got {type(data).__name__}")
    return dataclasses.replace(data, X_test=select(data.X_test, slice(0)), y_test=data.y_test[:0])


def _divide(dataset: Dataset, folds: int | None, seed: int) -> list[Callable[[], Dataset]]:
    """The divisions into training and validation images, each made when it is needed."""
    if folds is None:
        divided = dataset if dataset.X_val is not None else dataset.split(0.1, seed)
        return [lambda: divided]
    if dataset.X_val is not None:
        raise ValueError(
            f"search: folds={folds} divides the training images, but {dataset.name} has {len(dataset.X_val)} "
            "validation images of its own; leave folds out to use those"
        )
    X, y = dataset.X_train, dataset.y_train
    number = fold_numbers(y, folds, seed)

    def part(fold: int) -> Dataset:
        train, held = number != fold, number == fold
        rest, part = select(X, train), select(X, held)
        return dataclasses.replace(dataset, X_train=rest, y_train=y[train], X_val=part, y_val=y[held])

    return [lambda fold=fold: part(fold) for fold in range(folds)]  # type: ignore[misc]


def _fingerprint(dataset: Dataset) -> dict[str, Any]:
    """What tells data sets apart: shapes, and a checksum of labels and of a sample of the images."""
    X, y = dataset.X_train, dataset.y_train
    checksum = zlib.crc32(y.tobytes())
    for image in X[:: max(1, len(X) // 100)]:  # a list if images differ in size
        checksum = zlib.crc32(image.tobytes(), checksum)
    return {"shape": X.shape, "checksum": checksum}


def agree(folder: Path, description: Mapping[str, Any]) -> None:
    """Keep the description of a new search in its folder, or compare it with the one that is there.

    Raises
    ------
    ValueError
        The folder holds another search; the message says what differs.
    """
    file = folder / DESCRIPTION
    if file.is_file():
        before = json.loads(file.read_bytes())
        more = not before["fine"] and before["method"] != "grid" and before["trials"] < description["trials"]
        differences = _differences(before, description, ("trials",) if more else ())
        if differences:
            raise ValueError(
                f"search: {folder} holds another search: {'; '.join(differences)}; give another folder, or the "
                "arguments of that search to go on with it"
            )
        if not more:
            return
    write_json(file, description)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], ignored: Sequence[str]) -> list[str]:
    found = []
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name), now.get(name)
        if old == new or name in ignored:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            found += [f"{name}, {words}" for words in _differences(old, new, ())]
        else:
            found.append(f"{name} is {to_json(old)} there and {to_json(new)} here")
    return found

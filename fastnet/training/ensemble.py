"""Ensemble: several models whose predicted probabilities are averaged."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnet import losses
from fastnet.arrays import on_host
from fastnet.layers import Evaluation, Model
from fastnet.storage import write_json
from fastnet.training import saved
from fastnet.types import Array, ArrayLike, Preprocess

__all__ = ["Ensemble"]

_FILE = "ensemble.json"


class Ensemble:
    """Several models with the same classes: the mean of their probabilities, of which the largest decides.

    "Train multiple independent models; at test time average their results" (CS231n 2017, lecture 7; Hansen & Salamon,
    "Neural network ensembles", 1990).

    Parameters
    ----------
    members : sequence of Model or path
        Built models, or what `fastnet.load` takes: folders of runs, model files, checkpoints.  Each applies its own
        `preprocessing`.

    Attributes
    ----------
    members : list of Model
    class_names : tuple of str or None

    Raises
    ------
    ValueError
        No members, or members of different classes, input or output shapes.
    TypeError
        Members that are neither models nor paths, or that give no scores of classes.

    Examples
    --------
    >>> ensemble = fastnet.Ensemble(["runs/a", "runs/b", "runs/c"])
    >>> ensemble.evaluate(X_test, y_test).accuracy, [each.accuracy for each in ensemble.evaluate_each(X_test, y_test)]
    """

    def __init__(self, members: Sequence[Model | str | os.PathLike[str]]) -> None:
        if isinstance(members, (str, os.PathLike, Model)) or not isinstance(members, Iterable):
            raise TypeError(f"Ensemble: members must be a list of models or of paths, got {members!r}")
        found = [_member(position, given) for position, given in enumerate(members)]
        if not found:
            raise ValueError("Ensemble: there are no members: give at least one model, or the folder of a run")
        self.members = [model for model, _ in found]
        self._cards = [card for _, card in found]
        first = self.members[0]
        for position, model in enumerate(self.members):
            for what in ("input_shape", "output_shape", "class_names"):
                mine, others = getattr(model, what), getattr(first, what)
                if mine != others:
                    raise ValueError(
                        f"Ensemble: all members must have the same {what.replace('_', ' ')}: member 0 has {others}, "
                        f"member {position} has {mine}"
                    )
        if not first.output_shape or first.output_shape[0] == 1:
            raise ValueError(f"Ensemble: members must give a score for each class, these give {first.output_shape}")

    @classmethod
    def of_states(cls, model: Model, states: Sequence[Mapping[str, Array]]) -> Ensemble:
        """An ensemble of copies of a built model, each with one of the state dicts, such as snapshots of it."""
        members = []
        for state in states:
            members.append(copy.deepcopy(model))
            members[-1].load_state_dict(state)
        return cls(members)

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        first = self.members[0]
        return f"Ensemble({len(self)} models, {first.input_shape} to {first.output_shape})"

    @property
    def class_names(self) -> tuple[str, ...] | None:
        return self.members[0].class_names

    # ---------------------------------------------------------------- predictions

    def predict_proba(self, X: ArrayLike, batch_size: int = 128) -> Array:
        """The mean of the members' probabilities, (N, C) or (N, C, H, W), added in float64, in the members' dtype."""
        return _mean([model.predict_proba(X, batch_size) for model in self.members])

    def predict(self, X: ArrayLike, batch_size: int = 128) -> Array:
        """Scores: the logarithms of the mean probabilities, whose softmax these are; ``.argmax(1)`` gives classes."""
        return logarithm(self.predict_proba(X, batch_size))

    def outputs(self, X: ArrayLike, batch_size: int, prepare: Preprocess | None) -> Array:
        """What `predict` returns, with `prepare` in place of the members' `preprocessing`."""
        each = []
        for model in self.members:
            own = model.preprocessing
            try:
                model.preprocessing = prepare
                each.append(model.predict_proba(X, batch_size))
            finally:
                model.preprocessing = own
        return logarithm(_mean(each))

    def predict_classes(self, X: ArrayLike, batch_size: int = 128) -> Array:
        """The number of the class with the largest mean probability, integers (N,), or (N, H, W) for maps."""
        classes: Array = self.predict_proba(X, batch_size).argmax(axis=1)
        return classes

    def spread(self, X: ArrayLike, batch_size: int = 128) -> Array:
        """The standard deviation of the members' probabilities, (N, C): where it is large, they disagree."""
        each = np.stack([model.predict_proba(X, batch_size) for model in self.members])
        deviation: Array = each.astype(np.float64).std(axis=0).astype(each.dtype)
        return deviation

    # ---------------------------------------------------------------- evaluation

    def evaluate(self, X: ArrayLike, y: ArrayLike, batch_size: int = 128, views: Any = None) -> Evaluation:
        """Mean cross-entropy and accuracy of the mean probabilities on (X, y); y holds class numbers, (N,).

        By Jensen's inequality the loss is never above the mean of the members' losses; the accuracy may be.  `views`:
        those of each image whose answers are averaged, too, as for ``Model.evaluate``.
        """
        if views is not None:
            import fastnet

            return fastnet.training.Views(self, views).evaluate(X, y, batch_size)
        return measured(self.predict(X, batch_size), y)

    def evaluate_each(self, X: ArrayLike, y: ArrayLike, batch_size: int = 128) -> list[Evaluation]:
        """The same of each member alone."""
        return [measured(model.predict(X, batch_size), y) for model in self.members]

    # ---------------------------------------------------------------- files

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write each member to a folder of its own below `folder`, and ensemble.json; returns the latter's path.

        Raises
        ------
        TypeError
            A member's preprocessing is a function of your own.
        """
        folder, names = Path(folder), [f"member-{position}" for position in range(len(self))]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FILE).unlink(missing_ok=True)  # should writing fail, nothing may describe a part of the members
        for name, model, card in zip(names, self.members, self._cards, strict=True):
            (folder / name).mkdir(exist_ok=True)
            saved.save(folder / name, model, card or {})
        write_json(folder / _FILE, {"members": names})
        return folder / _FILE

    @classmethod
    def load(cls, folder: str | os.PathLike[str], make: Callable[[], Model] | None = None) -> Ensemble:
        """Read what `save` wrote.

        Parameters
        ----------
        folder : path
        make : function () -> Model, optional
            Builds a member; needed where the members were not loaded from runs of ``fastnet train``.

        Raises
        ------
        FileNotFoundError
            No ensemble.json in the folder.
        ValueError
            A damaged file, or members that only `make` can build.
        """
        file = Path(folder) / _FILE
        if not file.is_file():
            raise FileNotFoundError(f"{folder} holds no {_FILE}; Ensemble([run, run, ...]) makes an ensemble of runs")
        try:
            names = [str(name) for name in json.loads(file.read_bytes())["members"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is damaged: {type(error).__name__} {error}") from error
        found = [saved.read(file.with_name(name), make) for name in names]
        ensemble = cls([each.model for each in found])
        ensemble._cards = [each.card for each in found]
        return ensemble

    @property
    def card(self) -> dict[str, Any] | None:
        """The card of the first member, as :func:`fastnet.training.saved.read` has it; None if it was built by hand."""
        return self._cards[0]


def _member(position: int, given: Any) -> tuple[Model, dict[str, Any] | None]:
    if isinstance(given, Model):
        if not given.built:
            raise ValueError(f"Ensemble: member {position} is not built: call build(input_shape), or run it once")
        return given, None
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(f"Ensemble: member {position} must be a Model or the path of one, got {given!r}")
    found = saved.read(given)
    return found.model, found.card


def _mean(each: Sequence[Array]) -> Array:
    total: Any = 0.0
    for probabilities in each:
        total = total + probabilities.astype(np.float64)
    mean: Array = (total / len(each)).astype(each[0].dtype)
    return mean


def logarithm(probabilities: Array) -> Array:
    """Scores whose softmax the probabilities are."""
    scores: Array = np.log(np.maximum(probabilities, np.finfo(probabilities.dtype).tiny))
    return scores


def measured(scores: Array, y: ArrayLike) -> Evaluation:
    """The cross-entropy and accuracy of scores (N, classes)."""
    labels = on_host(y, "evaluate: y")
    if len(scores) != len(labels) or not len(labels):
        raise ValueError(
            f"evaluate: X and y must have the same length, at least 1, got {len(scores)} and {len(labels)}"
        )
    return Evaluation(losses.softmax_cross_entropy(scores, labels)[0], float((scores.argmax(axis=1) == labels).mean()))

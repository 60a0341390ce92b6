"""Pruning by magnitude, and the search for lottery tickets: sparse networks that train from their initial weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastnet.arguments import integer, real
from fastnet.arrays import on_host
from fastnet.backends import current
from fastnet.layers import Model
from fastnet.storage import read_arrays, write_arrays
from fastnet.training.callbacks import Callback
from fastnet.training.solver import Solver
from fastnet.types import Array

__all__ = ["Masks", "Ticket", "find_ticket"]


class Masks(Callback):
    """Which weights of a model are kept; as a callback, it sets the others to 0 after every update.

    ``Masks.of(model)`` keeps all; :meth:`prune` returns masks with fewer.  In a loop of your own, call :meth:`apply`
    after each step of the optimiser.  Biases and the parameters of norms are never pruned.  Checkpoints hold the masks
    of a Solver's callbacks.

    Parameters
    ----------
    arrays : mapping of str to bool array
        For each pruned parameter, by name, True where a weight is kept.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.arrays: dict[str, Array] = {}
        self._here: dict[str, tuple[Array, Array]] = {}  # each mask, and it as an array of the backend
        for name, mask in arrays.items():
            values = np.asarray(mask)
            if values.dtype != bool and not np.isin(values, (0, 1)).all():
                raise ValueError(f"Masks: the mask of {name} must be True or False everywhere, or 1 or 0")
            self.arrays[name] = values.astype(bool)

    @classmethod
    def of(cls, model: Model) -> Masks:
        """Masks that keep every weight of a built model: of its parameters with two axes or more and weight decay."""
        named = model.named_parameters()
        return cls({name: np.ones(p.shape, bool) for name, p in named if p.decay and len(p.shape) > 1})

    @property
    def remaining(self) -> float:
        """The fraction of the weights that is kept."""
        total = sum(mask.size for mask in self.arrays.values())
        return sum(int(mask.sum()) for mask in self.arrays.values()) / total if total else 1.0

    def __repr__(self) -> str:
        return f"Masks({len(self.arrays)} parameters, {self.remaining:.2%} of the weights kept)"

    def apply(self, model: Model) -> None:
        """Set the weights that are not kept to 0.

        Raises
        ------
        ValueError
            The model lacks a parameter of the masks, or has it in another shape.
        """
        parameters = dict(model.named_parameters())
        for name, mask in self.arrays.items():
            shape = parameters[name].shape if name in parameters else None
            if shape != mask.shape:
                what = "no such parameter" if shape is None else f"it in shape {shape}"
                raise ValueError(f"Masks.apply: there is a mask for {name}, {mask.shape}; the model has {what}")
            parameters[name].move()
            value = parameters[name].value
            value *= self._placed(name, mask)  # NaN stays NaN, so that a divergence is not hidden

    def _placed(self, name: str, mask: Array) -> Array:
        """A mask on the device, where it stays until there is another."""
        kept, here = self._here.get(name, (None, mask))
        here = current().own(here if kept is mask else mask)
        self._here[name] = mask, here
        return here

    def prune(self, model: Model, fraction: float, scope: str = "layer") -> Masks:
        """Masks without the smallest of the kept weights.

        Parameters
        ----------
        model : Model
            Trained; the magnitudes of its weights decide.
        fraction : float in [0, 1)
            Of the weights that are still kept.
        scope : "layer" or "global"
            Remove this fraction of each parameter, or of all weights together.
        """
        fraction = real(fraction, "Masks.prune: fraction")
        if not 0 <= fraction < 1:
            raise ValueError(f"Masks.prune: fraction must lie in [0, 1), got {fraction!r}")
        if scope not in ("layer", "global"):
            raise ValueError(f"Masks.prune: scope must be 'layer' or 'global', got {scope!r}")
        self.apply(model)
        parameters = dict(model.named_parameters())
        sizes = {name: np.abs(on_host(parameters[name].value).astype(np.float64)) for name in self.arrays}
        if any(not np.isfinite(size).all() for size in sizes.values()):
            raise ValueError("Masks.prune: the model has weights that are not finite; has training diverged?")
        if scope == "layer":
            return Masks({name: _without_smallest(sizes[name], mask, fraction) for name, mask in self.arrays.items()})
        joined = np.concatenate([sizes[name].ravel() for name in self.arrays])
        kept = np.concatenate([mask.ravel() for mask in self.arrays.values()])
        flat, start, found = _without_smallest(joined, kept, fraction), 0, {}
        for name, mask in self.arrays.items():
            found[name] = flat[start : start + mask.size].reshape(mask.shape)
            start += mask.size
        return Masks(found)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .npz or .safetensors file."""
        write_arrays(path, {name: mask.astype(np.uint8) for name, mask in self.arrays.items()})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Masks:
        """Read what :meth:`save` wrote."""
        return cls(read_arrays(path))

    # ---------------------------------------------------------------- as a callback

    def on_train_begin(self, solver: Solver) -> None:
        self.apply(solver.model)

    def on_iteration_end(self, solver: Solver) -> None:
        self.apply(solver.model)

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Array]]:
        return {}, {name: mask.astype(np.uint8) for name, mask in self.arrays.items()}

    def load_state_dict(self, plain: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.arrays = {name: np.asarray(mask).astype(bool) for name, mask in arrays.items()}


def _without_smallest(sizes: Array, mask: Array, fraction: float) -> Array:
    """`mask` without the smallest ``round(fraction * kept)`` of its elements; of equal ones the first go."""
    kept = np.flatnonzero(mask)
    order = np.argsort(sizes.ravel()[kept], kind="stable")
    fewer = mask.copy()
    fewer.ravel()[kept[order[: round(fraction * len(kept))]]] = False
    return fewer


class Ticket(NamedTuple):
    """What :func:`find_ticket` found.

    Attributes
    ----------
    masks : Masks
        Of the last round.
    initial : dict
        The model's ``state_dict()`` before training.
    rounds : list of (float, result)
        For each training, the fraction of weights that it had, and what `train` returned.
    """

    masks: Masks
    initial: dict[str, Array]
    rounds: list[tuple[float, Any]]

    def rewind(self, model: Model) -> None:
        """Set a model to the ticket: the initial values, with 0 for the weights that are pruned."""
        model.load_state_dict(self.initial)
        self.masks.apply(model)


def find_ticket(
    model: Model,
    train: Callable[[Model, Masks], Any],
    rounds: int = 5,
    fraction: float = 0.2,
    scope: str = "layer",
) -> Ticket:
    """Iterative magnitude pruning (Frankle & Carbin 2019, "The lottery ticket hypothesis", arXiv:1803.03635).

    Each round trains the model, prunes the smallest weights, and rewinds those that are left to their initial values.
    The hypothesis is that such a "winning ticket" trains at least as well as the whole network, while the same masks on
    newly drawn weights do not.  (The paper prunes the output layer at half the rate; here all layers are alike.)

    Parameters
    ----------
    model : Model
        Built; it ends as the ticket, rewound and not trained.
    train : function (model, masks) -> result
        Trains the model in place, with ``callbacks=[masks]`` in Solver.  The last call is for the last masks but one.
    rounds : int
    fraction : float
        Of the kept weights, pruned in each round.
    scope : "layer" or "global"
        As in :meth:`Masks.prune`.

    Examples
    --------
    >>> def train(model, masks):
    ...     solver = fn.Solver(model, (X, y), epochs=5, callbacks=[masks], verbose=False)
    ...     return solver.train()["loss"][-1]
    >>> ticket = find_ticket(model, train)
    >>> train(model, ticket.masks)
    """
    if not isinstance(model, Model):
        raise TypeError(f"find_ticket: model must be a Model, got {model!r}")
    masks, initial, done = Masks.of(model), model.state_dict(), []
    for _ in range(integer(rounds, "find_ticket: rounds")):
        done.append((masks.remaining, train(model, masks)))
        masks = masks.prune(model, fraction, scope)
        model.load_state_dict(initial)
        masks.apply(model)
    return Ticket(masks, initial, done)

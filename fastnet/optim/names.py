"""Optimisers by name."""

from __future__ import annotations

from fastnet.optim.adam import Adam, AdamW, NAdam
from fastnet.optim.adaptive import Adadelta, Adagrad, RMSprop
from fastnet.optim.optimizer import Optimizer
from fastnet.optim.sgd import SGD

__all__ = ["get", "names"]

_CLASSES: dict[str, type[Optimizer]] = {
    kind.__name__.lower(): kind for kind in (SGD, Adagrad, RMSprop, Adadelta, Adam, AdamW, NAdam)
}


def names() -> list[str]:
    """The names that :func:`get` takes."""
    return list(_CLASSES)


def get(optimizer: str | Optimizer) -> Optimizer:
    """An optimiser as it is; for a name, such as "adam", a new one with its default settings.

    Raises
    ------
    TypeError, ValueError
        Neither an optimiser nor a name of one.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str):
        raise TypeError(f"get: optimizer must be an optimiser or the name of one, got {optimizer!r}")
    if optimizer not in _CLASSES:
        raise ValueError(f"there is no optimiser {optimizer!r}; there are {', '.join(names())}")
    return _CLASSES[optimizer]()

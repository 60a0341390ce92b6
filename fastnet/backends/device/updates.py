"""Updates of parameters and gradients, in place, all parameters in one launch.

A launch reads its settings (rates, bias corrections) from device memory: an `Update` uploads them when they change.  A
CUDA graph that captured ``update.launch()`` can therefore run again after ``update.set(attributes)``, which must not be
captured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any

import cupy
import numpy as np

from fastnet.backends.device.arrays import KERNELS, c_order, put_back
from fastnet.backends.device.compiler import launch
from fastnet.backends.device.sums import limit_norms
from fastnet.backends.device.tables import Row, Table, table

__all__ = ["EACH", "UPDATES", "Update", "in_place", "update_of"]

_THREADS = 256

Settings = Mapping[str, Any]


# ---------------------------------------------------------------- settings as the kernels read them


def _sgd(s: Settings) -> tuple[float, ...]:
    rate = -s["lr"] if s["of_steps"] else 1.0  # a velocity of steps has the rate in it
    scale = 1.0 if s["of_steps"] else -s["lr"]
    return -s["lr"], scale, s["weight_decay"], s["momentum"], rate * (1 - s["dampening"]), rate


def _ends(s: Settings) -> tuple[float, float]:
    """eps inside of the root, and outside."""
    return (s["eps"], 0.0) if s["eps_inside"] else (0.0, s["eps"])


def _adagrad(s: Settings) -> tuple[float, ...]:
    return -s["lr"], s["weight_decay"], 0.0, 1.0, 1.0, *_ends(s)


def _rmsprop(s: Settings) -> tuple[float, ...]:
    return -s["lr"], s["weight_decay"], s["momentum"], s["alpha"], 1 - s["alpha"], *_ends(s)


def _adadelta(s: Settings) -> tuple[float, ...]:
    return -s["lr"], s["weight_decay"], s["rho"], 1 - s["rho"], s["eps"]


def _moments(s: Settings, lr: float, now: float, correction: float) -> tuple[float, ...]:
    """Of Adam and its relatives; lr and now: the factors of the mean and of the gradient."""
    decoupled = s["decoupled"]
    shrink, decay = (1 - s["lr"] * s["weight_decay"], 0.0) if decoupled else (1.0, s["weight_decay"])
    beta1, beta2 = s["beta1"], s["beta2"]
    return lr, now, shrink, decay, beta1, 1 - beta1, beta2, 1 - beta2, correction, *_ends(s)


def _adam(s: Settings) -> tuple[float, ...]:
    if not s["bias_correction"]:
        return _moments(s, s["lr"], 0.0, 1.0)
    return _moments(s, s["lr"] / (1 - s["beta1"] ** s["t"]), 0.0, 1 / (1 - s["beta2"] ** s["t"]))


def _nadam(s: Settings) -> tuple[float, ...]:
    lr, ahead, product = s["lr"], s["next_mu"], s["product"]
    mean, now = lr * ahead / (1 - product * ahead), lr * (1 - s["mu"]) / (1 - product)
    return _moments(s, mean, now, 1 / (1 - s["beta2"] ** s["t"]))


# Of each op: the kernel, its settings, and its arguments besides.
UPDATES: dict[str, tuple[str, Callable[[Settings], tuple[float, ...]], tuple[str, ...]]] = {
    "sgd_step": ("sgd_step", _sgd, ("nesterov",)),
    "adagrad_step": ("squares_step", _adagrad, ()),
    "rmsprop_step": ("squares_step", _rmsprop, ()),
    "adadelta_step": ("adadelta_step", _adadelta, ()),
    "adam_step": ("adam_step", _adam, ()),
    "nadam_step": ("adam_step", _nadam, ()),
    "average_step": ("average_step", lambda s: (s["decay"], 1 - s["decay"]), ()),
    "add_penalty": ("add_penalty", lambda s: (s["l1"], s["l2"]), ()),
    "rescale": ("rescale", lambda s: (s["factor"],), ()),
    "clip": ("clip", lambda s: (s["size"],), ()),
}
_COLUMNS = {"squares_step": 5, "adam_step": 5}  # of kernels of several ops, some of which have fewer arrays


class Update:
    """An op that updates arrays in place, on arrays at fixed addresses.

    Parameters
    ----------
    name : str
        Of the op.
    arrays : Table
    """

    def __init__(self, name: str, arrays: Table) -> None:
        self.arrays = arrays
        self.kernel, self._settings, self._flags = UPDATES[name]
        self._values: tuple[float, ...] = ()
        self._more: tuple[int, ...] = ()
        self._numbers: Any = None

    def set(self, attributes: Settings) -> None:
        """The attributes, all of them, of the launches that follow; uploads what has changed."""
        self._more = tuple(int(attributes[name]) for name in self._flags)
        values = self._settings(attributes)
        if values != self._values:
            numbers = np.array(values, self.arrays.dtype)
            if self._numbers is None:
                self._numbers = cupy.empty(numbers.shape, numbers.dtype)
            self._numbers.set(numbers)
            self._values = values

    def launch(self) -> None:
        """Update all arrays."""
        if blocks := self.arrays.blocks:
            given = self.arrays.addresses, self.arrays.pieces, self._numbers, *self._more
            launch("updates", self.kernel, self.arrays.dtype, blocks, _THREADS, *given)


def update_of(name: str, rows: Sequence[Row]) -> Update | None:
    """The update of these arrays: one that was kept with their table, or a new one; None if they have no `table`."""
    arrays = table(rows, columns=_COLUMNS.get(UPDATES[name][0], 0))
    if arrays is None:
        return None
    if name not in arrays.kept:
        arrays.kept[name] = Update(name, arrays)
    found: Update = arrays.kept[name]
    return found


def _update_all(name: str) -> Callable[..., bool]:
    def run(rows: Sequence[Row], **attributes: Any) -> bool:
        update = update_of(name, rows)
        if update is None:
            return False
        update.set(attributes)
        update.launch()
        return True

    return run


# Each updates several parameters in one launch: function(rows of arrays, **attributes); False if they have no `table`.
EACH: dict[str, Callable[..., bool]] = {name: _update_all(name) for name in UPDATES} | {"limit_norms": limit_norms}


def _single(update: Callable[..., bool]) -> Callable[..., None]:
    def run(*arrays: Any, **attributes: Any) -> None:
        if not update([arrays], **attributes):
            raise TypeError("an update takes arrays of one shape in C order, float32 or float64")

    return run


KERNELS.update({name: _single(update) for name, update in EACH.items()})


def in_place(function: Callable[..., Any], changes: Sequence[bool], arrays: Row, attributes: Settings) -> None:
    """Run an update; arrays that are not in C order are copied, and those that it changes copied back."""
    dense = [None if x is None else c_order(x) for x in arrays]
    function(*dense, **attributes)
    put_back(compress(arrays, changes), compress(dense, changes))

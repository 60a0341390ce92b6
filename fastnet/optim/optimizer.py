"""Optimizer: the base class of the optimisers."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Self

from fastnet.arguments import frozen, real
from fastnet.backends import Ops, current
from fastnet.layers import Parameter
from fastnet.ops import REGISTRY
from fastnet.types import Array

__all__ = ["Optimizer", "check"]


def check(optimizer: str, name: str, value: float, below: float = math.inf, positive: bool = False) -> float:
    """`value` as a float, or a ValueError unless 0 <= value < below (0 < value when `positive`)."""
    number = real(value, f"{optimizer}: {name}")
    if not ((number > 0 if positive else number >= 0) and number < below):
        low, high = "> 0" if positive else ">= 0", "" if below == math.inf else f" and < {below:g}"
        raise ValueError(f"{optimizer}: {name} must be {low}{high}, got {value!r}")
    return number


class Optimizer:
    """The base class: chooses the parameters to update, their rate and weight decay, and keeps their state.

    A subclass names the op that updates a parameter, `op`, and its state arrays, `slots`, and implements
    ``attributes(t, lr)``.

    Attributes
    ----------
    lr : float
        The base learning rate; a schedule's factor multiplies it.
    weight_decay : float
        Applied only to parameters with ``decay=True``.
    state : dict
        ``{key: {slot: array, "t": number of updates}}``; the key is the parameter's name if all names given to `step`
        differ, else its position.
    """

    op = ""
    slots: tuple[str, ...] = ()
    settings: tuple[str, ...] = ("lr", "weight_decay")

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if "params" in kwargs or (args and not isinstance(frozen(args[0]), numbers.Real)):
            raise TypeError(
                f"{cls.__name__}: the first argument is the learning rate; parameters are given to step: "
                f"{cls.__name__}(lr=0.01).step(model.parameters())"
            )
        return super().__new__(cls)

    def __init__(self, lr: float, weight_decay: float = 0.0):
        self.lr = check(type(self).__name__, "lr", lr)
        self.weight_decay = check(type(self).__name__, "weight_decay", weight_decay)
        self.state: dict[str, dict[str, Any]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.settings)})"

    def step(self, parameters: Iterable[Parameter], scale: float = 1.0) -> None:
        """Update, in place, every parameter that requires a gradient and has one.

        Parameters
        ----------
        parameters : iterable of Parameter
            The same list at every step: ``model.parameters()``.
        scale : float
            A schedule's factor: the rate of this step is ``lr * scale``.

        Raises
        ------
        ValueError
            State (of another model, perhaps) whose shape or dtype is not the parameter's.

        Warns
        -----
        UserWarning
            Nothing has a gradient, though not everything is frozen.
        """
        parameters = list(parameters)
        names = {p.name for p in parameters}
        named = "" not in names and len(names) == len(parameters)
        ops, lr, op = current(), self.lr * scale, REGISTRY[self.op]
        ready = [
            (p, self._state_of(ops, p.name if named else str(position), p))
            for position, p in enumerate(parameters)
            if p.requires_grad and p.grad is not None
        ]
        if not ready and not (parameters and all(not p.requires_grad for p in parameters)):
            what = "no parameter has a gradient: run backward first" if parameters else "no parameters were given"
            warnings.warn(f"{type(self).__name__}.step changes nothing: {what}", stacklevel=2)
        groups: dict[tuple[int, bool], list[tuple[Array | None, ...]]] = {}
        for p, state in ready:
            state["t"] += 1
            arrays = p.value, p.grad, *[state.get(i.name) for i in op.inputs[2:]]
            groups.setdefault((state["t"], p.decay), []).append(arrays)
        for (t, decay), updates in groups.items():
            attributes = self.attributes(t, lr)
            ops.update_each(op, updates, {**attributes, "weight_decay": self.weight_decay if decay else 0.0})

    def attributes(self, t: int, lr: float) -> dict[str, Any]:
        """The op's attributes besides `weight_decay` at a parameter's update number t, from 1."""
        raise NotImplementedError

    def _initial(self, ops: Ops, p: Parameter) -> Array:
        """A slot's array before the first update."""
        zeros: Array = ops.xp.zeros_like(p.value)
        return zeros

    def _state_of(self, ops: Ops, key: str, p: Parameter) -> dict[str, Any]:
        if key not in self.state:
            self.state[key] = {"t": 0, **{slot: self._initial(ops, p) for slot in self.slots}}
        state = self.state[key]
        for slot in self.slots:
            array = state[slot]
            if array.shape != p.value.shape or array.dtype != p.value.dtype:
                raise ValueError(
                    f"{type(self).__name__}: state {slot!r} of parameter {key!r} is {array.dtype} {array.shape}, the "
                    f"parameter is {p.value.dtype} {p.value.shape}; use a new optimiser for another model"
                )
        return state

    def state_dict(self) -> dict[str, Any]:
        """The state as one flat dict: ``"<key>/<slot>"`` to an array (a copy), ``"<key>/t"`` to an int."""
        return {
            f"{key}/{slot}": value if slot == "t" else value.copy()
            for key, state in self.state.items()
            for slot, value in state.items()
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Replace the state with what `state_dict` returned.

        Raises
        ------
        ValueError
            The state of another kind of optimiser.
        """
        ops = current()
        loaded: dict[str, dict[str, Any]] = {}
        for name, value in state_dict.items():
            key, _, slot = name.rpartition("/")
            loaded.setdefault(key, {})[slot] = int(value) if slot == "t" else ops.xp.array(value)
        expected = {"t", *self.slots}
        for key, state in loaded.items():
            if set(state) != expected:
                raise ValueError(
                    f"{type(self).__name__}: state of {key!r} has {sorted(state)}, expected {sorted(expected)}; "
                    "was it saved by another optimiser?"
                )
        self.state = loaded

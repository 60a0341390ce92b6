"""Optimizer: the base class of the optimisers."""

from __future__ import annotations

import contextlib
import inspect
import numbers
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from fastnet.arguments import frozen
from fastnet.arrays import on_host
from fastnet.backends import Ops, current
from fastnet.layers import Parameter
from fastnet.layers.parameter import parameters_of
from fastnet.ops import REGISTRY
from fastnet.optim.groups import Groups
from fastnet.optim.settings import Check, at_least_zero, below_one
from fastnet.types import Array

__all__ = ["Optimizer"]


class Optimizer:
    """The base class: chooses the parameters to update, their settings, and keeps their state.

    A subclass has an op that updates a parameter, `op`, tables of its settings and of its state, and implements
    ``attributes(settings, scalars)``.

    Attributes
    ----------
    settings : dict
        The check of each setting; each is an attribute, too, which may be changed between steps.
    slots : dict
        The arrays of state: the name of an array, and the setting that must not be 0 or False for it ("": always).
    scalars : dict
        The numbers of state, with their first values: "t", the number of updates.
    lr : float
        The base learning rate; a schedule's factor multiplies it, and the rates of groups.
    weight_decay : float
        Applied only to parameters with ``decay=True``; that of a group, to all of its parameters.
    groups : Groups
        Parameters with settings of their own.
    state : dict
        ``{key: {slot: array, scalar: number}}``; the key is the parameter's name if all names given to `step` differ,
        else its position.  It belongs to this parameter: another model's parameters begin anew.
    """

    op = ""
    settings: ClassVar[dict[str, Check]] = {"lr": at_least_zero, "weight_decay": at_least_zero}
    slots: ClassVar[dict[str, str]] = {}
    scalars: ClassVar[dict[str, float]] = {"t": 0}
    lr: float
    weight_decay: float

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if "params" in kwargs or (args and not isinstance(frozen(args[0]), numbers.Real)):
            raise TypeError(
                f"{cls.__name__}: the first argument is the learning rate; parameters are given to step: "
                f"{cls.__name__}(lr=0.01).step(model.parameters())"
            )
        return super().__new__(cls)

    def __init__(self, groups: Sequence[Mapping[str, Any]] = (), **settings: Any):
        for name, value in settings.items():
            setattr(self, name, value)
        self.groups = Groups(type(self).__name__, groups, self.settings)
        self.state: dict[str, dict[str, Any]] = {}
        self._owners: dict[str, weakref.ref[Parameter]] = {}  # whose state it is; not of one that was loaded or copied
        for own in ({}, *self.groups.settings):
            self._check({**self._settings(), **own})

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.settings:
            value = self.settings[name](value, f"{type(self).__name__}: {name}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        given = inspect.signature(type(self).__init__).parameters
        plain = {name for name, p in given.items() if p.kind is p.KEYWORD_ONLY and p.default == getattr(self, name)}
        words = [f"{name}={value!r}" for name, value in self._settings().items() if name not in plain]
        return f"{type(self).__name__}({', '.join(words + [f'groups={self.groups!r}'] * bool(self.groups))})"

    # ---------------------------------------------------------------- what a subclass says

    def attributes(self, settings: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
        """The op's attributes besides `lr` and `weight_decay`, for an update; scalars["t"] counts from 1."""
        raise NotImplementedError

    def _check(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError if settings exclude each other."""

    def _advance(self, state: dict[str, Any], settings: Mapping[str, Any]) -> None:
        """Set the scalars of `state` to those of the next update."""
        state["t"] += 1

    def _initial(self, ops: Ops, p: Parameter, settings: Mapping[str, Any]) -> Array:
        """A slot's array before the first update."""
        zeros: Array = ops.xp.zeros_like(p.value)
        return zeros

    def _annealed(self, momentum: float) -> dict[str, Any]:
        """The settings that replace those of the optimiser at a step of this momentum."""
        if "momentum" not in self.settings:
            raise ValueError(f"{type(self).__name__} has no momentum that could change from step to step")
        return {"momentum": momentum}

    # ---------------------------------------------------------------- steps

    def step(self, parameters: Iterable[Parameter], scale: float = 1.0, momentum: float | None = None) -> None:
        """Update, in place, every parameter that requires a gradient and has one.

        Parameters
        ----------
        parameters : iterable of Parameter
            The same list at every step: ``model.parameters()``.
        scale : float
            A schedule's factor: the rate of this step is ``lr * scale``, in each group its own lr.
        momentum : float, optional
            Of this step, instead of the setting (Adam's is betas[0]); a group's own momentum stays.

        Raises
        ------
        ValueError
            A scale that is negative or not finite; state (of another model, perhaps) whose shape or dtype is not the
            parameter's; a group that names an unknown parameter, or two that name the same.

        Warns
        -----
        UserWarning
            Nothing has a gradient, though not everything is frozen.
        """
        name = f"{type(self).__name__}.step"
        parameters, scale = parameters_of(parameters, name), at_least_zero(scale, f"{name}: scale")
        ops, op = current(), REGISTRY[self.op]
        names = [i.name for i in op.inputs[2:]]
        ready = [
            (p, *self._state_of(ops, key, p, own, names), n, own)
            for p, key, n, own in self._ready(parameters, momentum)
        ]
        if not ready and not (parameters and all(not p.requires_grad for p in parameters)):
            what = "no parameter has a gradient: run backward first" if parameters else "no parameters were given"
            warnings.warn(f"{type(self).__name__}.step changes nothing: {what}", stacklevel=2)
        calls: dict[tuple[Any, ...], tuple[dict[str, Any], list[tuple[Array | None, ...]]]] = {}
        for p, state, slots, number, settings in ready:
            self._advance(state, settings)
            decays = p.decay or (number is not None and "weight_decay" in self.groups.settings[number])
            alike = number, decays, *[state[name] for name in self.scalars], *[slot is None for slot in slots]
            if alike not in calls:
                scalars = {name: state[name] for name in self.scalars}
                decay = settings["weight_decay"] if decays else 0.0
                settings = {**settings, "lr": settings["lr"] * scale, "weight_decay": decay}
                own = self.attributes(settings, scalars)
                calls[alike] = {"lr": settings["lr"], "weight_decay": decay, **own}, []
            calls[alike][1].append((p.value, p.grad, *slots))
        for attributes, updates in calls.values():
            ops.update_each(op, updates, attributes)

    def lookahead(
        self, parameters: Iterable[Parameter], scale: float = 1.0, momentum: float | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """A context in which gradients are to be computed; it changes nothing, except for ``SGD(lookahead=True)``.

        The arguments are those of the `step` that follows.
        """
        return contextlib.nullcontext()

    def _ready(
        self, parameters: Sequence[Parameter], momentum: float | None = None, idle: bool = False
    ) -> Iterator[tuple[Parameter, str, int | None, dict[str, Any]]]:
        """(parameter, key of its state, its group, its settings) of each with a gradient; `idle`: also without one."""
        names = {p.name for p in parameters}
        named = "" not in names and len(names) == len(parameters)
        common = self._settings()
        if momentum is not None:
            common |= self._annealed(below_one(momentum, f"{type(self).__name__}.step: momentum"))
        own = [{**common, **settings} for settings in self.groups.settings]
        for position, (p, number) in enumerate(zip(parameters, self.groups.assign(parameters), strict=True)):
            if p.requires_grad and (idle or p.grad is not None):
                key = p.name if named else str(position)
                self._claim(key, p)
                yield p, key, number, common if number is None else own[number]

    # ---------------------------------------------------------------- state

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.settings}

    def _uses(self, slot: str, state: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
        """Whether an update has this slot; a velocity is kept up while momentum is 0 for a few steps."""
        flag = self.slots.get(slot)
        return flag is not None and (not flag or bool(settings[flag]) or (flag == "momentum" and slot in state))

    def _claim(self, key: str, p: Parameter) -> None:
        """Let `p` have the state of this key; a state that belongs to another parameter, as of another model, ends."""
        owner = self._owners.get(key)
        if owner is not None:
            if owner() is p:
                return
            self.state.pop(key, None)
        self._owners[key] = weakref.ref(p)

    def _state_of(
        self, ops: Ops, key: str, p: Parameter, settings: Mapping[str, Any], names: Sequence[str]
    ) -> tuple[dict[str, Any], list[Array | None]]:
        """A parameter's state, and the arrays of these names in it, None for those that its update does not use."""
        if key not in self.state:
            self.state[key] = dict(self.scalars)
        if not (isinstance(p.value, ops.array_types) and isinstance(p.grad, ops.array_types)):
            p.value, p.grad = ops.own(p.value), ops.own(p.grad)
        state, value = self.state[key], p.value
        slots: list[Array | None] = []
        for slot in names:
            if not self._uses(slot, state, settings):
                slots.append(None)
                continue
            if slot not in state:
                state[slot] = self._initial(ops, p, settings)
            array = state[slot] = ops.own(state[slot])
            if array.shape != value.shape or array.dtype != value.dtype:
                raise ValueError(
                    f"{type(self).__name__}: state {slot!r} of parameter {key!r} is {array.dtype} {array.shape}, the "
                    f"parameter is {value.dtype} {value.shape}; use a new optimiser for another model"
                )
            slots.append(array)
        return state, slots

    def state_dict(self) -> dict[str, Any]:
        """The state as one flat dict: ``"<key>/<slot>"`` to a NumPy array (a copy), ``"<key>/t"`` to an int."""
        return {
            f"{key}/{slot}": value if slot in self.scalars else on_host(value).copy()
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
        loaded: dict[str, dict[str, Any]] = {}
        for name, value in state_dict.items():
            key, _, slot = name.rpartition("/")
            kept = type(self.scalars[slot])(value) if slot in self.scalars else on_host(value).copy()
            loaded.setdefault(key, {})[slot] = kept
        always = {*self.scalars, *(slot for slot, flag in self.slots.items() if not flag)}
        for key, state in loaded.items():
            if not always <= set(state) <= {*self.scalars, *self.slots}:
                raise ValueError(
                    f"{type(self).__name__}: state of {key!r} has {sorted(state)}, expected "
                    f"{sorted({*self.scalars, *self.slots})}; was it saved by another optimiser?"
                )
        self.state, self._owners = loaded, {}

    def __getstate__(self) -> dict[str, Any]:
        state = {key: self._hosted(slots) for key, slots in self.state.items()}
        # A copy goes on with the parameters that it is given first.
        return {**self.__dict__, "state": state, "_owners": {}}

    def _hosted(self, slots: Mapping[str, Any]) -> dict[str, Any]:
        """A parameter's state with NumPy arrays."""
        return {slot: value if slot in self.scalars else on_host(value) for slot, value in slots.items()}

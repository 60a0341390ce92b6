"""First-order optimisers: SGD with momentum and Nesterov's, AdaGrad, RMSProp, Adam, AdamW."""

from __future__ import annotations

import math
import numbers
from collections import Counter
from collections.abc import Iterable

from fastnet.backends import current

__all__ = ["Optimizer", "SGD", "AdaGrad", "RMSProp", "Adam", "AdamW"]


def _check(optimizer: str, name: str, value: float, below: float = math.inf, positive: bool = False) -> float:
    """`value` as a float, or a ValueError unless 0 <= value < below (0 < value when `positive`)."""
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{optimizer}: {name} must be a number, got {value!r}")
    low_ok = value > 0 if positive else value >= 0
    if not (low_ok and value < below):
        low = "> 0" if positive else ">= 0"
        high = "finite" if below == math.inf else f"< {below:g}"
        raise ValueError(f"{optimizer}: {name} must be {low} and {high}, got {value!r}")
    return float(value)


class Optimizer:
    """The base: which parameters are updated, with what rate and decay, and where their state lies.

    A subclass names its arrays of state in `slots` and fulfils ``_update(ops, p, state, lr, weight_decay)``.

    Attributes
    ----------
    lr : float
        The base learning rate; a schedule's factor multiplies it.
    weight_decay : float
        Applied only to parameters with ``decay=True``.
    state : dict
        ``{key: {slot: array, "t": number of updates}}``; the key is the parameter's name where the names given to
        `step` are all different, else its position.
    """

    slots: tuple[str, ...] = ()
    settings: tuple[str, ...] = ("lr", "weight_decay")

    def __init__(self, lr: float, weight_decay: float = 0.0):
        self.lr = _check(type(self).__name__, "lr", lr)
        self.weight_decay = _check(type(self).__name__, "weight_decay", weight_decay)
        self.state: dict[str, dict] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.settings)})"

    def step(self, parameters: Iterable, scale: float = 1.0) -> None:
        """Update, in place, every trainable parameter that has a gradient.

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
        """
        parameters = list(parameters)
        names = Counter(p.name for p in parameters)
        named = all(names) and len(names) == len(parameters)
        ops, lr = current(), self.lr * scale
        for position, p in enumerate(parameters):
            if p.trainable and p.grad is not None:
                state = self._state_of(ops, p.name if named else str(position), p)
                state["t"] += 1
                self._update(ops, p, state, lr, self.weight_decay if p.decay else 0.0)

    def _state_of(self, ops, key, p) -> dict:
        if key not in self.state:
            self.state[key] = {"t": 0, **{slot: ops.xp.zeros_like(p.value) for slot in self.slots}}
        state = self.state[key]
        for slot in self.slots:
            array = state[slot]
            if array.shape != p.value.shape or array.dtype != p.value.dtype:
                raise ValueError(
                    f"{type(self).__name__}: state {slot!r} of parameter {key!r} is {array.dtype} {array.shape}, the "
                    f"parameter is {p.value.dtype} {p.value.shape}; use a new optimiser for another model"
                )
        return state

    def _update(self, ops, p, state, lr, weight_decay) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict:
        """The state as one flat dict: ``"<key>/<slot>"`` to an array (a copy), ``"<key>/t"`` to an int."""
        return {
            f"{key}/{slot}": value if slot == "t" else value.copy()
            for key, state in self.state.items()
            for slot, value in state.items()
        }

    def load_state_dict(self, state_dict: dict) -> None:
        """Replace the state by what `state_dict` returned.

        Raises
        ------
        ValueError
            A dict of another kind of optimiser.
        """
        ops, loaded = current(), {}
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


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum in PyTorch's form.

    ``v = momentum*v + (1 - dampening)*g; w -= lr*v``; with `nesterov` ``w -= lr*(g + momentum*v)``; without momentum
    ``w -= lr*g``.  v starts at 0 (PyTorch starts it at g, which differs only with dampening).  The other form,
    ``v = mu*v - lr*g; w += v``, takes the same steps while lr stands still.  Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013.

    Parameters
    ----------
    lr : float
    momentum, dampening : float in [0, 1)
        `dampening` = momentum gives the running mean ``v = b*v + (1 - b)*g``.
    nesterov : bool
        Needs momentum > 0 and dampening = 0.
    weight_decay : float
        ``g += weight_decay*w`` where the parameter has ``decay=True``.
    """

    slots = ("velocity",)
    settings = ("lr", "momentum", "dampening", "nesterov", "weight_decay")

    def __init__(self, lr, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0):
        super().__init__(lr, weight_decay)
        self.momentum = _check("SGD", "momentum", momentum, below=1)
        self.dampening = _check("SGD", "dampening", dampening, below=1)
        self.nesterov = bool(nesterov)
        if nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError(
                f"SGD: nesterov=True needs momentum > 0 and dampening = 0, got momentum={momentum}, "
                f"dampening={dampening}"
            )
        if self.momentum == 0:
            self.slots = ()

    def _update(self, ops, p, state, lr, weight_decay):
        ops.sgd_step(
            p.value,
            p.grad,
            state.get("velocity"),
            lr,
            momentum=self.momentum,
            dampening=self.dampening,
            nesterov=self.nesterov,
            weight_decay=weight_decay,
        )


class AdaGrad(Optimizer):
    """``h += g*g; w -= lr * g / (sqrt(h) + eps)`` (Duchi, Hazan & Singer 2011)."""

    slots = ("squares",)
    settings = ("lr", "eps", "weight_decay")

    def __init__(self, lr=1e-2, eps=1e-7, weight_decay=0.0):
        super().__init__(lr, weight_decay)
        self.eps = _check("AdaGrad", "eps", eps, positive=True)

    def _update(self, ops, p, state, lr, weight_decay):
        ops.adagrad_step(p.value, p.grad, state["squares"], lr, eps=self.eps, weight_decay=weight_decay)


class RMSProp(Optimizer):
    """``h = decay_rate*h + (1 - decay_rate)*g*g; w -= lr * g / (sqrt(h) + eps)`` (Tieleman & Hinton 2012)."""

    slots = ("squares",)
    settings = ("lr", "decay_rate", "eps", "weight_decay")

    def __init__(self, lr=1e-3, decay_rate=0.99, eps=1e-8, weight_decay=0.0):
        super().__init__(lr, weight_decay)
        self.decay_rate = _check("RMSProp", "decay_rate", decay_rate, below=1)
        self.eps = _check("RMSProp", "eps", eps, positive=True)

    def _update(self, ops, p, state, lr, weight_decay):
        ops.rmsprop_step(
            p.value,
            p.grad,
            state["squares"],
            lr,
            decay_rate=self.decay_rate,
            eps=self.eps,
            weight_decay=weight_decay,
        )


class Adam(Optimizer):
    """Adam with bias correction, t from 1 for each parameter (Kingma & Ba, "Adam", 2015).

    ``m = beta1*m + (1 - beta1)*g; v = beta2*v + (1 - beta2)*g*g;``
    ``w -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)``; weight decay joins the gradient.
    """

    slots = ("m", "v")
    settings = ("lr", "beta1", "beta2", "eps", "weight_decay")
    decoupled = False

    def __init__(self, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
        super().__init__(lr, weight_decay)
        name = type(self).__name__
        self.beta1 = _check(name, "beta1", beta1, below=1)
        self.beta2 = _check(name, "beta2", beta2, below=1)
        self.eps = _check(name, "eps", eps, positive=True)

    def _update(self, ops, p, state, lr, weight_decay):
        ops.adam_step(
            p.value,
            p.grad,
            state["m"],
            state["v"],
            state["t"],
            lr,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.eps,
            weight_decay=weight_decay,
            decoupled=self.decoupled,
        )


class AdamW(Adam):
    """Adam with decoupled decay, ``w -= lr*weight_decay*w`` before the step (Loshchilov & Hutter 2019)."""

    decoupled = True

    def __init__(self, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2):
        super().__init__(lr, beta1, beta2, eps, weight_decay)

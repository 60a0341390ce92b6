"""SGD: stochastic gradient descent, with momentum in its three forms and Nesterov's in both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastnet.backends import current
from fastnet.layers import Parameter
from fastnet.layers.parameter import parameters_of
from fastnet.ops import REGISTRY
from fastnet.optim.optimizer import Optimizer
from fastnet.optim.settings import at_least_zero, below_one, choice, flag

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, by default with momentum in PyTorch's form.

    ``v = momentum*v + (1 - dampening)*g; w -= lr*v``; without momentum ``w -= lr*g``.  v starts at 0 (PyTorch starts it
    at g, which differs only with dampening).  Momentum is typically 0.9 or 0.99, or rises from 0.5 to 0.99.  Polyak,
    "Some methods of speeding up the convergence of iteration methods", 1964; Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013.

    Parameters
    ----------
    lr : float
    momentum, dampening : float in [0, 1)
        `dampening` = momentum makes v a running mean, ``v = b*v + (1 - b)*g``.
    weight_decay : float
        ``g += weight_decay*w`` for parameters with ``decay=True``.
    nesterov : bool
        Nesterov's momentum, rearranged so that the gradient is that of the parameters: ``w -= lr*(g + momentum*v)``,
        with a velocity of steps ``w += momentum*v - lr*g``, that is ``w += v + momentum*(v - old v)``.  Needs
        momentum > 0 and dampening = 0.
    velocity : "gradients" or "steps"
        What v adds up.  "steps": ``v = momentum*v - lr*g; w += v``.  The steps are those of "gradients" while lr is
        constant; when a schedule lowers lr, a velocity of gradients slows down at once, one of steps coasts.
    ahead : bool
        Nesterov's momentum as it is defined: ``v = momentum*v - lr*gradient(w + momentum*v); w += v``.  Gradients are
        to be computed inside ``with optimizer.lookahead(parameters):``, as Solver does.  `nesterov`, which needs no
        copy of the parameters, keeps w + momentum*v as its parameters and takes the same steps.  Needs nesterov=False.
    groups : list of dict
        Parameters with settings of their own: ``[{"params": "fc.*", "lr": 0.01}]``; "params" is a Parameter, a pattern
        of names, or a list of either.
    """

    op = "sgd_step"
    slots = {"velocity": "momentum"}
    settings = {
        "lr": at_least_zero,
        "momentum": below_one,
        "dampening": below_one,
        "weight_decay": at_least_zero,
        "nesterov": flag,
        "velocity": choice("gradients", "steps"),
        "ahead": flag,
    }
    momentum: float
    dampening: float
    nesterov: bool
    velocity: str
    ahead: bool

    def __init__(
        self,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        velocity: str = "gradients",
        ahead: bool = False,
        groups: Sequence[Mapping[str, Any]] = (),
    ):
        super().__init__(
            groups,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            velocity=velocity,
            ahead=ahead,
        )
        self._is_ahead = False

    def _check(self, settings: Mapping[str, Any]) -> None:
        for name in ("nesterov", "ahead"):
            if settings[name] and (settings["momentum"] == 0 or settings["dampening"] != 0):
                raise ValueError(
                    f"SGD: {name}=True needs momentum > 0 and dampening = 0, got momentum={settings['momentum']}, "
                    f"dampening={settings['dampening']}"
                )
        if settings["nesterov"] and settings["ahead"]:
            raise ValueError("SGD: nesterov=True and ahead=True are two forms of the same; choose one")

    def attributes(self, settings: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
        same = {name: settings[name] for name in ("momentum", "dampening", "nesterov")}
        return {**same, "of_steps": settings["velocity"] == "steps"}

    def step(self, parameters: Iterable[Parameter], scale: float = 1.0, momentum: float | None = None) -> None:
        if self.ahead and not self._is_ahead:
            raise RuntimeError(
                "SGD: with ahead=True gradients must be those at the point ahead: compute them inside "
                "`with optimizer.lookahead(parameters):`, then call step(parameters)"
            )
        self._is_ahead = False
        super().step(parameters, scale, momentum)

    step.__doc__ = Optimizer.step.__doc__

    def lookahead(
        self, parameters: Iterable[Parameter], scale: float = 1.0, momentum: float | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """A context in which the parameters stand where their velocities alone would take them, if ``ahead=True``.

        The arguments are those of the `step` that follows.
        """
        parameters = parameters_of(parameters, "SGD.lookahead")
        scale = at_least_zero(scale, "SGD.lookahead: scale")
        return self._moved(parameters, scale, momentum) if self.ahead else contextlib.nullcontext()

    @contextlib.contextmanager
    def _moved(self, parameters: list[Parameter], scale: float, momentum: float | None) -> Iterator[None]:
        ops, kept = current(), []
        for p, key, _, settings in self._ready(parameters, momentum, idle=True):
            velocity = self.state.get(key, {}).get("velocity")
            if velocity is not None:
                p.value, velocity = ops.own(p.value), ops.own(velocity)
                self.state[key]["velocity"] = velocity
                rate = -1.0 if settings["velocity"] == "steps" else settings["lr"] * scale
                kept.append((p, p.value.copy()))
                ops.update(
                    REGISTRY["sgd_step"], (p.value, velocity, None), {"lr": rate * settings["momentum"], **_PLAIN}
                )
        try:
            yield
            self._is_ahead = True
        finally:
            for p, value in kept:
                p.value[...] = value


_PLAIN = {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "of_steps": False, "weight_decay": 0.0}

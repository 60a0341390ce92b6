"""Optimisers that divide by the root of a sum or mean of squared gradients: Adagrad, RMSprop, Adadelta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnet.backends import Ops
from fastnet.layers import Parameter
from fastnet.optim.optimizer import Optimizer
from fastnet.optim.settings import at_least_zero, below_one, flag, positive
from fastnet.types import Array

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class Adagrad(Optimizer):
    """``h += g*g; w -= lr / (1 + (t - 1)*lr_decay) * g / (sqrt(h) + eps)``, t from 1.

    h only grows, so the steps shrink: under a constant gradient step t is ``lr / sqrt(t)``.  Duchi, Hazan & Singer,
    "Adaptive subgradient methods for online learning and stochastic optimization", 2011.

    Parameters
    ----------
    lr, lr_decay : float
    weight_decay : float
        ``g += weight_decay*w`` for parameters with ``decay=True``.
    initial_accumulator_value : float
        h before the first step.
    eps : float
    eps_inside : bool
        Whether eps stands under the root, ``sqrt(h + eps)``, as in CS231n's course notes.
    groups : list of dict
        Parameters with settings of their own; see :class:`SGD`.
    """

    op = "adagrad_step"
    slots = {"squares": ""}
    settings = {
        "lr": at_least_zero,
        "lr_decay": at_least_zero,
        "weight_decay": at_least_zero,
        "initial_accumulator_value": at_least_zero,
        "eps": positive,
        "eps_inside": flag,
    }
    initial_accumulator_value: float

    def __init__(
        self,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        eps_inside: bool = False,
        groups: Sequence[Mapping[str, Any]] = (),
    ):
        super().__init__(
            groups,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            eps_inside=eps_inside,
        )

    def _initial(self, ops: Ops, p: Parameter, settings: Mapping[str, Any]) -> Array:
        filled: Array = ops.xp.full_like(p.value, settings["initial_accumulator_value"])
        return filled

    def attributes(self, settings: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
        rate = settings["lr"] / (1 + (scalars["t"] - 1) * settings["lr_decay"])
        return {"lr": rate, "eps": settings["eps"], "eps_inside": settings["eps_inside"]}


class RMSprop(Optimizer):
    """``h = alpha*h + (1 - alpha)*g*g; w -= lr * g / (sqrt(h) + eps)``.

    Tieleman & Hinton, "Neural networks for machine learning", lecture 6.5, 2012.

    Parameters
    ----------
    lr : float
    alpha : float in [0, 1)
        The weight of the old h.
    eps : float
    weight_decay : float
        ``g += weight_decay*w`` for parameters with ``decay=True``.
    momentum : float in [0, 1)
        ``v = momentum*v + g / (sqrt(h) + eps); w -= lr*v``.
    centered : bool
        Whether the variance, ``h - mean**2`` with ``mean = alpha*mean + (1 - alpha)*g``, is used in place of h
        (Graves, arXiv:1308.0850).  Where rounding makes it negative, it is 0.
    eps_inside : bool
        Whether eps stands under the root, ``sqrt(h + eps)``, as in CS231n's course notes.
    groups : list of dict
        Parameters with settings of their own; see :class:`SGD`.
    """

    op = "rmsprop_step"
    slots = {"squares": "", "mean": "centered", "velocity": "momentum"}
    settings = {
        "lr": at_least_zero,
        "alpha": below_one,
        "eps": positive,
        "weight_decay": at_least_zero,
        "momentum": below_one,
        "centered": flag,
        "eps_inside": flag,
    }
    momentum: float

    def __init__(
        self,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        eps_inside: bool = False,
        groups: Sequence[Mapping[str, Any]] = (),
    ):
        super().__init__(
            groups,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            eps_inside=eps_inside,
        )

    def attributes(self, settings: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
        return {name: settings[name] for name in ("alpha", "eps", "eps_inside", "momentum")}


class Adadelta(Optimizer):
    """``h = rho*h + (1 - rho)*g*g; d = sqrt(u + eps) / sqrt(h + eps) * g; u = rho*u + (1 - rho)*d*d; w -= lr*d``.

    Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701, which has no lr (lr = 1).

    Parameters
    ----------
    lr : float
    rho : float in [0, 1)
        The weight of the old means.
    eps : float
        Stands under both roots; it sets the size of the first steps.
    weight_decay : float
        ``g += weight_decay*w`` for parameters with ``decay=True``.
    groups : list of dict
        Parameters with settings of their own; see :class:`SGD`.
    """

    op = "adadelta_step"
    slots = {"squares": "", "updates": ""}
    settings = {"lr": at_least_zero, "rho": below_one, "eps": positive, "weight_decay": at_least_zero}

    def __init__(
        self,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        groups: Sequence[Mapping[str, Any]] = (),
    ):
        super().__init__(groups, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)

    def attributes(self, settings: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
        return {"rho": settings["rho"], "eps": settings["eps"]}

"""Adam and what came of it: AdamW, NAdam, AMSGrad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnet.optim.optimizer import Optimizer
from fastnet.optim.settings import at_least_zero, betas, flag, positive

__all__ = ["Adam", "AdamW", "NAdam"]


class _Means(Optimizer):
    """What keeps running means of g and g*g; its momentum is betas[0]."""

    slots = {"m": "", "v": ""}
    betas: tuple[float, float]

    @property
    def momentum(self) -> float:
        """betas[0]."""
        return self.betas[0]

    @momentum.setter
    def momentum(self, value: float) -> None:
        self.betas = value, self.betas[1]

    def _annealed(self, momentum: float) -> dict[str, Any]:
        return {"betas": (momentum, self.betas[1])}


class Adam(_Means):
    """Adam, t from 1 for each parameter (Kingma & Ba 2015, arXiv:1412.6980).

    ``m = beta1*m + (1 - beta1)*g; v = beta2*v + (1 - beta2)*g*g;``
    ``w -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)``

    Parameters
    ----------
    lr : float
    betas : pair of float in [0, 1)
        (beta1, beta2).
    eps : float
    weight_decay : float
        ``g += weight_decay*w`` for parameters with ``decay=True``.
    amsgrad : bool
        Whether the largest v so far is used in place of v (Reddi, Kale & Kumar 2018, arXiv:1904.09237).
    bias_correction : bool
        Without it, ``w -= lr * m / (sqrt(v) + eps)``: m and v start at 0 and are too small at first, v more than m, so
        that the first step is ``(1 - beta1) / sqrt(1 - beta2)`` times the rate, 3.16 by default.
    eps_inside : bool
        Whether eps stands under the root, ``sqrt(v + eps)``.
    groups : list of dict
        Parameters with settings of their own; see :class:`SGD`.
    """

    op = "adam_step"
    slots = {**_Means.slots, "largest": "amsgrad"}
    settings = {
        "lr": at_least_zero,
        "betas": betas,
        "eps": positive,
        "weight_decay": at_least_zero,
        "amsgrad": flag,
        "bias_correction": flag,
        "eps_inside": flag,
    }
    decoupled = False

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        bias_correction: bool = True,
        eps_inside: bool = False,
        groups: Sequence[Mapping[str, Any]] = (),
    ):
        super().__init__(
            groups,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            bias_correction=bias_correction,
            eps_inside=eps_inside,
        )

    def attributes(self, settings: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
        beta1, beta2 = settings["betas"]
        same = {name: settings[name] for name in ("eps", "eps_inside", "bias_correction")}
        return {"t": scalars["t"], "beta1": beta1, "beta2": beta2, "decoupled": self.decoupled, **same}


class AdamW(Adam):
    """Adam with decoupled decay, ``w -= lr*weight_decay*w`` before the step (Loshchilov & Hutter, arXiv:1711.05101)."""

    decoupled = True

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        bias_correction: bool = True,
        eps_inside: bool = False,
        groups: Sequence[Mapping[str, Any]] = (),
    ):
        super().__init__(
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            bias_correction=bias_correction,
            eps_inside=eps_inside,
            groups=groups,
        )


class NAdam(_Means):
    """Adam with Nesterov's momentum, which rises to beta1 (Dozat, "Incorporating Nesterov momentum into Adam", 2016).

    ``mu(t) = beta1 * (1 - 0.96**(t*momentum_decay) / 2)``, m and v as Adam's, P the product of mu(1) to mu(t);
    ``w -= lr * (mu(t+1)*m / (1 - P*mu(t+1)) + (1 - mu(t))*g / (1 - P)) / (sqrt(v / (1 - beta2**t)) + eps)``

    Parameters
    ----------
    lr : float
    betas : pair of float in [0, 1)
    eps : float
    weight_decay : float
        ``g += weight_decay*w`` for parameters with ``decay=True``.
    momentum_decay : float
    decoupled_weight_decay : bool
        Whether weight decay is AdamW's.
    eps_inside : bool
        Whether eps stands under the root, ``sqrt(v + eps)``.
    groups : list of dict
        Parameters with settings of their own; see :class:`SGD`.
    """

    op = "nadam_step"
    scalars = {"t": 0, "mu_product": 1.0}
    settings = {
        "lr": at_least_zero,
        "betas": betas,
        "eps": positive,
        "weight_decay": at_least_zero,
        "momentum_decay": at_least_zero,
        "decoupled_weight_decay": flag,
        "eps_inside": flag,
    }

    def __init__(
        self,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        eps_inside: bool = False,
        groups: Sequence[Mapping[str, Any]] = (),
    ):
        super().__init__(
            groups,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            eps_inside=eps_inside,
        )

    def _advance(self, state: dict[str, Any], settings: Mapping[str, Any]) -> None:
        super()._advance(state, settings)
        state["mu_product"] *= _momentum(settings, state["t"])

    def attributes(self, settings: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
        t, (beta1, beta2) = scalars["t"], settings["betas"]
        return {
            "t": t,
            "mu": _momentum(settings, t),
            "next_mu": _momentum(settings, t + 1),
            "product": scalars["mu_product"],
            "beta1": beta1,
            "beta2": beta2,
            "eps": settings["eps"],
            "eps_inside": settings["eps_inside"],
            "decoupled": settings["decoupled_weight_decay"],
        }


def _momentum(settings: Mapping[str, Any], t: int) -> float:
    """NAdam's momentum of step t."""
    rises: float = 1 - 0.5 * 0.96 ** (t * settings["momentum_decay"])
    return float(settings["betas"][0] * rises)

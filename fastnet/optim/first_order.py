"""First-order optimisers: SGD with momentum and Nesterov's variant, Adagrad, RMSprop, Adam, AdamW.

Names, defaults and the order of arguments are PyTorch's.  Parameters are given to ``step``, not to the constructor.
"""

from __future__ import annotations

from typing import Any

from fastnet.arguments import flag
from fastnet.backends import Ops
from fastnet.layers import Parameter
from fastnet.optim.optimizer import Optimizer, check
from fastnet.types import Array

__all__ = ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum in PyTorch's form.

    ``v = momentum*v + (1 - dampening)*g; w -= lr*v``; with `nesterov` ``w -= lr*(g + momentum*v)``; without momentum
    ``w -= lr*g``.  v starts at 0 (PyTorch starts it at g, which differs only with dampening).  The other form,
    ``v = mu*v - lr*g; w += v``, takes the same steps while lr is constant.  Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013.

    Parameters
    ----------
    lr : float
    momentum, dampening : float in [0, 1)
        `dampening` = momentum makes v an exponential moving average, ``v = b*v + (1 - b)*g``.
    weight_decay : float
        ``g += weight_decay*w`` for parameters with ``decay=True``.
    nesterov : bool
        Needs momentum > 0 and dampening = 0.
    """

    op = "sgd_step"
    slots: tuple[str, ...] = ("velocity",)
    settings = ("lr", "momentum", "dampening", "weight_decay", "nesterov")

    def __init__(
        self,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ):
        super().__init__(lr, weight_decay)
        self.momentum = check("SGD", "momentum", momentum, below=1)
        self.dampening = check("SGD", "dampening", dampening, below=1)
        self.nesterov = flag(nesterov, "SGD: nesterov")
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError(
                f"SGD: nesterov=True needs momentum > 0 and dampening = 0, got momentum={momentum}, "
                f"dampening={dampening}"
            )
        if self.momentum == 0:
            self.slots = ()

    def attributes(self, t: int, lr: float) -> dict[str, Any]:
        return {"lr": lr, "momentum": self.momentum, "dampening": self.dampening, "nesterov": self.nesterov}


class Adagrad(Optimizer):
    """``h += g*g; w -= lr / (1 + (t - 1)*lr_decay) * g / (sqrt(h) + eps)``, t from 1 (Duchi, Hazan & Singer 2011).

    Parameters
    ----------
    lr, lr_decay : float
    weight_decay : float
        ``g += weight_decay*w`` for parameters with ``decay=True``.
    initial_accumulator_value : float
        h before the first step.
    eps : float
    """

    op = "adagrad_step"
    slots = ("squares",)
    settings = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def __init__(
        self,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ):
        super().__init__(lr, weight_decay)
        self.lr_decay = check("Adagrad", "lr_decay", lr_decay)
        self.initial_accumulator_value = check("Adagrad", "initial_accumulator_value", initial_accumulator_value)
        self.eps = check("Adagrad", "eps", eps, positive=True)

    def _initial(self, ops: Ops, p: Parameter) -> Array:
        filled: Array = ops.xp.full_like(p.value, self.initial_accumulator_value)
        return filled

    def attributes(self, t: int, lr: float) -> dict[str, Any]:
        return {"lr": lr / (1 + (t - 1) * self.lr_decay), "eps": self.eps}


class RMSprop(Optimizer):
    """``h = alpha*h + (1 - alpha)*g*g; w -= lr * g / (sqrt(h) + eps)`` (Tieleman & Hinton 2012).

    Parameters
    ----------
    lr : float
    alpha : float in [0, 1)
        The weight of the old h.
    eps : float
    weight_decay : float
        ``g += weight_decay*w`` for parameters with ``decay=True``.
    """

    op = "rmsprop_step"
    slots = ("squares",)
    settings = ("lr", "alpha", "eps", "weight_decay")

    def __init__(self, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0):
        super().__init__(lr, weight_decay)
        self.alpha = check("RMSprop", "alpha", alpha, below=1)
        self.eps = check("RMSprop", "eps", eps, positive=True)

    def attributes(self, t: int, lr: float) -> dict[str, Any]:
        return {"lr": lr, "alpha": self.alpha, "eps": self.eps}


class Adam(Optimizer):
    """Adam with bias correction, t from 1 for each parameter (Kingma & Ba 2015, arXiv:1412.6980).

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
    """

    op = "adam_step"
    slots = ("m", "v")
    settings = ("lr", "betas", "eps", "weight_decay")
    decoupled = False

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(lr, weight_decay)
        name = type(self).__name__
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"{name}: betas must be a pair such as (0.9, 0.999), got {betas!r}")
        self.betas = check(name, "betas[0]", betas[0], below=1), check(name, "betas[1]", betas[1], below=1)
        self.eps = check(name, "eps", eps, positive=True)

    def attributes(self, t: int, lr: float) -> dict[str, Any]:
        beta1, beta2 = self.betas
        return {"t": t, "lr": lr, "beta1": beta1, "beta2": beta2, "eps": self.eps, "decoupled": self.decoupled}


class AdamW(Adam):
    """Adam with decoupled decay, ``w -= lr*weight_decay*w`` before the step (Loshchilov & Hutter 2019)."""

    decoupled = True

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(lr, betas, eps, weight_decay)

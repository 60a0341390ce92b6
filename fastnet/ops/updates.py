"""Optimiser updates: ops that change a parameter and its state in place, but not the gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastnet.ops.checks import check_shape
from fastnet.ops.record import REQUIRED, WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

_N = (70001,)


def _shape(op: str) -> Callable[..., Shape]:
    def shape(w: Shaped, g: Shaped | None, *state: Shaped | None, **attributes: Any) -> Shape:
        for array in (g, *state):
            if array is not None:
                check_shape(op, "gradient and state", array, w.shape)
        return tuple(w.shape)

    return shape


def _update(
    name: str,
    forward: Callable[..., None],
    state: tuple[Input, ...],
    attributes: Mapping[str, Any],
    doc: str,
    flops: float,
    **example: Any,
) -> None:
    given = {name: value for name, value in attributes.items() if value is not REQUIRED}
    names = [input.name for input in state]
    register(
        Op(
            name,
            (Input("w", WEIGHT), Input("g", WEIGHT), *state),
            shape=_shape(name),
            forward=forward,
            attributes=attributes,
            in_place=("w", *names),
            flops=(flops, 0),
            examples=(
                Example(
                    (_N,) * (2 + len(state)),
                    {**given, "lr": 0.01, "weight_decay": 0.1, **example},
                    positive=tuple(names),
                ),
            ),
            doc=doc,
        )
    )


def _sgd(
    xp: Any,
    w: Array,
    g: Array,
    velocity: Array | None,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    g = g + weight_decay * w if weight_decay else g
    if velocity is not None:
        velocity *= momentum
        velocity += (1 - dampening) * g
        g = g + momentum * velocity if nesterov else velocity
    w -= lr * g


_update(
    "sgd_step",
    _sgd,
    (Input("velocity", WEIGHT, True),),
    {"lr": REQUIRED, "momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0},
    "g += weight_decay*w; v = momentum*v + (1-dampening)*g; w -= lr * (g + momentum*v if nesterov else v).  "
    "`velocity` None means no momentum: w -= lr*g.",
    4,
    momentum=0.9,
    nesterov=True,
)


def _adagrad(
    xp: Any, w: Array, g: Array, squares: Array, lr: float, eps: float = 1e-10, weight_decay: float = 0.0
) -> None:
    g = g + weight_decay * w if weight_decay else g
    squares += g * g
    w -= lr * g / (xp.sqrt(squares) + eps)


_update(
    "adagrad_step",
    _adagrad,
    (Input("squares", WEIGHT),),
    {"lr": REQUIRED, "eps": 1e-7, "weight_decay": 0.0},
    "h += g*g; w -= lr * g / (sqrt(h) + eps) (Duchi et al. 2011).",
    6,
)


def _rmsprop(
    xp: Any,
    w: Array,
    g: Array,
    squares: Array,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    g = g + weight_decay * w if weight_decay else g
    squares *= alpha
    squares += (1 - alpha) * g * g
    w -= lr * g / (xp.sqrt(squares) + eps)


_update(
    "rmsprop_step",
    _rmsprop,
    (Input("squares", WEIGHT),),
    {"lr": REQUIRED, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0},
    "h = alpha*h + (1-alpha)*g*g; w -= lr * g / (sqrt(h) + eps) (Tieleman & Hinton 2012).",
    8,
)


def _adam(
    xp: Any,
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    t: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    if decoupled:
        w -= lr * weight_decay * w
    elif weight_decay:
        g = g + weight_decay * w
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    w -= lr * (m / (1 - beta1**t)) / (xp.sqrt(v / (1 - beta2**t)) + eps)


_update(
    "adam_step",
    _adam,
    (Input("m", WEIGHT), Input("v", WEIGHT)),
    {
        "t": REQUIRED,
        "lr": REQUIRED,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "decoupled": False,
    },
    "Adam, step number t from 1 (Kingma & Ba 2015); `decoupled` decay is AdamW's (Loshchilov & Hutter 2019).",
    12,
    t=3,
)

"""Optimiser updates, which change a parameter and its state in place, but not the gradient; clipping of gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastnet.ops.checks import check_shape
from fastnet.ops.record import REQUIRED, WEIGHT, Example, Input, Op, register
from fastnet.types import Array, Shape, Shaped

_N = (70001,)
_RATE: dict[str, Any] = {"lr": REQUIRED, "weight_decay": 0.0}
_ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "eps_inside": False}


def _shape(op: str) -> Callable[..., Shape]:
    def shape(w: Shaped, *arrays: Shaped | None, **attributes: Any) -> Shape:
        for array in arrays:
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
    *examples: Mapping[str, Any],
) -> None:
    """Register an update of w by g; of `examples`, the first has all of the state, the others only what is required."""
    names = tuple(input.name for input in state)
    given = {name: value for name, value in attributes.items() if value is not REQUIRED}
    shapes = [(_N,) * (2 + len(state)), (_N, _N, *(None if input.optional else _N for input in state))]
    register(
        Op(
            name,
            (Input("w", WEIGHT), Input("g", WEIGHT), *state),
            shape=_shape(name),
            forward=forward,
            attributes=attributes,
            in_place=("w", *names),
            flops=(flops, 0),
            examples=tuple(
                Example(
                    shapes[min(number, 1)],
                    {**given, "lr": 0.01, "weight_decay": 0.1, **more},
                    positive=tuple(n for n in names if n != "mean"),
                )
                for number, more in enumerate(examples or ({},))
            ),
            doc=doc,
        )
    )


def _decayed(w: Array, g: Array, weight_decay: float) -> Array:
    return g + weight_decay * w if weight_decay else g


def _root(xp: Any, v: Array, eps: float, inside: bool) -> Array:
    root: Array = xp.sqrt(v + eps) if inside else xp.sqrt(v) + eps
    return root


def _average(mean: Array, value: Array, keep: float) -> Array:
    """mean = keep*mean + (1 - keep)*value, in place."""
    mean *= keep
    mean += (1 - keep) * value
    return mean


def _sgd(
    xp: Any,
    w: Array,
    g: Array,
    velocity: Array | None,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    of_steps: bool = False,
    weight_decay: float = 0.0,
) -> None:
    g, rate = _decayed(w, g, weight_decay), lr
    if velocity is not None:
        if of_steps:
            g, rate = -lr * g, -1.0
        velocity *= momentum
        velocity += (1 - dampening) * g
        g = g + momentum * velocity if nesterov else velocity
    w -= rate * g


_update(
    "sgd_step",
    _sgd,
    (Input("velocity", WEIGHT, True),),
    {**_RATE, "momentum": 0.0, "dampening": 0.0, "nesterov": False, "of_steps": False},
    "g += weight_decay*w; v = momentum*v + (1-dampening)*g; w -= lr * (g + momentum*v if nesterov else v).  A velocity "
    "`of_steps` has the rate in it: g = -lr*g; v = momentum*v + (1-dampening)*g; w += g + momentum*v or v.  `velocity` "
    "None means no momentum: w -= lr*g.",
    4,
    {"momentum": 0.9, "nesterov": True},
    {},
)


def _adagrad(
    xp: Any,
    w: Array,
    g: Array,
    squares: Array,
    lr: float,
    eps: float = 1e-10,
    eps_inside: bool = False,
    weight_decay: float = 0.0,
) -> None:
    g = _decayed(w, g, weight_decay)
    squares += g * g
    w -= lr * g / _root(xp, squares, eps, eps_inside)


_update(
    "adagrad_step",
    _adagrad,
    (Input("squares", WEIGHT),),
    {**_RATE, "eps": 1e-10, "eps_inside": False},
    "h += g*g; w -= lr * g / (sqrt(h) + eps), or sqrt(h + eps) if `eps_inside` (Duchi et al. 2011).",
    6,
)


def _rmsprop(
    xp: Any,
    w: Array,
    g: Array,
    squares: Array,
    mean: Array | None,
    velocity: Array | None,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    eps_inside: bool = False,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> None:
    g = _decayed(w, g, weight_decay)
    v = _average(squares, g * g, alpha)
    if mean is not None:
        v = xp.maximum(v - _average(mean, g, alpha) ** 2, 0)
    g = g / _root(xp, v, eps, eps_inside)
    if velocity is not None:
        velocity *= momentum
        velocity += g
        g = velocity
    w -= lr * g


_update(
    "rmsprop_step",
    _rmsprop,
    (Input("squares", WEIGHT), Input("mean", WEIGHT, True), Input("velocity", WEIGHT, True)),
    {**_RATE, "alpha": 0.99, "eps": 1e-8, "eps_inside": False, "momentum": 0.0},
    "h = alpha*h + (1-alpha)*g*g; w -= lr * g / (sqrt(h) + eps) (Tieleman & Hinton 2012).  With `mean`, h - mean**2 "
    "stands for h, where mean = alpha*mean + (1-alpha)*g (Graves 2013).  With `velocity`, v = momentum*v + g / "
    "(sqrt(h) + eps); w -= lr*v.",
    8,
    {"momentum": 0.9},
    {"eps_inside": True},
)


def _adadelta(
    xp: Any,
    w: Array,
    g: Array,
    squares: Array,
    updates: Array,
    lr: float,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> None:
    g = _decayed(w, g, weight_decay)
    step = xp.sqrt((updates + eps) / (_average(squares, g * g, rho) + eps)) * g
    _average(updates, step * step, rho)
    w -= lr * step


_update(
    "adadelta_step",
    _adadelta,
    (Input("squares", WEIGHT), Input("updates", WEIGHT)),
    {**_RATE, "rho": 0.9, "eps": 1e-6},
    "h = rho*h + (1-rho)*g*g; d = sqrt(u + eps) / sqrt(h + eps) * g; u = rho*u + (1-rho)*d*d; w -= lr*d (Zeiler 2012).",
    12,
)


def _decayed_or_shrunk(w: Array, g: Array, lr: float, weight_decay: float, decoupled: bool) -> Array:
    """The gradient with weight decay; decoupled decay shrinks the weights instead."""
    if not decoupled:
        return _decayed(w, g, weight_decay)
    w -= lr * weight_decay * w
    return g


def _adam(
    xp: Any,
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    largest: Array | None,
    t: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    eps_inside: bool = False,
    bias_correction: bool = True,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    g = _decayed_or_shrunk(w, g, lr, weight_decay, decoupled)
    m, v = _average(m, g, beta1), _average(v, g * g, beta2)
    if largest is not None:
        largest[...] = v = xp.maximum(largest, v)
    if bias_correction:
        m, v = m / (1 - beta1**t), v / (1 - beta2**t)
    w -= lr * m / _root(xp, v, eps, eps_inside)


_update(
    "adam_step",
    _adam,
    (Input("m", WEIGHT), Input("v", WEIGHT), Input("largest", WEIGHT, True)),
    {"t": REQUIRED, **_RATE, **_ADAM, "bias_correction": True, "decoupled": False},
    "Adam, step number t from 1 (Kingma & Ba 2015); `decoupled` decay is AdamW's (Loshchilov & Hutter 2019); with "
    "`largest`, the largest v so far stands for v (AMSGrad, Reddi et al. 2018).",
    12,
    {"t": 3},
    {"t": 3, "decoupled": True, "bias_correction": False, "eps_inside": True},
)


def _nadam(
    xp: Any,
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    t: int,
    lr: float,
    mu: float,
    next_mu: float,
    product: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    eps_inside: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    g = _decayed_or_shrunk(w, g, lr, weight_decay, decoupled)
    m, v = _average(m, g, beta1), _average(v, g * g, beta2)
    ahead = next_mu * m / (1 - product * next_mu) + (1 - mu) * g / (1 - product)
    w -= lr * ahead / _root(xp, v / (1 - beta2**t), eps, eps_inside)


_update(
    "nadam_step",
    _nadam,
    (Input("m", WEIGHT), Input("v", WEIGHT)),
    {"t": REQUIRED, **_RATE, "mu": REQUIRED, "next_mu": REQUIRED, "product": REQUIRED, **_ADAM, "decoupled": False},
    "Adam with Nesterov's momentum, step number t from 1; mu and next_mu are the momenta of this and the next step, "
    "`product` that of all so far: w -= lr * (next_mu*m / (1 - product*next_mu) + (1-mu)*g / (1 - product)) / "
    "(sqrt(v / (1 - beta2**t)) + eps) (Dozat 2016).",
    14,
    {"t": 3, "mu": 0.8, "next_mu": 0.85, "product": 0.5},
)


# ---------------------------------------------------------------- clipping


def _rescale(xp: Any, x: Array, factor: float) -> None:
    x *= factor


def _clip(xp: Any, x: Array, size: float) -> None:
    xp.clip(x, -size, size, out=x)


_X = Input("x", WEIGHT)
register(
    Op(
        "rescale",
        (_X,),
        shape=_shape("rescale"),
        forward=_rescale,
        attributes={"factor": REQUIRED},
        in_place=("x",),
        examples=(Example((_N,), {"factor": 0.3}),),
        doc="x *= factor, in place.",
    )
)
register(
    Op(
        "clip",
        (_X,),
        shape=_shape("clip"),
        forward=_clip,
        attributes={"size": REQUIRED},
        in_place=("x",),
        examples=(Example((_N,), {"size": 0.3}),),
        doc="x = min(max(x, -size), size), in place; NaN stays.",
    )
)

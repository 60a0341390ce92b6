"""Fused training ops: several ops that a backend may run as one. fused_conv.py has those of a convolution without
a norm, fused_prelu.py those that end in a PReLU, fused_inference.py those of inference.

Each is defined as a composition of other ops, which runs on a backend without a kernel for it. The rules of
fastnet/graph/fusion.py insert them into graphs; layers never call them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastnet.geometry import Conv2dGeometry
from fastnet.ops.checks import check_shape
from fastnet.ops.conv import CONV_INPUTS, EXAMPLES, conv2d_shape
from fastnet.ops.elementwise import ELEMENTWISE, activate, activate_gradient
from fastnet.ops.norm import NORM_INPUTS, NORM_NUMBERS, batch_norm_shape
from fastnet.ops.record import REQUIRED, Example, Input, Op, register
from fastnet.types import Activation, Array, Shape, Shaped

ADD = Input("add", optional=True)
RELU: Activation = ("relu", {})


class Described:
    """The shape of an intermediate array between two ops."""

    def __init__(self, shape: Shape) -> None:
        self.shape, self.ndim = shape, len(shape)


def check_add(op: str, add: Shaped | None, shape: Shape) -> None:
    """Raise ValueError if `add` is given with another shape."""
    if add is not None:
        check_shape(op, "add", add, shape)


# ---------------------------------------------------------------- batch norm, a sum, an activation


def _norm_shape(
    x: Shaped,
    gamma: Shaped | None,
    beta: Shaped | None,
    running_mean: Shaped | None,
    running_var: Shaped | None,
    add: Shaped | None,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    activation: Activation | None = None,
) -> Shape:
    check_add("batch_norm_activation", add, x.shape)
    return batch_norm_shape(x, gamma, beta, running_mean, running_var, training, momentum, eps)


def _norm(
    ops: Any,
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    running_mean: Any,
    running_var: Any,
    add: Array | None,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    activation: Activation | None = None,
) -> tuple[Array, Any]:
    y, saved = ops.batch_norm(x, gamma, beta, running_mean, running_var, training, momentum, eps)
    if add is not None:
        y = ops.add(y, add)
    y, kept = activate(ops.xp, y, activation)
    return y, (saved, kept, activation)


def _norm_backward(ops: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,) * 4) -> tuple[Array | None, ...]:
    saved, kept, activation = saved
    dy = activate_gradient(ops.xp, dy, kept, activation)
    return *ops.batch_norm_backward(dy, saved, needs[:3]), dy if needs[3] else None


register(
    Op(
        "batch_norm_activation",
        (Input("x"), *NORM_INPUTS, ADD),
        shape=_norm_shape,
        forward=_norm,
        backward=_norm_backward,
        attributes={**NORM_NUMBERS, "activation": None},
        activations=ELEMENTWISE,
        composed=True,
        flops=(9, 10),
        examples=tuple(
            Example(
                ((9, 33, 17, 16), *((33,),) * 4, (9, 33, 17, 16)),
                {"training": training, "activation": RELU},
                positive=("running_var",),
            )
            for training in (True, False)
        ),
        doc="activation(batch_norm(x) + add): the end of a residual block; `add` may be None.",
    )
)

# ---------------------------------------------------------------- convolution, batch norm


def _conv_norm_shape(
    x: Shaped,
    w: Shaped,
    b: Shaped | None,
    gamma: Shaped | None,
    beta: Shaped | None,
    running_mean: Shaped | None,
    running_var: Shaped | None,
    add: Shaped | None,
    geometry: Conv2dGeometry,
    **norm: Any,
) -> Shape:
    y = Described(conv2d_shape(x, w, b, geometry))
    return _norm_shape(y, gamma, beta, running_mean, running_var, add, **norm)


def _conv_norm(
    ops: Any,
    x: Array,
    w: Array,
    b: Array | None,
    gamma: Array | None,
    beta: Array | None,
    running_mean: Any,
    running_var: Any,
    add: Array | None,
    geometry: Conv2dGeometry,
    activation: Activation | None = None,
    **norm: Any,
) -> tuple[Array, Any]:
    between, saved = ops.conv2d(x, w, b, geometry)
    statistics = gamma, beta, running_mean, running_var
    if add is None and activation is None:
        y, norm_saved = ops.batch_norm(between, *statistics, **norm)
    else:
        y, norm_saved = ops.batch_norm_activation(between, *statistics, add, **norm, activation=activation)
    return y, (saved, norm_saved, add is None and activation is None)


def _conv_norm_backward(
    ops: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,) * 6, add: Array | None = None
) -> tuple[Array | None, ...]:
    saved, norm_saved, plain = saved
    norm_needs, dadd = (any(needs[:3]), *needs[3:5]), None
    if plain:
        dy, dgamma, dbeta = ops.batch_norm_backward(dy, norm_saved, norm_needs)
    else:
        dy, dgamma, dbeta, dadd = ops.batch_norm_activation_backward(dy, norm_saved, (*norm_needs, needs[5]))
    dx = dw = db = None
    if any(needs[:3]):
        dx, dw, db = ops.conv2d_backward(dy, saved, needs[:3], add=add)
    return dx, dw, db, dgamma, dbeta, dadd


def conv_norm_examples() -> Iterator[Example]:
    """Convolutions with a batch norm, an added array and a ReLU."""
    for example, training in zip(
        (*EXAMPLES[:2], EXAMPLES[7], *EXAMPLES[8:]), (True, False, True, True, True), strict=True
    ):
        geometry = example.attributes["geometry"]
        yield Example(
            (*example.shapes, *((geometry.K,),) * 4, geometry.y_shape),
            {"geometry": geometry, "training": training, "activation": RELU},
            positive=("running_var",),
        )


register(
    Op(
        "conv2d_batch_norm",
        (*CONV_INPUTS, *NORM_INPUTS, ADD),
        shape=_conv_norm_shape,
        forward=_conv_norm,
        backward=_conv_norm_backward,
        attributes={"geometry": REQUIRED, **NORM_NUMBERS, "activation": None},
        activations=ELEMENTWISE,
        composed=True,
        accumulates=True,
        examples=tuple(conv_norm_examples()),
        doc="activation(batch_norm(conv2d(x, w, b)) + add); `add` may be None.",
    )
)

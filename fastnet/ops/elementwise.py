"""Elementwise ops: activations, and the sum of two arrays.

An activation is one record here, a line ELEMENTWISE in csrc/kernels.def and a line MAP, which makes its two functions,
in csrc/pointwise/activation.h.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastnet.ops.checks import check_shape
from fastnet.ops.erf import erf
from fastnet.ops.record import REGISTRY, Example, Input, Op, register
from fastnet.types import Activation, Array, Shape, Shaped

__all__ = ["activate", "activate_gradient", "activation", "ungate"]

_EXAMPLE = Example(((9, 33, 17, 16),), scale=8.0)


def activation(
    name: str,
    forward: Callable[..., Any],
    gradient: Callable[..., Any],
    *,
    saves: str = "x",
    attributes: Mapping[str, float] | None = None,
    flops: tuple[float, float] = (1.0, 1.0),
    onnx: str = "",
    doc: str,
) -> Op:
    """Register an elementwise function of one array.

    Parameters
    ----------
    name : str
        Of the op, and of its functions in csrc/pointwise/activation.h.
    forward : function
        ``forward(xp, x, **attributes)``.
    gradient : function
        ``gradient(xp, dy, saved, **attributes)``, the gradient of x.
    saves : "x" or "y"
        The array that `gradient` needs, here and as `saved` in csrc/pointwise/activation.h.
    attributes : mapping of str to float, optional
        Up to two parameters with their defaults; kernels receive them in this order.
    """
    numbers = dict(attributes or {})

    def run(xp: Any, x: Array, **given: float) -> tuple[Array, Any]:
        y = forward(xp, x, **given)
        return y, (y if saves == "y" else x, given)

    def backward(xp: Any, dy: Array, saved: Any, needs: Sequence[bool] = (True,)) -> Any:
        array, given = saved
        return gradient(xp, dy, array, **given)

    op = Op(
        name,
        (Input("x"),),
        shape=lambda x, **_: tuple(x.shape),
        forward=run,
        backward=backward,
        attributes=numbers,
        elementwise=True,
        saves_output=saves == "y",
        flops=flops,
        onnx=onnx,
        examples=(_EXAMPLE,),
        doc=doc,
    )
    return register(op)


def _sigmoid(xp: Any, x: Array) -> Any:
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, 1 / (1 + e), e / (1 + e))


activation(
    "relu",
    lambda xp, x: xp.maximum(x, 0),
    lambda xp, dy, y: xp.where(y > 0, dy, xp.zeros_like(dy)),
    saves="y",
    onnx="Relu",
    doc="max(x, 0); NaN stays NaN; the gradient at 0 is 0.",
)
activation(
    "leaky_relu",
    lambda xp, x, negative_slope: xp.where(x > 0, x, x * x.dtype.type(negative_slope)),
    lambda xp, dy, x, negative_slope: xp.where(x > 0, dy, dy * dy.dtype.type(negative_slope)),
    attributes={"negative_slope": 0.01},
    flops=(2, 2),
    onnx="LeakyRelu",
    doc="x where x > 0, else negative_slope * x (Maas et al. 2013).",
)
activation(
    "sigmoid",
    _sigmoid,
    lambda xp, dy, y: dy * y * (1 - y),
    saves="y",
    flops=(20, 3),
    onnx="Sigmoid",
    doc="1 / (1 + exp(-x)), without overflow.",
)
activation(
    "tanh",
    lambda xp, x: xp.tanh(x),
    lambda xp, dy, y: dy * (1 - y * y),
    saves="y",
    flops=(24, 3),
    onnx="Tanh",
    doc="tanh(x).",
)


_SQRT_HALF, _INV_SQRT_2PI = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)


def _normal_cdf(xp: Any, x: Array) -> Any:
    return (0.5 * (1 + erf(xp, x * _SQRT_HALF))).astype(x.dtype)


activation(
    "gelu",
    lambda xp, x: x * _normal_cdf(xp, x),
    lambda xp, dy, x: dy * (_normal_cdf(xp, x) + x * xp.exp(-0.5 * x * x) * x.dtype.type(_INV_SQRT_2PI)),
    flops=(60, 90),
    onnx="Gelu",
    doc="x Phi(x), with Phi(x) = (1 + erf(x / sqrt 2)) / 2 (Hendrycks & Gimpel 2016, arXiv:1606.08415).",
)


activation(
    "elu",
    lambda xp, x, alpha: xp.where(x > 0, x, x.dtype.type(alpha) * xp.expm1(xp.minimum(x, 0))),
    lambda xp, dy, x, alpha: xp.where(x > 0, dy, dy * x.dtype.type(alpha) * xp.exp(xp.minimum(x, 0))),
    attributes={"alpha": 1.0},
    flops=(20, 22),
    onnx="Elu",
    doc="x where x > 0, else alpha * (exp(x) - 1) (Clevert et al. 2016, arXiv:1511.07289).",
)


def _softplus(xp: Any, x: Array, beta: float, threshold: float) -> Any:
    z = x * x.dtype.type(beta)
    y = (xp.maximum(z, 0) + xp.log1p(xp.exp(-xp.abs(z)))) / x.dtype.type(beta)
    return xp.where(z > threshold, x, y)


activation(
    "softplus",
    _softplus,
    lambda xp, dy, x, beta, threshold: xp.where(
        x * x.dtype.type(beta) > threshold, dy, dy * _sigmoid(xp, x * x.dtype.type(beta))
    ),
    attributes={"beta": 1.0, "threshold": 20.0},
    flops=(40, 22),
    onnx="Softplus",
    doc="log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold (PyTorch's arguments).",
)


def _relu6(xp: Any, x: Array) -> Any:
    return xp.minimum(xp.maximum(x, 0), 6)


activation(
    "relu6",
    _relu6,
    lambda xp, dy, y: xp.where((y > 0) & (y < 6), dy, xp.zeros_like(dy)),
    saves="y",
    flops=(2, 2),
    onnx="Clip",
    doc="min(max(x, 0), 6); NaN stays NaN; the gradient at 0 and 6 is 0 (Howard et al. 2017, arXiv:1704.04861).",
)
activation(
    "hardsigmoid",
    lambda xp, x: _relu6(xp, x + 3) / 6,
    lambda xp, dy, x: xp.where((x > -3) & (x < 3), dy / 6, xp.zeros_like(dy)),
    flops=(4, 3),
    onnx="HardSigmoid",
    doc="relu6(x + 3) / 6; the gradient at -3 and 3 is 0 (Howard et al. 2019, arXiv:1905.02244).",
)
activation(
    "hardswish",
    lambda xp, x: x * _relu6(xp, x + 3) / 6,
    lambda xp, dy, x: dy * xp.where(x <= -3, 0, xp.where(x >= 3, 1, (x + x + 3) / 6)).astype(dy.dtype),
    flops=(5, 6),
    onnx="HardSwish",
    doc="x relu6(x + 3) / 6; the gradient at -3 is 0, at 3 it is 1 (Howard et al. 2019, arXiv:1905.02244).",
)
activation(
    "scale",
    lambda xp, x, factor: x * x.dtype.type(factor),
    lambda xp, dy, x, factor: dy * dy.dtype.type(factor),
    attributes={"factor": 1.0},
    onnx="Mul",
    doc="factor * x.",
)


def activate(xp: Any, y: Array, activation: Activation | None) -> Any:
    """y after a fused activation (name, attributes); None: y itself."""
    return y if activation is None else REGISTRY[activation[0]].forward(xp, y, **activation[1])[0]


def activate_gradient(xp: Any, dy: Array, y: Array | None, activation: Activation | None) -> Any:
    """The gradient before a fused activation, computed from its output y.

    Valid if the gradient is a function of y, and for leaky ReLU with a slope >= 0, since y then has x's sign.
    """
    if activation is None:
        return dy
    gradient = REGISTRY[activation[0]].backward
    assert gradient is not None
    return gradient(xp, dy, (y, activation[1]))


def ungate(ops: Any, dy: Array, saved: Any) -> tuple[Array, Any]:
    """(dy, saved) for a product without its fused activation, whose gradient has been applied to dy.

    The last two arrays that a product saves are y and the activation.
    """
    *kept, y, activation = saved
    name, attributes = activation
    op = REGISTRY[name]
    return ops.gradient(op)(dy, (y, *attributes.values(), *(0.0, 0.0)[len(attributes) :]), (True,)), (*kept, None, None)


def _add_shape(a: Shaped, b: Shaped) -> Shape:
    check_shape("add", "b", b, a.shape)
    return tuple(a.shape)


register(
    Op(
        "add",
        (Input("a"), Input("b")),
        shape=_add_shape,
        forward=lambda xp, a, b: (a + b, None),
        backward=lambda xp, dy, saved, needs=(True, True): tuple(dy if need else None for need in needs),
        plain=True,
        flops=(1, 0),
        onnx="Add",
        examples=(Example(((9, 33, 17, 16), (9, 33, 17, 16))), Example(((7, 5), (7, 5)))),
        doc="a + b, of one shape.",
    )
)


def _accumulate(xp: Any, total: Array, x: Array) -> None:
    total += x


def _accumulate_shape(total: Shaped, x: Shaped) -> Shape:
    check_shape("accumulate", "x", x, total.shape)
    return tuple(total.shape)


register(
    Op(
        "accumulate",
        (Input("total"), Input("x")),
        shape=_accumulate_shape,
        forward=_accumulate,
        in_place=("total",),
        examples=(Example(((70001,), (70001,))),),
        doc="total += x, in place; the two must not overlap, unless they are one array.",
    )
)

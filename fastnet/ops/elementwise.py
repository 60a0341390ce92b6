"""Elementwise ops: activations, and the sum of two arrays.

An activation is one record here, a line ELEMENTWISE in csrc/kernels.def and a line MAP, which makes its two functions,
in csrc/micro/map.h.  Convolutions, linear layers and norms can then end in it, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastnet.ops.checks import check_shape
from fastnet.ops.erf import erf
from fastnet.ops.record import REGISTRY, Example, Input, Op, register
from fastnet.types import Activation, Array, Shape, Shaped

__all__ = ["ELEMENTWISE", "activate", "activate_gradient", "activation", "ungate"]

_EXAMPLE = Example(((9, 33, 17, 16),), scale=8.0)


def activation(
    name: str,
    forward: Callable[..., Any],
    gradient: Callable[..., Any],
    *,
    saves: str | Callable[..., bool] = "x",
    attributes: Mapping[str, float] | None = None,
    flops: tuple[float, float] = (1.0, 1.0),
    onnx: str = "",
    doc: str,
) -> Op:
    """Register an elementwise function of one array.

    Parameters
    ----------
    name : str
        Of the op, and of its functions in csrc/micro/map.h.
    forward : function
        ``forward(xp, x, **attributes)``.
    gradient : function
        ``gradient(xp, dy, saved, **attributes)``, the gradient of x.
    saves : "x", "y" or function
        The array that `gradient` needs, here and as `saved` in csrc/micro/map.h; ``saves(*attributes)``: is it y?
    attributes : mapping of str to float, optional
        Up to two parameters with their defaults; kernels receive them in this order.
    """
    numbers = dict(attributes or {})
    saves_output: Callable[..., bool] = saves if callable(saves) else lambda *_: saves == "y"

    def run(xp: Any, x: Array, **given: float) -> tuple[Array, Any]:
        y = forward(xp, x, **given)
        return y, (y if saves_output(*given.values()) else x, given)

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
        saves_output=saves_output,
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
    lambda xp, dy, saved, negative_slope: xp.where(saved > 0, dy, dy * dy.dtype.type(negative_slope)),
    saves=lambda negative_slope: negative_slope >= 0,  # y then has the sign of x
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
    saves="y",  # the gradient needs neither
    attributes={"factor": 1.0},
    onnx="Mul",
    doc="factor * x.",
)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
activation(
    "selu",
    lambda xp, x: xp.where(
        x > 0, x * x.dtype.type(SELU_SCALE), x.dtype.type(SELU_SCALE * SELU_ALPHA) * xp.expm1(xp.minimum(x, 0))
    ),
    lambda xp, dy, y: dy * xp.where(y > 0, dy.dtype.type(SELU_SCALE), y + dy.dtype.type(SELU_SCALE * SELU_ALPHA)),
    saves="y",
    flops=(20, 4),
    onnx="Selu",
    doc="scale * x where x > 0, else scale * alpha * (exp(x) - 1), with the alpha and scale for which zero mean and "
    "unit variance are a fixed point of deep networks (Klambauer et al. 2017, arXiv:1706.02515).",
)


_TANH_K, _TANH_C = math.sqrt(2 / math.pi), 0.044715


def _gelu_twice(xp: Any, x: Array) -> Any:
    near = xp.clip(x, -30, 30)  # beyond, sigmoid is 0 or 1
    return near * (2 * _TANH_K + 2 * _TANH_K * _TANH_C * near * near)


def _gelu_tanh_gradient(xp: Any, dy: Array, x: Array) -> Any:
    z, near = _gelu_twice(xp, x), xp.clip(x, -30, 30)
    rise = near * (2 * _TANH_K + 6 * _TANH_K * _TANH_C * near * near)
    return dy * (_sigmoid(xp, z) + rise * _sigmoid(xp, z) * _sigmoid(xp, -z))


activation(
    "gelu_tanh",
    lambda xp, x: x * _sigmoid(xp, _gelu_twice(xp, x)),
    _gelu_tanh_gradient,
    flops=(25, 45),
    onnx="Gelu",
    doc="x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, within 5e-4 of gelu (Hendrycks & Gimpel 2016, "
    "arXiv:1606.08415).",
)


def _silu_gradient(xp: Any, dy: Array, x: Array) -> Any:
    s = _sigmoid(xp, x)
    return dy * (s * (1 + x * (1 - s)))


activation(
    "silu",
    lambda xp, x: x * _sigmoid(xp, x),
    _silu_gradient,
    flops=(22, 26),
    doc="x / (1 + exp(-x)) (Hendrycks & Gimpel 2016, arXiv:1606.08415; Elfwing et al. 2017, arXiv:1702.03118).",
)

ELEMENTWISE = tuple(name for name, op in REGISTRY.items() if op.elementwise)  # what other ops can end in


def activate(xp: Any, x: Array, activation: Activation | None) -> tuple[Array, Any]:
    """(y, what the gradient needs, x or y) of a fused activation (name, attributes); None: (x, None)."""
    if activation is None:
        return x, None
    y, (kept, _) = REGISTRY[activation[0]].forward(xp, x, **activation[1])
    return y, kept


def activate_gradient(xp: Any, dy: Array, kept: Array | None, activation: Activation | None) -> Any:
    """The gradient before a fused activation."""
    if activation is None:
        return dy
    gradient = REGISTRY[activation[0]].backward
    assert gradient is not None
    return gradient(xp, dy, (kept, activation[1]))


def ungate(ops: Any, dy: Array, saved: Any) -> tuple[Array, Any]:
    """(dy, saved) for a product without its fused activation, whose gradient has been applied to dy.

    The last two things that a product saves are what the activation's gradient needs, and the activation.
    """
    *kept, x_or_y, activation = saved
    name, attributes = activation
    op = REGISTRY[name]
    numbers = (*attributes.values(), 0.0, 0.0)[:2]
    return ops.gradient(op)(dy, (x_or_y, *numbers), (True,)), (*kept, None, None)


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

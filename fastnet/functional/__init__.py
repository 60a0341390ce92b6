"""Every op as a function, without layers: ``y, backward = functional.conv2d(x, w, b, padding=1)``.

Arrays may be anything that NumPy takes: lists, strided, byte-swapped, read-only; and other libraries' arrays, such as
PyTorch tensors (see `fastnet.arrays`).  float32 and float64 arrays keep their dtype and may not be mixed in one call;
integers, float16 and lists take the dtype of the others, or float32.

``backward(dy)`` returns dx for ops of one array, and a tuple of gradients, in the order of the arguments, for ops with
weights (None for an array that was not given).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastnet.arguments import real
from fastnet.backends import current
from fastnet.functional.activation import log_softmax, maxout, prelu, softmax
from fastnet.functional.arguments import arrays_of, follows, gradient_of
from fastnet.functional.conv import col2im, conv2d, im2col
from fastnet.functional.conv_transpose import conv_transpose2d
from fastnet.functional.dense import flatten, linear, matmul
from fastnet.functional.fractional import fractional_max_pool2d
from fastnet.functional.group_norm import group_norm, instance_norm, layer_norm, local_response_norm
from fastnet.functional.norm import batch_norm, dropout
from fastnet.functional.pool import avg_pool2d, global_avg_pool2d, max_pool2d
from fastnet.functional.resample import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    interpolate,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
)
from fastnet.ops import REGISTRY, Op
from fastnet.types import Array, ArrayLike

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "col2im",
    "conv2d",
    "conv_transpose2d",
    "dropout",
    "flatten",
    "fractional_max_pool2d",
    "global_avg_pool2d",
    "group_norm",
    "im2col",
    "instance_norm",
    "interpolate",
    "layer_norm",
    "linear",
    "local_response_norm",
    "log_softmax",
    "matmul",
    "max_pool2d",
    "maxout",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "softmax",
]

_Result = tuple[Array, Callable[[ArrayLike], Array]]  # y, and backward, which returns dx

if TYPE_CHECKING:  # the functions made below; tests/test_types.py compares them with the registry

    def elu(x: ArrayLike, alpha: float = 1.0) -> _Result: ...
    def gelu(x: ArrayLike) -> _Result: ...
    def gelu_tanh(x: ArrayLike) -> _Result: ...
    def hardsigmoid(x: ArrayLike) -> _Result: ...
    def hardswish(x: ArrayLike) -> _Result: ...
    def leaky_relu(x: ArrayLike, negative_slope: float = 0.01) -> _Result: ...
    def relu(x: ArrayLike) -> _Result: ...
    def relu6(x: ArrayLike) -> _Result: ...
    def scale(x: ArrayLike, factor: float = 1.0) -> _Result: ...
    def selu(x: ArrayLike) -> _Result: ...
    def sigmoid(x: ArrayLike) -> _Result: ...
    def silu(x: ArrayLike) -> _Result: ...
    def softplus(x: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> _Result: ...
    def tanh(x: ArrayLike) -> _Result: ...


_DOC = """{op.doc}

Parameters
----------
x : array, of any shape
{attributes}
Returns
-------
y : array, of x's shape
backward : function
    ``dx = backward(dy)``.

Raises
------
TypeError, ValueError
    If x does not hold real numbers of at most 64 bits; from `backward`, if dy has another shape than y.
"""


def _elementwise(op: Op) -> Callable[..., _Result]:
    """A function of this module from an elementwise op's record."""
    signature = op.signature

    def function(*args: Any, **kwargs: Any) -> _Result:
        arguments = signature.bind(*args, **kwargs).arguments
        ops = current()
        (x,) = arrays_of(op.name, x=arguments.pop("x"))
        numbers = {name: real(value, f"{op.name}: {name}") for name, value in arguments.items()}
        y, saved = getattr(ops, op.name)(x, **numbers)

        def backward(dy: ArrayLike) -> Array:
            dx: Array = getattr(ops, f"{op.name}_backward")(gradient_of(op.name, dy, y), saved)
            return dx

        return y, backward

    function.__name__ = function.__qualname__ = op.name
    function.__dict__["__signature__"] = signature
    attributes = "".join(f"{name} : float, default {default}\n" for name, default in op.attributes.items())
    function.__doc__ = _DOC.format(op=op, attributes=attributes)
    return function


for _op in REGISTRY.values():
    if _op.elementwise:
        globals()[_op.name] = follows(_elementwise(_op))
        __all__.append(_op.name)

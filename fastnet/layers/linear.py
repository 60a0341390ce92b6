"""The fully connected layer."""

from __future__ import annotations

from typing import Any, overload

from fastnet import initializers
from fastnet.arguments import flag
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer, Parameter, count
from fastnet.layers.sizes import check_declared, optional_input_size
from fastnet.types import DType, Generator, Initializer, Shape

__all__ = ["Linear"]


class Linear(Layer):
    """``y = x @ weight.T + bias``, (N, in) to (N, out).

    ``Linear(out_features)`` infers the number of inputs when it is built; ``Linear(in_features, out_features)``
    declares it.

    Parameters
    ----------
    in_features : int, optional
        Checked when the layer is built.
    out_features : int
    bias : bool
    initializer : str or function of (rng, shape)
        Of the weight (out, in).  See `fastnet.initializers`.
    bias_initializer : str or function of (rng, shape)
        Some prefer 0.01 before ReLUs: ``functools.partial(fastnet.initializers.constant, value=0.01)``.
    """

    @overload
    def __init__(
        self,
        in_features: int | None,
        out_features: int,
        bias: bool = True,
        *,
        initializer: str | Initializer = "kaiming_normal",
        bias_initializer: str | Initializer = "zeros",
    ) -> None: ...

    @overload
    def __init__(
        self,
        out_features: int,
        *,
        bias: bool = True,
        initializer: str | Initializer = "kaiming_normal",
        bias_initializer: str | Initializer = "zeros",
    ) -> None: ...

    @optional_input_size(2)
    def __init__(
        self,
        in_features: int | None,
        out_features: int,
        bias: bool = True,
        *,
        initializer: str | Initializer = "kaiming_normal",
        bias_initializer: str | Initializer = "zeros",
    ) -> None:
        self.in_features = None if in_features is None else count(in_features, "Linear: in_features")
        self.out_features = count(out_features, "Linear: out_features")
        self.use_bias = flag(bias, "Linear: bias")
        self.initializer, self.bias_initializer = initializer, bias_initializer
        self.weight: Parameter | Any = None  # None until built
        self.bias: Parameter | Any = None  # None until built
        initializers.resolve(initializer)
        initializers.resolve(bias_initializer)

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if len(shape) != 1:
            raise ValueError(
                f"Linear: expects vectors, (N, in), got examples of shape {shape}; put Flatten() before it"
            )
        check_declared(
            "Linear", "in_features", self.in_features, shape[0], " features; Linear(out_features) infers them"
        )
        self.parameter("weight", (self.out_features, shape[0]), self.initializer, rng, dtype)
        if self.use_bias:
            self.parameter("bias", (self.out_features,), self.bias_initializer, rng, dtype, decay=False)
        self.macs = self.out_features * shape[0]
        return (self.out_features,)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.linear(x, self.weight, self.bias)

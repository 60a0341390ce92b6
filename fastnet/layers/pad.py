"""Layers that add a frame to images."""

from __future__ import annotations

from fastnet.arguments import real, torch_sides
from fastnet.graph import Node, Recorder
from fastnet.layers.base import Layer
from fastnet.layers.shape import image_shape
from fastnet.ops.resample import padded_size
from fastnet.types import DType, Generator, Shape

__all__ = ["CircularPad2d", "ConstantPad2d", "ReflectionPad2d", "ReplicationPad2d", "ZeroPad2d"]


class _Pad2d(Layer):
    """(N, C, H, W) to (N, C, H + top + bottom, W + left + right).

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
        PyTorch's order, unlike that of a convolution's padding.  A negative number removes pixels.
    """

    _mode = "constant"
    value = 0.0

    def __init__(self, padding: int | tuple[int, int, int, int]) -> None:
        self.padding = torch_sides(padding, f"{type(self).__name__}: padding")

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        C, H, W = image_shape(type(self).__name__, shape)
        return C, *padded_size((1, C, H, W), self.padding, self._mode, self.value)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        return ops.pad(x, self.padding, self._mode, self.value)


class ZeroPad2d(_Pad2d):
    __doc__ = f"A frame of zeros.  {_Pad2d.__doc__}"


class ConstantPad2d(_Pad2d):
    __doc__ = f"A frame of `value`.  {_Pad2d.__doc__}    value : float\n"

    def __init__(self, padding: int | tuple[int, int, int, int], value: float) -> None:
        super().__init__(padding)
        self.value = real(value, "ConstantPad2d: value")


class ReflectionPad2d(_Pad2d):
    __doc__ = f"The image mirrored at its edge pixels, which are not repeated.  {_Pad2d.__doc__}"
    _mode = "reflect"


class ReplicationPad2d(_Pad2d):
    __doc__ = f"A frame of copies of the edge pixels.  {_Pad2d.__doc__}"
    _mode = "replicate"


class CircularPad2d(_Pad2d):
    __doc__ = f"The image repeated on all sides.  {_Pad2d.__doc__}"
    _mode = "circular"

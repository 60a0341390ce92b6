"""Cornell Tech "Machine Learning Engineering", minitorch module 4: convolution on flat storage, and pooling.

Students write ``tensor_conv1d`` and ``tensor_conv2d``, module globals that the project's autograd functions call.  To
run a finished project on these kernels, forward and backward::

    import minitorch.fast_conv, fastnet.compat.minitorch as fast

    minitorch.fast_conv.tensor_conv1d = fast.tensor_conv1d
    minitorch.fast_conv.tensor_conv2d = fast.tensor_conv2d

The size of the output is given separately: the kernel's first tap (in reverse, its last) is aligned with the output's
position, and pixels outside the input count as zero.  Pooling takes NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastnet.compat import kernels

__all__ = [
    "avgpool2d",
    "avgpool2d_backward",
    "maxpool2d",
    "maxpool2d_backward",
    "tensor_conv1d",
    "tensor_conv2d",
    "tile",
]


def _view(name: str, storage, shape, strides) -> np.ndarray:
    shape, strides = tuple(map(int, shape)), tuple(int(stride) * storage.itemsize for stride in strides)
    try:
        return np.ndarray(shape, storage.dtype, storage, 0, strides)
    except ValueError:
        raise ValueError(f"{name}: shape {shape} exceeds a storage of {storage.size} elements") from None


def tensor_conv1d(
    out: np.ndarray,
    out_shape: Sequence[int],
    out_strides: Sequence[int],
    out_size: int,
    input: np.ndarray,
    input_shape: Sequence[int],
    input_strides: Sequence[int],
    weight: np.ndarray,
    weight_shape: Sequence[int],
    weight_strides: Sequence[int],
    reverse: bool,
) -> None:
    """``out[n,k,i] = sum over c,r of input[n,c,i+r] * weight[k,c,r]``, or ``input[n,c,i-r]`` in reverse.

    Parameters
    ----------
    out, input, weight : flat contiguous arrays
        The storages.
    out_shape, input_shape, weight_shape : (N, K, P), (N, C, W) and (K, C, R)
    out_strides, input_strides, weight_strides : three ints each
        In elements.
    out_size : int
        The number of output elements.
    reverse : bool
        Whether the kernel is anchored at its right end.
    """
    arguments = (
        (out, out_shape, out_strides),
        (input, input_shape, input_strides),
        (weight, weight_shape, weight_strides),
    )
    out, input, weight = (
        _view(name, *given)[:, :, None] for name, given in zip(("out", "input", "weight"), arguments, strict=True)
    )
    _convolve(out, input, weight, reverse)


def tensor_conv2d(
    out: np.ndarray,
    out_shape: Sequence[int],
    out_strides: Sequence[int],
    out_size: int,
    input: np.ndarray,
    input_shape: Sequence[int],
    input_strides: Sequence[int],
    weight: np.ndarray,
    weight_shape: Sequence[int],
    weight_strides: Sequence[int],
    reverse: bool,
) -> None:
    """As :func:`tensor_conv1d` for images (N, K, P, Q), (N, C, H, W), (K, C, R, S); reverse anchors it bottom right."""
    arguments = (
        (out, out_shape, out_strides),
        (input, input_shape, input_strides),
        (weight, weight_shape, weight_strides),
    )
    out, input, weight = (
        _view(name, *given) for name, given in zip(("out", "input", "weight"), arguments, strict=True)
    )
    _convolve(out, input, weight, reverse)


def _convolve(out, input, weight, reverse) -> None:
    (N, K, *sizes), (N2, C, *given), (K2, C2, *taps) = out.shape, input.shape, weight.shape
    if (N, K, C) != (N2, K2, C2):
        raise ValueError(f"tensor_conv: shapes {out.shape}, {input.shape} and {weight.shape} do not fit together")
    if reverse:
        weight = weight[:, :, ::-1, ::-1]
    pads = []
    for size, had, tap in zip(sizes, given, taps, strict=True):
        before = tap - 1 if reverse else 0
        after = size + tap - 1 - before - had
        pads += [before, max(after, 0)]
    input = input[:, :, : sizes[0] + taps[0] - 1 - pads[0], : sizes[1] + taps[1] - 1 - pads[2]]
    out[...], _ = kernels.conv_forward(input, weight, None, 1, tuple(pads))


# ---------------------------------------------------------------- pooling


def tile(input: ArrayLike, kernel: Sequence[int]) -> tuple[np.ndarray, int, int]:
    """Cut images into tiles.

    Parameters
    ----------
    input : array, (N, C, H, W)
    kernel : (R, S)
        Divide H and W.

    Returns
    -------
    tiles : array, (N, C, H // R, W // S, R * S)
    new_height, new_width : int
    """
    input = np.asarray(input)
    (N, C, H, W), (R, S) = input.shape, kernel
    if H % R or W % S:
        raise ValueError(f"tile: kernel {tuple(kernel)} must divide the images' size {H} x {W}")
    tiles = input.reshape(N, C, H // R, R, W // S, S).swapaxes(3, 4)
    return tiles.reshape(N, C, H // R, W // S, R * S), H // R, W // S


def _pair(kernel) -> tuple[int, int]:
    R, S = kernel
    return R, S


def avgpool2d(input: ArrayLike, kernel: tuple[int, int]) -> np.ndarray:
    """The mean of each tile, (N, C, H // R, W // S)."""
    return kernels.avg_pool_forward(input, _pair(kernel))


def avgpool2d_backward(grad_output: ArrayLike, input: ArrayLike, kernel: tuple[int, int]) -> np.ndarray:
    """The gradient of :func:`avgpool2d`."""
    return kernels.avg_pool_backward(grad_output, np.shape(input), _pair(kernel))


def maxpool2d(input: ArrayLike, kernel: tuple[int, int]) -> np.ndarray:
    """The maximum of each tile, (N, C, H // R, W // S)."""
    return kernels.max_pool_forward(input, _pair(kernel))


def maxpool2d_backward(grad_output: ArrayLike, input: ArrayLike, kernel: tuple[int, int]) -> np.ndarray:
    """The gradient of :func:`maxpool2d`; each of a tile's equal maxima receives all of it, as in the course."""
    return kernels.max_pool_backward(grad_output, input, _pair(kernel), ties="all")

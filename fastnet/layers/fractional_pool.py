"""Fractional max pooling (Graham 2014)."""

from __future__ import annotations

from typing import Literal

from fastnet.arguments import flag, frozen, pair, real
from fastnet.graph import Node, Recorder
from fastnet.layers.noise import Noise
from fastnet.layers.shape import image_shape
from fastnet.ops.fractional import check_windows
from fastnet.types import DType, Generator, Pair, Shape

__all__ = ["FractionalMaxPool2d"]


def ratios(value: float | tuple[float, float], name: str) -> tuple[float, float]:
    """A number in (0, 1), or two; TypeError or ValueError otherwise."""
    value = frozen(value)
    if isinstance(value, tuple) and len(value) != 2:
        raise ValueError(f"{name} must be a number or a pair of numbers, got {value!r}")
    first, second = value if isinstance(value, tuple) else (value, value)
    numbers = real(first, name), real(second, name)
    if not all(0 < number < 1 for number in numbers):
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}")
    return numbers


def output_of(
    op: str,
    shape: Shape,
    output_size: tuple[int, int] | None,
    output_ratio: tuple[float, float] | None,
) -> tuple[int, int]:
    """(P, Q) of an image (..., H, W), of which exactly one of size and ratio is given."""
    if (output_size is None) == (output_ratio is None):
        raise ValueError(f"{op}: give either output_size or output_ratio")
    if output_size is not None:
        return output_size
    assert output_ratio is not None
    return int(shape[-2] * output_ratio[0]), int(shape[-1] * output_ratio[1])


class FractionalMaxPool2d(Noise):
    """The largest value of windows whose boundaries are drawn at random, so that any output size is possible.

    Graham 2014, "Fractional max-pooling", arXiv:1412.6071.  Along an axis, P windows lie between boundaries
    0 = b_0 < b_1 < ... < b_P = H whose steps are floor(H/P) or ceil(H/P): "pseudo-random",
    b_i = floor((i + u) H/P) - floor(u H/P) with one number u in [0, 1), or "random", those steps in random order.
    (With H/P = a/b in lowest terms, pseudo-random boundaries take only b forms.)
    Overlapping windows reach from b_i to b_i+1, disjoint ones to b_i+1 - 1.  With `kernel_size`, windows have that size
    and begin at boundaries of H - kernel_size, as PyTorch's do.  Boundaries are drawn for each image in each training
    step, the same for all channels (PyTorch: for each channel).

    Inference takes evenly spaced boundaries, i H/P rounded, so that predictions do not change from call to call;
    PyTorch draws there, too.
    :func:`fastnet.monte_carlo` averages the predictions of several draws, as the paper does.

    Parameters
    ----------
    kernel_size : int or pair, optional
        The size of the windows; None: they reach from one boundary to the next.
    output_size : int or pair, optional
    output_ratio : float or pair, optional
        Output size / input size, in (0, 1), rounded down.  Either this or `output_size` must be given.
    return_indices : False
        PyTorch's argument; indices are not available.
    random : bool
        Whether steps are in random order rather than pseudo-random.
    overlapping : bool
        Whether windows share a row or column with their neighbours; without `kernel_size` only.
    seed : int, optional
        Of the stream, in [0, 2**64); by default drawn from the model's seed when the layer is built.
    """

    def __init__(
        self,
        kernel_size: Pair | None = None,
        output_size: Pair | None = None,
        output_ratio: float | tuple[float, float] | None = None,
        return_indices: Literal[False] = False,
        *,
        random: bool = False,
        overlapping: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        name = "FractionalMaxPool2d"
        self.kernel_size = None if kernel_size is None else pair(kernel_size, f"{name}: kernel_size")
        self.output_size = None if output_size is None else pair(output_size, f"{name}: output_size")
        self.output_ratio = None if output_ratio is None else ratios(output_ratio, f"{name}: output_ratio")
        output_of(name, (1, 1), self.output_size, self.output_ratio)
        if flag(return_indices, f"{name}: return_indices"):
            raise TypeError(f"{name}: return_indices=True is not supported; a layer returns one array")
        self.random, self.overlapping = flag(random, f"{name}: random"), flag(overlapping, f"{name}: overlapping")

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        C, H, W = image_shape("FractionalMaxPool2d", shape)
        super().setup(shape, rng, dtype)
        P, Q = self._size((H, W))
        check_windows("FractionalMaxPool2d", (H, W), (P, Q), self.kernel_size)
        return C, P, Q

    def _size(self, shape: Shape) -> tuple[int, int]:
        return output_of("FractionalMaxPool2d", shape, self.output_size, self.output_ratio)

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        size, stream = self._size(x.shape), self._stream if training else None
        return ops.fractional_max_pool2d(x, size, self.kernel_size, self.overlapping, self.random and training, stream)

"""Dropout (Srivastava et al. 2014) of elements, channels and whole examples."""

from __future__ import annotations

from typing import Literal

from fastnet.arguments import flag
from fastnet.graph import Node, Recorder
from fastnet.layers.noise import Noise, probability
from fastnet.types import DType, Generator, Shape

__all__ = ["Dropout", "Dropout1d", "Dropout2d", "StochasticDepth"]


class _Dropout(Noise):
    unit = "element"  # what is kept or zeroed as a whole: see the op

    def __init__(self, p: float, seed: int | None, inverted: bool) -> None:
        super().__init__(seed)
        self.p = probability(p, type(self).__name__)
        self.inverted = flag(inverted, f"{type(self).__name__}: inverted")

    def call(self, x: Node, training: bool, ops: Recorder) -> Node:
        if self.p == 0:
            return x
        if training:
            return ops.dropout(x, self.p, self._stream, self.unit, self.inverted)
        return x if self.inverted else ops.scale(x, 1 - self.p)


class Dropout(_Dropout):
    """In training, zero each element with probability `p` and divide the rest by 1 - p; else the identity.

    `p` is the probability of *zeroing*, as in PyTorch; lectures and the paper write p for that of keeping, 1 - p here.
    With ``inverted=False`` it is the paper's first form ("vanilla"): training leaves the rest as it is, and inference
    multiplies x by 1 - p, so that both have the same expectation (Srivastava et al. 2014, "Dropout: A simple way to
    prevent neural networks from overfitting").

    Masks come from a Philox stream and do not depend on threads or backends: element i of a pass uses number
    ``offset + i`` of stream `seed`, and each training pass advances `offset`.

    Parameters
    ----------
    p : float
        The probability of zeroing, in [0, 1).
    inplace : bool
        Accepted so that PyTorch's calls work; it has no effect.
    seed : int, optional
        Of the stream, in [0, 2**64); by default drawn from the model's seed when the layer is built.
    inverted : bool
        Whether to divide in training rather than multiply in inference.
    """

    def __init__(
        self, p: float = 0.5, inplace: bool = False, *, seed: int | None = None, inverted: bool = True
    ) -> None:
        if not isinstance(inplace, bool):
            raise TypeError(
                f"{type(self).__name__}: inplace must be True or False, got {inplace!r}; the seed is "
                f"{type(self).__name__}({p}, seed=...)"
            )
        self.inplace = inplace
        super().__init__(p, seed, inverted)


class Dropout1d(Dropout):
    """Spatial dropout of signals, (N, C, L): zero whole channels of an example; otherwise :class:`Dropout`.

    Neighbouring elements of a feature map are alike, so zeroing single ones removes little information (Tompson et al.
    2015, arXiv:1411.4280).
    """

    unit = "channel"
    _axes, _form = 2, "(N, C, L)"

    def setup(self, shape: Shape, rng: Generator, dtype: DType) -> Shape:
        if len(shape) != self._axes:
            name = type(self).__name__
            raise ValueError(f"{name}: expects {self._form}, got examples of shape {shape}; Dropout takes any")
        return super().setup(shape, rng, dtype)


class Dropout2d(Dropout1d):
    """Spatial dropout of images, (N, C, H, W): zero whole channels of an example; otherwise :class:`Dropout`.

    Neighbouring pixels of a feature map are alike, so zeroing single ones removes little information (Tompson et al.
    2015, arXiv:1411.4280).
    """

    _axes, _form = 3, "(N, C, H, W)"


class StochasticDepth(_Dropout):
    """In training, zero the whole input with probability `p` and divide it by 1 - p otherwise; else the identity.

    At the end of a residual branch, ``Residual([..., StochasticDepth(0.2)])``, it skips the branch at random (Huang et
    al. 2016, "Deep networks with stochastic depth", arXiv:1603.09382).  In mode "batch" a large branch that is
    dropped is skipped: its gradients, which are zero, are not computed, nor is its forward pass, except what batch
    norms need to update their running statistics.  :func:`fastnet.models.drop_rates` gives the paper's linear rule for
    the blocks of a network.

    Parameters
    ----------
    p : float
        The probability of zeroing, in [0, 1): 1 minus the paper's survival probability.
    mode : "row" or "batch"
        Whether each example of a batch is decided on its own, or the batch as a whole, as in the paper.
    seed : int, optional
        Of the stream, in [0, 2**64); by default drawn from the model's seed when the layer is built.
    inverted : bool
        True divides in training, as torchvision does; False multiplies by 1 - p in inference, as the paper does.
    """

    def __init__(
        self, p: float, mode: Literal["row", "batch"] = "row", *, seed: int | None = None, inverted: bool = True
    ) -> None:
        if not isinstance(mode, str) or mode not in ("row", "batch"):
            raise ValueError(f"StochasticDepth: mode must be 'row' or 'batch', got {mode!r}")
        self.mode = mode
        self.unit = "example" if mode == "row" else "batch"
        super().__init__(p, seed, inverted)

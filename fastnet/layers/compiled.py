"""Plan: a model compiled for inference."""

from __future__ import annotations

from fastnet.arrays import as_array
from fastnet.backends import Ops
from fastnet.graph import Graph
from fastnet.types import Array, ArrayLike

__all__ = ["Plan"]


class Plan:
    """A compiled model, a function of x; made by :meth:`Model.compile <fastnet.Model.compile>`.

    Weights are a snapshot: the model may be trained on, changed or deleted.  A call releases the GIL once for the whole
    network; several Python threads may call a plan at the same time, and share the kernels' threads.

    Attributes
    ----------
    input_shape, output_shape : tuple of int
        Without the batch axis.
    dtype : numpy dtype
        Inputs are cast to it.
    batch_size : int
    """

    def __init__(self, graph: Graph, ops: Ops, batch_size: int) -> None:
        self.input_shape, self.output_shape = graph.source.shape[1:], graph.output.shape[1:]
        self.dtype, self.batch_size, self._ops = graph.source.dtype, batch_size, ops
        self._run = ops.plan(graph, batch_size)

    def __call__(self, x: ArrayLike) -> Array:
        """Outputs for x, (N, *input_shape) with any N: an array (N, *output_shape).

        Raises
        ------
        ValueError
            If x has another shape.
        TypeError
            If x does not hold real numbers.
        """
        images: Array = self._ops.asarray(as_array(x, "plan: x"), self.dtype)
        if images.shape[1:] != self.input_shape:
            sizes = ", ".join(map(str, self.input_shape))
            raise ValueError(f"plan: x must have shape (N, {sizes}), got {images.shape}")
        y: Array = self._run(images)
        return y

    def __repr__(self) -> str:
        return f"Plan({self.input_shape} -> {self.output_shape}, {self.dtype}, batch_size={self.batch_size})"

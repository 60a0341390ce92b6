"""Plan: a model as it stands, made ready for inference."""

from __future__ import annotations

from fastnet.types import Array, ArrayLike

__all__ = ["FEW", "Plan"]

FEW = 4  # images: made for fewer, a plan may run a convolution otherwise than the layer does (kernels/conv_fixed.h)


class Plan:
    """A function of x that gives what the model gave when it was compiled; made by :meth:`Layer.compile`.

    Weights are a snapshot: the model may be trained on, changed or deleted.  A call gives up Python's lock once for the
    whole network, and calls from several threads at the same time are right (and share the kernels' threads).

    Attributes
    ----------
    input_shape, output_shape : tuple of int
        Without the batch axis.
    dtype : numpy dtype
        Inputs are cast to it.
    batch_size : int
    """

    def __init__(self, graph, ops, batch_size: int):
        self.input_shape, self.output_shape = graph.source.shape[1:], graph.output.shape[1:]
        self.dtype, self.batch_size, self._ops = graph.source.dtype, batch_size, ops
        self._run = ops.plan(graph, batch_size)

    def __call__(self, x: ArrayLike) -> Array:
        """Outputs for x, (N, *input_shape) with any N: an array (N, *output_shape).

        Raises
        ------
        ValueError
            x has another shape.
        TypeError
            x does not hold real numbers.
        """
        x = self._ops.asarray(x, self.dtype)
        if x.shape[1:] != self.input_shape:
            raise ValueError(f"plan: x must have shape (N, {', '.join(map(str, self.input_shape))}), got {x.shape}")
        return self._run(x)

    def __repr__(self) -> str:
        return f"Plan({self.input_shape} -> {self.output_shape}, {self.dtype}, batch_size={self.batch_size})"

"""A loss as the call of an op, and its arrays as the op takes them."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnet.arrays import as_array
from fastnet.backends import current
from fastnet.ops import Op
from fastnet.ops.checks import check_shape
from fastnet.types import Array, ArrayLike

__all__ = ["Call", "targets_of", "weights_of"]


class Call(NamedTuple):
    """A loss as a call of its op: the arrays after the scores, and the attributes."""

    op: Op
    arrays: tuple[Any, ...]
    attributes: dict[str, Any]

    def __call__(self, scores: Array) -> tuple[float, Array]:
        loss, dscores = getattr(current(), self.op.name)(scores, *self.arrays, **self.attributes)
        return loss, dscores


def weights_of(op: str, weight: ArrayLike | None, scores: Any) -> Any:
    """Weights of classes as an array of the scores' dtype."""
    return None if weight is None else current().contiguous(as_array(weight, f"{op}: weight"), scores.dtype)


def targets_of(op: str, scores: Any, targets: ArrayLike) -> Any:
    """Targets as an array of the scores' dtype and shape; targets (N,) become (N, 1) where scores are.

    Raises
    ------
    ValueError, TypeError
        Another shape, or not real numbers; the message begins with `op`.
    """
    ops = current()
    array: Any = as_array(targets, f"{op}: targets")
    if tuple(array.shape) == scores.shape[:1] and scores.shape[1:] == (1,):
        array = array.reshape(-1, 1)
    check_shape(op, "targets", array, scores.shape)
    return ops.asarray(array, scores.dtype)

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

    def checked(self, scores: Array) -> tuple[float, Array]:
        """The same without checks, if the arrays have passed them and are the backend's."""
        ops, given = current(), {**self.op.attributes, **self.attributes}
        loss, dscores = ops.kernel(self.op)(ops.enter(self.op.inputs[0].role, scores), *self.arrays, **given)
        return loss, dscores


def weights_of(op: str, weight: ArrayLike | None, scores: Any) -> Any:
    """Weights of classes in the scores' dtype, still where they are."""
    return None if weight is None else as_array(weight, f"{op}: weight").astype(scores.dtype, copy=False)


def targets_of(op: str, scores: Any, targets: ArrayLike) -> Any:
    """Targets in the scores' dtype and shape, still where they are; targets (N,) become (N, 1) where scores are.

    Raises
    ------
    ValueError, TypeError
        Another shape, or not real numbers; the message begins with `op`.
    """
    array: Any = as_array(targets, f"{op}: targets")
    if tuple(array.shape) == scores.shape[:1] and scores.shape[1:] == (1,):
        array = array.reshape(-1, 1)
    check_shape(op, "targets", array, scores.shape)
    return array.astype(scores.dtype, copy=False)

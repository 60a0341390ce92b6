"""`Ops` is the interface of every backend, and itself the reference backend: it runs each op's definition on NumPy."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnet.arrays import as_array, on_host
from fastnet.graph import Graph, Node, Program
from fastnet.ops import Op
from fastnet.ops.checks import FLOATS, check_gradient, check_shape
from fastnet.ops.methods import op_methods
from fastnet.types import Array, DTypeLike

__all__ = ["Ops", "Saved"]

Batches = Generator[tuple[Array, Array], None, None]


class Saved(NamedTuple):
    """What a forward op passes to its gradient; opaque to callers."""

    kept: Any
    shape: tuple[int, ...]
    dtype: Any
    x_shape: tuple[int, ...]
    given: tuple[bool, ...]  # which of the differentiable arrays were not None


@op_methods()
class Ops:
    """Every op of ``fastnet.ops.REGISTRY`` as a method.

    ``y, saved = ops.relu(x)`` checks its arguments and runs the op; ``dx = ops.relu_backward(dy, saved)`` computes its
    gradient, a tuple if the op has several arrays.  Ops without a gradient, and those whose gradient needs nothing
    saved (add, concat, flatten), return their result alone.  Arrays have shape (N, C, H, W) or (N, D); all arrays of a
    call have one dtype, float32 or float64.  :meth:`kernel` and :meth:`gradient` return functions that skip the checks,
    for callers that have made them already.
    """

    if TYPE_CHECKING:  # the methods that op_methods makes

        def __getattr__(self, name: str) -> Any: ...

    name = "reference"
    xp = np
    array_types: tuple[type, ...] = (np.ndarray,)  # of the backend's arrays
    fixed_addresses = False  # whether what `recording` returns reads and changes `kept` arrays where they were

    @property
    def device(self) -> str:
        """What computes."""
        return "the CPU"

    @property
    def choices(self) -> tuple[Any, ...]:
        """What besides a graph decides how a plan computes: settings of the process."""
        return ()

    @property
    def threads(self) -> int:
        """The number of threads that the backend's ops use."""
        return 1

    # ---------------------------------------------------------------- running ops

    def kernel(self, op: Op) -> Callable[..., Any]:
        """The op without checks, ``kernel(*arrays, **attributes)``, on arrays from :meth:`enter`.

        It returns ``(y, saved)``, or the result alone if the op has no gradient.
        """
        return partial(op.forward, self if op.composed else self.xp)

    def gradient(self, op: Op) -> Callable[..., Any]:
        """The op's gradient without checks, ``gradient(dy, saved, needs)``; it takes ``add=`` if the op accumulates."""
        assert op.backward is not None
        return partial(op.backward, self if op.composed else self.xp)

    def enter(self, role: str, x: Any) -> Any:
        """x in the memory order in which kernels read arrays of this role."""
        return x

    def call(self, op: Op, arrays: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        """Check the arguments of an op and run it."""
        if not op.in_place:
            arrays = tuple(x if x is None or type(x) is self.array_types[0] else as_array(x, op.name) for x in arrays)
        shape, dtype = op.check(arrays, attributes)  # of labels the values, too, where they are: they move afterwards
        if op.in_place:
            return self.update(op, arrays, attributes)
        roles: Sequence[Any] = op.inputs if not op.variadic else op.inputs * len(arrays)
        entered = [None if x is None else self.enter(i.role, self.own(x)) for i, x in zip(roles, arrays, strict=True)]
        result = self.kernel(op)(*entered, **attributes)
        if op.backward is None:
            return result
        y, kept = result
        if op.plain:
            return y
        return y, self._saved(op, kept, arrays, shape, dtype)

    def recall(self, op: Op, arrays: tuple[Any, ...], attributes: dict[str, Any]) -> Saved:
        """What an op's forward pass would save, made from its arguments alone, for a gradient without a forward pass.

        An array that the gradient does not read may be a graph's Node, which has only a shape and a dtype.
        """
        shape, dtype = op.check(arrays, attributes)
        described = [x is None or isinstance(x, Node) for x in arrays]
        inputs = zip(op.inputs, arrays, described, strict=True)
        entered = [x if known else self.enter(i.role, x) for i, x, known in inputs]
        assert op.recall is not None
        return self._saved(op, op.recall(*entered, **attributes), arrays, shape, dtype)

    @staticmethod
    def _saved(op: Op, kept: Any, arrays: tuple[Any, ...], shape: tuple[int, ...], dtype: Any) -> Saved:
        given = tuple(arrays[i] is not None for i in op.differentiable)
        return Saved(kept, shape, dtype, tuple(arrays[0].shape), given)

    def call_gradient(self, op: Op, dy: Any, saved: Saved, needs: Any = None, add: Any = None) -> Any:
        """Check dy and run an op's gradient."""
        name = f"{op.name}_backward"
        check_gradient(name, dy, saved.shape, saved.dtype)
        if needs is None:
            needs = saved.given
        dy = self.enter(op.gradient_role, dy)
        if add is None:
            return self.gradient(op)(dy, saved.kept, needs)
        check_shape(name, "add", add, saved.x_shape)
        if add.dtype != saved.dtype:
            raise TypeError(f"{name}: add must have the forward pass's dtype {saved.dtype}, got {add.dtype}")
        return self.gradient(op)(dy, saved.kept, needs, add=self.enter(op.inputs[0].role, add))

    def update(self, op: Op, arrays: tuple[Any, ...], attributes: dict[str, Any]) -> None:
        """Run an op that changes arrays in place."""
        self.kernel(op)(*arrays, **attributes)

    def update_each(self, op: Op, updates: list[tuple[Any, ...]], attributes: dict[str, Any]) -> None:
        """Run an optimiser's update on each tuple of arrays, one for each parameter, with the same attributes."""
        for arrays in updates:
            self.call(op, arrays, attributes)

    def power_sums_each(self, arrays: Sequence[Array]) -> list[tuple[float, float]]:
        """What ``power_sums`` gives for each array: the sums of magnitudes and of squares, in float64."""
        return [self.power_sums(x) for x in arrays]

    # ---------------------------------------------------------------- arrays

    def asarray(self, x: Any, dtype: DTypeLike | None = None) -> Array:
        """Any array as this backend's array in `dtype` (default: its own if float32 or float64, else float32)."""
        x = self.xp.asarray(as_array(x))
        if dtype is None:
            dtype = x.dtype.newbyteorder("=") if x.dtype.newbyteorder("=") in FLOATS else np.float32
        return self.xp.asarray(x, dtype=dtype)

    def contiguous(self, x: Any, dtype: DTypeLike | None = None) -> Array:
        """Any array in C order and `dtype` (default: its own); copied only if its order or dtype differs."""
        x = self.xp.asarray(as_array(x))
        if dtype is None:  # NumPy copies nothing, but makes another array, for an equal dtype that is another object
            dtype = x.dtype if x.dtype.isnative else x.dtype.newbyteorder("=")
        return self.xp.ascontiguousarray(x, dtype=dtype)

    def own(self, x: Any) -> Array:
        """x itself if it is an array of this backend; one of another in C order, in its own dtype."""
        array: Array = x
        return array if isinstance(x, self.array_types) else self.contiguous(x)

    def protected(self, x: Array) -> Array:
        """A view of x through which it cannot be changed, if the backend has such views."""
        view = x.view()
        view.flags.writeable = False
        return view

    def ahead(self, batches: Batches) -> Batches:
        """The batches (x, y), with each x where this backend computes, copied there while the caller has another."""
        return batches

    def to_numpy(self, x: Any) -> Array:
        """An array of this backend as a NumPy array."""
        return on_host(x)

    def empty(self, shape: Sequence[int], dtype: DTypeLike) -> Array:
        """An uninitialised array; 4-d arrays are in the backend's memory order."""
        return self.xp.empty(shape, dtype)

    def zeros(self, shape: Sequence[int], dtype: DTypeLike) -> Array:
        """An array of zeros, in the same order as :meth:`empty`'s."""
        return self.xp.zeros(shape, dtype)

    def smallest(self, x: Array, k: int) -> Array:
        """Positions (M, k) of the k smallest elements of each row of x (M, N), k <= N, ascending; of equals, the first.

        The order is that of ``argsort(kind="stable")``, without sorting everything.  x must not hold NaN.
        """
        bound = self.xp.partition(x, k - 1, axis=1)[:, k - 1 : k]
        index = self.xp.empty((len(x), k), np.int64)
        for row, values, most in zip(index, x, bound, strict=True):
            (few,) = self.xp.nonzero(values <= most)
            row[:] = few[self.xp.argsort(values[few], kind="stable")[:k]]
        return index

    # ---------------------------------------------------------------- whole networks

    def records(self, op: Op) -> bool:
        """Whether the op and its gradient do nothing but call kernels, which :meth:`recording` can keep."""
        return False

    def recording(self, given: Sequence[Any], kept: Sequence[Any] = ()) -> Any:
        """A context manager that keeps the work inside: ``fastnet.backends.native.recording.Recording``.

        `given` is what each run brings anew, `kept` what it finds where the last one left it, as parameters.
        """
        raise NotImplementedError(f"the backend {self.name!r} does not record kernel calls")

    def plan(self, graph: Graph, batch_size: int = 1) -> Callable[[Any], Any]:
        """A function of x (N, ...) that computes a recorded graph with copies of its arrays as they are now.

        It is optimised for `batch_size` images per call, but takes any number.
        """
        values = {
            node: self.own(node.given).copy() for node in graph.nodes if node.op is None and node is not graph.source
        }
        return lambda x: Program(graph.copy(len(x), values), self, gradients=False).infer(x)

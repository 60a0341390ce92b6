"""TrainingPlan: forward pass, loss and backward pass in one call."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from fastnet import losses
from fastnet.arrays import as_array
from fastnet.backends import Ops, current
from fastnet.graph import Node, Program
from fastnet.heads import WithAuxiliary
from fastnet.layers import Model, Parameter
from fastnet.losses.call import Call
from fastnet.losses.names import call_of, is_op, op_name
from fastnet.ops import REGISTRY
from fastnet.types import Array, ArrayLike, Loss

__all__ = ["TrainingPlan"]


class _Recorded(NamedTuple):
    """A recorded step; `calls` is None, for the `reason`, if it cannot be run again."""

    loss: tuple[Loss, str]  # and its op
    trains: list[bool]  # what each parameter's requires_grad was
    parameters: list[Parameter]  # those that get gradients
    calls: Any
    reason: str


class TrainingPlan:
    """Computes gradients: ``loss, scores = plan(x, labels)`` does what forward pass, loss and backward pass do.

    The first call for a shape runs op by op, and records the kernels that it calls. Later ones run them all in one call
    without the GIL, with the same bits. This pays for small networks and batches, where Python takes longer than the
    kernels. Any change of the model (its layers, what is frozen, replaced arrays, batch size) is noticed.

    On a GPU the second call for a shape is captured as a CUDA graph, which it and later ones launch. Gradients are then
    the graph's own arrays, which the next call overwrites. After arrays of the model were replaced, a call runs op by
    op. FASTNET_GPU_GRAPHS=0 turns graphs off.

    Every call runs op by op, as :attr:`reason` says, if a layer computes in NumPy (defines ``run``), the loss or
    ``model.forward`` is your own, it pays to skip the branches that stochastic depth drops for the whole batch, the
    backend records nothing, parameters share memory, gradients are accumulated over several calls, or ``trace`` is on.

    Parameters
    ----------
    model : Model
    loss : str or function ``(scores, labels) -> (loss, dscores)``
        See `fastnet.losses`; a ``functools.partial`` of one of its functions is recorded, too.

    Attributes
    ----------
    reason : str
        Why the last call ran op by op; "" if it did not.
    labels : array
        The labels of the last call, as an array of the backend.

    Examples
    --------
    >>> plan, optimizer = TrainingPlan(model), fn.optim.SGD(0.1)
    >>> for x, labels in batches:
    ...     model.zero_grad()
    ...     loss, scores = plan(x, labels)
    ...     optimizer.step(model.parameters())
    """

    def __init__(self, model: Model, loss: str | Loss = "softmax") -> None:
        self.model, self.loss = model, losses.get(loss)
        self._heads = WithAuxiliary(self.loss, model.auxiliary) if model.auxiliary else None
        self.reason = ""
        self.labels: Any = None
        self._recorded: WeakKeyDictionary[Program, _Recorded] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.model, self.loss)  # a copy records anew

    def __repr__(self) -> str:
        return f"TrainingPlan({type(self.model).__name__}, {getattr(self.loss, '__name__', self.loss)})"

    def __call__(self, x: ArrayLike, labels: ArrayLike) -> tuple[float, Array]:
        """Add the gradients of the mean loss of a batch to each ``parameter.grad``.

        Parameters
        ----------
        x : array, (N, *input_shape)
        labels : array, (N,) integers, or what the loss takes

        Returns
        -------
        loss : float
        scores : array
            The model's output, in training mode, without those of auxiliary heads.
        """
        ops, model = current(), self.model
        if type(model).forward is not Model.forward or "forward" in vars(model):
            self.reason = "the model has a forward of its own"
            return self._op_by_op(x, labels)
        x, program = model.program(x, training=True)
        given = program.given()
        self.reason = self._obstacle(program, ops, given)
        if given is None or self.reason:
            return self._op_by_op(x, labels)
        call = self._call(program.graph.output, ops, labels)
        kept, given = given, _brought(x, call)
        recorded = self._recorded.get(program)
        trains = [parameter.requires_grad for parameter in program.parameters]
        if recorded is None or (recorded.loss, recorded.trains) != ((self.loss, call.op.name), trains):
            return self._record(program, ops, x, call, kept)
        if recorded.calls is None:
            self.reason = recorded.reason
            return self._op_by_op(x, labels)
        found, (scores, *gradients) = recorded.calls.run(given, kept)
        self.reason = recorded.calls.reason
        for parameter, gradient in zip(recorded.parameters, gradients, strict=True):
            parameter.grad = gradient
        return self._result(found, scores)

    def _result(self, found: list[float], scores: Array) -> tuple[float, Array]:
        return (found[0], scores) if self._heads is None else (self._heads.total(found), self._heads.main(scores))

    def _obstacle(self, program: Program, ops: Ops, given: list[Array] | None) -> str:
        """Why this step can be neither recorded nor run from a recording, or ""."""
        if not is_op(self.loss) or not ops.records(REGISTRY[op_name(self.loss)]):
            return "the loss is not an op of the backend"
        if program.branches:
            return "branches that stochastic depth drops are skipped"
        if not program.records:
            return "a layer or op does not run on the backend's kernels alone"
        if any(p.grad is not None for p in program.parameters):
            return "there are gradients to add to"
        pairs = zip(program.parameters, given or (), strict=False)
        if ops.fixed_addresses and any(parameter.value is not array for parameter, array in pairs):
            return "parameters are not in C order"
        if given is None:
            return "running statistics are read-only or not in C order"
        return ""

    def _call(self, scores: Any, ops: Ops, labels: Any) -> Call:
        """The loss of scores, an array or a node, as a call of its op, with labels as kernels read them, checked."""
        if self._heads:
            scores = Node(None, (), {}, self._heads.shape(scores.shape), scores.dtype)
        call = call_of(self.loss, scores, as_array(labels, "TrainingPlan: labels"))
        assert call is not None
        given, *more = call.arrays
        call.op.check((scores, given, *more), {**call.op.attributes, **call.attributes})
        whole, role = call.op.inputs[1].integer, call.op.inputs[1].role
        self.labels = ops.contiguous(given, "int64") if whole else ops.enter(role, ops.own(given))
        return call._replace(arrays=(self.labels, *(None if x is None else ops.contiguous(x) for x in more)))

    def _op_by_op(self, x: ArrayLike, labels: Any) -> tuple[float, Array]:
        ops = current()
        scores, backward = self.model.forward(x, training=True)
        kept, compute = scores, self._own_loss
        if is_op(self.loss):
            compute = self._call(scores, ops, labels).checked
        else:  # it may work in place
            kept, self.labels = scores.copy(), ops.own(labels)
        result = compute(scores) if self._heads is None else self._heads.of_each(compute, scores)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"the loss must return (loss, its gradient by the scores), got {type(result).__name__}")
        loss, dscores = result
        backward(dscores, input_gradient=False)
        return float(loss), kept if self._heads is None else self._heads.main(kept)

    def _own_loss(self, scores: Array) -> tuple[float, Array]:
        return self.loss(scores, self.labels.copy())

    def _record(self, program: Program, ops: Ops, x: Array, call: Call, kept: list[Array]) -> tuple[float, Array]:
        trains = [parameter.requires_grad for parameter in program.parameters]
        labels, *more = call.arrays
        labels = labels.copy(order="K")  # they may be x itself, and a recording tells arrays apart by their addresses
        call = call._replace(arrays=(labels, *more))
        recording = ops.recording(_brought(x, call), kept)
        with recording:
            found, scores = self._step(call, x)
        parameters = [parameter for parameter in program.parameters if parameter.grad is not None]
        takes = call._replace(arrays=tuple(array is not None for array in call.arrays))
        again = partial(self._again, takes, parameters)
        calls = recording.finish([scores, *(parameter.grad for parameter in parameters)], again)
        self._recorded[program] = _Recorded((self.loss, call.op.name), trains, parameters, calls, recording.reason)
        self.reason = recording.reason
        return self._result([float(loss) for loss in found], scores)

    def _step(self, call: Call, x: Array) -> tuple[list[Any], Array]:
        """(the losses of each output, scores); sets gradients."""
        scores, backward = self.model.forward(x, training=True)
        if self._heads is None:
            loss, dscores = call.checked(scores)
            found = [loss]
        else:
            found, dscores = self._heads.each(call.checked, scores)
        backward(dscores, input_gradient=False)
        return found, scores

    def _again(self, takes: Call, parameters: list[Parameter], given: list[Array]) -> tuple[list[Any], list[Array]]:
        """The step with other arrays: (the losses of each output, [scores, *gradients]).

        `takes` has, in place of each of the loss's arrays, whether there is one.
        """
        for parameter in parameters:
            parameter.zero_grad()
        x, *others = given
        arrays = tuple(others.pop(0) if taken else None for taken in takes.arrays)
        found, scores = self._step(takes._replace(arrays=arrays), x)
        gradients: list[Any] = [parameter.grad for parameter in parameters]
        return found, [scores, *gradients]


def _brought(x: Array, call: Call) -> list[Array]:
    """What a step brings anew: x, and the arrays of the loss."""
    arrays: list[Any] = [x, *call.arrays]
    return [array for array in arrays if array is not None]

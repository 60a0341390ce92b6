"""A clock around a program's kernels: records which nodes ran, which ops they called, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastnet.diagnose.work import Work, arrays_in, work_of
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.graph import Node
from fastnet.ops import Op
from fastnet.ops.elementwise import ungate
from fastnet.ops.fused_prelu import AFTER

__all__ = ["Call", "Clock", "Frame", "Use"]

_PARTS = ("input", "weight", "bias")  # the gradients of a product, computed one by one
_PRODUCTS = {"conv2d", "conv2d_max_pool", "conv_transpose2d", "linear"}
_COMPOSED = {"conv2d_batch_norm", *AFTER.values()}  # timed as the ops that it is composed of


@dataclass
class Call:
    """An op that a node called; `work` and `forms` are set by a clock with ``survey``."""

    op: str
    part: str
    seconds: float
    work: Work = field(default_factory=lambda: Work(0, 0, 0))
    forms: tuple[str, ...] = ()


@dataclass
class Frame:
    """One pass of one node: its seconds, and its calls."""

    seconds: float = 0.0
    calls: list[Call] = field(default_factory=list)


@dataclass
class Use:
    """A node and its passes; a shared layer has several."""

    node: Node
    forward: Frame = field(default_factory=Frame)
    backward: Frame = field(default_factory=Frame)

    @property
    def path(self) -> str:
        return self.node.layers[0].path if self.node.layers else ""

    @property
    def title(self) -> str:
        """The classes of the layers that the node was fused from; containers only if there are no others."""
        layers = [layer for layer in self.node.layers if not layer.children()] or self.node.layers
        return "+".join(type(layer).__name__ for layer in layers)


class Clock:
    """Times the nodes of one step; its :meth:`around` is a Program's.

    Parameters
    ----------
    ops : NativeOps
        The backend that is timed.
    split : bool
        Whether the parts of composed ops, and the gradients of products, are computed and timed one by one.
    survey : bool
        Whether to record each call's work and each convolution's algorithm, which makes the times useless.

    Attributes
    ----------
    uses : list of Use
        In the order in which they ran.
    """

    def __init__(self, ops: Any, split: bool = False, survey: bool = False) -> None:
        self._ops, self._split, self._survey = ops, split, survey
        self.ops = _timed(self)
        self.reset()

    def reset(self) -> None:
        """Reset all times."""
        self.uses: list[Use] = []
        self._found: dict[Node, Use] = {}
        self._frame: Frame | None = None

    def around(self, node: Node, phase: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        """The ``around`` argument of a Program on the clock's ops: wraps a node's kernel in a timed function."""
        op = node.op
        assert op is not None
        composed, opaque = self._split and node.name in _COMPOSED, node.name == "opaque"
        if composed:
            function = op.forward if phase == "forward" else op.backward
            assert function is not None
            kernel = partial(function, self.ops, **(node.attributes if phase == "forward" else {}))
        elif not opaque and phase == "forward":
            kernel = partial(self._ops.kernel(op), **node.attributes)
        elif not opaque:
            kernel = self._ops.gradient(op)

        def run(*arguments: Any, **more: Any) -> Any:
            use = self._use(node)
            self._frame = use.forward if phase == "forward" else use.backward
            start = time.perf_counter()
            if composed or opaque:
                result = kernel(*arguments, **more)
            elif phase == "forward":
                result = self.forward(op, kernel, arguments, node.attributes)
            else:
                result = self.backward(op, kernel, *arguments, attributes=node.attributes, **more)
            self._frame.seconds += time.perf_counter() - start
            return result

        return run

    def _use(self, node: Node) -> Use:
        if node not in self._found:
            self._found[node] = Use(node)
            self.uses.append(self._found[node])
        return self._found[node]

    # ---------------------------------------------------------------- ops

    def forward(self, op: Op, kernel: Callable[..., Any], arrays: Any, attributes: Any) -> Any:
        """Run and time an op's kernel."""
        return self._call(op.name, "", lambda: kernel(*arrays), op, arrays_in(arrays), attributes)

    def backward(
        self,
        op: Op,
        kernel: Callable[..., Any],
        dy: Any,
        saved: Any,
        needs: Any,
        add: Any = None,
        *,
        attributes: Any = None,
    ) -> Any:
        """Run and time an op's gradient; with ``split``, those of a product one by one, after its activation's."""
        name, attributes = f"{op.name}_backward", attributes or {"geometry": _geometry(saved)}
        more = {} if add is None else {"add": add}
        if not (self._split and op.name in _PRODUCTS):
            return self._call(
                name, "", lambda: kernel(dy, saved, needs, **more), op, arrays_in([dy, saved, add]), attributes
            )
        if attributes.get("activation") and op.name != "conv2d_max_pool":
            gated: list[Any] = []
            activation = attributes["activation"][0]
            self._call(
                f"{activation}_backward",
                "ReLU",
                lambda: gated.extend(ungate(self._ops, dy, saved)),
                op,
                [dy, dy, dy],
                {},
            )
            dy, saved = gated
        gradients: list[Any] = [None] * len(needs)
        x, w, *kept = arrays_in(saved)
        reads = {"input": [dy, w, *arrays_in([add])], "weight": [dy, x], "bias": [dy]}
        for i in (i for i, need in enumerate(needs) if need):
            alone = tuple(j == i for j in range(len(needs)))
            one = more if i == 0 else {}
            run = partial(kernel, dy, saved, alone, **one)
            found = self._call(name, _PARTS[i], run, op, [*reads[_PARTS[i]], *kept], attributes)
            gradients[i] = found[i]
        return tuple(gradients)

    def _call(self, name: str, part: str, run: Callable[[], Any], op: Op, read: list[Any], attributes: Any) -> Any:
        if self._survey:
            _forms()
        start = time.perf_counter()
        result = run()
        call = Call(name, part, time.perf_counter() - start)
        if self._survey:
            call.forms = tuple(_forms()) if name.startswith("conv") else ()
            call.work = work_of(op, name, part, read, arrays_in(result), attributes, call.forms)
        if self._frame is not None:
            self._frame.calls.append(call)
        return result


def _timed(clock: Clock) -> Any:
    """NativeOps whose ops are timed, for the calls of composed ops and of layers that define ``run``."""

    from fastnet.backends.native import NativeOps

    class Timed(NativeOps):
        def kernel(self, op: Op) -> Callable[..., Any]:
            kernel = super().kernel(op)
            if op.name == "opaque":
                return kernel
            return lambda *arrays, **attributes: clock.forward(op, partial(kernel, **attributes), arrays, attributes)

        def gradient(self, op: Op) -> Callable[..., Any]:
            kernel = super().gradient(op)
            if op.name == "opaque":
                return kernel
            return partial(clock.backward, op, kernel)

    return Timed()


def _geometry(saved: Any) -> Any:
    """The geometry among an op's saved values, for gradients without known attributes."""
    if isinstance(saved, (tuple, list)):
        return next((found for item in saved if (found := _geometry(item)) is not None), None)
    return saved if isinstance(saved, (Conv2dGeometry, Pool2dGeometry)) else None


def _forms() -> list[str]:
    from fastnet.backends import _native

    return _native.conv_forms()

"""One step of a model under the clock: which steps ran, which ops they called, how long each took."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from fastnet import backends
from fastnet.diagnose.work import Work, work_of
from fastnet.layers.fusion import title

__all__ = ["Call", "Frame", "Use", "Watch"]

_NOT_OPS = {"asarray", "to_numpy", "empty", "zeros", "contiguous", "plan"}
_SPLIT = {"conv2d_backward", "linear_backward", "conv2d_max_pool_backward"}
_COMPOSED = {"conv2d_batch_norm", "conv2d_batch_norm_backward"}  # the contract says of what
_PARTS = ("input", "weight", "bias")


@dataclass
class Call:
    """An op that a step called; `work` and `forms` are known when the watch surveys."""

    op: str
    part: str
    seconds: float
    work: Work | None = None
    forms: tuple[str, ...] = ()


@dataclass
class Frame:
    """One pass of one step: its own seconds, without those of steps inside it, and its calls."""

    seconds: float = 0.0
    calls: list[Call] = field(default_factory=list)


@dataclass
class Use:
    """A step where it runs; a shared layer has several."""

    step: object
    forward: Frame = field(default_factory=Frame)
    backward: Frame = field(default_factory=Frame)

    @property
    def path(self) -> str:
        return getattr(self.step, "path", "")

    @property
    def title(self) -> str:
        return title(self.step)

    @property
    def alone(self) -> bool:
        """Whether it is no container that only hands on."""
        return bool(self.forward.calls) or not getattr(self.step, "children", dict)()


class Watch:
    """What :func:`fastnet.layers.tracing.watch` takes.

    Parameters
    ----------
    ops : Ops
        Runs what is watched.
    split : bool
        Whether what an op consists of, and the gradients of a product, are computed, and timed, one by one.
    survey : bool
        Whether the work of each call and the form of each convolution are found out; then the times mean nothing.

    Attributes
    ----------
    uses : list of Use
        In the order in which they ran.
    """

    def __init__(self, ops, split: bool = False, survey: bool = False):
        self.uses: list[Use] = []
        self._ops, self._split, self._survey = ops, split, survey
        self._stack: list[list] = []  # frame, seconds of steps inside it, step
        self.ops = _Watched(self)

    # ---------------------------------------------------------------- steps

    def run(self, step, x, training, ops, options):
        if self._stands_for(step):
            return step.run(x, training, self.ops, **options)
        use = Use(step)
        self.uses.append(use)
        y, inner = self._time(use.forward, step, step.run, x, training, self.ops, **options)

        def backward(*arguments, **more):
            return self._time(use.backward, step, inner, *arguments, **more)

        backward.adds = getattr(inner, "adds", False)
        return y, backward

    def infer(self, step, x, ops, options):
        if self._stands_for(step):
            return step.infer(x, self.ops, **options)
        use = Use(step)
        self.uses.append(use)
        return self._time(use.forward, step, step.infer, x, self.ops, **options)

    def _stands_for(self, step) -> bool:
        """Whether the step that runs now is a fused one that stands for this layer, or this layer itself."""
        if not self._stack:
            return False
        outer = self._stack[-1][2]
        return outer is step or step in (getattr(outer, "layer", None), getattr(outer, "conv", None))

    def _time(self, frame, step, function, *arguments, **more):
        entry = [frame, 0.0, step]
        self._stack.append(entry)
        start = time.perf_counter()
        try:
            return function(*arguments, **more)
        finally:
            seconds = time.perf_counter() - start
            self._stack.pop()
            frame.seconds += seconds - entry[1]
            if self._stack:
                self._stack[-1][1] += seconds

    # ---------------------------------------------------------------- ops

    def call(self, op, *arguments, **more):
        if self._split and op in _COMPOSED:
            return getattr(backends.Ops, op)(self.ops, *arguments, **more)
        if self._split and op in _SPLIT:
            return self._parts(op, *arguments, **more)
        return self._call(op, "", arguments, more)

    def _call(self, op, part, arguments, more):
        function = getattr(self._ops, op)
        if self._survey:
            _forms()
        start = time.perf_counter()
        result = function(*arguments, **more)
        call = Call(op, part, time.perf_counter() - start)
        if self._survey:
            call.forms = tuple(_forms()) if op.startswith("conv2d") else ()
            call.work = work_of(op, arguments, more, result, part, call.forms)
        if self._stack:
            self._stack[-1][0].calls.append(call)
        return result

    def _parts(self, op, dy, saved, needs=(True, True, True), add=None):
        """A backward that computes (dx, dw, db), as up to three calls; first the ReLU's, where one was fused."""
        if op != "conv2d_max_pool_backward":
            *kept, positive = saved
            if positive is not None:
                dy = self._call("relu_backward", "ReLU", (dy, positive), {})
            saved = (*kept, None)
        gradients = [None, None, None]
        for i in (i for i in range(3) if needs[i]):
            alone = tuple(j == i for j in range(3))
            more = {"add": add} if add is not None and i == 0 else {}
            gradients[i] = self._call(op, _PARTS[i], (dy, saved, alone), more)[i]
        return tuple(gradients)


class _Watched:
    """Ops whose methods are called through a watch."""

    def __init__(self, watch: Watch):
        self._watch = watch

    def __getattr__(self, name):
        value = getattr(self._watch._ops, name)
        if name.startswith("_") or name in _NOT_OPS or not callable(value) or not hasattr(backends.Ops, name):
            return value

        def call(*arguments, **more):
            return self._watch.call(name, *arguments, **more)

        setattr(self, name, call)
        return call


def _forms() -> list[str]:
    if not backends.NativeOps:
        return []
    from fastnet.backends import _native

    return _native.conv_forms()

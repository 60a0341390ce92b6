"""Profile: how long each layer takes inside whole training steps, and what limits it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnet import backends, losses, optim
from fastnet.algorithms import get_conv_algorithm, set_conv_algorithm
from fastnet.arrays import on_host
from fastnet.backends import Ops
from fastnet.diagnose.clock import Call, Clock, Frame, Use
from fastnet.diagnose.report import Profile, Row
from fastnet.diagnose.roofline import Roof, measure_roof
from fastnet.diagnose.work import Work
from fastnet.graph import Node, Program
from fastnet.graph.fusion import INFERENCE, TRAINING, fuse
from fastnet.layers import Layer
from fastnet.layers.preserved import preserved
from fastnet.types import Array

__all__ = ["profile"]

_ROUNDS = 3  # at least
_ENDS = ("input", "loss", "update")  # the parts of a step besides the layers

Timed = Callable[..., Any]  # timed(number, function, *arguments): call the function, as _ENDS[number]
Around = Callable[[Node, str, Callable[..., Any]], Callable[..., Any]]  # see Program


def profile(model: Layer, x: Array, training: bool = True, seconds: float = 5.0, name: str | None = None) -> Profile:
    """Time every layer of a model inside whole steps, and compare it with the limits of the machine.

    Whole steps run in rounds. Each round runs once without inner timing, once with each layer timed, once with the
    gradients of products timed separately, and once for each other convolution algorithm that would change anything.
    The best of all rounds counts. The model does not change.

    Parameters
    ----------
    model : Layer
        If it is not built, it is built for x, with seed 0.
    x : array, (N, *input_shape)
        A batch; labels are random.
    training : bool
        Training steps: forward, loss (if the output has shape (N, classes)), backward, SGD with momentum.  Otherwise
        inference, ``model(x)``.
    seconds : float
        About how long to measure; three rounds run in any case.
    name : str, optional
        What the table calls the model; by default its class.

    Returns
    -------
    Profile

    Raises
    ------
    RuntimeError
        If the backend in use is not the native one.
    ValueError
        If x does not have the shape that the model takes, or is an empty batch.
    """
    ops = backends.current()
    if ops.name == "cupy":
        raise RuntimeError("profile: not on a GPU yet; `nsys profile python script.py` shows the time of each kernel")
    if ops.name != "native":
        raise RuntimeError(f"profile: only the native backend can be profiled, {ops.name!r} is in use")
    x = on_host(x, "profile: x")
    if not model.built:
        model.build(x.shape[1:])
    if x.shape[1:] != model.input_shape or not len(x):
        raise ValueError(f"profile: x must have shape (N, {', '.join(map(str, model.input_shape))}), got {x.shape}")
    x = np.ascontiguousarray(x, model.dtype)
    roof = measure_roof(str(model.dtype), min(seconds / 10, 0.2))
    with preserved(model):
        measured = _Steps(model, x, training, ops)
        measured.measure(seconds)
    roof = roof.best(measure_roof(str(model.dtype), min(seconds / 10, 0.2)))
    return Profile(
        roof=roof,
        model=name or type(model).__name__,
        input_shape=tuple(model.input_shape),
        batch=len(x),
        training=bool(training),
        algorithm=measured.chosen,
        step_ms=1e3 * min(measured.plain),
        rows=list(measured.rows(roof)),
    )


class _Steps:
    """Runs steps of a model in every variant that is compared, and records the times."""

    def __init__(self, model: Layer, x: Array, training: bool, ops: Ops) -> None:
        self.model, self.x, self.training, self.ops = model, x, training, ops
        self.sgd, self.chosen = optim.SGD(1e-3, momentum=0.9), get_conv_algorithm()
        self.labels = np.random.default_rng(0).integers(0, model.output_shape[0], len(x))
        self.plain: list[float] = []  # seconds of whole steps, without inner timing
        self.rounds: dict[str, list[list[Frame]]] = {}
        self.programs: dict[tuple[str, ...], tuple[Clock, Program]] = {}
        self.uses: list[Use] = []

    def measure(self, seconds: float) -> None:
        """Run rounds until `seconds` are over."""
        self.found = self._frames(self.chosen, split=True, survey=True)
        surveys = {name: self._frames(name, split=True, survey=True) for name in ("direct", "winograd")}
        self.others = {name: found for name, found in surveys.items() if _forms(found) != _forms(self.found)}
        plain, end = self._program(self.ops), time.perf_counter() + seconds
        while len(self.plain) < _ROUNDS or time.perf_counter() < end:
            start = time.perf_counter()
            self._step(_call, plain)
            self.plain.append(time.perf_counter() - start)
            self.rounds.setdefault("whole", []).append(self._frames(self.chosen))
            for name in (self.chosen, *self.others):
                self.rounds.setdefault(name, []).append(self._frames(name, split=True))

    def _frames(self, algorithm: str, **how: bool) -> list[Frame]:
        """The frames of one step, always in the same order: input, loss, update, and two for each of `self.uses`."""
        clock, program = self._clocked(**how)
        ends = [Frame() for _ in _ENDS]

        def timed(number: int, function: Callable[..., Any], *arguments: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments)
            ends[number].seconds = time.perf_counter() - start
            return result

        clock.reset()
        set_conv_algorithm(algorithm)
        try:
            self._step(timed, program)
        finally:
            set_conv_algorithm(self.chosen)
        self.uses = clock.uses
        return [*ends, *(frame for use in self.uses for frame in (use.forward, use.backward))]

    def _clocked(self, **how: bool) -> tuple[Clock, Program]:
        """The model's program, with its kernels timed."""
        key = tuple(sorted(how))
        if key not in self.programs:
            clock = Clock(self.ops, **how)
            self.programs[key] = clock, self._program(clock.ops, clock.around)
        return self.programs[key]

    def _program(self, ops: Ops, around: Around | None = None) -> Program:
        graph = fuse(self.model.graph(self.x.shape, self.training), TRAINING if self.training else INFERENCE)
        return Program(graph, ops, self.training, around=around)

    def _step(self, timed: Timed, program: Program) -> None:
        x = timed(0, self.ops.asarray, self.x)
        if not self.training:
            program.infer(x)
            return
        self.model.zero_grad()
        y, backward = program.forward(x)
        dy = timed(1, losses.softmax_cross_entropy, y, self.labels)[1] if y.ndim == 2 else y
        backward(dy, input_gradient=False)
        timed(2, self.sgd.step, self.model.parameters(requires_grad=True))

    # ---------------------------------------------------------------- rows

    def rows(self, roof: Roof) -> Iterator[Row]:
        """Each layer's forward and backward pass, in order, each followed by its calls if it has several."""
        item, N, D = self.model.dtype.itemsize, len(self.x), self.model.output_shape[0]
        weights = sum(parameter.size for parameter in self.model.parameters(requires_grad=True))
        copied = self.ops.asarray(self.x) is not self.x
        ends = (
            Work(0, 0, 2 * self.x.nbytes * copied),
            Work(16 * N * D, 16 * N * D, 2 * N * D * item),
            Work(4 * weights, 4 * weights, 5 * weights * item),  # momentum and weight: read w, g, v and write w, v
        )
        for number, (phase, work) in enumerate(zip(_ENDS, ends, strict=True)):
            if self.found[number].seconds and work.bytes:
                yield self._row(roof, number, ("", phase, phase), [Call(phase, "", 0, work)])
        for number, use in enumerate(self.uses):
            for phase, index in (("forward", 3 + 2 * number), ("backward", 4 + 2 * number)):
                calls = self.found[index].calls
                if calls or phase == "forward":
                    yield self._row(roof, index, (use.path, use.title, phase), calls)
                for j in range(len(calls) if len(calls) > 1 else 0):
                    yield self._part(roof, index, j, (use.path, use.title, phase))

    def _row(self, roof: Roof, index: int, names: tuple[str, str, str], calls: list[Call]) -> Row:
        times = [frames[index].seconds for frames in self.rounds["whole"]]
        work = Work(
            sum(call.work.flops for call in calls),
            sum(call.work.done for call in calls),
            sum(call.work.bytes for call in calls),
        )
        others = {}
        if len(calls) == 1 and calls[0].seconds:
            least = self._least(self.chosen, index, 0)
            others = {name: min(times) + self._least(name, index, 0) - least for name in self._alternatives(index, 0)}
        return _measured(roof, names, "", times, work, calls, others)

    def _part(self, roof: Roof, index: int, j: int, names: tuple[str, str, str]) -> Row:
        call = self.found[index].calls[j]
        times = [frames[index].calls[j].seconds for frames in self.rounds[self.chosen]]
        others = {name: self._least(name, index, j) for name in self._alternatives(index, j)}
        return _measured(roof, names, call.part or call.op, times, call.work, [call], others)

    def _alternatives(self, index: int, j: int) -> list[str]:
        """The algorithms that would change how this call runs."""
        forms = self.found[index].calls[j].forms
        return [name for name, found in self.others.items() if found[index].calls[j].forms != forms]

    def _least(self, key: str, index: int, j: int) -> float:
        return min(frames[index].calls[j].seconds for frames in self.rounds[key])


def _call(number: int, function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _forms(frames: list[Frame]) -> list[tuple[str, ...]]:
    return [call.forms for frame in frames for call in frame.calls]


def _measured(
    roof: Roof,
    names: tuple[str, str, str],
    part: str,
    times: list[float],
    work: Work,
    calls: list[Call],
    others: dict[str, float],
) -> Row:
    path, layer, phase = names
    return Row(
        path,
        layer,
        phase,
        part,
        ms=1e3 * min(times),
        median_ms=1e3 * statistics.median(times),
        work=work,
        bound=roof.bound(work, max(len(calls), 1)),
        ops=tuple(call.op for call in calls),
        forms=tuple(sorted({form for call in calls for form in call.forms})),
        others={name: 1e3 * seconds for name, seconds in others.items()},
    )

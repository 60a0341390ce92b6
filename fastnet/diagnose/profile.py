"""Profile: how long each layer takes where it runs in a whole training step, and what bounds it."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator

import numpy as np

from fastnet import backends, losses, optim
from fastnet.algorithms import get_conv_algorithm, set_conv_algorithm
from fastnet.diagnose.report import Profile, Row
from fastnet.diagnose.roofline import measure_roof
from fastnet.diagnose.watch import Call, Frame, Watch
from fastnet.diagnose.work import Work
from fastnet.layers import tracing

__all__ = ["profile"]

_ROUNDS = 3  # at least
_ENDS = ("input", "loss", "update")  # what a step does beside the layers


def profile(model, x, training: bool = True, seconds: float = 5.0, name: str | None = None) -> Profile:
    """Time every layer of a model inside whole steps, and hold it against what the machine can do.

    Whole steps run in rounds: once without a clock inside, once with the layers' times taken, once with the gradients
    of products taken apart, and once under each other algorithm that would change anything.  The best of all rounds
    counts.  The model is left as it was.

    Parameters
    ----------
    model : Layer
        Built for x here, with seed 0, if it is not built.
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
        The backend in use is not the native one.
    ValueError
        x has another shape than the model takes, or is an empty batch.
    """
    ops = backends.current()
    if ops.name != "native":
        raise RuntimeError(f"profile: only the native backend can be profiled, {ops.name!r} is in use")
    x = np.asarray(x)
    if not model.built:
        model.build(x.shape[1:])
    if x.shape[1:] != model.input_shape or not len(x):
        raise ValueError(f"profile: x must have shape (N, {', '.join(map(str, model.input_shape))}), got {x.shape}")
    x = np.ascontiguousarray(x, model.dtype)
    roof = measure_roof(str(model.dtype), min(seconds / 10, 0.2))
    with _unchanged(model):
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


@contextlib.contextmanager
def _unchanged(model) -> Iterator[None]:
    """Values, gradients and random streams as they were before."""
    parameters = list({id(p): p for layer in model.leaves() for p in layer.own.values()}.values())
    kept = [(p.value.copy(), p.grad) for p in parameters]
    streams = model.rng_state()
    try:
        yield
    finally:
        for parameter, (value, grad) in zip(parameters, kept, strict=True):
            parameter.value[...], parameter.grad = value, grad
        model.set_rng_state(streams)


class _Steps:
    """Runs steps of a model in all the ways that are to be compared, and keeps the times."""

    def __init__(self, model, x, training, ops):
        self.model, self.x, self.training, self.ops = model, x, training, ops
        self.sgd, self.chosen = optim.SGD(1e-3, momentum=0.9), get_conv_algorithm()
        self.labels = np.random.default_rng(0).integers(0, model.output_shape[0], len(x))
        self.plain: list[float] = []  # seconds of whole steps without a clock inside
        self.rounds: dict[str, list[list[Frame]]] = {}

    def measure(self, seconds: float) -> None:
        """Run rounds until `seconds` are over."""
        self.found = self._frames(self.chosen, split=True, survey=True)
        surveys = {name: self._frames(name, split=True, survey=True) for name in ("direct", "winograd")}
        self.others = {name: found for name, found in surveys.items() if _forms(found) != _forms(self.found)}
        end = time.perf_counter() + seconds
        while len(self.plain) < _ROUNDS or time.perf_counter() < end:
            start = time.perf_counter()
            self._step(_call)
            self.plain.append(time.perf_counter() - start)
            self.rounds.setdefault("whole", []).append(self._frames(self.chosen))
            for name in (self.chosen, *self.others):
                self.rounds.setdefault(name, []).append(self._frames(name, split=True))

    def _frames(self, algorithm: str, **how) -> list[Frame]:
        """The frames of one step, always in the same order: input, loss, update, and two for each of `self.uses`."""
        watch, ends = Watch(self.ops, **how), [Frame() for _ in _ENDS]

        def timed(number, function, *arguments):
            start = time.perf_counter()
            result = function(*arguments)
            ends[number].seconds = time.perf_counter() - start
            return result

        set_conv_algorithm(algorithm)
        try:
            with tracing.watch(watch):
                self._step(timed)
        finally:
            set_conv_algorithm(self.chosen)
        self.uses = [use for use in watch.uses if use.alone]
        return [*ends, *(frame for use in self.uses for frame in (use.forward, use.backward))]

    def _step(self, timed) -> None:
        x = timed(0, self.ops.asarray, self.x)
        if not self.training:
            tracing.infer(self.model, x, self.ops)
            return
        self.model.zero_grad()
        y, backward = self.model.forward(x, training=True)
        dy = timed(1, losses.softmax_cross_entropy, y, self.labels)[1] if y.ndim == 2 else y
        backward(dy, input_gradient=False)
        timed(2, self.sgd.step, self.model.parameters(requires_grad=True))

    # ---------------------------------------------------------------- rows

    def rows(self, roof) -> Iterator[Row]:
        """Forward and backward of each layer in the order of the model, then its calls, where there are several."""
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

    def _row(self, roof, index, names, calls) -> Row:
        times = [frames[index].seconds for frames in self.rounds["whole"]]
        work = Work(*(sum(call.work[i] for call in calls) for i in range(3)))
        others = {}
        if len(calls) == 1 and calls[0].seconds:
            least = self._least(self.chosen, index, 0)
            others = {name: min(times) + self._least(name, index, 0) - least for name in self._alternatives(index, 0)}
        return _measured(roof, names, "", times, work, calls, others)

    def _part(self, roof, index, j, names) -> Row:
        call = self.found[index].calls[j]
        times = [frames[index].calls[j].seconds for frames in self.rounds[self.chosen]]
        others = {name: self._least(name, index, j) for name in self._alternatives(index, j)}
        return _measured(roof, names, call.part or call.op, times, call.work, [call], others)

    def _alternatives(self, index, j) -> list[str]:
        """Algorithms under which this call runs otherwise."""
        forms = self.found[index].calls[j].forms
        return [name for name, found in self.others.items() if found[index].calls[j].forms != forms]

    def _least(self, key, index, j) -> float:
        return min(frames[index].calls[j].seconds for frames in self.rounds[key])


def _call(number, function, *arguments):
    return function(*arguments)


def _forms(frames: list[Frame]) -> list:
    return [call.forms for frame in frames for call in frame.calls]


def _measured(roof, names, part, times, work, calls, others) -> Row:
    return Row(
        *names,
        part,
        ms=1e3 * min(times),
        median_ms=1e3 * statistics.median(times),
        work=work,
        bound=roof.bound(work, max(len(calls), 1)),
        ops=tuple(call.op for call in calls),
        forms=tuple(sorted({form for call in calls for form in call.forms})),
        others={name: 1e3 * seconds for name, seconds in others.items()},
    )

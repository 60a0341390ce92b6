"""The bench behind ``fastnet bench``: compiled kernels (fast) against the NumPy reference backend (naive).

Each case is verified before it is timed.  The naive side runs on as few images as its time budget allows, and its
time is scaled to the whole batch; the table says on how many.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fastnet import backends
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry

__all__ = ["Case", "Row", "Report", "cases", "ops", "run", "best_time", "difference"]

_TOLERANCE = {"float32": 1e-3, "float64": 1e-9}  # of the L2 norm
_STEP_TOLERANCE = 2e-2  # a sum near ReLU's kink may round to either side, and batch norm over few images carries it far
_COLUMNS = (
    ("op", "<", 16, ""),
    ("shape", "<", 31, ""),
    ("naive ms", ">", 10, ".2f"),
    ("batch", ">", 9, ""),
    ("fast ms", ">", 9, ".3f"),
    ("speed-up", ">", 9, ".1f"),
    ("GFLOP/s", ">", 8, ".1f"),
    ("% peak", ">", 7, ".0f"),
    ("ISA", ">", 8, ""),
    ("threads", ">", 7, "d"),
)


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes
    ----------
    op : str
    shape : str
        For people.
    batch : int
        Images of the fast side.
    macs : int
        Multiply-accumulates an image; 0 where counting them says nothing.
    prepare : function (ops, batch, dtype) -> call
        ``call()`` runs the op once on backend `ops` and returns its results, a list of arrays and floats.
    naive_least : int
        Images that the naive side runs at least: the whole batch where time does not go with the number of images.
    """

    op: str
    shape: str
    batch: int
    macs: int
    prepare: Callable
    naive_least: int = 1


@dataclass(frozen=True)
class Row:
    """A measured case; times in ms for the whole batch, `naive_ms` scaled from `naive_batch` images."""

    op: str
    shape: str
    naive_ms: float
    naive_batch: int
    batch: int
    fast_ms: float
    speed_up: float
    gflops: float | None
    percent_of_peak: float | None
    isa: str
    threads: int

    def cells(self) -> tuple:
        return (
            self.op,
            self.shape,
            self.naive_ms,
            f"{self.naive_batch}/{self.batch}",
            self.fast_ms,
            self.speed_up,
            self.gflops,
            self.percent_of_peak,
            self.isa,
            self.threads,
        )


@dataclass(frozen=True)
class Report:
    """All rows, and the machine: `peak_gflops` is what multiply-adds in registers reach on all threads."""

    machine: str
    dtype: str
    peak_gflops: float
    rows: list[Row]

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)


# ---------------------------------------------------------------- measuring


def best_time(call: Callable, budget: float, least: int = 3) -> float:
    """Seconds of the quickest of at least `least` calls, after one to warm up; more while `budget` seconds last."""
    call()
    best, count, end = float("inf"), 0, time.perf_counter() + budget
    while count < least or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best, count = min(best, time.perf_counter() - start), count + 1
    return best


def difference(mine: Sequence, other: Sequence) -> float:
    """The largest relative L2 distance between results of two backends; NaN where they are not comparable."""
    distances = [0.0]
    for a, b in zip(mine, other, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if a.shape != b.shape:
            return float("nan")
        distances.append(np.linalg.norm((a - b).ravel()) / max(np.linalg.norm(b.ravel()), 1e-30))
    return float(np.max(distances))  # NaN if any is


def measure(case: Case, dtype: str, budget: float, peak: float) -> Row:
    """Verify a case, then time it.

    Raises
    ------
    RuntimeError
        The backends disagree.
    """
    from fastnet.backends import _native

    with backends.use_backend("reference") as ops:
        call = case.prepare(ops, 1, dtype)
        start = time.perf_counter()
        call()
        one = time.perf_counter() - start
        few = int(min(case.batch, max(case.naive_least, budget / 4 / max(one, 1e-9))))
        expected = case.prepare(ops, few, dtype)()
    with backends.use_backend("native") as ops:
        error = difference(case.prepare(ops, few, dtype)(), expected)
        if not error <= (_STEP_TOLERANCE if case.op == "step" else _TOLERANCE[dtype]):
            raise RuntimeError(f"{case.op} {case.shape}: native and reference differ by {error:.1e} of the L2 norm")
        fast = best_time(case.prepare(ops, case.batch, dtype), budget)
    with backends.use_backend("reference") as ops:
        naive = best_time(case.prepare(ops, few, dtype), budget, least=1) * case.batch / few
    gflops = 2e-9 * case.macs * case.batch / fast if case.macs else None
    share = 100 * gflops / peak if case.macs else None
    return Row(
        case.op,
        case.shape,
        naive * 1e3,
        few,
        case.batch,
        fast * 1e3,
        naive / fast,
        gflops,
        share,
        _native.isa(),
        _native.threads(),
    )


def run(
    only: Sequence[str] | None = None, dtype: str = "float32", quick: bool = False, show: Callable[[str], None] = print
) -> Report:
    """Run the bench and show its table line by line.

    Parameters
    ----------
    only : sequence of str, optional
        Names from `ops`.
    dtype : "float32" or "float64"
    quick : bool
        Fewer shapes, smaller batches.
    show : function of str
        Gets each line.

    Raises
    ------
    ValueError
        An unknown op.
    RuntimeError
        There are no native kernels, or their results are wrong.
    """
    unknown = [name for name in only or () if name not in ops()]
    if unknown:
        raise ValueError(f"bench: no op is called {', '.join(unknown)}; known: {', '.join(ops())}")
    if not backends.NativeOps:
        raise RuntimeError(f"bench: there are no native kernels to compare here ({backends.why_not_native})")
    from fastnet.backends import _native

    peak = _native.fma_peak(("float32", "float64").index(dtype), 0.3)
    machine = f"{platform.machine()}, {_native.isa()}, {_native.threads()} threads, {_native.compiler()}"
    show(f"{machine}; {dtype}; FMA peak {peak:.0f} GFLOP/s")
    show("batch: images that the naive side ran, of those in the times")
    show("")
    show("  ".join(f"{title:{align}{width}}" for title, align, width, _ in _COLUMNS).rstrip())
    rows = []
    for case in cases(quick):
        if not only or case.op in only:
            row = measure(case, dtype, 0.1 if quick else 0.5, peak)
            rows.append(row)
            show(_line(row))
    return Report(machine, dtype, peak, rows)


def _line(row: Row) -> str:
    cells = []
    for (_, align, width, form), value in zip(_COLUMNS, row.cells(), strict=True):
        cells.append(f"{'-' if value is None else format(value, form):{align}{width}}")
    return "  ".join(cells).rstrip()


# ---------------------------------------------------------------- cases


def ops() -> list[str]:
    """The names that `run` takes."""
    return list(dict.fromkeys(case.op for case in cases(False)))


def cases(quick: bool) -> list[Case]:
    """All lines of the table; N is 128, or 16 when `quick`."""
    N = 16 if quick else 128
    convs = [(64, 32, 64, 3, 1, 1, 1), (3, 32, 32, 7, 1, 3, 1), (64, 16, 128, 1, 1, 0, 1), (64, 32, 64, 3, 1, 1, 64)]
    if not quick:
        convs += [(3, 32, 64, 3, 1, 1, 1), (128, 16, 128, 3, 1, 1, 1), (256, 8, 256, 3, 1, 1, 1)]
        convs += [(64, 32, 128, 3, 2, 1, 1), (3, 224, 64, 7, 2, 3, 1)]
    result = []
    for C, H, K, R, stride, pad, groups in convs:
        batch = N if H < 100 else max(N // 8, 1)
        result += [_conv(op, batch, C, H, K, R, stride, pad, groups) for op in ("conv2d", "conv2d_backward")]
    result += [_max_pool(N, 64, 32), _avg_pool(N, 64, 32), _batch_norm(N, 64, 32), _relu(N, 64, 32)]
    result += [_linear(N, 1024, 512), _softmax(N, 1000)]
    nets = ["lenet5"] if quick else ["lenet5", "three_layer_convnet", "resnet20"]
    return result + [_step(N, name) for name in nets]


def _random(ops, dtype, *shape):
    return ops.asarray(np.random.default_rng(0).standard_normal(shape).astype(dtype))


def _conv(op, batch, C, H, K, R, stride, pad, groups) -> Case:
    def prepare(ops, N, dtype):
        x, w, b = _random(ops, dtype, N, C, H, H), _random(ops, dtype, K, C // groups, R, R), _random(ops, dtype, K)
        geometry = Conv2dGeometry.make(x.shape, w.shape, stride, pad, groups=groups)
        if op == "conv2d":
            return lambda: [ops.conv2d(x, w, b, geometry)[0]]
        _, saved = ops.conv2d(x, w, b, geometry)
        dy = _random(ops, dtype, *geometry.y_shape)
        return lambda: list(ops.conv2d_backward(dy, saved))

    macs = Conv2dGeometry.make((1, C, H, H), (K, C // groups, R, R), stride, pad, groups=groups).macs
    text = f"{C}x{H}x{H}, {K} of {R}x{R}, s{stride} p{pad}" + (f" g{groups}" if groups > 1 else "")
    return Case(op, text, batch, macs if op == "conv2d" else 2 * macs, prepare)


def _pool(op, batch, C, H) -> Case:
    def prepare(ops, N, dtype):
        x, dy = _random(ops, dtype, N, C, H, H), _random(ops, dtype, N, C, H // 2, H // 2)
        geometry = Pool2dGeometry.make(x.shape, 2)

        def call():
            y, saved = getattr(ops, op)(x, geometry)
            return [y, getattr(ops, f"{op}_backward")(dy, saved)]

        return call

    return Case(op, f"{C}x{H}x{H}, 2x2, both ways", batch, 0, prepare)


def _max_pool(batch, C, H) -> Case:
    return _pool("max_pool2d", batch, C, H)


def _avg_pool(batch, C, H) -> Case:
    return _pool("avg_pool2d", batch, C, H)


def _batch_norm(batch, C, H) -> Case:
    def prepare(ops, N, dtype):
        x, gamma, beta = _random(ops, dtype, N, C, H, H), _random(ops, dtype, C), _random(ops, dtype, C)
        dy = ops.asarray(np.random.default_rng(1).standard_normal(x.shape).astype(dtype))

        def call():
            y, saved = ops.batch_norm(x, gamma, beta, None, None, True)
            return [y, *ops.batch_norm_backward(dy, saved)]

        return call

    return Case("batch_norm", f"{C}x{H}x{H}, training, both ways", batch, 0, prepare)


def _relu(batch, C, H) -> Case:
    def prepare(ops, N, dtype):
        x = _random(ops, dtype, N, C, H, H)

        def call():
            y, saved = ops.relu(x)
            return [y, ops.relu_backward(x, saved)]

        return call

    return Case("relu", f"{C}x{H}x{H}, both ways", batch, 0, prepare)


def _linear(batch, inputs, outputs) -> Case:
    def prepare(ops, N, dtype):
        x, w, b = _random(ops, dtype, N, inputs), _random(ops, dtype, outputs, inputs), _random(ops, dtype, outputs)
        dy = _random(ops, dtype, N, outputs)

        def call():
            y, saved = ops.linear(x, w, b)
            return [y, *ops.linear_backward(dy, saved)]

        return call

    return Case("linear", f"{inputs} to {outputs}, both ways", batch, 3 * inputs * outputs, prepare, batch)


def _softmax(batch, classes) -> Case:
    def prepare(ops, N, dtype):
        scores, labels = _random(ops, dtype, N, classes), np.random.default_rng(1).integers(0, classes, N)
        return lambda: list(ops.softmax_cross_entropy(scores, labels))

    return Case("softmax_loss", f"{classes} classes, both ways", batch, 0, prepare, batch)


def _step(batch, name) -> Case:
    """A whole training step: forward, loss, backward, SGD with momentum; the first result is that of a new model."""
    from fastnet import losses, models, optim

    model = models.create(name, 10)

    def prepare(ops, N, dtype):
        net, sgd = models.create(name, 10, dtype=dtype), optim.SGD(1e-3, momentum=0.9)
        x, labels = _random(ops, dtype, N, *net.input_shape), np.random.default_rng(1).integers(0, 10, N)
        parameters = net.parameters(trainable=True)

        def call():
            net.zero_grad()
            scores, backward = net.forward(x, training=True)
            loss, dscores = losses.softmax_cross_entropy(scores, labels)
            backward(dscores, input_gradient=False)
            sgd.step(parameters)
            return [loss, *(parameter.grad for parameter in parameters)]

        return call

    rows = model.summary().rows
    first = next(row.macs for row in rows if row.macs)  # has no input gradient
    shape = "x".join(map(str, model.input_shape))
    return Case("step", f"{name}, {shape}", batch, 3 * sum(row.macs for row in rows) - first, prepare, 16)

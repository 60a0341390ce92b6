"""The rows of the benchmark's table: each prepares an op on a backend and counts its operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnet.backends import Ops
from fastnet.geometry import Conv2dGeometry, Pool2dGeometry
from fastnet.ops.conv_transpose import transposed_geometry
from fastnet.types import Array

__all__ = ["Case", "cases", "ops"]

Call = Callable[[], list[Any]]


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes
    ----------
    op : str
    shape : str
        A description.
    batch : int
        The number of images on the fast side.
    macs : int
        Multiply-accumulates per image; 0 if they are not what limits the op.
    prepare : function (ops, batch, dtype) -> call
        ``call()`` runs the op once on backend `ops` and returns its results, a list of arrays and floats.
    naive_least : int
        The least number of images on the naive side: the whole batch if time is not proportional to it.
    """

    op: str
    shape: str
    batch: int
    macs: int
    prepare: Callable[[Ops, int, str], Call]
    naive_least: int = 1


def ops() -> list[str]:
    """The names accepted by `run`."""
    return list(dict.fromkeys(case.op for case in cases(False)))


def cases(quick: bool) -> list[Case]:
    """All rows of the table; N is 128, or 16 when `quick`."""
    N = 16 if quick else 128
    convs = [(64, 32, 64, 3, 1, 1, 1), (3, 32, 32, 7, 1, 3, 1), (64, 16, 128, 1, 1, 0, 1), (64, 32, 64, 3, 1, 1, 64)]
    if not quick:
        convs += [(3, 32, 64, 3, 1, 1, 1), (128, 16, 128, 3, 1, 1, 1), (256, 8, 256, 3, 1, 1, 1)]
        convs += [(64, 32, 128, 3, 2, 1, 1), (3, 224, 64, 7, 2, 3, 1)]
    result = []
    for C, H, K, R, stride, pad, groups in convs:
        batch = N if H < 100 else max(N // 8, 1)
        result += [_conv(op, batch, C, H, K, R, stride, pad, groups) for op in ("conv2d", "conv2d_backward")]
    result += [_conv_transpose(N, 64, 16, 32, 2, 2)]
    result += [_max_pool(N, 64, 32), _avg_pool(N, 64, 32), _batch_norm(N, 64, 32)]
    result += [
        _unary("adaptive_max_pool2d", N, "64x32x32 to 7x7", (64, 32, 32), size=(7, 7)),
        _unary("interpolate", N, "64x16x16, bilinear x2", (64, 16, 16), size=(32, 32), mode="bilinear"),
        _unary("relu", N, "64x32x32", (64, 32, 32)),
        _unary("softmax", N, "21x32x32", (21, 32, 32)),
    ]
    result += [_linear(N, 1024, 512), _softmax(N, 1000)]
    nets = ["lenet5"] if quick else ["lenet5", "three_layer_convnet", "resnet20"]
    return result + [_step(N, name) for name in nets]


def _random(ops: Ops, dtype: str, *shape: int) -> Array:
    values: Array = ops.asarray(np.random.default_rng(0).standard_normal(shape).astype(dtype))
    return values


def _conv(op: str, batch: int, C: int, H: int, K: int, R: int, stride: int, pad: int, groups: int) -> Case:
    def prepare(ops: Ops, N: int, dtype: str) -> Call:
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


def _conv_transpose(batch: int, C: int, H: int, K: int, R: int, stride: int) -> Case:
    def prepare(ops: Ops, N: int, dtype: str) -> Call:
        x, w, b = _random(ops, dtype, N, C, H, H), _random(ops, dtype, C, K, R, R), _random(ops, dtype, K)
        geometry = transposed_geometry(x.shape, w.shape, stride)
        dy = _random(ops, dtype, *geometry.x_shape)

        def call() -> list[Any]:
            y, saved = ops.conv_transpose2d(x, w, b, geometry)
            return [y, *ops.conv_transpose2d_backward(dy, saved)]

        return call

    macs = 3 * transposed_geometry((1, C, H, H), (C, K, R, R), stride).macs
    return Case("conv_transpose2d", f"{C}x{H}x{H}, {K} of {R}x{R}, s{stride}, both ways", batch, macs, prepare)


def _pool(op: str, batch: int, C: int, H: int) -> Case:
    def prepare(ops: Ops, N: int, dtype: str) -> Call:
        x, dy = _random(ops, dtype, N, C, H, H), _random(ops, dtype, N, C, H // 2, H // 2)
        geometry = Pool2dGeometry.make(x.shape, 2)

        def call() -> list[Any]:
            y, saved = getattr(ops, op)(x, geometry)
            return [y, getattr(ops, f"{op}_backward")(dy, saved)]

        return call

    return Case(op, f"{C}x{H}x{H}, 2x2, both ways", batch, 0, prepare)


def _max_pool(batch: int, C: int, H: int) -> Case:
    return _pool("max_pool2d", batch, C, H)


def _avg_pool(batch: int, C: int, H: int) -> Case:
    return _pool("avg_pool2d", batch, C, H)


def _batch_norm(batch: int, C: int, H: int) -> Case:
    def prepare(ops: Ops, N: int, dtype: str) -> Call:
        x, gamma, beta = _random(ops, dtype, N, C, H, H), _random(ops, dtype, C), _random(ops, dtype, C)
        dy = ops.asarray(np.random.default_rng(1).standard_normal(x.shape).astype(dtype))

        def call() -> list[Any]:
            y, saved = ops.batch_norm(x, gamma, beta, None, None, True)
            return [y, *ops.batch_norm_backward(dy, saved)]

        return call

    return Case("batch_norm", f"{C}x{H}x{H}, training, both ways", batch, 0, prepare)


def _unary(op: str, batch: int, text: str, shape: tuple[int, ...], **attributes: Any) -> Case:
    """An op of one array."""

    def prepare(ops: Ops, N: int, dtype: str) -> Call:
        x, forward, backward = _random(ops, dtype, N, *shape), getattr(ops, op), getattr(ops, f"{op}_backward")
        dy = _random(ops, dtype, *forward(x, **attributes)[0].shape)

        def call() -> list[Any]:
            y, saved = forward(x, **attributes)
            return [y, backward(dy, saved)]

        return call

    return Case(op, f"{text}, both ways", batch, 0, prepare)


def _linear(batch: int, inputs: int, outputs: int) -> Case:
    def prepare(ops: Ops, N: int, dtype: str) -> Call:
        x, w, b = _random(ops, dtype, N, inputs), _random(ops, dtype, outputs, inputs), _random(ops, dtype, outputs)
        dy = _random(ops, dtype, N, outputs)

        def call() -> list[Any]:
            y, saved = ops.linear(x, w, b)
            return [y, *ops.linear_backward(dy, saved)]

        return call

    return Case("linear", f"{inputs} to {outputs}, both ways", batch, 3 * inputs * outputs, prepare, batch)


def _softmax(batch: int, classes: int) -> Case:
    def prepare(ops: Ops, N: int, dtype: str) -> Call:
        scores, labels = _random(ops, dtype, N, classes), np.random.default_rng(1).integers(0, classes, N)
        return lambda: list(ops.softmax_cross_entropy(scores, labels))

    return Case("softmax_loss", f"{classes} classes, both ways", batch, 0, prepare, batch)


def _step(batch: int, name: str) -> Case:
    """A whole training step: forward, loss, backward, SGD with momentum; the first result is that of a new model."""
    from fastnet import losses, models, optim

    model = models.create(name, 10)

    def prepare(ops: Ops, N: int, dtype: str) -> Call:
        net, sgd = models.create(name, 10, dtype=dtype), optim.SGD(1e-3, momentum=0.9)
        x, labels = _random(ops, dtype, N, *net.input_shape), np.random.default_rng(1).integers(0, 10, N)
        parameters = net.parameters(requires_grad=True)

        def call() -> list[Any]:
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

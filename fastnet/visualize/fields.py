"""Receptive fields: which pixels of the image a unit sees, from the geometries of all layers before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnet.arguments import integer, several
from fastnet.graph import Node
from fastnet.layers import Layer, Probe
from fastnet.ops.fractional import spans
from fastnet.ops.resample import TAPS
from fastnet.ops.taps import Taps, intervals
from fastnet.types import Array

__all__ = ["ReceptiveField", "receptive_field"]

_POINTWISE = {"accumulate", "add", "batch_norm", "concat", "dropout", "local_response_norm", "log_softmax", "maxout"}
_POINTWISE |= {"prelu", "scalar_affine", "softmax"}
_WHOLE = {"flatten", "global_avg_pool2d", "group_norm", "instance_norm", "layer_norm", "linear", "matmul", "unflatten"}


class ReceptiveField(NamedTuple):
    """What the units of a layer see of the image, in pixels, as (vertical, horizontal).

    Attributes
    ----------
    size : pair of int
        Of the field of a unit far from the border; with padding it can be larger than the image.
    stride : pair of float
        The distance of the fields of neighbouring units; 0 where all units see the same.
    offset : pair of float
        Where the field of unit (0, 0) begins; negative if it begins in the padding.
    rows : array, (P, 2), integers
        The first row that the units in each row of the map see, and the end, the row after the last.
    columns : array, (Q, 2), integers
        The same for columns.

    `size`, `stride` and `offset` belong to an image without borders; `rows` and `columns` are exact: padding, also that
    of layers in between, is no part of the image.  Resampling layers whose windows differ have the largest size and the
    mean stride.
    """

    size: tuple[int, int]
    stride: tuple[float, float]
    offset: tuple[float, float]
    rows: Array
    columns: Array

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """(top, bottom, left, right) of the pixels that unit (row, column) sees: ``image[:, top:bottom, left:right]``.

        It is empty for a unit that sees padding alone.
        """
        (top, bottom), (left, right) = self.rows[row].tolist(), self.columns[column].tolist()
        return top, max(top, bottom), left, max(left, right)


class _Axis(NamedTuple):
    """What the positions of a node see along an axis of the image."""

    first: Array
    end: Array
    size: float
    stride: float
    offset: float


class _Windows(NamedTuple):
    """The elements that each output of an op reads along an axis of its input, (outputs, n); others are padding."""

    taps: Array
    span: float
    stride: float
    first: float


def receptive_field(model: Layer, layer: str, input_shape: Sequence[int] | None = None) -> ReceptiveField:
    """Which pixels of the image can change a unit of a layer.

    Parameters
    ----------
    model : Layer
        Built, for images (C, H, W) or signals (C, L), which are images of one row.
    layer : str
        A layer's name, as ``model.summary()`` shows it ("1.body.0"), or a container's ("1.body").
    input_shape : tuple of int, optional
        Of the image; default: the shape that the model was built for.

    Returns
    -------
    ReceptiveField
        Of a layer without rows and columns, as a linear layer, it has one row and one column.

    Raises
    ------
    ValueError
        No layer has this name, or the model takes no images.
    TypeError
        A layer before it computes by itself (it defines ``run``) or calls an op whose windows are not known.
    RuntimeError
        The model is not built.

    Examples
    --------
    >>> model = fn.models.create("vgg16")
    >>> receptive_field(model, "features.30").size
    (212, 212)
    """
    if not isinstance(model, Layer):
        raise TypeError(f"receptive_field: model must be a fastnet model, got {type(model).__name__}")
    probe = Probe(model, [layer])
    given = model.input_shape if input_shape is None else several(input_shape, "receptive_field: input_shape", "sizes")
    shape = tuple(integer(size, "receptive_field: input_shape") for size in given)
    if len(shape) not in (2, 3):
        raise ValueError(f"receptive_field: the model must take images (C, H, W), not inputs of shape {shape}")
    graph = probe.graph((1, *shape), model.dtype)
    fields: dict[Node, tuple[_Axis, _Axis]] = {}
    for node in graph.nodes:
        if node is graph.source:
            rows, columns = (_pixels(size) for size in _sizes(node))
            fields[node] = rows, columns
        elif node.op is not None:
            fields[node] = _through(node, [fields[other] for other in node.inputs if other in fields])
    rows, columns = fields[graph.kept[0]]
    return ReceptiveField(
        (math.ceil(rows.size), math.ceil(columns.size)),
        (rows.stride, columns.stride),
        (rows.offset, columns.offset),
        np.stack([rows.first, rows.end], axis=1),
        np.stack([columns.first, columns.end], axis=1),
    )


def _sizes(node: Node) -> tuple[int, int]:
    """Rows and columns; signals have one row, vectors one of both."""
    spatial = node.shape[2:]
    return (1, 1) if not spatial else (1, spatial[0]) if len(spatial) == 1 else (spatial[0], spatial[1])


def _pixels(size: int) -> _Axis:
    return _Axis(np.arange(size), np.arange(size) + 1, 1, 1, 0)


def _through(node: Node, inputs: list[tuple[_Axis, _Axis]]) -> tuple[_Axis, _Axis]:
    """The fields of a node from those of the nodes that it reads; constants and parameters have none."""
    if not inputs:
        raise TypeError(f"receptive_field: {_where(node)} does not read the image")
    if node.name in _POINTWISE or (node.op is not None and node.op.elementwise):
        rows, columns = zip(*inputs, strict=True)
        return _union(rows), _union(columns)
    (rows, columns), (P, Q) = inputs[0], _sizes(node)
    if len(inputs) > 1:
        raise TypeError(f"receptive_field: no rule for {_where(node)} of several images")
    if node.name in _WHOLE:
        return _compose(rows, _everything(len(rows.first), P)), _compose(columns, _everything(len(columns.first), Q))
    vertical, horizontal = _windows(node)
    return _compose(rows, vertical), _compose(columns, horizontal)


def _where(node: Node) -> str:
    path = node.layers[-1].path if node.layers else ""
    return f"{node.name} in layer {path!r}" if path else node.name


def _union(axes: Sequence[_Axis]) -> _Axis:
    """The smallest field around several."""
    offset = min(axis.offset for axis in axes)
    return _Axis(
        np.min([axis.first for axis in axes], axis=0),
        np.max([axis.end for axis in axes], axis=0),
        max(axis.offset + axis.size for axis in axes) - offset,
        max(axis.stride for axis in axes),
        offset,
    )


def _compose(axis: _Axis, windows: _Windows) -> _Axis:
    size, taps = len(axis.first), windows.taps
    inside, at = (taps >= 0) & (taps < size), np.clip(taps, 0, size - 1)
    beyond = int(axis.end.max(initial=0)) + 1
    first = np.where(inside, axis.first[at], beyond).min(axis=1)
    end = np.where(inside, axis.end[at], 0).max(axis=1)
    return _Axis(
        first,
        end,
        axis.size + axis.stride * (windows.span - 1),
        axis.stride * windows.stride,
        axis.offset + axis.stride * windows.first,
    )


def _everything(size: int, outputs: int) -> _Windows:
    return _Windows(np.tile(np.arange(size), (outputs, 1)), size, 0, 0)


def _windows(node: Node) -> tuple[_Windows, _Windows]:
    """The windows of an op along rows and along columns."""
    given, x, y = node.attributes, _sizes(next(i for i in node.inputs if i is not None)), _sizes(node)
    if node.name in ("conv2d", "max_pool2d", "max_pool2d_planes", "avg_pool2d"):
        geometry = given["geometry"]
        return _sliding(geometry, geometry.P, 0), _sliding(geometry, geometry.Q, 1)
    if node.name == "conv_transpose2d":
        geometry = given["geometry"]
        return (
            _transposed(_sliding(geometry, geometry.P, 0), geometry.H),
            _transposed(_sliding(geometry, geometry.Q, 1), geometry.W),
        )
    if node.name == "subsample":
        stride = given["stride"]
        return _regular(y[0], stride), _regular(y[1], stride)
    if node.name == "pixel_unshuffle":
        factor = given["factor"]
        return _regular(y[0], factor, factor), _regular(y[1], factor, factor)
    if node.name == "pixel_shuffle":
        return _ragged([[p // given["factor"]] for p in range(y[0])], x[0]), _ragged(
            [[q // given["factor"]] for q in range(y[1])], x[1]
        )
    if node.name == "pad":
        top, _, left, _ = given["sides"]
        return _shifted(_of_taps(node, 0), top), _shifted(_of_taps(node, 1), left)
    if node.name in TAPS:
        return _of_taps(node, 0), _of_taps(node, 1)
    if node.name == "adaptive_max_pool2d":
        rows, columns = ([range(*pair) for pair in intervals(n, m)] for n, m in zip(x, y, strict=True))
        return _ragged(rows, x[0]), _ragged(columns, x[1])
    if node.name == "fractional_max_pool2d":
        window, options = given.get("window") or (0, 0), (given.get("overlapping", True), False, None)
        rows, columns = (
            [range(first, end) for first, end in spans(1, x[i], y[i], window[i], *options)[0].tolist()] for i in (0, 1)
        )
        return _ragged(rows, x[0]), _ragged(columns, x[1])
    raise TypeError(f"receptive_field: no rule for {_where(node)}; it follows the ops of fastnet that have windows")


def _sliding(geometry: Any, outputs: int, axis: int) -> _Windows:
    """A convolution's or pooling's windows."""
    taps, stride = (geometry.R, geometry.S)[axis], geometry.stride[axis]
    return _regular(outputs, stride, taps, geometry.dilation[axis], geometry.padding[2 * axis])


def _regular(outputs: int, stride: int, taps: int = 1, dilation: int = 1, padding: int = 0) -> _Windows:
    at = np.arange(outputs)[:, None] * stride - padding + np.arange(taps) * dilation
    return _Windows(at, dilation * (taps - 1) + 1, stride, -padding)


def _transposed(windows: _Windows, outputs: int) -> _Windows:
    """The windows of the map from the outputs to the inputs: what was read is now written."""
    reached: list[list[int]] = [[] for _ in range(outputs)]
    for position, taps in enumerate(windows.taps.tolist()):
        for tap in taps:
            if 0 <= tap < outputs:
                reached[tap].append(position)
    return _ragged(reached, len(windows.taps), 1 / windows.stride)


def _ragged(reads: Sequence[Sequence[int]], size: int, stride: float | None = None) -> _Windows:
    """Windows of different lengths on `size` elements."""
    longest = max(map(len, reads))
    taps = np.array([[*read, *[-1] * (longest - len(read))] for read in reads]).reshape(len(reads), longest)
    some = [read for read in reads if len(read)]
    span = max((max(read) - min(read) + 1 for read in some), default=1)
    return _Windows(taps, span, size / len(reads) if stride is None else stride, min(some[0]) if some else 0)


def _of_taps(node: Node, axis: int) -> _Windows:
    image = next(i for i in node.inputs if i is not None)
    taps: Taps = TAPS[node.name](image.shape, **node.attributes)[axis]
    cuts = zip(taps.starts[:-1].tolist(), taps.starts[1:].tolist(), strict=True)
    return _ragged([taps.inputs[start:end].tolist() for start, end in cuts], taps.size)


def _shifted(windows: _Windows, before: int) -> _Windows:
    """Those of padding: elsewhere than at the border they move the image."""
    return windows._replace(span=1, stride=1, first=-before)

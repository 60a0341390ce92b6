"""Convolutions by cuDNN, if FASTNET_GPU_CUDNN=1 allows it, where they take less time than our kernels.

Needs nvidia-cudnn-frontend and nvidia-cudnn-cu13.  For each shape cuDNN's first choice among its deterministic plans is
built, run, and compared with our kernel, once in a process: which one is faster, and so the bits, may differ from one
process to the next.  Arrays are channels-last; weights are laid out so, (K, R, S, C), before each call.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np

from fastnet.backends import algorithm, precision
from fastnet.backends.device.arrays import c_empty, empty
from fastnet.backends.device.ending import Ending, finish
from fastnet.geometry import Conv2dGeometry
from fastnet.types import Array

__all__ = ["FORWARD", "INPUT", "WEIGHT", "fastest"]

FORWARD, INPUT, WEIGHT = "forward", "input gradient", "weight gradient"
Convolution = Callable[[Conv2dGeometry, Array, Array, Ending, Array], None]

_REPEATS = 5
_A, _B, _OUT = 1, 2, 3  # numbers of a graph's tensors
_chosen: dict[Any, _Plan | None] = {}


class _Handles(threading.local):
    """cuDNN's handle for each device, and the stream that it works on."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, int]] = {}

    def current(self) -> int:
        cudnn, device = _cudnn(), cupy.cuda.Device().id
        stream: int = cupy.cuda.get_current_stream().ptr
        handle, used = self.known.get(device, (0, -1))
        handle = handle or cudnn.create_handle()
        if used != stream:
            cudnn.set_stream(handle=handle, stream=stream)
            self.known[device] = handle, stream
        return handle


_handles = _Handles()


def _cudnn() -> Any:
    if importlib.util.find_spec("cudnn") is None:
        packages = 'pip install "nvidia-cudnn-frontend>=1.23,<1.27" nvidia-cudnn-cu13'
        raise RuntimeError(f"FASTNET_GPU_CUDNN=1, but cuDNN's Python package is not installed: {packages}")
    return importlib.import_module("cudnn")


def _pointer(array: Any) -> int:
    address: int = array.data.ptr
    return address


def _described(N: int, C: int, H: int, W: int) -> dict[str, list[int]]:
    """Sizes and strides of a channels-last array."""
    return {"dim": [N, C, H, W], "stride": [H * W * C, 1, W * C, C]}


class _Plan:
    """A convolution or one of its gradients, of one shape, as cuDNN runs it.  Raises what cuDNN does if it cannot."""

    def __init__(self, kind: str, g: Conv2dGeometry) -> None:
        cudnn = _cudnn()
        real = cudnn.data_type.FLOAT
        self._handle = _handles.current()
        graph = cudnn.pygraph(
            io_data_type=real, intermediate_data_type=real, compute_data_type=real, handle=self._handle
        )
        top, bottom, left, right = g.padding
        windows = {
            "pre_padding": [top, left],
            "post_padding": [bottom, right],
            "stride": [*g.stride],
            "dilation": [*g.dilation],
        }
        x, y = _described(g.N, g.C, g.H, g.W), _described(g.N, g.K, g.P, g.Q)
        w = _described(g.K, g.C // g.groups, g.R, g.S)
        if kind == FORWARD:
            a, b, result = graph.tensor(**x, uid=_A), graph.tensor(**w, uid=_B), y
            out = graph.conv_fprop(image=a, weight=b, **windows)
        elif kind == INPUT:
            a, b, result = graph.tensor(**y, uid=_A), graph.tensor(**w, uid=_B), x
            out = graph.conv_dgrad(loss=a, filter=b, **windows)
        else:
            a, b, result = graph.tensor(**x, uid=_A), graph.tensor(**y, uid=_B), w
            out = graph.conv_wgrad(image=a, loss=b, **windows)
        out.set_output(True).set_uid(_OUT).set_dim(result["dim"]).set_stride(result["stride"])
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        graph.deselect_numeric_notes([getattr(cudnn.numerical_note, name) for name in _refused()])
        graph.check_support()
        graph.build_plans()
        self._kind, self._g, self._graph, self._room = kind, g, graph, max(1, graph.get_workspace_size())

    def run(self, a: Array, b: Array, end: Ending, out: Array) -> None:
        g, room = self._g, c_empty((self._room,), np.uint8)
        if self._kind == WEIGHT:
            result = c_empty((g.K, g.R, g.S, g.C // g.groups), out.dtype)
        else:
            weights: Any = b.reshape(g.K, g.C // g.groups, g.R, g.S)
            b = cupy.ascontiguousarray(weights.transpose(0, 2, 3, 1))
            result = out if all(part is None for part in end) else empty(out.shape, out.dtype)
        arrays = {_A: _pointer(a), _B: _pointer(b), _OUT: _pointer(result)}
        self._graph.execute(arrays, _pointer(room), handle=_handles.current())
        if self._kind == WEIGHT:
            out.reshape(g.K, g.C // g.groups, g.R, g.S)[...] = result.transpose(0, 3, 1, 2)
        elif result is not out:
            finish(result, 1, end, out)


def _refused() -> list[str]:
    """What a plan must not do, in cuDNN's words."""
    names = ["NONDETERMINISTIC", "DOWN_CONVERT_INPUTS", "REDUCED_PRECISION_REDUCTION"]
    if precision.get() == "highest":
        names.append("TENSOR_CORE")
    if algorithm.chosen == "direct":
        names += ["FFT", "WINOGRAD", "WINOGRAD_TILE_4x4", "WINOGRAD_TILE_6x6", "WINOGRAD_TILE_13x13"]
    return names


def fastest(kind: str, ours: Convolution, g: Conv2dGeometry, a: Array, b: Array, end: Ending, out: Array) -> None:
    """out = end(the convolution of a and b, or their gradient), by cuDNN or by our own function."""
    allowed = os.environ.get("FASTNET_GPU_CUDNN") == "1"
    if not (allowed and out.dtype == np.float32 and a.size and b.size):
        ours(g, a, b, end, out)
        return
    key = kind, g, precision.get(), algorithm.chosen, cupy.cuda.Device().id
    if key not in _chosen and not cupy.cuda.get_current_stream().is_capturing():
        _chosen[key] = _choose(kind, ours, g, a, b, end, out)
    plan = _chosen.get(key)
    if plan is None:
        ours(g, a, b, end, out)
    else:
        plan.run(a, b, end, out)


def _choose(
    kind: str, ours: Convolution, g: Conv2dGeometry, a: Array, b: Array, end: Ending, out: Array
) -> _Plan | None:
    """cuDNN's plan, if there is one, and it is faster."""
    cudnn, _ = _cudnn(), _handles.current()  # errors of an installation are not those of a shape
    try:
        plan = _Plan(kind, g)
    except (cudnn.cudnnGraphNotSupportedError, RuntimeError):
        return None
    theirs = milliseconds(lambda: plan.run(a, b, end, out))
    return plan if theirs < milliseconds(lambda: ours(g, a, b, end, out)) else None


def milliseconds(run: Callable[[], None]) -> float:
    """The shortest of a few runs, on the device."""
    run()
    found = []
    for _ in range(_REPEATS):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        run()
        end.record()
        end.synchronize()
        found.append(float(cupy.cuda.get_elapsed_time(start, end)))
    return min(found)

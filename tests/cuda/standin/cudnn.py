"""A stand-in for cuDNN's Python package: graphs of one convolution, or one of its gradients, on the stand-in for CuPy.

A graph is as strict as cuDNN's about the order of calls, and reads and writes the memory that its tensors describe.
"""

from __future__ import annotations

import ctypes
import enum
import itertools

import numpy as np
from cupy import graphs


class cudnnGraphNotSupportedError(Exception):
    """No plan fits."""


class data_type(enum.Enum):
    """Of tensors and sums."""

    FLOAT, DOUBLE = 0, 1


class heur_mode(enum.Enum):
    """How plans are found."""

    A, B, FALLBACK = 0, 1, 2


class numerical_note(enum.Enum):
    """What plans do."""

    TENSOR_CORE, DOWN_CONVERT_INPUTS, REDUCED_PRECISION_REDUCTION, FFT, NONDETERMINISTIC = range(5)
    WINOGRAD, WINOGRAD_TILE_4x4, WINOGRAD_TILE_6x6, WINOGRAD_TILE_13x13 = range(5, 9)


refused = []  # by the graphs that were built
unsupported = {}  # sizes of first tensors that no plan fits, with the error
_handles = itertools.count(1)


def create_handle():
    """A handle, a number."""
    return next(_handles)


def set_stream(handle, stream):
    """The stream that work goes to."""
    assert type(handle) is type(stream) is int


class _Tensor:
    def __init__(self, dim=None, stride=None, uid=None):
        self.dim, self.stride, self.uid, self.wanted = dim, stride, uid, False

    def set_output(self, wanted):
        self.wanted = wanted
        return self

    def set_uid(self, uid):
        self.uid = uid
        return self

    def set_dim(self, dim):
        self.dim = dim
        return self

    def set_stride(self, stride):
        self.stride = stride
        return self

    def on(self, address):
        """The array at an address."""
        count = 1 + sum((size - 1) * step for size, step in zip(self.dim, self.stride, strict=True))
        memory = np.frombuffer((ctypes.c_float * count).from_address(address), np.float32)
        return np.lib.stride_tricks.as_strided(memory, self.dim, [4 * step for step in self.stride])


class pygraph:
    """A graph of one operation."""

    def __init__(self, *, io_data_type, intermediate_data_type, compute_data_type, handle):
        assert io_data_type == intermediate_data_type == compute_data_type == data_type.FLOAT
        self._handle, self._steps, self._tensors = handle, [], {}

    def tensor(self, *, dim, stride, uid):
        tensor = self._tensors[uid] = _Tensor(dim, stride, uid)
        return tensor

    def conv_fprop(self, *, image, weight, **windows):
        return self._made(image, weight, windows, (0, 1, 2))

    def conv_dgrad(self, *, loss, filter, **windows):
        return self._made(loss, filter, windows, (2, 1, 0))

    def conv_wgrad(self, *, image, loss, **windows):
        return self._made(image, loss, windows, (0, 2, 1))

    def _made(self, a, b, windows, order):
        """`order`: which of the two tensors, or the result (2), is x, w, y."""
        self._windows, self._order, self._given, self._out = windows, order, (a, b), _Tensor()
        return self._out

    def _step(self, name, *before):
        assert self._steps == list(before), f"{name} after {self._steps}"
        self._steps.append(name)

    def validate(self):
        self._step("validate")
        assert self._out.wanted and self._out.uid is not None

    def build_operation_graph(self):
        self._step("build", "validate")

    def create_execution_plans(self, modes):
        self._step("create", "validate", "build")
        assert all(isinstance(mode, heur_mode) for mode in modes)

    def deselect_numeric_notes(self, notes):
        self._step("deselect", "validate", "build", "create")
        refused[:] = [note.name for note in notes]

    def check_support(self):
        self._step("check", "validate", "build", "create", "deselect")
        if error := unsupported.get(tuple(self._given[0].dim)):
            raise error("No valid engine configs")

    def build_plans(self):
        self._step("plans", "validate", "build", "create", "deselect", "check")

    def get_workspace_size(self):
        return 64

    def execute(self, buffers, workspace, handle):
        assert handle == self._handle and type(workspace) is int and self._steps[-1] == "plans"
        assert all(type(address) is int for address in buffers.values())
        graph = graphs.capturing()
        if graph is None:
            self._run(buffers)
        else:
            graph.change(self._run, (dict(buffers),))

    def _run(self, buffers):
        arrays = [tensor.on(buffers[tensor.uid]) for tensor in (*self._given, self._out)]
        arrays[2][...] = 0
        x, w, y = (arrays[number] for number in self._order)
        (top, left), (bottom, right) = self._windows["pre_padding"], self._windows["post_padding"]
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        channels, filters = w.shape[1], len(w) // (x.shape[1] // w.shape[1])
        (P, Q), (v, h), (dv, dh) = y.shape[2:], self._windows["stride"], self._windows["dilation"]
        for r, s in np.ndindex(*w.shape[2:]):
            rows, columns = slice(r * dv, r * dv + (P - 1) * v + 1, v), slice(s * dh, s * dh + (Q - 1) * h + 1, h)
            for group in range(len(w) // filters):
                here = slice(group * filters, (group + 1) * filters)
                read = padded[:, group * channels : (group + 1) * channels, rows, columns]
                if arrays[2] is y:
                    y[:, here] += np.einsum("ncpq,kc->nkpq", read, w[here, :, r, s])
                elif arrays[2] is w:
                    w[here, :, r, s] += np.einsum("ncpq,nkpq->kc", read, y[:, here])
                else:
                    read += np.einsum("nkpq,kc->ncpq", y[:, here], w[here, :, r, s])
        if arrays[2] is x:
            x[...] = padded[:, :, top : top + x.shape[2], left : left + x.shape[3]]

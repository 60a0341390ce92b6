"""Streams and captured graphs of the stand-in.

While a stream is captured, nothing is computed: what would be is kept, with its arrays, and the results hold NaN until
the graph is launched.  Whatever would wait for the device, or copy from or to the host, is an error, as in CUDA.  Each
launch fills arrays with NaN again when memory is allocated, or reused for another array.
"""

from __future__ import annotations

import threading
import warnings

import numpy as np

_UNSUPPORTED = "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
_LIBRARIES = {"dot", "einsum", "matmul", "tensordot"}  # cuBLAS
_WAIT = {"nonzero", "flatnonzero", "unique", "bincount"}  # results whose sizes depend on values
_EMPTY = {"empty", "empty_like"}


class CUDARuntimeError(RuntimeError):
    """As CuPy's."""


class _Streams(threading.local):
    def __init__(self):
        self.stack = [Stream.null]


class Stream:
    """A stream; work is done when it is given, unless the stream is captured."""

    null: Stream

    def __init__(self, null=False, non_blocking=False, ptds=False):
        self.ptr = 0 if null else id(self)
        self._graph = None

    def __enter__(self):
        _streams.stack.append(self)
        return self

    def __exit__(self, *_):
        _streams.stack.pop()

    def use(self):
        _streams.stack[-1] = self
        return self

    def synchronize(self):
        if self._graph is not None:
            self._graph.fail(CUDARuntimeError(_UNSUPPORTED))

    def record(self, event=None):
        if self._graph is not None:
            self._graph.fail(NotImplementedError("stand-in: events in a captured stream"))
        return event or Event()

    def wait_event(self, event):
        if not isinstance(event, Event):
            raise TypeError(f"wait_event takes an Event, got {type(event)}")

    def begin_capture(self, mode=None):
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._graph is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the operation cannot be performed in the present state")
        self._graph = Graph(_private=True)

    def end_capture(self):
        graph, self._graph = self._graph, None
        if graph is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the operation cannot be performed in the present state")
        if graph.failed:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")
        return graph

    def is_capturing(self):
        if self._graph is not None and self._graph.failed:
            raise RuntimeError("the stream was capturing, but an error has invalidated the capture sequence")
        return self._graph is not None


class Event:
    """A point in a stream, which it has reached by then."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        pass

    def record(self, stream=None):
        (stream or get_current_stream()).record(self)

    def synchronize(self):
        pass


Stream.null = Stream(null=True)
_streams = _Streams()


def get_current_stream(device_id=-1):
    """The stream of calls in this thread."""
    return _streams.stack[-1]


def capturing():
    """The graph that the current stream's work goes into, or None."""
    return _streams.stack[-1]._graph


def refuse(what):
    """An error if the current stream is captured, which `what` does not allow."""
    if (graph := capturing()) is not None:
        graph.fail(CUDARuntimeError(f"{_UNSUPPORTED} ({what})"))


def poison(array):
    """NaN, or 0 where a dtype has none."""
    array[...] = np.nan if array.dtype.kind in "fc" else 0


def arrays_of(given):
    """The arrays of NumPy in arguments or results."""
    if isinstance(given, np.ndarray):
        return [given]
    if isinstance(given, (list, tuple)):
        return [array for each in given for array in arrays_of(each)]
    return []


def _held(found):
    """A result with arrays in place of NumPy's numbers, which a launch can write."""
    if isinstance(found, np.generic):
        return np.asarray(found)
    return type(found)(map(_held, found)) if isinstance(found, (list, tuple)) else found


class Graph:
    """Work that was captured."""

    def __init__(self, *, _private=False):
        if not _private:
            raise NotImplementedError("currently this class cannot be initiated by the user")
        self._work, self._places, self.failed, self.launches = [], {}, False, 0

    def fail(self, error):
        self.failed = True
        raise error

    def compute(self, function, given, more):
        """Keep a function that returns arrays; views are made at once."""
        name = getattr(function, "__name__", "")
        if name in _LIBRARIES:
            self.fail(NotImplementedError("calling cuBLAS API during stream capture is currently unsupported"))
        if name in _WAIT:
            refuse(name)
        if more.get("out") is not None:
            self.change(function, given, more)
            return more["out"]
        arguments = arrays_of([given, list(more.values())])
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = _held(function(*given, **more))
        fresh = [not any(np.may_share_memory(y, x) for x in arguments) for y in arrays_of(found)]
        made = [y for y, new in zip(arrays_of(found), fresh, strict=True) if new]
        for y in made:
            poison(y)

        def run():
            results = arrays_of(_held(function(*given, **more)))
            for y, computed in zip(made, (r for r, new in zip(results, fresh, strict=True) if new), strict=True):
                y[...] = computed

        if made:
            self._work.append(([*made], (lambda: None) if name in _EMPTY else run))
        return found

    def change(self, function, given, more=None):
        """Keep a function that changes arrays."""
        self._work.append(([], lambda: function(*given, **(more or {}))))

    def placed(self, array, address):
        """Note a new array's memory: a launch then overwrites what lay there."""
        if self._work and any(array is y or array is y.base for y in self._work[-1][0]):
            before = self._places.get(address)
            self._places[address] = array
            if before is not None:
                self._work[-1][0].append(before)

    def launch(self, stream=None):
        into = (stream or get_current_stream())._graph
        if into is not None:
            into.fail(CUDARuntimeError(f"{_UNSUPPORTED} (stand-in: graphs in graphs)"))
        self.launches += 1
        for made, run in self._work:
            for array in made:
                poison(array)
            run()

    def upload(self, stream=None):
        pass

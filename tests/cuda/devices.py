"""The backend "cupy" for tests: on the stand-in, or on a GPU, with FASTNET_TEST_GPU=1 and CuPy."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import numpy as np

from fastnet import backends

STANDIN = str(Path(__file__).with_name("standin"))
ON_GPU = os.environ.get("FASTNET_TEST_GPU") == "1"
WHOLE_SUITE = ON_GPU or os.environ.get("FASTNET_TEST_DEVICE") == "1"  # the tests of all backends run on this one, too
_OURS = "cupy", "cudnn", "fastnet.backends.device"
_modules = {}  # of the stand-in and of the backend on it, between its uses


def _ours(name):
    return any(name == each or name.startswith(each + ".") for each in _OURS)


@contextlib.contextmanager
def standin():
    """Within, ``import cupy`` finds the stand-in, on which the backend "cupy" runs; nothing is left."""
    if ON_GPU:
        yield
        return
    before = {name: module for name, module in sys.modules.items() if _ours(name)}
    for name in before:
        del sys.modules[name]
    kept, backends._CUPY[:] = list(backends._CUPY), _modules.pop("ops", [])
    sys.modules.update(_modules)
    sys.path.insert(0, STANDIN)
    try:
        yield
    finally:
        sys.path.remove(STANDIN)
        _modules.update({name: module for name, module in sys.modules.items() if _ours(name)})
        _modules["ops"], backends._CUPY[:] = list(backends._CUPY), kept
        for name in [name for name in sys.modules if _ours(name)]:
            del sys.modules[name]
        sys.modules.update(before)


@contextlib.contextmanager
def device():
    """The backend "cupy", in use."""
    with standin(), backends.use_backend("cupy") as ops:
        yield ops


class HostOps:
    """CupyOps as tests of other backends call it: NumPy arrays in, NumPy arrays out, updates in place."""

    def __init__(self, ops):
        self._ops = ops

    def __getattr__(self, name):
        found = getattr(self._ops, name)
        return self._method(found) if callable(found) and not name.startswith("_") else found

    def _method(self, function):
        def call(*given, **more):
            moved = []
            arguments = _moved(self._ops.xp, (given, more), moved)
            result = function(*arguments[0], **arguments[1])
            for host, there in moved:
                if host.flags.writeable:
                    host[...] = there.get()
            return _down(self._ops.xp, result)

        return call


def _moved(xp, given, moved):
    """Arguments with device arrays in place of NumPy's."""
    if isinstance(given, np.ndarray):
        there = xp.asarray(given)
        moved.append((given, there))
        return there
    if type(given) in (list, tuple):
        return type(given)(_moved(xp, each, moved) for each in given)
    if type(given) is dict:
        return {name: _moved(xp, each, moved) for name, each in given.items()}
    return given


def _down(xp, found):
    if isinstance(found, xp.ndarray):
        return found.get()
    if type(found) in (list, tuple):
        return type(found)(_down(xp, each) for each in found)
    return found

"""How many threads kernels use."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from fastnet import backends
from fastnet.arguments import integer
from fastnet.cores import MAX_THREADS, default_reason

__all__ = ["get_num_threads", "restored", "run_alone", "set_num_threads", "threads_here"]

_reason = ""  # of the last set_num_threads
_here = threading.local()


def reason() -> str:
    """The reason for the number of threads, as text."""
    return _reason or default_reason()


def get_num_threads() -> int:
    """The number of threads that kernels use: 1 on the reference backend, in a single-threaded build, and in a forked
    child.
    """
    return backends.current().threads


def set_num_threads(count: int) -> None:
    """Use `count` threads from now on.  Results do not depend on it.

    Parameters
    ----------
    count : int
        From 1 to 1024.

    Raises
    ------
    TypeError, ValueError
        If `count` is not an integer in this range.
    """
    global _reason
    number = integer(count, "set_num_threads: count", 1 - 2**31)
    if not 1 <= number <= MAX_THREADS:
        raise ValueError(f"set_num_threads: count must be from 1 to {MAX_THREADS}, got {number}")
    if backends.NativeOps:
        from fastnet.backends import _native

        _native.set_threads(number)
        _reason = f"set_num_threads({number})"


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """After the block, as many threads as before, whatever backend is in use."""
    global _reason
    if not backends.NativeOps:
        yield
        return
    from fastnet.backends import _native

    number, why = _native.threads(), _reason
    try:
        yield
    finally:
        _native.set_threads(number)
        _reason = why


def run_alone() -> None:
    """From now on, kernels that this Python thread calls use no other thread, which leaves the pool to its caller."""
    _here.alone = True
    if backends.NativeOps:
        from fastnet.backends import _native

        _native.run_alone()


def threads_here() -> int:
    """How many threads work of this Python thread may use: one after `run_alone`."""
    return 1 if getattr(_here, "alone", False) else get_num_threads()

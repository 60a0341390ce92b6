"""Batches that are copied to the device ahead of their use, through page-locked memory, while it works on others."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from typing import Any, NamedTuple

import cupy
import numpy as np

from fastnet.backends.device.arrays import dense
from fastnet.backends.reference import Batches
from fastnet.types import Array

__all__ = ["ahead"]


class _Uploaded(NamedTuple):
    x: Array
    y: Array
    done: Any  # the event after the copy
    staged: Any  # page-locked memory, which is needed until then


def ahead(batches: Batches) -> Batches:
    """The batches (x, y), with x on the device in the kernels' memory order; y stays where it is.

    A thread takes batches one ahead, stages each in page-locked memory, and copies it on a stream of its own, so the
    copy and the caller's step run at the same time.  An exception is raised in place of its batch.  Closing it early
    waits for the batch that is being made, and closes `batches`.
    """
    stream = cupy.cuda.Stream(non_blocking=True)
    with closing(batches), ThreadPoolExecutor(1, "fastnet-upload") as pool:

        def begin() -> Future[_Uploaded | None]:
            # Memory that the pool gives to the copy may be an earlier batch's, which kernels that the caller has
            # launched by now still read.
            free = cupy.cuda.get_current_stream().record()
            device = cupy.cuda.Device().id
            return pool.submit(copy_context().run, _next, batches, stream, free, device)

        begun = begin()
        while (batch := begun.result()) is not None:
            begun = begin()
            batch.done.synchronize()
            yield batch.x, batch.y


def _next(batches: Batches, stream: Any, free: Any, device: int) -> _Uploaded | None:
    batch = next(batches, None)
    if batch is None:
        return None
    x, y = batch
    with cupy.cuda.Device(device), stream:
        stream.wait_event(free)
        staged = cupy.cuda.alloc_pinned_memory(x.nbytes)
        host = np.frombuffer(staged, x.dtype, x.size).reshape(x.shape)
        host[...] = x
        there = cupy.empty(x.shape, x.dtype)
        there.set(host, stream=stream)
        return _Uploaded(dense(there), y, stream.record(), staged)

"""Prefetching: results computed on other threads while the caller works, and handed over in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from typing import TypeVar

from fastnet.threads import run_alone

__all__ = ["in_order"]

Result = TypeVar("Result")


def in_order(produce: Callable[[int], Result], numbers: Iterable[int], workers: int) -> Generator[Result, None, None]:
    """``map(produce, numbers)``, computed on `workers` threads at most workers + 1 results ahead; 0: when asked for.

    An exception is raised in place of its result, with the worker's traceback.  No thread outlives the iterator;
    closing it early waits for the results that are being computed.  Kernels that a worker calls use no other thread,
    so the caller keeps its own.  A worker sees the caller's context variables.
    """
    if not workers:
        yield from map(produce, numbers)
        return
    with ThreadPoolExecutor(workers, "fastnet-data", run_alone) as pool:
        rest = iter(numbers)
        begun: deque[Future[Result]] = deque(
            pool.submit(copy_context().run, produce, n) for n in islice(rest, workers + 1)
        )
        try:
            while begun:
                result = begun.popleft().result()
                begun.extend(pool.submit(copy_context().run, produce, n) for n in islice(rest, 1))
                yield result
        finally:
            for future in begun:
                future.cancel()

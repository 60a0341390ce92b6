"""Kernels of csrc/cuda: compiled by NVRTC on first use, kept on disk by CuPy, and launched.

A file is compiled once for each dtype, with ``REAL`` defined as float or double.  Its includes are expanded here, so
that CuPy's cache, whose key is the text of a source, sees changes of headers, too.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cupy
import numpy as np

from fastnet.types import DTypeLike

__all__ = ["MOST_ACROSS", "SOURCES", "launch", "source", "spread", "watching"]

_INSTALLED, _CHECKOUT = Path(__file__).with_name("cuda"), Path(__file__).parents[3] / "csrc" / "cuda"
SOURCES = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
OPTIONS = ("-std=c++17", "--fmad=false")  # kernels say fma where they mean one rounding
MOST_BLOCKS = 4096  # of a grid-stride loop: enough for any GPU
MOST_ACROSS = 65535  # blocks along the second and the third axis of a grid, by CUDA's rules
_REAL = {"float32": "float", "float64": "double"}
_NULL = np.intp(0)


class _Watched(threading.local):
    watcher: Callable[[tuple[Any, ...]], None] | None = None


_watched = _Watched()


def source(path: Path) -> str:
    """The text of a file of csrc/cuda with its includes in place, each once; messages name its own lines."""
    included: set[str] = set()

    def expand(name: str) -> list[str]:
        if name in included:
            return []
        included.add(name)
        lines = [f'#line 1 "{name}"']
        for number, line in enumerate((path.parent / name).read_text(encoding="utf-8").splitlines(), 1):
            if found := re.match(r'#include "(?:cuda/)?([^"]+)"', line):
                lines += [*expand(found[1]), f'#line {number + 1} "{name}"']
            else:
                lines.append(line)
        return lines

    return "\n".join(expand(path.name)) + "\n"


@cache
def _function(file: str, name: str, dtype: np.dtype[Any], device: int) -> Any:
    return _module(file, dtype, device).get_function(name)


@cache
def _module(file: str, dtype: np.dtype[Any], device: int) -> Any:
    code = source(SOURCES / f"{file}.cu")
    return cupy.RawModule(code=code, options=(*OPTIONS, f"-DREAL={_REAL[dtype.name]}"), backend="nvrtc")


def launch(
    file: str,
    name: str,
    dtype: DTypeLike,
    blocks: int | tuple[int, ...],
    threads: int | tuple[int, ...],
    *arguments: Any,
    shared: int = 0,
) -> None:
    """Launch kernel `name` of csrc/cuda/`file`.cu on the current stream.

    Parameters
    ----------
    dtype : float32 or float64
        What ``real`` is.
    blocks, threads : int or tuple of up to three int
        Sizes of the grid and of a block.
    *arguments : array, int, float or None
        A kernel's Int parameters take Python's int, double ones its float, and None is a null pointer.
    shared : int
        Bytes of dynamic shared memory.
    """
    function = _function(file, name, np.dtype(dtype), cupy.cuda.Device().id)
    given = tuple(_NULL if each is None else each for each in arguments)
    grid = (blocks,) if isinstance(blocks, int) else blocks
    block = (threads,) if isinstance(threads, int) else threads
    function(grid, block, given, shared_mem=shared)
    if _watched.watcher is not None:
        _watched.watcher(given)


@contextlib.contextmanager
def watching(watcher: Callable[[tuple[Any, ...]], None]) -> Iterator[None]:
    """Call a function with the arguments of each of this thread's launches, within."""
    _watched.watcher = watcher
    try:
        yield
    finally:
        _watched.watcher = None


def spread(n: int, threads: int = 256) -> tuple[int, int]:
    """(blocks, threads) for a grid-stride loop over n elements."""
    return min(max(-(-n // threads), 1), MOST_BLOCKS), threads

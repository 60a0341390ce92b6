"""gpu_check.py: the kernels of csrc/cuda, compiled by NVRTC for this GPU, several at a time, into CuPy's cache on disk.

What comes later then need not wait for the compiler.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

import gpu_rows
import numpy as np
import peers
from gpu_rows import Row, Settings

DTYPES = "float32", "float64"
QUICK = ["sums"]


def names() -> list[str]:
    """The files, longest first."""
    with gpu_rows.device():
        from fastnet.backends.device import compiler

        return sorted((path.stem for path in compiler.SOURCES.glob("*.cu")), key=lambda name: -size(name))


def size(name: str) -> int:
    from fastnet.backends.device import compiler

    return (compiler.SOURCES / f"{name}.cu").stat().st_size


def compiled(name: str, dtype: str) -> float:
    """Compile a file for a dtype; the seconds that it took."""
    with gpu_rows.device() as device:
        from fastnet.backends.device import compiler

        start = time.perf_counter()
        compiler._module(name, np.dtype(dtype), device.xp.cuda.Device().id).compile()
        return time.perf_counter() - start


def rows(settings: Settings) -> Iterator[Row]:
    start, files = time.perf_counter(), QUICK if settings.quick else names()
    seconds, wrong = {}, []
    with ProcessPoolExecutor(peers.cores(), multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(compiled, name, dtype): f"{name}, {dtype}" for name in files for dtype in DTYPES}
        for done in as_completed(running):
            if error := done.exception():
                print(f"{running[done]}: {error}", flush=True)
                wrong.append(f"{running[done]}: {gpu_rows.first_line(str(error))}")
            else:
                seconds[running[done]] = done.result()
    found = f"{len(files)} files, for {' and '.join(DTYPES)}, in {time.perf_counter() - start:.0f} s"
    if wrong:
        found += f"; {len(wrong)} failed: {wrong[0]}"
    elif seconds:
        longest = max(seconds, key=seconds.__getitem__)
        found += f"; longest: {longest}, {seconds[longest]:.1f} s"
    yield Row("compiled", bool(seconds) and not wrong, found, {"seconds": seconds, "failed": wrong})

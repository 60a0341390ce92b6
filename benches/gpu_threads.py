"""gpu_check.py: how a training step of ResNet-20 on the CPU gets faster with threads."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import fastnet_worker
import numpy as np
import peers
import workloads
from gpu_rows import Row, Settings

import fastnet as fn
from fastnet.backends import NativeOps, why_not_native

COUNTS = (1, 2, 4, 8, 16)


def rows(settings: Settings) -> Iterator[Row]:
    if NativeOps is None:
        yield Row("ResNet-20", None, f"the CPU engine is not built: {why_not_native}")
        return
    shape, counts = [4 if settings.quick else 128, 3, 32, 32], [n for n in COUNTS if n <= peers.cores()]
    first: list[np.ndarray] = []
    alone = 0.0
    with tempfile.TemporaryDirectory() as folder, fn.use_backend("native"):
        case = workloads.step("resnet20", "resnet20", {}, shape, Path(folder) / "weights.npz")
        for count in counts:
            fn.set_num_threads(count)
            call, results = fastnet_worker.prepare({"kind": "step", "dtype": "float32", **case})
            first = first or [np.array(result) for result in results]
            same = all(map(np.array_equal, first, results))
            seconds = 0.01 if settings.quick else min((settings.seconds - 4) / len(counts) / 2, 4)
            ms = 1e3 * statistics.median(peers.timed(call, seconds, time.perf_counter))
            alone = alone or ms
            faster = alone / ms
            yield Row(
                f"ResNet-20, batches of {shape[0]}, {count} thread{'s' * (count > 1)}",
                same,
                f"{ms:.1f} ms, {faster:.2f}x one thread, efficiency {faster / count:.0%}; "
                + ("the same bits" if same else "other bits than with one thread"),
                {"threads": count, "ms": ms, "efficiency": faster / count},
            )

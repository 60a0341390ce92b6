"""The benchmark behind ``fastnet bench``: compiled kernels (fast) against the NumPy reference backend (naive).

Each case is verified before it is timed.  The naive side runs on as many images as its time budget allows, and its
time is scaled to the whole batch; the table shows their number.
"""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnet import backends
from fastnet.bench.cases import Case, cases, ops
from fastnet.storage import to_json

__all__ = ["Case", "Row", "Report", "cases", "ops", "run", "best_time", "difference"]

_TOLERANCE = {"float32": 1e-3, "float64": 1e-9}  # of the L2 norm
_STEP_TOLERANCE = 2e-2  # sums near ReLU's kink may round to either side, and batch norm over few images amplifies that
_COLUMNS = (
    ("op", "<", 20, ""),
    ("shape", "<", 34, ""),
    ("naive ms", ">", 10, ".2f"),
    ("batch", ">", 9, ""),
    ("fast ms", ">", 9, ".3f"),
    ("speed-up", ">", 9, ".1f"),
    ("GFLOP/s", ">", 8, ".1f"),
    ("% peak", ">", 7, ".0f"),
    ("ISA", ">", 8, ""),
    ("threads", ">", 7, "d"),
)


@dataclass(frozen=True)
class Row:
    """A measured case; times are in ms for the whole batch, `naive_ms` is scaled from `naive_batch` images."""

    op: str
    shape: str
    naive_ms: float
    naive_batch: int
    batch: int
    fast_ms: float
    speed_up: float
    gflops: float | None
    percent_of_peak: float | None
    isa: str
    threads: int

    def cells(self) -> tuple[Any, ...]:
        return (
            self.op,
            self.shape,
            self.naive_ms,
            f"{self.naive_batch}/{self.batch}",
            self.fast_ms,
            self.speed_up,
            self.gflops,
            self.percent_of_peak,
            self.isa,
            self.threads,
        )


@dataclass(frozen=True)
class Report:
    """All rows, and the machine; `peak_gflops` is the speed of multiply-adds in registers on all threads."""

    machine: str
    dtype: str
    peak_gflops: float
    rows: list[Row]

    def to_json(self) -> str:
        return to_json(dataclasses.asdict(self), indent=1)


# ---------------------------------------------------------------- measuring


def best_time(call: Callable[[], object], budget: float, least: int = 3) -> float:
    """Seconds of the fastest of at least `least` calls after a warm-up call, and of more until `budget` is used up."""
    call()
    best, count, end = float("inf"), 0, time.perf_counter() + budget
    while count < least or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best, count = min(best, time.perf_counter() - start), count + 1
    return best


def difference(mine: Sequence[Any], other: Sequence[Any]) -> float:
    """The largest relative L2 distance between results of two backends; NaN if their shapes differ."""
    distances = [0.0]
    for a, b in zip(mine, other, strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if a.shape != b.shape:
            return float("nan")
        distances.append(float(np.linalg.norm((a - b).ravel())) / max(float(np.linalg.norm(b.ravel())), 1e-30))
    return float(np.max(distances))  # NaN if any is


def measure(case: Case, dtype: str, budget: float, peak: float) -> Row:
    """Verify a case, then time it.

    Raises
    ------
    RuntimeError
        The backends disagree.
    """
    from fastnet.backends import _native

    with backends.use_backend("reference") as ops:
        call = case.prepare(ops, 1, dtype)
        start = time.perf_counter()
        call()
        one = time.perf_counter() - start
        few = int(min(case.batch, max(case.naive_least, budget / 4 / max(one, 1e-9))))
        expected = case.prepare(ops, few, dtype)()
    with backends.use_backend("native") as ops:
        error = difference(case.prepare(ops, few, dtype)(), expected)
        if not error <= (_STEP_TOLERANCE if case.op == "step" else _TOLERANCE[dtype]):
            raise RuntimeError(f"{case.op} {case.shape}: native and reference differ by {error:.1e} of the L2 norm")
        fast = best_time(case.prepare(ops, case.batch, dtype), budget)
    with backends.use_backend("reference") as ops:
        naive = best_time(case.prepare(ops, few, dtype), budget, least=1) * case.batch / few
    gflops = 2e-9 * case.macs * case.batch / fast if case.macs else None
    share = 100 * gflops / peak if gflops is not None else None
    return Row(
        case.op,
        case.shape,
        naive * 1e3,
        few,
        case.batch,
        fast * 1e3,
        naive / fast,
        gflops,
        share,
        _native.isa(),
        _native.threads(),
    )


def run(
    only: Sequence[str] | None = None, dtype: str = "float32", quick: bool = False, show: Callable[[str], None] = print
) -> Report:
    """Run the benchmark and show its table line by line.

    Parameters
    ----------
    only : sequence of str, optional
        Names from `ops`.
    dtype : "float32" or "float64"
    quick : bool
        Fewer shapes, smaller batches.
    show : function of str
        Called with each line.

    Raises
    ------
    ValueError
        An unknown op.
    RuntimeError
        There are no native kernels, or their results are wrong.
    """
    unknown = [name for name in only or () if name not in ops()]
    if unknown:
        raise ValueError(f"bench: no op is named {', '.join(unknown)}; known: {', '.join(ops())}")
    if not backends.NativeOps:
        raise RuntimeError(f"bench: there are no native kernels to compare here ({backends.why_not_native})")
    from fastnet.backends import _native

    peak = _native.fma_peak(("float32", "float64").index(dtype), 0.3)
    machine = f"{platform.machine()}, {_native.isa()}, {_native.threads()} threads, {_native.compiler()}"
    show(f"{machine}; {dtype}; FMA peak {peak:.0f} GFLOP/s")
    show(
        "batch: images that the naive side ran, of those in the times; GFLOP/s count a direct convolution's operations,"
    )
    show("so that Winograd, which needs fewer, may pass 100 % of the peak")
    show("")
    show("  ".join(f"{title:{align}{width}}" for title, align, width, _ in _COLUMNS).rstrip())
    rows = []
    for case in cases(quick):
        if not only or case.op in only:
            row = measure(case, dtype, 0.1 if quick else 0.5, peak)
            rows.append(row)
            show(_line(row))
    return Report(machine, dtype, peak, rows)


def _line(row: Row) -> str:
    cells = []
    for (_, align, width, form), value in zip(_COLUMNS, row.cells(), strict=True):
        cells.append(f"{'-' if value is None else format(value, form):{align}{width}}")
    return "  ".join(cells).rstrip()

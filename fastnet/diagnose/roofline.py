"""The roofline model (Williams, Waterman & Patterson 2009): the limits of a machine, and which one bounds a pass."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import backends
from fastnet.diagnose.machine import cpu_name
from fastnet.diagnose.work import Work
from fastnet.drawing import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastnet.diagnose.report import Profile

__all__ = ["Roof", "measure_roof", "plot"]

# Below this share of threads times one thread's peak, the machine is busy, or threads share a core.
DISTURBED = 0.85
_VISIBLE = 1e-3  # of the step: shorter passes are not drawn
_KINDS = {"product": "convolution, linear", "norm": "batch norm", "pool": "pooling", "other": "everything else"}
_PASSES = {"input": "input gradient", "weight": "weight gradient", "bias": "bias gradient"}
_COLOURS = {"product": "C0", "norm": "C1", "pool": "C2", "other": "C7"}
_MARKERS = {"forward": "o", "backward": "s", "input": "^", "weight": "D", "bias": "v", "loss": "P", "update": "X"}


@dataclass(frozen=True)
class Roof:
    """The peaks of the machine, measured one at a time.

    Attributes
    ----------
    cpu, isa, compiler, dtype : str
    threads : int
    gflops : float
        Multiply-adds in registers on all threads, each counted as two operations.
    gflops_one : float
        On one thread.
    gbs : float
        10^9 bytes read and written per second by ``a + b`` of arrays larger than the caches.
    call_us : float
        The time of an op on one element, in microseconds.
    """

    cpu: str
    isa: str
    compiler: str
    dtype: str
    threads: int
    gflops: float
    gflops_one: float
    gbs: float
    call_us: float

    @property
    def warning(self) -> str:
        """Why the peak may be wrong, or ""."""
        scale = self.gflops / self.gflops_one
        if scale >= DISTURBED * self.threads:
            return ""
        return (
            f"{self.threads} threads reach only {scale:.1f} times the multiply-add peak of one: another program "
            "is running, or threads share a core; times and percentages are not those of an idle machine"
        )

    def best(self, other: Roof) -> Roof:
        """The better figures of two measurements of one machine."""
        most = {name: max(getattr(self, name), getattr(other, name)) for name in ("gflops", "gflops_one", "gbs")}
        return replace(self, **most, call_us=min(self.call_us, other.call_us))

    def floors(self, work: Work, calls: int = 1) -> dict[str, float]:
        """Lower bounds on the time, in seconds: by arithmetic, by memory traffic and by calls, each alone."""
        return {
            "compute": work.done / (self.gflops * 1e9),
            "memory": work.bytes / (self.gbs * 1e9),
            "overhead": calls * self.call_us * 1e-6,
        }

    def bound(self, work: Work, calls: int = 1) -> str:
        """The highest of the :meth:`floors`: "compute", "memory" or "overhead"."""
        floors = self.floors(work, calls)
        return max(floors, key=floors.__getitem__)


def measure_roof(dtype: str = "float32", seconds: float = 0.2) -> Roof:
    """Measure the machine with the instruction set and threads in use; `seconds` for each figure.

    Raises
    ------
    RuntimeError
        If there are no compiled kernels.
    """
    if not backends.NativeOps:
        raise RuntimeError(f"there are no compiled kernels to measure here ({backends.why_not_native})")
    from fastnet.backends import _native

    kind, threads = ("float32", "float64").index(dtype), _native.threads()
    try:
        _native.set_threads(1)
        one = _native.fma_peak(kind, seconds)
    finally:
        _native.set_threads(threads)
    peak = _native.fma_peak(kind, seconds) if threads > 1 else one
    ops = backends.NativeOps()
    a, b = (ops.zeros((2**26 // np.dtype(dtype).itemsize,), dtype) for _ in range(2))
    total, number = ops.empty(a.shape, dtype), ops.zeros((1,), dtype)
    stream = _best(lambda: _native.add(a.size, a, b, total), seconds)
    call = _best(lambda: ops.relu(number), seconds / 4)
    gbs = 3 * a.nbytes / stream / 1e9
    return Roof(cpu_name(), _native.isa(), _native.compiler(), dtype, threads, peak, one, gbs, call * 1e6)


def _best(call: Callable[[], object], seconds: float, least: int = 5) -> float:
    best, count, end = float("inf"), 0, time.perf_counter() + seconds
    while count < least or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best, count = min(best, time.perf_counter() - start), count + 1
    return best


# ---------------------------------------------------------------- picture


def plot(profile: Profile, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw the rows of a Profile under the roofs; see :meth:`Profile.plot`."""
    roof, figure = profile.roof, new_figure(path, 11, 6.6)
    axes, points = figure.subplots(), _points(profile)
    x, y = [point.x for point in points], [height for point in points for height in (point.y, point.effective)]
    low, high = min([0.05, *x]) / 2, max([roof.gflops / roof.gbs * 4, *x]) * 2
    corner = roof.gflops / roof.gbs
    axes.plot([low, corner, high], [low * roof.gbs, roof.gflops, roof.gflops], color="black", linewidth=1.5)
    axes.set(
        xscale="log", yscale="log", xlim=(low, high), ylim=(min([low * roof.gbs, *y]) / 2, max([roof.gflops, *y]) * 2)
    )
    behind: dict[str, Any] = {"bbox": {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}}
    peak, memory = f"{roof.gflops:.0f} GFLOP/s: multiply-adds", f"{roof.gbs:.1f} GB/s: memory"
    axes.text(high / 1.1, roof.gflops * 1.08, peak, ha="right", va="bottom", **behind)
    along: dict[str, Any] = {
        "rotation": math.degrees(math.atan(roof.gbs)),
        "rotation_mode": "anchor",
        "transform_rotates_text": True,
    }
    axes.text(low * 1.3, low * 1.3 * roof.gbs * 1.1, memory, va="bottom", **along)
    for point in points:
        axes.plot(point.x, point.y, _MARKERS[point.mark], color=_COLOURS[point.kind], markersize=point.size, alpha=0.75)
        if point.effective > 1.05 * point.y:
            axes.plot([point.x] * 2, [point.y, point.effective], color=_COLOURS[point.kind], linewidth=0.6)
            axes.plot(
                point.x,
                point.effective,
                _MARKERS[point.mark],
                color=_COLOURS[point.kind],
                markersize=point.size,
                mfc="none",
            )
    _legend(axes, points)
    axes.set_xlabel("operations executed for each byte that must move, FLOP/byte")
    axes.set_ylabel("GFLOP/s (hollow: counted as a direct convolution's)")
    shape = "x".join(map(str, (profile.batch, *profile.input_shape)))
    what = "training step" if profile.training else "inference"
    axes.set_title(
        f"{profile.model}, {what}, {shape}, {roof.dtype}: {profile.step_ms:.2f} ms on {roof.cpu}, {roof.isa}"
    )
    axes.grid(alpha=0.25, which="both", linewidth=0.4)
    figure.draw_without_rendering()  # applies the layout, so that positions of points are known
    _label(axes, points)
    return save(figure, path)


_Box = tuple[float, float, float, float]  # left, bottom, right, top, in points


@dataclass
class _Point:
    x: float
    y: float
    effective: float
    size: float
    ms: float
    kind: str
    mark: str
    name: str


def _points(profile: Profile) -> list[_Point]:
    """A point for each pass that does arithmetic, or for each of its calls if there are several."""
    rows, points = profile.rows, []
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        several = not row.part and following is not None and following.part
        if several or not row.work.done or not row.work.bytes or row.ms < _VISIBLE * profile.step_ms:
            continue
        rates = row.rates(profile.roof)
        size = 3 + 22 * (row.ms / profile.step_ms) ** 0.5
        mark = row.part if row.part in _MARKERS else row.phase
        name = f"{row.path} {row.part or row.phase}".strip()
        points.append(
            _Point(
                row.work.done / row.work.bytes,
                rates["gflops_done"],
                rates["gflops"],
                min(size, 16),
                row.ms,
                _kind(row.ops),
                mark,
                name,
            )
        )
    return points


def _kind(ops: Iterable[str]) -> str:
    for kind, words in {"product": ("conv2d", "linear"), "norm": ("batch_norm",), "pool": ("pool",)}.items():
        if any(word in op for op in ops for word in words):
            return kind
    return "other"


def _label(axes: Axes, points: list[_Point], most: int = 12) -> None:
    """Label the points that take the most time, as far as labels do not overlap."""
    taken: list[_Box] = []
    left, right = axes.transAxes.transform([(0, 0), (1, 1)])[:, 0] * 72 / axes.figure.dpi
    for point in sorted(points, key=lambda point: -point.ms):
        x, y = axes.transData.transform((point.x, point.y)) * 72 / axes.figure.dpi
        width = 4.4 * len(point.name)
        to_left = x + 8 + width > right
        box = (x - 8 - width, y - 4, x - 8, y + 5) if to_left else (x + 8, y - 4, x + 8 + width, y + 5)
        if len(taken) < most and box[0] > left and all(_apart(box, other) for other in taken):
            taken.append(box)
            offset, side = (-8, "right") if to_left else (8, "left")
            behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0.5}
            text: dict[str, Any] = {
                "bbox": behind,
                "textcoords": "offset points",
                "fontsize": 7.5,
                "ha": side,
                "va": "center",
            }
            axes.annotate(point.name, (point.x, point.y), (offset, 0), **text)


def _apart(a: _Box, b: _Box) -> bool:
    return a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def _legend(axes: Axes, points: list[_Point]) -> None:
    for mark in dict.fromkeys(point.mark for point in points):
        axes.plot([], [], _MARKERS[mark], color="black", label=_PASSES.get(mark, mark))
    for kind in dict.fromkeys(point.kind for point in points):
        axes.plot([], [], "o", color=_COLOURS[kind], label=_KINDS[kind])
    axes.legend(loc="lower right", ncols=2, fontsize=8)

"""gpu_check.py: the time of a training step on the GPU, beside PyTorch's in each of its modes.

A step is forward, loss, backward and SGD with momentum, on arrays that are on the GPU.  The losses of the first two
steps and the change of the weights over them are compared before anything is timed; then the sides take turns.  A time
is the median of the rounds, of which each gives its best block of steps.  fastnet reads the loss of every step; PyTorch
does not have to.  TF32 is allowed on both sides or on neither: fastnet has it in products by cuBLAS and convolutions
by cuDNN alone, PyTorch in all of both.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peers
import report
import vs_torch
import workloads
from gpu_rows import HERE, Row, Settings

MINE, WITH_CUDNN = "fastnet", "fastnet with cuDNN"
MODES = {
    "eager": [],
    "channels_last": ["--layout", "NHWC"],
    "compiled": ["--compile"],
    "graph": ["--graph"],
    "graph, channels_last": ["--graph", "--layout", "NHWC"],
    "compiled, graph": ["--compile", "--graph"],
}
ON_CPU = "eager", "channels_last"
STEPS = [(*step, 20) for step in workloads.STEPS[:5]]  # and how many are timed in one go
STEPS.append(("resnet18", "resnet18", {}, 64, 3, 224, 5))
QUICK = [("lenet5 of 2 and 3 filters", "lenet5", {"filters": (2, 3)}, 2, 1, 32, 1)]
TOLERANCE = {False: workloads.STEP_TOLERANCE["float32"], True: 4e-2}
BEST, EAGER = 1.0, 1.5  # to reach: speed relative to PyTorch's best mode, and to eager
LEAST = 20.0  # seconds that must be left for a case to begin; or more, if one took longer


def cases(quick: bool, folder: Path) -> list[dict[str, Any]]:
    """float32, then TF32."""
    return [
        {
            **workloads.step(title, net, options, [N, C, H, H], folder / f"{net}.npz"),
            **{"kind": "step", "dtype": "float32", "tf32": tf32, "steps": count, "tolerance": TOLERANCE[tf32]},
        }
        for tf32 in (False, True)
        for title, net, options, N, C, H, count in (QUICK if quick else STEPS)
    ]


def sides(settings: Settings) -> list[peers.Side]:
    """fastnet, also with cuDNN's convolutions if they are installed, and PyTorch's modes."""
    names = ON_CPU if settings.torch_device == "cpu" else MODES
    worker = [settings.torch_python, str(HERE / "torch_worker.py"), "--device", settings.torch_device]
    torch = [peers.Side(name, [*worker, *MODES[name]], may_fail=True) for name in names]
    mine = [sys.executable, str(HERE / "gpu_worker.py")]
    cudnn = [peers.Side(WITH_CUDNN, ["env", "FASTNET_GPU_CUDNN=1", *mine], may_fail=True)]
    return [peers.Side(MINE, mine), *(cudnn if importlib.util.find_spec("cudnn") else []), *torch]


def compared(case: dict[str, Any], timings: dict[str, peers.Timing]) -> list[Row]:
    """A row for fastnet, and one for fastnet with cuDNN."""
    return [row(case, timings, mine) for mine in (MINE, WITH_CUDNN) if mine in timings]


def row(case: dict[str, Any], timings: dict[str, peers.Timing], mine: str) -> Row:
    """ms of a step on each side, and the speed of one of fastnet's relative to PyTorch's best and to eager."""
    ms = {name: timing.median / case["steps"] for name, timing in timings.items()}
    others = {name: each for name, each in ms.items() if name not in (MINE, WITH_CUDNN)}
    words, figures = [f"{mine} {ms[mine]:.3f} ms"], {"ms": ms}
    if others:
        best = min(others, key=others.__getitem__)
        words.append(", ".join(f"{name} {each:.3f}" for name, each in others.items()))
        figures |= {"of_best": others[best] / ms[mine], "best": best}
        words.append(f"of the best, {best}: {report.verdict(figures['of_best'], BEST)}")
    if "eager" in others:
        figures["of_eager"] = others["eager"] / ms[mine]
        words.append(f"of eager: {report.verdict(figures['of_eager'], EAGER)}")
    return Row(f"{title(case)}{', cuDNN' if mine == WITH_CUDNN else ''}", True, "; ".join(words), figures)


def title(case: dict[str, Any]) -> str:
    return f"{case['name']}, {'TF32' if case['tf32'] else 'float32'}"


class Sides:
    """The workers; those that a case did not fit are started anew for the next, as a GPU's errors stay in a process."""

    def __init__(self, sides: list[peers.Side], threads: int) -> None:
        self.sides, self.threads = sides, threads
        self.workers = [peers.Worker(side, threads) for side in sides]

    def measure(self, case: dict[str, Any], rounds: int, seconds: float) -> list[Row]:
        fit: list[peers.Worker] = []
        try:
            fit = peers.prepared(self.workers, case, case["tolerance"])
            return compared(case, peers.in_turn(fit, rounds, seconds))
        except peers.PeerError as error:
            fit = []
            return [Row(title(case), False, str(error))]
        finally:
            for i, worker in enumerate(self.workers):
                if worker not in fit:
                    self._end(worker)
                    self.workers[i] = peers.Worker(self.sides[i], self.threads)

    def close(self) -> None:
        for worker in self.workers:
            self._end(worker)

    def _end(self, worker: peers.Worker) -> None:
        worker.process.kill()
        worker.close()


def rows(settings: Settings) -> Iterator[Row]:
    end, longest = time.monotonic() + settings.seconds - 5, 0.0
    given, rounds, seconds = sides(settings), *((2, 0.01) if settings.quick else (5, 0.2))
    try:
        version = peers.said(settings.torch_python, vs_torch.VERSION)
        yield Row("PyTorch", None, f"{version} of {settings.torch_python}")
    except peers.PeerError as error:
        yield Row("PyTorch", None, f"none to compare with: {settings.torch_python}: {error}")
        given = [side for side in given if side.name in (MINE, WITH_CUDNN)]
    running = Sides(given, 1 if settings.quick else peers.cores())
    try:
        with tempfile.TemporaryDirectory() as folder:
            for case in cases(settings.quick, Path(folder)):
                start = time.monotonic()
                if start + max(longest, LEAST) > end:
                    yield Row(title(case), None, "no time was left")
                    continue
                yield from running.measure(case, rounds, seconds)
                longest = max(longest, time.monotonic() - start)
    finally:
        running.close()

"""Compare programs that must not share a process (two OpenMP runtimes slow each other down).

Each side is a worker process that prepares a case, returns a fingerprint of its results, and times its calls on
request.  Sides are verified against the first one, then timed alternately, round after round, so that other load on the
machine affects all of them.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple


class Side(NamedTuple):
    """A program to compare: its name in the table, the command that calls `serve`, and environment variables for it.

    If one with `may_fail` raises or computes something else, it is left out of that case, and the reason is shown.
    """

    name: str
    command: Sequence[str]
    may_fail: bool = False
    environment: Mapping[str, str] = {}


class Timing(NamedTuple):
    """ms of a side on a case: the best of all rounds, and the median of the rounds' bests."""

    best: float
    median: float


class PeerError(RuntimeError):
    """A worker failed, or results differ."""


def said(python: str, code: str) -> str:
    """The output of a program; raises PeerError with the last line of its error output."""
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    except OSError as error:
        raise PeerError(str(error)) from None
    if done.returncode:
        raise PeerError((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    return done.stdout.strip()


# ---------------------------------------------------------------- in the worker


def serve(prepare: Callable[[dict], tuple[Callable, Sequence]]) -> None:
    """Serve requests on stdin until it closes.

    ``prepare(case)`` returns ``(call, results)``: a function without arguments to be timed, and arrays (or numbers)
    to be compared with the other sides'.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to stderr
    call = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                call = None
                call, results = prepare(request["case"])
                answer = {"fingerprint": [fingerprint(result) for result in results]}
            else:
                clock = time.process_time if request["cpu_time"] else time.perf_counter
                answer = {"ms": [1e3 * seconds for seconds in timed(call, request["seconds"], clock)]}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def timed(call: Callable, seconds: float, clock: Callable[[], float], least: int = 3) -> list[float]:
    """Seconds of each call on a clock, repeated for about `seconds`."""
    call()
    times, end = [], time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = clock()
        call()
        times.append(clock() - start)
    return times


def fingerprint(array) -> list[float]:
    """[L2 norm, product with fixed noise, number of elements]: close if and only if arrays of one shape are close."""
    import numpy as np

    flat = np.asarray(array, np.float64).ravel()
    noise = np.random.default_rng(len(flat)).standard_normal(len(flat))
    return [float(np.linalg.norm(flat)), float(flat @ noise), len(flat)]


# ---------------------------------------------------------------- in the parent


class Worker:
    """The process of a side."""

    def __init__(self, side: Side, threads: int):
        self.name, self.may_fail = side.name, side.may_fail
        count = str(threads)
        environment = {**os.environ, "OMP_NUM_THREADS": count, "FASTNET_NUM_THREADS": count, **side.environment}
        self.process = subprocess.Popen(
            list(side.command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, **request) -> dict:
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerError(f"{self.name}: the worker has ended with status {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def agree(mine: Sequence, other: Sequence, tolerance: float) -> bool:
    """Whether two lists of fingerprints may come from the same arrays, up to `tolerance` of their L2 norms."""
    if len(mine) != len(other):
        return False
    for (norm_a, noise_a, size_a), (norm_b, noise_b, size_b) in zip(mine, other, strict=True):
        allowed = 5 * tolerance * max(norm_b, 1e-30)
        if size_a != size_b or not (abs(norm_a - norm_b) <= allowed and abs(noise_a - noise_b) <= allowed):
            return False
    return True


def compare(
    sides: Sequence[Side],
    cases: Sequence[dict],
    threads: int,
    rounds: int = 5,
    seconds: float = 0.3,
    tolerance: float = 1e-3,
    show: Callable[[dict, dict[str, Timing]], None] | None = None,
    cpu_time: bool = False,
) -> list[dict[str, Timing]]:
    """Time every case on every side.

    Parameters
    ----------
    sides : sequence of Side
        The others are verified against the first one.
    cases : sequence of dict
        Sent to the workers as JSON; "tolerance" in a case overrides `tolerance`.
    threads : int
        For every side.
    rounds, seconds
        Each side is timed `rounds` times for `seconds`, alternating with the others.
    show : function (case, timings), optional
        Called after each case.
    cpu_time : bool
        Measure the processor time of a side's process instead of wall-clock time: with one thread the two are the same
        on an idle machine, and on a busy one only processor time is meaningful.

    Raises
    ------
    PeerError
        A worker fails, or its results differ from the first side's; or no side is left besides the first.
    """
    workers = [Worker(side, threads) for side in sides]
    results = []
    try:
        for case in cases:
            fit = prepared(workers, case, case.get("tolerance", tolerance))
            timings = in_turn(fit, rounds, seconds, cpu_time)
            results.append(timings)
            if show:
                show(case, timings)
    finally:
        for worker in workers:
            worker.close()
    return results


def prepared(workers: Sequence[Worker], case: dict, tolerance: float) -> list[Worker]:
    """The sides that are ready to be timed on a case, and compute the same as the first one."""
    fit, expected, title = [], None, case.get("name", case)
    for worker in workers:
        try:
            found = worker.ask(do="prepare", case=case)["fingerprint"]
            expected = expected or found
            if not agree(found, expected, tolerance):
                raise PeerError(f"{title}: {worker.name} and {workers[0].name} compute different results")
            fit.append(worker)
        except PeerError as error:
            if not worker.may_fail:
                raise
            print(f"{worker.name} is left out: {error}", flush=True)
    if len(workers) > 1 and len(fit) == 1:
        raise PeerError(f"{title}: nobody is left to compare {fit[0].name} with")
    return fit


def in_turn(workers: Sequence[Worker], rounds: int, seconds: float, cpu_time: bool = False) -> dict[str, Timing]:
    """The times of workers that have prepared a case, each for `seconds` in every round."""
    bests = {worker.name: [] for worker in workers}
    for _ in range(rounds):
        for worker in workers:
            bests[worker.name].append(min(worker.ask(do="time", seconds=seconds, cpu_time=cpu_time)["ms"]))
    return {name: Timing(min(ms), statistics.median(ms)) for name, ms in bests.items()}


def ratio(timings: dict[str, Timing], mine: str, median: bool = False, apart: Collection[str] = ()) -> float:
    """How many times as fast `mine` is as the best of the others, without those `apart`; NaN if none is left."""
    times = {name: timing.median if median else timing.best for name, timing in timings.items()}
    return min((ms for name, ms in times.items() if name not in (mine, *apart)), default=math.nan) / times[mine]


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(statistics.fmean(math.log(value) for value in values))


def cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Table:
    """Prints a row after each case: the sides' best ms, the ratio of bests and that of medians.

    `more` has further columns, a function of (case, timings) for each title.  Sides `apart` are shown, but are no
    rivals.
    """

    def __init__(
        self,
        names: Sequence[str],
        mine: str,
        width: int = 34,
        more: Mapping[str, Callable[[dict, dict[str, Timing]], str]] | None = None,
        apart: Collection[str] = (),
    ):
        self.names, self.mine, self.width, self.more, self.apart = names, mine, width, more or {}, apart
        self._print("ms (best of all rounds)", names, ["ratio", "median", *self.more])

    def row(self, case: dict, timings: dict[str, Timing]) -> None:
        ratios = (f"{ratio(timings, self.mine, median, self.apart):.2f}" for median in (False, True))
        more = (cell(case, timings) for cell in self.more.values())
        times = [f"{timings[name].best:.3f}" if name in timings else "-" for name in self.names]
        self._print(case["name"], times, [*ratios, *more])

    def _print(self, title, times, ratios) -> None:
        cells = [*(f"{cell:>{max(14, len(name))}}" for cell, name in zip(times, self.names, strict=True))]
        cells += [f"{cell:>7}" for cell in ratios]
        print(f"{title:<{self.width}}", *cells, sep="  ", flush=True)

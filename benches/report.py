"""The report of a comparison with PyTorch: which targets were reached, as text and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import allocators
import peers
import workloads

MINE = "fastnet"


class Result(NamedTuple):
    """A case and its times on each side."""

    case: dict
    timings: dict[str, peers.Timing]

    @property
    def ratio(self) -> float:
        """fastnet's speed relative to the best of PyTorch's sides."""
        return peers.ratio(self.timings, MINE)

    @property
    def untuned(self) -> float | None:
        """Likewise, of those sides alone that have glibc's allocator; None if there are none."""
        tuned = [name for name in self.timings if name.split()[-1] in allocators.ALLOCATORS]
        found = peers.ratio(self.timings, MINE, apart=tuned)
        return None if math.isnan(found) else found

    def untuned_text(self, unit: str = "") -> str:
        """`untuned` as a table cell."""
        return "" if self.untuned is None else f"{self.untuned:.2f}{unit}"

    @property
    def gflops(self) -> float | None:
        """fastnet's effective GFLOP/s, which count the operations of direct convolution; None without a convolution."""
        return 2e-6 * self.case["macs"] / self.timings[MINE].best if "macs" in self.case else None

    @property
    def rate(self) -> str:
        """`gflops` as a table cell."""
        return "" if self.gflops is None else f"{self.gflops:.0f}"


class Run(NamedTuple):
    """All measurements, with descriptions of machine and command, and the FMA peak of all threads in GFLOP/s."""

    machine: str
    command: str
    dtype: str
    peak: float
    results: Sequence[Result]

    def lists(self) -> dict[str, list[Result]]:
        kinds = dict.fromkeys(result.case["kind"] for result in self.results)
        return {kind: [result for result in self.results if result.case["kind"] == kind] for kind in kinds}


def verdict(value: float, wanted: float | None) -> str:
    """The value and its target, if it has one."""
    if wanted is None:
        return f"{value:.2f}x"
    return f"{value:.2f}x (to reach: {wanted:g}x; {'reached' if value >= wanted else 'not reached'})"


def ratios(kind: str, results: Sequence[Result], dtype: str) -> str:
    """A line on a list: its geometric mean and minimum ratio."""
    figure, least = workloads.figure(kind, dtype), min(results, key=lambda result: result.ratio)
    mean = verdict(peers.geometric_mean([result.ratio for result in results]), figure.mean)
    return f"{kind}: geometric mean {mean}, least {verdict(least.ratio, figure.least)} at {least.case['name']}"


def throughput(kind: str, results: Sequence[Result], peak: float) -> str:
    """A line on a list of convolutions: effective GFLOP/s of forward and gradients, against the FMA peak."""
    found = [result.gflops for result in results]
    above = sum(gflops > peak for gflops in found)
    wanted = ""
    if kind == "conv3x3":
        wanted = f" (to reach: all; {'reached' if above == len(found) else 'not reached'})"
    return (
        f"{kind}: effective {min(found):.0f} to {max(found):.0f} GFLOP/s, {above} of {len(found)} above "
        f"the FMA peak of {peak:.0f} GFLOP/s measured in this run{wanted}"
    )


def lines(run: Run) -> list[str]:
    """The end of the table: for each list, which targets were reached."""
    found = []
    for kind, results in run.lists().items():
        found.append(ratios(kind, results, run.dtype))
        if results[0].gflops is not None:
            found.append(throughput(kind, results, run.peak))
    return found


# ---------------------------------------------------------------- Markdown


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (titles, ["---"] * len(titles), *rows))


def summary(run: Run) -> str:
    """A row for each list."""
    rows = []
    for kind, results in run.lists().items():
        figure, found = workloads.figure(kind, run.dtype), [result.ratio for result in results]
        mean, least = verdict(peers.geometric_mean(found), figure.mean), verdict(min(found), figure.least)
        rows.append((workloads.LISTS[kind].title, str(len(results)), mean, least))
    return table((f"forward and backward, {run.dtype}", "cases", "geometric mean", "least"), rows)


def details(run: Run) -> str:
    """A row for each case."""
    names = list(dict.fromkeys(name for result in run.results for name in result.timings))
    rows = []
    for result in run.results:
        times = [f"{result.timings[name].best:.2f}" if name in result.timings else "left out" for name in names]
        rows.append((result.case["name"], *times, f"{result.ratio:.2f}x", result.untuned_text("x"), result.rate))
    titles = [*(f"{name}, ms" for name in names), "ratio to the best", "to the best with glibc", "effective GFLOP/s"]
    return table((f"forward and backward, {run.dtype}", *titles), rows)


def markdown(run: Run) -> str:
    """Machine and command, the lists, the cases."""
    about = f"{run.machine}, best of all rounds, each side in a process of its own, in turn: `{run.command}`."
    notes = [line for line in lines(run) if "effective" in line]
    return "\n\n".join([about, summary(run), *notes, details(run)]) + "\n"

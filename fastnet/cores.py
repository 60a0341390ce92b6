"""The default number of threads: from the environment, or from the affinity mask, cores and cgroup quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["MAX_THREADS", "default_num_threads", "default_reason"]

MAX_THREADS = 1024
_reason = ""


def _affinity() -> tuple[int, str]:
    """Physical cores that this process may run on."""
    try:
        cpus = os.sched_getaffinity(0)
    except AttributeError:  # macOS, Windows
        count = os.cpu_count() or 1
        return count, f"{count} processors"
    cores: set[str | int] = set()
    for cpu in cpus:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text())
        except OSError:
            cores.add(cpu)
    return len(cores), f"{len(cores)} cores in the affinity mask ({len(cpus)} processors)"


def _quota(root: str = "/sys/fs/cgroup") -> float:
    """CPUs that the cgroup grants (v2, else v1); infinity without a limit."""
    limit = math.inf
    try:
        own = Path("/proc/self/cgroup").read_text().split("::", 1)
        group = Path(root) / own[1].strip().lstrip("/") if len(own) == 2 else Path(root)
    except OSError:
        group = Path(root)
    for folder in (group, *group.parents):
        try:
            granted, period = (folder / "cpu.max").read_text().split()
            if granted != "max":
                limit = min(limit, int(granted) / int(period))
        except (OSError, ValueError):
            pass
        if folder == Path(root):
            break
    try:
        quota = int((Path(root) / "cpu/cpu.cfs_quota_us").read_text())
        if quota > 0:
            limit = min(limit, quota / int((Path(root) / "cpu/cpu.cfs_period_us").read_text()))
    except (OSError, ValueError):
        pass
    return limit


def _from_environment(name: str) -> int | None:
    text = os.environ.get(name, "").split(",")[0].strip()  # OMP_NUM_THREADS may be a list, one per nesting level
    if not text:
        return None
    if not text.isdigit() or not 1 <= int(text) <= MAX_THREADS:
        if name.startswith("FASTNET"):
            raise ValueError(f"{name} must be a number from 1 to {MAX_THREADS}, got {text!r}")
        return None
    return int(text)


def default_num_threads() -> int:
    """FASTNET_NUM_THREADS, else OMP_NUM_THREADS, else what the affinity mask and the cgroup quota allow.

    Raises
    ------
    ValueError
        If FASTNET_NUM_THREADS is not an integer from 1 to 1024.
    """
    global _reason
    for name in ("FASTNET_NUM_THREADS", "OMP_NUM_THREADS"):
        if count := _from_environment(name):
            _reason = f"{name}={count}"
            return count
    count, _reason = _affinity()
    quota = _quota()
    if quota < count:
        count = max(1, math.floor(quota))
        _reason = f"cgroup quota of {quota:g} CPUs"
    return min(count, MAX_THREADS)


def default_reason() -> str:
    """The reason for the last result of :func:`default_num_threads`, as text; "" before its first call."""
    return _reason

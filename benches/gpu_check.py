"""Everything that only a GPU can show, in one run and one table: is the backend "cupy" right, and how fast is it?

    python benches/gpu_check.py [--minutes 9] [--torch-python PATH] [--only SECTION ...] [--json FILE]

Each section is a process of its own with a deadline, so that a hang or a crash is a row of the table.  The exit status
is 1 if a check fails; speeds are figures, not checks.  It is 2 if there is no GPU or no CuPy; sections that need
neither run then with --only.  For Linux.  What kernels take of a GPU, registers for example, shows without one:
PYTHONPATH=tests python -m cuda.nvrtc.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import gpu_rows
from gpu_rows import Row, Settings

import fastnet as fn
from fastnet import backends
from fastnet.diagnose.machine import cpu_name


class Section(NamedTuple):
    """A module gpu_<name>.py: what it shows, its share of nine minutes in seconds, and whether it needs a GPU."""

    title: str
    seconds: float
    gpu: bool = True


SECTIONS = {
    "kernels": Section("NVRTC compiles them for this GPU", 30),
    "exact": Section("integers give exactly the CPU's numbers", 35),
    "replay": Section("captured steps give the bits of steps op by op", 35),
    "suite": Section("tests/cuda, against the reference and the oracle", 65),
    "training": Section("ResNet-20 learns as on the CPU", 40),
    "sanitizer": Section("compute-sanitizer", 65),
    "threads": Section("the CPU engine's threads", 20, gpu=False),
    "times": Section("training steps, beside PyTorch", 240),
}
LEFT = 10  # seconds of nine minutes for what comes before and after


def deadline(name: str, names: list[str], seconds: float) -> float:
    """How long a section may take, of so many seconds that are left: its share, and what those before it have left."""
    later = names[names.index(name) + 1 :]
    share = SECTIONS[name].seconds
    return max(seconds * share / (share + sum(SECTIONS[each].seconds for each in later)), 1)


def machine(why: str) -> str:
    """What is compared, in a line."""
    cpu, gpu = gpu_rows.host(), f"no GPU: {why}"
    if not why:
        with gpu_rows.device() as ops:
            gpu = ops.device
    return f"fastnet {fn.__version__}; {gpu}; {cpu_name()}, backend {cpu.name}, {cpu.threads} threads"


def table(found: dict[str, list[Row]]) -> str:
    """All rows under their sections."""
    width = max(len(row.check) for rows in found.values() for row in rows)
    lines = []
    for name, rows in found.items():
        lines += ["", f"{name}: {SECTIONS[name].title}"]
        lines += [f"  {row.check:<{width}}  {row.result:<6}  {row.found}" for row in rows]
    return "\n".join(lines[1:])


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--minutes", type=float, default=9.0, help="for everything (default: 9)")
    add("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION", help=", ".join(SECTIONS))
    add("--torch-python", default=sys.executable, metavar="PATH", help="an interpreter that has torch")
    add("--torch-device", choices=("cuda", "cpu"), default="cuda", help=argparse.SUPPRESS)  # for tests
    add("--data", metavar="PATH", help="cifar10_jpeg_packed.npz, or a folder with cifar10/ (or FASTNET_TEST_DATA)")
    add("--quick", action="store_true", help="tiny shapes: to try this program")
    add("--json", type=Path, metavar="FILE", help="write rows and figures there")
    return parser


def main() -> int:
    args, start = parser().parse_args(), time.monotonic()
    with gpu_rows.standin():
        why = backends.why_not_cupy()
    names = [name for name in SECTIONS if name in args.only]
    if why and any(SECTIONS[name].gpu for name in names):
        free = " ".join(name for name in SECTIONS if not SECTIONS[name].gpu)
        print(f"gpu_check: no GPU to check: {why}; --only {free} needs none", file=sys.stderr)
        return 2
    about = machine(why)
    print(about, flush=True)
    found: dict[str, list[Row]] = {}
    for name in names:
        left = 60 * args.minutes - LEFT * args.minutes / 9 - (time.monotonic() - start)
        settings = Settings(deadline(name, names, left), args.quick, args.torch_python, args.torch_device, args.data)
        began = time.monotonic()
        found[name] = gpu_rows.section(name, settings)
        failed = sum(row.passed is False for row in found[name])
        print(f"{name}: {time.monotonic() - began:.0f} s, {failed} failed", flush=True)
    minutes = (time.monotonic() - start) / 60
    passed = all(row.passed is not False for rows in found.values() for row in rows)
    print(f"\n{table(found)}\n\n{'all checks passed' if passed else 'CHECKS FAILED'} in {minutes:.1f} minutes")
    if args.json:
        rows: list[dict[str, Any]] = [{"section": name, **row._asdict()} for name in found for row in found[name]]
        args.json.write_text(json.dumps({"machine": about, "minutes": minutes, "passed": passed, "rows": rows}))
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())

"""gpu_check.py: ops' examples under NVIDIA's compute-sanitizer: accesses out of bounds, races in shared memory."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import gpu_rows
import numpy as np
from gpu_rows import Row, Settings

from fastnet.diagnose.examples import run_example
from fastnet.ops import REGISTRY

NAME = "compute-sanitizer"
TOOLS = {  # options (CuPy asks for things that drivers may not have), and the line that counts
    "memcheck": (["--report-api-errors", "no"], r"ERROR SUMMARY: (\d+) error"),
    "racecheck": ([], r"RACECHECK SUMMARY: (\d+) hazard"),
}
CANNOT = r"(?mi)^.*(?:not supported|unable to|failed to initialize|insufficient driver).*$"
LEAVING = 8  # seconds that the watched program has to end in, and the tool to sum up
QUICK = ["relu6", "concat"]


def places() -> list[str]:
    """Folders where the tool may be: PATH's, and where CUDA's installers put it."""
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX") if os.environ.get(name)]
    homes += ["/usr/local/cuda", *sorted(map(str, Path("/usr/local").glob("cuda-*")), reverse=True), "/opt/cuda"]
    below = [f"{home}/{part}" for home in homes for part in ("bin", "compute-sanitizer")]
    return list(dict.fromkeys([*os.environ.get("PATH", "").split(os.pathsep), *below]))


def run_examples(names: Sequence[str], seconds: float) -> None:
    """The program that is watched: the first example of each op, then the second of each, for so long.

    Prints the op and the number of each example that has run.
    """
    end = time.monotonic() + seconds
    with gpu_rows.device() as device:
        if not gpu_rows.ON_STANDIN:
            device.xp.cuda.set_allocator(None)  # in a pool, what is past an array's end is another array
        for number in range(max(len(REGISTRY[name].examples) for name in names)):
            for name in names:
                for example in REGISTRY[name].examples[number : number + 1]:
                    for dtype in map(np.dtype, ("float32", "float64")):
                        if time.monotonic() > end:
                            return
                        run_example(device, REGISTRY[name], example, dtype, device.asarray)
                        device.xp.cuda.Device().synchronize()
                    print(f"{name}/{number}", flush=True)


def row(tool: str, program: str, names: Sequence[str], seconds: float) -> Row:
    """What a tool of compute-sanitizer says about the examples."""
    watched = [sys.executable, str(Path(__file__).resolve()), str(seconds - LEAVING), *names]
    options, counting = TOOLS[tool]
    ended = gpu_rows.run([program, "--tool", tool, "--error-exitcode", "9", *options, *watched], seconds)
    output = f"{ended.output}\n{ended.said}"
    ran = [word for word in ended.output.split() if word.partition("/")[0] in names]
    ops, whole = len({word.partition("/")[0] for word in ran}), sum(len(REGISTRY[name].examples) for name in names)
    summary, cannot = re.search(counting, output), re.search(CANNOT, output)
    if cannot and not ran:
        return Row(tool, None, f"cannot run here: {cannot[0].strip('= ')}")
    found = f"{summary[1] if summary else 'no'} errors, {len(ran)} of {whole} examples of {ops} of {len(names)} ops"
    passed = bool(summary) and int(summary[1]) == 0 and not ended.failure and bool(ran)
    if not passed:
        print(output[-6000:], flush=True)
        found += f"; {ended.failure}{f' in or after {ran[-1]}' if ran else ''}" if ended.failure else ""
    return Row(tool, passed, found, {"examples": len(ran), "ops": ops})


def rows(settings: Settings) -> Iterator[Row]:
    program = shutil.which(NAME, path=os.pathsep.join(places()))
    if program is None:
        yield Row(NAME, None, f"not found; looked in {', '.join(places())}")
        return
    names = QUICK if settings.quick else list(REGISTRY)
    for tool in TOOLS:
        yield row(tool, program, names, (settings.seconds - 3) / len(TOOLS))


if __name__ == "__main__":
    run_examples(sys.argv[2:], float(sys.argv[1]))

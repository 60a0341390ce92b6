"""Compiles the kernels of csrc/cuda with NVRTC, which needs no GPU, and says what they take of one.

    PYTHONPATH=tests python -m cuda.nvrtc [FILE...]   # prints the table; FILEs are names such as pool

NVRTC is the wheel nvidia-cuda-nvrtc's (`pip install nvidia-cuda-nvrtc`).
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from cuda import devices

ARCHITECTURES = 75, 80, 86, 89, 90, 100, 120  # compute capabilities 7.5 to 12.0
REALS = "float", "double"


class Resources(NamedTuple):
    """What a kernel takes: registers a thread; bytes of shared memory a block; bytes of local memory a thread."""

    registers: int
    shared: int
    stack: int
    spilled: int


@functools.cache
def library() -> ctypes.CDLL | None:
    """NVRTC, or None where the wheel is not installed."""
    found = importlib.util.find_spec("nvidia")
    for folder in found.submodule_search_locations or () if found else ():
        for path in sorted(Path(folder).glob("*/lib/libnvrtc.so.*")):
            return ctypes.CDLL(str(path))
    return None


@functools.cache
def sources() -> dict[str, str]:
    """The text of each .cu, as it is compiled on a GPU."""
    with devices.standin():
        from fastnet.backends.device.compiler import SOURCES, source

        return {path.stem: source(path) for path in sorted(SOURCES.glob("*.cu"))}


@functools.cache
def options() -> tuple[str, ...]:
    """The options that kernels are compiled with on a GPU."""
    with devices.standin():
        from fastnet.backends.device.compiler import OPTIONS

        return OPTIONS


def compile(text: str, name: str, real: str, architecture: int) -> tuple[dict[str, Resources], str]:
    """Each kernel's resources, and the compiler's errors and warnings ("" if there are none)."""
    nvrtc = library()
    given = [*options(), f"-DREAL={real}", f"-arch=sm_{architecture}", "--ptxas-options=-v"]
    program = ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None))
    failed = nvrtc.nvrtcCompileProgram(program, len(given), (ctypes.c_char_p * len(given))(*map(str.encode, given)))
    log = _text(program, "ProgramLog")
    _check(nvrtc.nvrtcDestroyProgram(ctypes.byref(program)))
    messages = "\n".join(line for line in log.splitlines() if not _INFORMATION.match(line))
    return _resources(log), messages or ("it does not compile" if failed else "")


_INFORMATION = re.compile(r"ptxas info|ptxas  .* bytes stack frame|\s*$")


def _check(result: int) -> None:
    if result:
        raise RuntimeError(f"NVRTC error {result}")


def _text(program: ctypes.c_void_p, what: str) -> str:
    size = ctypes.c_size_t()
    _check(getattr(library(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _check(getattr(library(), f"nvrtcGet{what}")(program, text))
    return text.value.decode()


def _resources(log: str) -> dict[str, Resources]:
    found: dict[str, Resources] = {}
    name, stack, spilled = "", 0, 0
    for line in log.splitlines():
        if entry := re.search(r"Compiling entry function '(\w+)'", line):
            name = entry[1]
        elif frame := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            stack, spilled = int(frame[1]), int(frame[2]) + int(frame[3])
        elif used := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            found[name] = Resources(int(used[1]), int(shared[1]) if shared else 0, stack, spilled)
    return found


def main(names: list[str]) -> None:
    if library() is None:
        raise SystemExit("pip install nvidia-cuda-nvrtc")
    print(f"{'file':<14}{'kernel':<28}{'real':<8}registers on", *(f"sm_{a:<3}" for a in ARCHITECTURES), end="   ")
    print("bytes of shared memory, stack, spills")
    began = time.perf_counter()
    with ThreadPoolExecutor() as pool:
        for name in names or sources():
            for real in REALS:
                work = functools.partial(compile, sources()[name], f"{name}.cu", real)
                made = list(pool.map(work, ARCHITECTURES))
                for messages in {messages for _, messages in made} - {""}:
                    print(messages, file=sys.stderr)
                for kernel in made[0][0]:
                    each = [resources[kernel] for resources, _ in made]
                    registers = " ".join(f"{one.registers:5}" for one in each)
                    largest = [max(getattr(one, field) for one in each) for field in ("shared", "stack", "spilled")]
                    print(
                        f"{name:<14}{kernel:<28}{real:<8}            {registers}" + "{:10} {:6} {:6}".format(*largest)
                    )
    print(f"{time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])

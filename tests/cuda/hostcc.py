"""Compiles kernels for the emulator with g++, and keeps what it made in a folder for temporary files."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import which

HOST = Path(__file__).parent / "host"
COMPILER = "g++"
_COMMON = ["-std=c++17", "-g1", "-fPIC", f"-I{HOST}"]
_RUNTIME = [*_COMMON, "-O2", "-shared", "-Wall", "-Wextra", "-Werror"]
# The sanitisers' calls go to the emulator's library. -O1: as they bound what can be optimised, more gains nothing.
_KERNELS = [
    *_COMMON,
    *("-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-fno-tree-loop-distribute-patterns"),
    "-fsanitize=thread,bounds,signed-integer-overflow,shift,integer-divide-by-zero,float-cast-overflow",
    *("-Wall", "-Werror", "-Wno-unknown-pragmas"),
]


class Fault(Exception):
    """A kernel did what CUDA does not allow, was launched with what it does not take, or does not compile."""


def why_not() -> str | None:
    """Why the emulator does not run here; None if it does."""
    if sys.platform != "linux":
        return "the emulator runs on Linux"
    return None if which(COMPILER) else "the emulator needs g++"


def runtime() -> Path:
    """The emulator's library, which all compiled kernels share."""
    return _kept(repr(_RUNTIME), lambda made: _run([COMPILER, *_RUNTIME, str(HOST / "runtime.cpp"), "-o", str(made)]))


def kernels(source: str, options: Sequence[str], name: str) -> Path:
    """The library of a source's kernels; messages call the source `name`."""

    def build(made: Path) -> None:
        work = made.parent
        (work / name).write_text(source)
        text = _run([COMPILER, *_KERNELS, *options, "-E", "-x", "c++", str(work / name)]).replace(f'"{work}/', '"')
        (work / "kernels.ii").write_text(text + _table(text))
        _run([COMPILER, *_KERNELS, "-c", str(work / "kernels.ii"), "-o", str(work / "kernels.o")])
        _run([COMPILER, "-shared", str(work / "kernels.o"), str(runtime()), "-o", str(made)])

    return _kept(repr((source, options, name, _KERNELS, str(runtime()))), build)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Fault(f"{shlex.join(command)}:\n{done.stderr}")
    return done.stdout


def _kept(key: str, build: Callable[[Path], object]) -> Path:
    """The library of this key, made if it is missing, by one of several processes."""
    folder = Path(tempfile.gettempdir()) / f"fastnet-emulator-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    path = folder / f"{hashlib.sha256((key + _host_text()).encode()).hexdigest()[:24]}.so"
    if path.exists():
        return path
    with open(path.with_suffix(".lock"), "w") as lock, tempfile.TemporaryDirectory(dir=folder) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            made = Path(scratch) / path.name
            build(made)
            os.replace(made, path)
    return path


@functools.cache
def _host_text() -> str:
    return "".join(path.read_text() for path in sorted(HOST.iterdir()))


def _table(preprocessed: str) -> str:
    """The code that lists the kernels of a preprocessed source, with the names of their parameters."""
    entries = []
    for found in re.finditer(r"static\s+emulated_kernel<\((.*?)\), *\d+>\s*emulated_(\w+)\s*\(", preprocessed):
        depth, end = 1, found.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(preprocessed[end], 0)
            end += 1
        parameters = preprocessed[found.end() : end - 1].split(",")
        names = ",".join(words[-1] for words in (re.findall(r"\w+", each) for each in parameters) if words)
        threads, name = found.groups()
        entries.append(f'emulated_entry<decltype(emulated_{name}), emulated_{name}>("{name}", "{names}", {threads}),')
    if not entries:
        raise Fault("the source has no KERNEL")
    return (
        f"\nstatic const emulated_table_entry emulated_entries[] = {{{' '.join(entries)}}};\n"
        'extern "C" const emulated_table_entry *emulated_table(int *count)\n'
        f"{{ *count = {len(entries)}; return emulated_entries; }}\n"
    )

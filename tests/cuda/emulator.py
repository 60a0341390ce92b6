"""Runs CUDA kernels on the CPU: compiles a .cu with g++ against host/emulator.h, which says what is checked.

    module = Module(source, ["-DREAL=float"])  # the text of a .cu, its own includes expanded
    module.launch("add", blocks=4, threads=256, arguments=[a, b, y, y.size])

Arguments are NumPy arrays (views of any strides: the elements between the first and the last may be touched), ints
for Int, floats for double, None or 0 for a null pointer. A `Fault` names the kernel, the block, the thread, the line
and the array's element. Threads and blocks run in an order that depends on `seed` (FASTNET_EMULATOR_SEED, or 0).
"""

import ctypes
import functools
import hashlib
import itertools
import math
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

HOST = Path(__file__).parent / "host"
COMPILER = os.environ.get("CXX", "g++")
# -O1: as the checks' calls bound what can be optimised, more compiles for longer and runs no faster.
_COMMON = ["-std=c++17", "-g1", "-fPIC", f"-I{HOST}"]
_RUNTIME = [*_COMMON, "-O2", "-shared", "-Wall", "-Wextra", "-Werror"]
_KERNELS = [
    *_COMMON,
    *("-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-fno-tree-loop-distribute-patterns"),
    "-fsanitize=thread,bounds,signed-integer-overflow,shift,integer-divide-by-zero,float-cast-overflow",
    *("-Wall", "-Werror", "-Wno-unknown-pragmas"),
]
_TYPES = {"f": "float32", "d": "float64", "q": "int64", "i": "int32", "I": "uint32", "Q": "uint64", "B": "uint8"}
_MAX_GRID = (2**31 - 1, 65535, 65535)
_MAX_BLOCK = (1024, 1024, 64)
_MAX_SHARED = 48 << 10


class Fault(Exception):
    """A kernel did what CUDA does not allow, or was launched with what it does not take."""


class _Argument(ctypes.Structure):
    _fields_ = [
        ("integer", ctypes.c_longlong),
        ("number", ctypes.c_double),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_longlong),
        ("offset", ctypes.c_longlong),
        ("kind", ctypes.c_int),
        ("element", ctypes.c_int),
        ("written", ctypes.c_int),
        ("same", ctypes.c_int),
        ("name", ctypes.c_char_p),
    ]


class _Fault(ctypes.Structure):
    _fields_ = [
        ("failed", ctypes.c_bool),
        ("text", ctypes.c_char * 512),
        ("block", ctypes.c_uint * 3),
        ("thread", ctypes.c_uint * 3),
        ("code", ctypes.c_void_p),
        ("file", ctypes.c_char_p),
        ("line", ctypes.c_int),
    ]


class _Entry(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("parameters", ctypes.c_char_p),
        ("signature", ctypes.c_char_p),
        ("threads", ctypes.c_int),
        ("call", ctypes.c_void_p),
    ]


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"fastnet-emulator-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    return folder


def _run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise Fault(f"{' '.join(command)}:\n{done.stderr}")
    return done.stdout


def _built(key: str, suffix: str, build: Any) -> Path:
    """The file of this key in the cache, made if it is missing; two processes may make it at the same time."""
    path = _folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}{suffix}"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=_folder()) as scratch:
            made = Path(scratch) / path.name
            build(made)
            os.replace(made, path)
    return path


@functools.cache
def _host_text() -> str:
    return "".join(path.read_text() for path in sorted(HOST.iterdir())) + COMPILER


@functools.cache
def _runtime() -> tuple[Path, Any]:
    path = _built(
        _host_text() + repr(_RUNTIME),
        ".so",
        lambda made: _run([COMPILER, *_RUNTIME, str(HOST / "runtime.cpp"), "-o", str(made)]),
    )
    launch = ctypes.CDLL(str(path)).emulator_launch
    launch.restype = ctypes.POINTER(_Fault)
    return path, launch


def _table(preprocessed: str) -> str:
    """The code that lists the kernels of a preprocessed source, with the names of their parameters."""
    entries = []
    for found in re.finditer(r"static\s+emulated_kernel<(.*?)>\s*emulated_(\w+)\s*\(", preprocessed):
        depth, end = 1, found.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(preprocessed[end], 0)
            end += 1
        names = [
            words[-1] for one in preprocessed[found.end() : end - 1].split(",") if (words := re.findall(r"\w+", one))
        ]
        bound, name = found.group(1), found.group(2)
        function = f"emulated_{name}"
        entries.append(f'emulated_entry<decltype({function}), {function}>("{name}", "{",".join(names)}", {bound}),')
    if not entries:
        raise Fault("the source has no KERNEL")
    return (
        f"\nstatic const emulated_table_entry emulated_entries[] = {{{' '.join(entries)}}};\n"
        'extern "C" const emulated_table_entry *emulated_table(int *count)\n'
        f"{{ *count = {len(entries)}; return emulated_entries; }}\n"
    )


def _compile(source: str, options: Sequence[str], name: str, made: Path) -> None:
    work = made.parent
    (work / name).write_text(source)
    text = _run([COMPILER, *_KERNELS, *options, "-E", "-x", "c++", str(work / name)])
    text = text.replace(f'"{work}/', '"')
    (work / "kernels.ii").write_text(text + _table(text))
    _run([COMPILER, *_KERNELS, "-c", str(work / "kernels.ii"), "-o", str(work / "kernels.o")])
    _run([COMPILER, "-shared", str(work / "kernels.o"), str(_runtime()[0]), "-o", str(made)])


_ONE_AT_A_TIME = threading.Lock()


class Module:
    """The kernels of a source. `options` are -D, -U; others, which are NVRTC's, are left out."""

    def __init__(self, source: str, options: Sequence[str] = (), name: str = "kernels.cu"):
        options = [option for option in options if option.startswith(("-D", "-U"))]
        key = repr((source, options, name, _KERNELS)) + _host_text()
        self._path = _built(key, ".so", lambda made: _compile(source, options, name, made))
        table = ctypes.CDLL(str(self._path)).emulated_table
        table.restype = ctypes.POINTER(_Entry)
        count = ctypes.c_int()
        entries = table(ctypes.byref(count))
        self._kernels = {entries[i].name.decode(): entries[i] for i in range(count.value)}

    def kernels(self) -> dict[str, list[str]]:
        """The kernels' names, and for each parameter its access (v, r, w), its type's letter and its name."""
        return {name: [f"{c} {p}" for c, p in _parameters(entry)] for name, entry in self._kernels.items()}

    def launch(
        self,
        name: str,
        blocks: int | tuple[int, ...],
        threads: int | tuple[int, ...],
        arguments: Sequence[Any],
        shared: int = 0,
        seed: int | None = None,
    ) -> None:
        """Runs a kernel on `blocks` x `threads`; raises `Fault` for a wrong argument or access."""
        if name not in self._kernels:
            raise Fault(f"there is no kernel {name!r}; there are {', '.join(self._kernels)}")
        entry = self._kernels[name]
        parameters = _parameters(entry)
        if len(arguments) != len(parameters):
            names = ", ".join(parameter for _, parameter in parameters)
            raise Fault(f"kernel {name} takes {len(parameters)} arguments ({names}), not {len(arguments)}")
        grid, block = _sizes(name, "blocks", blocks, _MAX_GRID), _sizes(name, "threads", threads, _MAX_BLOCK)
        if math.prod(block) > entry.threads:
            raise Fault(
                f"kernel {name}: {math.prod(block)} threads a block; at most {entry.threads} are declared"
                " (KERNEL_BOUNDED declares another number)"
            )
        if math.prod(block) > 1024:
            raise Fault(f"kernel {name}: {math.prod(block)} threads a block; CUDA allows 1024")
        if not 0 <= shared <= _MAX_SHARED:
            raise Fault(f"kernel {name}: {shared} bytes of shared memory; a block has {_MAX_SHARED}")
        packed = (_Argument * max(len(arguments), 1))()
        for into, argument, (code, parameter) in zip(packed, arguments, parameters, strict=False):
            _pack(into, argument, code, parameter, f"kernel {name}, argument {parameter}")
        _find_overlaps(name, arguments, packed)
        if seed is None:
            seed = int(os.environ.get("FASTNET_EMULATOR_SEED", "0"))
        with _ONE_AT_A_TIME:
            fault = _runtime()[1](
                ctypes.c_void_p(entry.call),
                packed,
                len(arguments),
                (ctypes.c_uint * 3)(*grid),
                (ctypes.c_uint * 3)(*block),
                ctypes.c_longlong(shared),
                ctypes.c_uint64(seed),
            ).contents
            if fault.failed:
                raise Fault(self._message(name, fault))

    def _message(self, name: str, fault: _Fault) -> str:
        line = f"{fault.file.decode()}:{fault.line}" if fault.file else self._line(fault.code)
        place = f"kernel {name}, block {tuple(fault.block)}, thread {tuple(fault.thread)}"
        return f"{place}{', ' + line if line else ''}: {fault.text.decode()}"

    def _line(self, code: int | None) -> str:
        """The source line of an instruction, where binutils is installed."""
        if not code:
            return ""
        for line in Path("/proc/self/maps").read_text().splitlines():
            if line.endswith(str(self._path)):
                start = int(line.split("-")[0], 16) - int(line.split()[2], 16)
                break
        try:
            done = subprocess.run(
                ["addr2line", "-e", self._path, hex(code - 1 - start)], capture_output=True, text=True
            )
        except OSError:
            return ""
        return Path(done.stdout.split(" (")[0].strip()).name


def _parameters(entry: _Entry) -> list[tuple[str, str]]:
    names = entry.parameters.decode().split(",") if entry.parameters else []
    signature = entry.signature.decode()
    accesses, types = signature[: len(signature) // 2], signature[len(signature) // 2 :]
    return [(access + kind, name) for access, kind, name in zip(accesses, types, names, strict=False)]


def _sizes(name: str, what: str, sizes: int | tuple[int, ...], limits: tuple[int, ...]) -> tuple[int, ...]:
    full = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    full = (*full, *(1,) * (3 - len(full)))
    if len(full) != 3 or any(not 1 <= size <= limit for size, limit in zip(full, limits, strict=True)):
        raise Fault(f"kernel {name}: {what} must be between 1 and {limits}, got {sizes}")
    return full


def _pack(into: _Argument, argument: Any, code: str, parameter: str, where: str) -> None:
    access, kind = code
    if access == "v":
        accepted, expected = ((int, np.int64), "an int") if kind == "q" else ((float, np.float64), "a float")
        if type(argument) not in accepted:
            raise Fault(f"{where}: expected {expected}, got {type(argument).__name__}")
        if kind == "q":
            into.kind, into.integer = 0, int(argument)
        else:
            into.kind, into.number = 1, float(argument)
        return
    into.kind, into.written, into.same, into.name = 2, access == "w", -1, parameter.encode()
    into.element = np.dtype(_TYPES[kind]).itemsize
    if argument is None or (type(argument) in (int, np.int64) and argument == 0):
        return
    if not isinstance(argument, np.ndarray):
        raise Fault(f"{where}: expected an array of {_TYPES[kind]} or None, got {type(argument).__name__}")
    if argument.dtype != _TYPES[kind] and not (argument.dtype == bool and kind == "B"):
        raise Fault(f"{where}: expected an array of {_TYPES[kind]}, got {argument.dtype}")
    if access == "w" and not argument.flags.writeable:
        raise Fault(f"{where}: the kernel writes it, and the array is read-only")
    low, high = np.lib.array_utils.byte_bounds(argument)
    if low != argument.__array_interface__["data"][0] and argument.size:
        raise Fault(f"{where}: negative strides {argument.strides}: the first element is not the lowest")
    owner = argument
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    into.data, into.bytes = low, high - low if argument.size else 0
    # CuPy's allocations are aligned to 512 bytes, their views not: what is aligned there shall be here, and no more.
    into.offset = (low - owner.__array_interface__["data"][0]) % 512


def _find_overlaps(name: str, arguments: Sequence[Any], packed: Any) -> None:
    """What one argument writes, no other may show: the compiler relies on it (__restrict__).

    Except for one that is read and is the same array: element by element, its threads read before they write.
    """
    arrays = [i for i, argument in enumerate(arguments) if isinstance(argument, np.ndarray)]
    for i, j in itertools.permutations(arrays, 2):
        read, written = packed[i], packed[j]
        if not written.written or (read.written and i > j) or not np.shares_memory(arguments[i], arguments[j]):
            continue
        if read.written or (read.data, read.bytes, read.element) != (written.data, written.bytes, written.element):
            raise Fault(
                f"kernel {name}: arguments {read.name.decode()} and {written.name.decode()} overlap, and the kernel"
                " writes; only an IN that is the same array may"
            )
        read.same = j

"""Runs CUDA kernels on the CPU: compiles a .cu with g++ against host/emulator.h, which says what is checked.

    module = Module(source, ["-DREAL=float"])  # the text of a .cu, its own includes expanded
    module.launch("add", blocks=4, threads=256, arguments=[a, b, y, y.size])

Arguments are NumPy arrays (views of any strides: the elements between the first and the last may be touched), ints
for Int, floats for double, None or 0 for a null pointer; for TABLE, an array of int64 with addresses that `address_of`
gave, or 0. A `Fault` names the kernel, the block, the thread, the line and the array's element. Threads and blocks run
in an order that depends on `seed` (FASTNET_EMULATOR_SEED, or 0).
"""

from __future__ import annotations

import ctypes
import itertools
import math
import os
import subprocess
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cuda import hostcc
from cuda.hostcc import Fault

__all__ = ["Fault", "Module", "address_of", "compiled", "with_dialect"]

_TYPES = {"f": "float32", "d": "float64", "q": "int64", "i": "int32", "I": "uint32", "Q": "uint64", "B": "uint8"}
_MAX_GRID = (2**31 - 1, 65535, 65535)
_MAX_BLOCK = (1024, 1024, 64)
_MAX_SHARED = 48 << 10
_MAX_ARGUMENTS = 512  # of host/memory.h
_DIALECT = Path(__file__).parents[2] / "csrc" / "cuda" / "dialect.h"
_addressed: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()


def with_dialect(text: str, name: str = "kernels.cu") -> str:
    """A source of kernels, called `name`, that begins with csrc/cuda/dialect.h."""
    return f'#line 1 "dialect.h"\n{_DIALECT.read_text()}#line 1 "{name}"\n{text}'


def compiled(text: str, dtype: Any, name: str = "kernels.cu") -> Module:
    """The kernels of a text without includes, where real is of `dtype`."""
    real = {"float32": "float", "float64": "double"}[np.dtype(dtype).name]
    return Module(with_dialect(text, name), [f"-DREAL={real}"], name)


def address_of(array: np.ndarray) -> int:
    """The address of an array's first element, for tables of addresses; it is the array's while the array lives."""
    address = array.__array_interface__["data"][0]
    known = _addressed.get(address)
    if known is None or known.nbytes != array.nbytes:
        _addressed[address] = array
    return address


class _Argument(ctypes.Structure):
    _fields_ = [
        ("integer", ctypes.c_longlong),
        ("number", ctypes.c_double),
        ("data", ctypes.c_void_p),
        ("own", ctypes.c_void_p),
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
        ("everywhere", ctypes.c_bool),
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


_ONE_AT_A_TIME = threading.Lock()


class Module:
    """The kernels of a source. `options` are -D, -U; others, which are NVRTC's, are left out."""

    def __init__(self, source: str, options: Sequence[str] = (), name: str = "kernels.cu"):
        self._path = hostcc.kernels(source, [option for option in options if option.startswith(("-D", "-U"))], name)
        table = ctypes.CDLL(str(self._path)).emulated_table
        table.restype = ctypes.POINTER(_Entry)
        count = ctypes.c_int()
        entries = table(ctypes.byref(count))
        self._run = ctypes.CDLL(str(hostcc.runtime())).emulator_launch
        self._run.restype = ctypes.POINTER(_Fault)
        self._kernels = {entries[i].name.decode(): entries[i] for i in range(count.value)}

    def kernels(self) -> dict[str, list[str]]:
        """The kernels' names, and for each parameter its access (v, r, w, t), its type's letter and its name."""
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
        if len(arguments) != len(parameters) or len(arguments) > _MAX_ARGUMENTS:
            names = ", ".join(parameter for _, parameter in parameters)
            raise Fault(f"kernel {name} takes {len(parameters)} arguments ({names}), not {len(arguments)}")
        grid, block = _sizes(name, "blocks", blocks, _MAX_GRID), _sizes(name, "threads", threads, _MAX_BLOCK)
        if math.prod(block) > entry.threads:
            raise Fault(f"kernel {name}: {math.prod(block)} threads a block; at most {entry.threads} are declared")
        if not 0 <= shared <= _MAX_SHARED:
            raise Fault(f"kernel {name}: {shared} bytes of shared memory; a block has {_MAX_SHARED}")
        arguments, parameters = list(arguments), list(parameters)
        places = _unfold_tables(name, arguments, parameters)  # the arrays of tables become arguments, too
        packed = (_Argument * max(len(arguments), 1))()
        masks = []
        for i, (argument, (code, parameter)) in enumerate(zip(arguments, parameters, strict=True)):
            _pack(packed[i], argument, code, parameter, f"kernel {name}, argument {parameter}")
            masks.append(_own(argument))
            packed[i].own = masks[i].ctypes.data if masks[i] is not None else None
        _find_overlaps(name, arguments, packed)
        for i, table in places.items():
            packed[i].kind, packed[i].data = 3, table.ctypes.data
        if seed is None:
            seed = int(os.environ.get("FASTNET_EMULATOR_SEED", "0"))
        with _ONE_AT_A_TIME:
            fault = self._run(
                ctypes.c_void_p(entry.call),
                packed,
                len(packed),
                (ctypes.c_uint * 3)(*grid),
                (ctypes.c_uint * 3)(*block),
                ctypes.c_longlong(shared),
                ctypes.c_uint64(seed),
            ).contents
            if fault.failed:
                raise Fault(self._message(name, fault))

    def _message(self, name: str, fault: _Fault) -> str:
        if fault.everywhere:
            return f"kernel {name}: {fault.text.decode()}"
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
    return [(access + kind, name) for access, kind, name in zip(accesses, types, names, strict=True)]


def _sizes(name: str, what: str, sizes: int | tuple[int, ...], limits: tuple[int, ...]) -> tuple[int, ...]:
    full = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    full = (*full, *(1,) * (3 - len(full)))
    if len(full) != 3 or any(not 1 <= size <= limit for size, limit in zip(full, limits, strict=True)):
        raise Fault(f"kernel {name}: {what} must be between 1 and {limits}, got {sizes}")
    return full


def _unfold_tables(name: str, arguments: list[Any], parameters: list[tuple[str, str]]) -> dict[int, np.ndarray]:
    """Appends the arrays of each table; by the table's place, the places of its arrays, -1 where it holds none."""
    places = {}
    for i, (code, parameter) in enumerate(parameters):
        if code[0] != "t":
            continue
        where, table = f"kernel {name}, argument {parameter}", arguments[i]
        if not isinstance(table, np.ndarray) or table.dtype != np.int64 or table.ndim != 1:
            raise Fault(f"{where}: expected an array of addresses, int64")
        places[i] = np.full(table.size, -1, np.int64)
        for n, address in enumerate(table.tolist()):
            if not address:
                continue
            array = _addressed.get(address)
            if array is None:
                raise Fault(f"{where}[{n}]: there is no array at this address, or no longer")
            places[i][n] = len(arguments)
            arguments.append(array)
            parameters.append((f"w{code[1]}", f"{parameter}[{n}]"))
        parameters[i] = "rq", parameter
    if len(arguments) > _MAX_ARGUMENTS:
        raise Fault(f"kernel {name}: {len(arguments)} arrays, with those of tables; the emulator has {_MAX_ARGUMENTS}")
    return places


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


def _own(argument: Any) -> np.ndarray | None:
    """Which of the elements between a view's first and last are its own; None if all are."""
    if not isinstance(argument, np.ndarray) or argument.size == 0:
        return None
    low, high = np.lib.array_utils.byte_bounds(argument)
    if high - low == argument.nbytes:
        return None
    mask = np.zeros((high - low) // argument.itemsize, np.uint8)
    strides = tuple(stride // argument.itemsize for stride in argument.strides)
    np.lib.stride_tricks.as_strided(mask, argument.shape, strides)[...] = 1
    return mask


def _find_overlaps(name: str, arguments: Sequence[Any], packed: Any) -> None:
    """What one argument writes, no other may show: the compiler relies on it (__restrict__).

    Except for one that is read and is the same array: element by element, its threads read before they write.
    """
    bounds = [(packed[i].data, packed[i].data + packed[i].bytes, i) for i in range(len(arguments)) if packed[i].bytes]
    bounds.sort()
    for n, (_, end, first) in enumerate(bounds):
        for _, _, second in itertools.takewhile(lambda bound, end=end: bound[0] < end, bounds[n + 1 :]):
            i, j = (second, first) if packed[first].written else (first, second)
            read, written = packed[i], packed[j]
            if not written.written or not np.shares_memory(arguments[i], arguments[j]):
                continue
            if read.written or (read.data, read.bytes, read.element) != (written.data, written.bytes, written.element):
                raise Fault(
                    f"kernel {name}: arguments {read.name.decode()} and {written.name.decode()} overlap, and the kernel"
                    " writes; only an IN that is the same array may"
                )
            read.same = j

"""Write fastnet/backends/_kernels.pxi from kernels.def: the kernel table for Cython, and a function for each kernel.

Each function takes its kernel's parameters in order: for a pointer, an array (None for NULL); for a geometry, its
packed bytes; for an ``fn_norm`` or an ``fn_epilogue``, a tuple of its fields.  It packs them into words of 64
bits, so that a Recording (fastnet/backends/_recording.pxi) can keep a call and run it again.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

TABLE = """\
cdef extern from "fastnet.h" nogil:
    ctypedef struct fn_kernels:
        int lanes
"""


class Parameter(NamedTuple):
    """How the generated code passes a parameter of one C type.

    Attributes
    ----------
    signature : str
        Its declaration in the Python function; "" for a result.
    kinds : str
        One letter for each word that the parameter occupies: r for an array that is read, w for one that is written; c,
        p or t for a packed convolution, pooling or axis; d for a result; s for a scalar.
    store : str
        Code that assigns the argument to words[i], words[i + 1]...
    load : str
        An expression that makes the kernel's argument from the words.
    """

    signature: str
    kinds: str
    store: str
    load: str


def _array(kinds: str, type: str) -> Parameter:
    address = "address" if kinds == "r" else "writable"
    return Parameter("{0}", kinds, f"words[{{i}}].p = {address}({{0}})", f"<{type}>words[{{i}}].p")


PARAMETERS = {
    "const void *": _array("r", "const void *"),
    "void *": _array("w", "void *"),
    "const double *": _array("r", "const double *"),
    "double *": _array("w", "double *"),
    "const int64_t *": _array("r", "const int64_t *"),
    "int64_t *": _array("w", "int64_t *"),
    "const uint8_t *": _array("r", "const uint8_t *"),
    "uint8_t *": _array("w", "uint8_t *"),
    "uint64_t *": _array("w", "uint64_t *"),
    "const fn_conv *": Parameter(
        "bytes {0}", "c", "words[{i}].p = <void *>conv_of({0})", "<const fn_conv *>words[{i}].p"
    ),
    "const fn_pool *": Parameter(
        "bytes {0}", "p", "words[{i}].p = <void *>pool_of({0})", "<const fn_pool *>words[{i}].p"
    ),
    "const fn_axis *": Parameter(
        "bytes {0}", "t", "words[{i}].p = <void *>axis_of({0})", "<const fn_axis *>words[{i}].p"
    ),
    "const fn_norm *": Parameter("{0}", "sssrrrrs", "store_norm({0}, words + {i})", "norm_of(words + {i}, &{0})"),
    "const fn_epilogue *": Parameter(
        "{0}", "rrrrwsss", "store_epilogue({0}, words + {i})", "epilogue_of(words + {i}, &{0})"
    ),
    "double[1]": Parameter("", "d", "words[{i}].p = &{0}", "<double *>words[{i}].p"),
    "int64_t": Parameter("int64_t {0}", "s", "words[{i}].i = {0}", "words[{i}].i"),
    "uint64_t": Parameter("uint64_t {0}", "s", "words[{i}].u = {0}", "words[{i}].u"),
    "double": Parameter("double {0}", "s", "words[{i}].d = {0}", "words[{i}].d"),
    "int": Parameter("bint {0}", "s", "words[{i}].i = {0}", "<int>words[{i}].i"),
    "fn_ties": Parameter("fn_ties {0}", "s", "words[{i}].i = <int64_t>{0}", "<fn_ties>words[{i}].i"),
    "fn_map": Parameter("int {0}", "s", "words[{i}].i = map_of({0})", "<fn_map>words[{i}].i"),
}
STRUCTS = {"const fn_norm *": "fn_norm", "const fn_epilogue *": "fn_epilogue"}  # call_<name> rebuilds them


def parse(text: str):
    """Yield (macro, return type, name, [(type, name) of each parameter]) for each kernel."""
    text = re.sub(r"/\*.*?\*/|^#.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    for macro, declaration in re.findall(r"\b(KERNEL|INNER_KERNEL|UPDATE)\(([^()]*)\)", text):
        result, name, *parameters = (" ".join(part.split()) for part in declaration.split(","))
        yield macro, result, name, [_parameter(parameter) for parameter in parameters]


def _parameter(text: str) -> tuple[str, str]:
    kind, name, count = re.fullmatch(r"(.*?)\s*(\w+)(\[1\])?", text).groups()
    return kind + (count or ""), name


def field(result: str, name: str, parameters) -> str:
    """The declaration of the kernel's member of ``fn_kernels``."""
    declared = (f"double *{given}" if kind == "double[1]" else f"{kind} {given}" for kind, given in parameters)
    return f"        {result} (*{name})({', '.join(declared)}) noexcept nogil\n"


def functions(macro: str, result: str, name: str, parameters) -> str:
    """The code of ``call_<name>``, which runs the kernel on packed arguments, and of the function that packs them.

    An update's Python function packs only the scalars.  For each tuple of arrays, ``run_updates`` packs their size, the
    first word, and the arrays, the words after it.
    """
    signature, kinds, store, load, structs, results = [], "", [], [], [], []
    for kind, given in parameters:
        how, i = PARAMETERS[kind], len(kinds)
        kinds += how.kinds
        load.append(how.load.format(given, i=i))
        if kind in STRUCTS:
            structs.append(f"    cdef {STRUCTS[kind]} {given}\n")
        if macro == "UPDATE" and (i == 0 or how.kinds in "rw"):
            continue
        if how.signature:
            signature.append(how.signature.format(given))
        if kind == "double[1]":
            results.append(given)
        store.append(f"    {how.store.format(given, i=i)}\n")
    run = f"k.{name}({', '.join(load)})"
    if macro == "UPDATE":
        signature.insert(0, "list updates")
        call = f'run_updates("{name}", "{kinds}", call_{name}, words, updates)'
    else:
        typed = [f"kernels({given})" for kind, given in parameters if kind in ("const void *", "void *")]
        call = f'run("{name}", "{kinds}", call_{name}, words, {typed[0] if typed else "fn_table(0)"})'
    return "".join(
        [
            f"cdef fn_status call_{name}(const fn_kernels *k, const fn_word *words) noexcept nogil:\n",
            *structs,
            f"    return {run}\n\n" if result == "fn_status" else f"    {run}\n    return FN_OK\n\n",
            f"def {name}({', '.join(signature)}):\n",
            f"    cdef fn_word words[{len(kinds)}]\n",
            *(f"    cdef double {given} = 0\n" for given in results),
            *store,
            f"    {call}\n",
            *([f"    return {', '.join(results)}\n"] if results else []),
        ]
    )


def generate(definitions: str) -> str:
    kernels = list(parse(definitions))
    parts = ["# Made from csrc/kernels.def by csrc/bindings.py.\n\n", TABLE]
    parts += [field(*kernel[1:]) for kernel in kernels]
    parts += ["\n" + functions(*kernel) for kernel in kernels if kernel[0] != "INNER_KERNEL"]
    return "".join(parts)


def write(root: Path) -> None:
    """Write the file only if its text changes, because Cython translates again whenever the file is newer."""
    target = root / "fastnet" / "backends" / "_kernels.pxi"
    text = generate((root / "csrc" / "kernels.def").read_text(encoding="utf-8"))
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])

"""Write fastnet/backends/_kernels.pxi from kernels.def: the kernel table for Cython, and a function for each kernel.

A function takes the kernel's parameters in their order.  Pointers are arrays, or None for NULL; a geometry is its
packed bytes, an ``fn_norm`` a tuple of its fields, an ``fn_epilogue`` its four fields one by one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

TABLE = """\
cdef extern from "fastnet.h" nogil:
    ctypedef struct fn_kernels:
        int lanes
        fn_map_forward map_forward[FN_MAPS]
        fn_map_backward map_backward[FN_MAPS]
"""
# How a parameter of a C type becomes a local variable: its declaration, and the argument in the call.
LOCALS = {
    "const void *": ("const void *{0}_ = address({0})", "{0}_"),
    "void *": ("void *{0}_ = writable({0})", "{0}_"),
    "const double *": ("const double *{0}_ = <const double *>address({0})", "{0}_"),
    "double *": ("double *{0}_ = <double *>writable({0})", "{0}_"),
    "const int64_t *": ("const int64_t *{0}_ = <const int64_t *>address({0})", "{0}_"),
    "const uint8_t *": ("const uint8_t *{0}_ = <const uint8_t *>address({0})", "{0}_"),
    "uint8_t *": ("uint8_t *{0}_ = <uint8_t *>writable({0})", "{0}_"),
    "const fn_conv *": ("const fn_conv *{0}_ = conv_of({0})", "{0}_"),
    "const fn_pool *": ("const fn_pool *{0}_ = pool_of({0})", "{0}_"),
    "const fn_norm *": ("fn_norm {0}_ = norm_of({0})", "&{0}_"),
    "const fn_epilogue *": (
        "fn_epilogue {0}_ = [address(scale), address(shift), address(add), activation, a]",
        "&{0}_",
    ),
    "double[1]": ("double {0}_ = 0", "&{0}_"),
}
# How a parameter of a C type is declared in the function's signature; arrays are objects, without a type.
SCALARS = {"int64_t": "int64_t ", "uint64_t": "uint64_t ", "double": "double ", "int": "bint ", "fn_ties": "fn_ties "}
SIGNATURE = {"const fn_conv *": "bytes {}", "const fn_pool *": "bytes {}", "double[1]": None}
SIGNATURE["const fn_epilogue *"] = "scale, shift, add, int activation, double a"


def parse(text: str):
    """(macro, return type, name, [(type, name) of each parameter]) of each kernel."""
    text = re.sub(r"/\*.*?\*/|^#.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    for macro, declaration in re.findall(r"\b(KERNEL|INNER_KERNEL)\(([^()]*)\)", text):
        result, name, *parameters = (" ".join(part.split()) for part in declaration.split(","))
        yield macro, result, name, [_parameter(parameter) for parameter in parameters]


def _parameter(text: str) -> tuple[str, str]:
    kind, name, count = re.fullmatch(r"(.*?)\s*(\w+)(\[1\])?", text).groups()
    return kind + (count or ""), name


def field(result: str, name: str, parameters) -> str:
    """The member of ``fn_kernels``."""
    declared = (f"double *{given}" if kind == "double[1]" else f"{kind} {given}" for kind, given in parameters)
    return f"        {result} (*{name})({', '.join(declared)}) noexcept nogil\n"


def function(result: str, name: str, parameters) -> str:
    """The Python function."""
    signature, body, call = [], [], []
    for kind, given in parameters:
        if kind in SCALARS:
            signature.append(SCALARS[kind] + given)
            call.append(given)
            continue
        shown, (local, passed) = SIGNATURE.get(kind, "{}"), LOCALS[kind]
        signature += [shown.format(given)] if shown else []
        body.append(f"    cdef {local.format(given)}\n")
        call.append(passed.format(given))
    typed = next(given for kind, given in parameters if kind in ("const void *", "void *"))
    run = f"k.{name}({', '.join(call)})"
    lines = [f"def {name}({', '.join(signature)}):\n", f"    cdef const fn_kernels *k = kernels({typed})\n", *body]
    if result == "fn_status":
        lines.append("    cdef fn_status status\n")
        run = f"status = {run}"
    lines += ["    with nogil:\n", f"        {run}\n", "    check(status)\n" if result == "fn_status" else ""]
    lines += [f"    return {given}_\n" for kind, given in parameters if kind == "double[1]"]
    return "".join(lines)


def generate(definitions: str) -> str:
    kernels = list(parse(definitions))
    parts = ["# Made from csrc/kernels.def by csrc/bindings.py.\n\n", TABLE]
    parts += [field(*kernel[1:]) for kernel in kernels]
    parts += ["\n" + function(*kernel[1:]) for kernel in kernels if kernel[0] == "KERNEL"]
    return "".join(parts)


def write(root: Path) -> None:
    """Write the file only if it changes: Cython translates again if its time is newer."""
    target = root / "fastnet" / "backends" / "_kernels.pxi"
    text = generate((root / "csrc" / "kernels.def").read_text(encoding="utf-8"))
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])

"""_native.pyi declares what _native.pyx and csrc/kernels.def define: the same names, with the same parameters."""

import ast
import importlib.util
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BACKENDS = REPOSITORY / "fastnet" / "backends"


def stub():
    """The parameters of each function and method of _native.pyi, the names of its classes, and its constants."""
    tree = ast.parse((BACKENDS / "_native.pyi").read_text(encoding="utf-8"))
    functions, classes, constants = {}, set(), set()

    def add(node, prefix=""):
        words = [*node.args.posonlyargs, *node.args.args, *filter(None, (node.args.vararg, node.args.kwarg))]
        functions[prefix + node.name] = [word.arg for word in words if word.arg != "self"]

    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            add(node)
        elif isinstance(node, ast.ClassDef):
            classes.add(node.name)
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    add(method, f"{node.name}.")
        elif isinstance(node, ast.AnnAssign):
            constants.add(node.target.id)
    return functions, classes, constants


def cython():
    """The same of _native.pyx, what it includes, and the functions that csrc/bindings.py makes."""
    spec = importlib.util.spec_from_file_location("bindings", REPOSITORY / "csrc" / "bindings.py")
    bindings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bindings)
    source = (BACKENDS / "_native.pyx").read_text(encoding="utf-8")
    own = (path for path in sorted(BACKENDS.glob("*.pxi")) if path.name != "_kernels.pxi")
    included = "\n".join(path.read_text(encoding="utf-8") for path in own)
    made = bindings.generate((REPOSITORY / "csrc" / "kernels.def").read_text(encoding="utf-8"))
    functions, classes, constants, inside = {}, set(), set(), ""
    for line in [*source.splitlines(), *included.splitlines(), *made.splitlines()]:
        if found := re.match(r"cdef class (\w+)", line):
            inside = f"{found[1]}."
            classes.add(found[1])
        elif found := re.match(r"(    )?def (\w+)\((.*)\):", line):
            words = [re.split(r"[ *]", word.split("=")[0].strip())[-1] for word in found[3].split(",") if word.strip()]
            name = {"__cinit__": "__init__", "__getbuffer__": "__buffer__"}.get(found[2], found[2])
            if name != "__dealloc__":
                words = ["flags"] if name == "__buffer__" else [word for word in words if word != "self"]
                functions[(inside if found[1] else "") + name] = words
        elif found := re.match(r"([A-Z_]+(?:, [A-Z_]+)*) = ", line):
            constants |= set(found[1].split(", "))
    return functions, classes, constants


def test_the_stub_declares_what_the_sources_define():
    functions, classes, constants = stub()
    defined, defined_classes, defined_constants = cython()
    assert set(functions) == set(defined)
    assert {name: words for name, words in functions.items() if words != defined[name]} == {}
    assert (classes, constants) == (defined_classes, defined_constants)
    assert len(functions) > 50  # the sources were read

"""Imports and includes follow the floors of docs/design.md, layers never touch NumPy, importing loads nothing heavy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import fastnet

ROOT = Path(fastnet.__file__).parent
REPOSITORY = Path(__file__).parents[1]
CSRC = REPOSITORY / "csrc"


def floors() -> dict[str, int]:
    """The level of each path in the table of docs/design.md: a row's number, from the ground up."""
    text = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2] for line in text.split("## Floors")[1].split("\n## ")[0].splitlines() if line[:1] == "|"]
    return {path: level for level, row in enumerate(rows[2:]) for path in re.findall(r"`([^`]+)`", row)}


FLOORS = floors()


def level(path: str) -> int:
    """The level of a file, from the longest path of the table that contains it."""
    homes = [home for home in FLOORS if path == home or (home.endswith("/") and path.startswith(home))]
    assert homes, f"{path} is new: give it a floor in docs/design.md"
    return FLOORS[max(homes, key=len)]


CODE = (".py", ".pyi", ".pyx", ".pxd", ".c", ".h", ".cpp")
HEAVY = ["matplotlib", "tqdm", "sklearn", "PIL", "safetensors", "torch", "scipy", "optuna", "pandas", "hypothesis"]
HEAVY += ["pytest"]
OPTIONAL = {"matplotlib", "tqdm", "sklearn", "PIL", "safetensors", "torch", "scipy", "optuna", "onnx", "onnxruntime"}
OPTIONAL |= {"cupy"}


def sources():
    return sorted(ROOT.rglob("*.py"))


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def within(path):
    """The path as the table has it."""
    return "fastnet/" + path.relative_to(ROOT).as_posix()


def file_of(name):
    """The file of a module of fastnet, as a path; None if there is none of this name."""
    base = ROOT.parent / name.replace(".", "/")
    candidates = [base.with_suffix(".py"), base.with_suffix(".pyx"), base / "__init__.py"]
    if name == "fastnet.backends._native":  # an installed package has no sources of it
        return ROOT / "backends" / "_native.pyx"
    return next((path for path in candidates if path.is_file()), None)


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


@cache
def imports(path, inside_functions):
    """(module name, line) of every import that runs; with or without those that run only when a function is called."""
    found, stack = [], [parsed(path)]
    while stack:
        node = stack.pop()
        if is_type_checking(node):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not inside_functions:
            continue
        if isinstance(node, ast.Import):
            found += ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.append((submodule if file_of(submodule) else node.module, node.lineno))
        stack.extend(ast.iter_child_nodes(node))
    return found


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def no_circles(edges):
    """Fail if the edges form a cycle."""
    done = set()

    def visit(node, path):
        assert node not in path, f"a circle: {' -> '.join([*path[path.index(node) :], node])}"
        if node not in done:
            for other in sorted(edges.get(node, ())):
                visit(other, [*path, node])
            done.add(node)

    for node in sorted(edges):
        visit(node, [])


# ---------------------------------------------------------------- Python


def test_the_table_has_every_module_and_nothing_else():
    for path in sources():
        if path != ROOT / "__init__.py":
            level(within(path))
    missing = [path for path in FLOORS if path.startswith("fastnet/") and not (ROOT.parent / path).exists()]
    assert [path for path in missing if not path.endswith(".pyx")] == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path):
    if path == ROOT / "__init__.py":  # the public names, loaded on first use
        top = [name for name, _ in imports(path, inside_functions=False) if name.startswith("fastnet")]
        assert top == []
        return
    wrong = []
    for name, line in imports(path, inside_functions=True):
        home = file_of(name) if name.startswith("fastnet.") else None
        if home and level(within(home)) > level(within(path)):
            wrong.append(f"line {line}: {within(path)} imports {name}")
    assert wrong == []


def test_imports_go_in_no_circles():
    """Also within a floor, and also inside functions."""
    edges = {}
    for path in sources():
        homes = (file_of(name) for name, _ in imports(path, inside_functions=True) if name.startswith("fastnet."))
        edges[within(path)] = {within(home) for home in homes if home}
    no_circles(edges)


@pytest.mark.parametrize("room", ["layers", "losses", "optim", "regularizers", "models"])
def test_layers_never_import_numpy(room):
    """Array mathematics is the backend's, so that another backend runs the same layers."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        if room_of(path) == room
        for name, line in imports(path, inside_functions=True)
        if name.split(".")[0] in ("numpy", "cupy", "scipy")
    ]
    assert found == []


def test_backends_never_see_a_layer_and_geometry_touches_no_array():
    for path in sources():
        names = {name for name, _ in imports(path, inside_functions=True)}
        if room_of(path) == "backends":
            assert not {name for name in names if name.startswith(("fastnet.layers", "fastnet.models"))}
        if room_of(path) == "geometry":
            assert "numpy" not in names


def test_optional_dependencies_are_imported_inside_functions():
    """But for the backend on CuPy, which is itself imported inside a function."""
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sources()
        for name, line in imports(path, inside_functions=False)
        if name.split(".")[0] in OPTIONAL and (path.parent.name, name) != ("device", "cupy")
    ]
    assert found == []


def loaded_by(statement):
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_fastnet_loads_nothing_heavy():
    assert loaded_by("import fastnet") & set(HEAVY) == set()


def test_importing_every_public_module_loads_nothing_heavy():
    modules = loaded_by("import fastnet\nfor name in fastnet.__all__:\n    getattr(fastnet, name)")
    assert modules & set(HEAVY) == set()
    assert "fastnet.layers" in modules


# ---------------------------------------------------------------- C


def c_files():
    files = sorted(path for path in CSRC.rglob("*.*") if path.suffix not in (".py", ".pyc"))
    return {path.relative_to(REPOSITORY).as_posix(): path for path in files}


def code_of(path):
    return re.sub(r"/\*.*?\*/", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def includes_of(path):
    return ["csrc/" + name for name in re.findall(r'#include "([^"]+)"', code_of(path))]


needs_csrc = pytest.mark.skipif(not CSRC.is_dir(), reason="csrc/ is not beside the tests")


@needs_csrc
def test_the_table_has_every_file_of_csrc_and_nothing_else():
    for path in c_files():
        level(path)
    assert [path for path in FLOORS if path.startswith("csrc/") and not (REPOSITORY / path).exists()] == []


@needs_csrc
def test_includes_go_down_only_and_in_no_circles():
    edges = {path: includes_of(file) for path, file in c_files().items()}
    assert sum(map(len, edges.values())) > 50
    for path, others in edges.items():
        for other in others:
            assert (REPOSITORY / other).is_file(), f"{path} includes {other}: write includes as seen from csrc/"
            assert level(other) <= level(path), f"{path} includes {other}"
    no_circles(edges)


@needs_csrc
def test_no_line_of_code_is_longer_than_120_columns():
    """The linter and clang-format leave comments and Cython alone."""
    files = [path for path in CSRC.rglob("*") if path.suffix in (".c", ".h", ".cu", ".def", ".py")]
    for folder in ("fastnet", "tests", "benches", "examples"):
        files += (path for path in (REPOSITORY / folder).rglob("*.[pch]*") if path.suffix in CODE)
    made = {path for path in files if path.suffix == ".c" and path.with_suffix(".pyx").exists()}
    long = [
        f"{path.relative_to(REPOSITORY)}:{number}"
        for path in sorted(set(files) - made)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 120
    ]
    assert not long


def test_kernels_are_included_floor_by_floor():
    """They have no includes: a header can use only those before it in kernels.h."""
    order = [path for path in includes_of(CSRC / "kernels.h") if path.endswith(".h")]
    assert [level(path) for path in order] == sorted(map(level, order))
    below = range(level("csrc/simd/"), level("csrc/isa/"))
    assert sorted(order) == [path for path in c_files() if path.endswith(".h") and level(path) in below]


@needs_csrc
def test_functions_of_the_engine_call_down_only():
    """A function fn_... is called from its own floor or from above."""
    homes = {}
    for path, file in c_files().items():
        for name in re.findall(r"^[\w *]*?\b(fn_\w+)\([^;{]*\)\s*\{", code_of(file), flags=re.MULTILINE):
            homes.setdefault(name, []).append(path)
    assert len(homes) > 30
    for path, file in c_files().items():
        called = set(re.findall(r"\b(fn_\w+)\(", code_of(file))) if path != "csrc/fastnet.h" else set()
        for name in called & set(homes):
            assert min(map(level, homes[name])) <= level(path), f"{path} calls {name} of {homes[name]}"

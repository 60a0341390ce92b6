"""Imports go down only, layers never touch NumPy, and importing fastnet loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fastnet

ROOT = Path(fastnet.__file__).parent
SETTINGS = {"threads"}  # it asks the kernels, when called, whether those are loaded
# The floors from the ground up; a module may import from its own floor and from those below.
FLOORS = [
    {"geometry"},
    SETTINGS,
    {"backends"},
    {"storage", "functional", "algorithms"},
    {"layers", "initializers"},
    {"models", "losses", "optim", "data", "regularizers"},
    {"training"},
    {"diagnose", "visualize", "search", "ensemble", "interop", "compat", "bench"},
    {"config"},
    {"cli", "__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = ["matplotlib", "tqdm", "sklearn", "PIL", "safetensors", "torch", "scipy", "pandas", "hypothesis", "pytest"]
OPTIONAL = {"matplotlib", "tqdm", "sklearn", "PIL", "safetensors", "torch", "scipy", "onnx", "onnxruntime", "cupy"}


def sources():
    return sorted(ROOT.rglob("*.py"))


def room_of(path):
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports(tree, inside_functions):
    """(module name, line) of every import that runs; with or without those that run only when a function is called."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if is_type_checking(node):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not inside_functions:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                is_module = (ROOT.parent / submodule.replace(".", "/")).is_dir() or (
                    ROOT.parent / (submodule.replace(".", "/") + ".py")
                ).is_file()
                yield (submodule if is_module else node.module), node.lineno
        stack.extend(ast.iter_child_nodes(node))


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def test_every_room_has_a_floor():
    rooms = {room_of(path) for path in sources()} - {"__init__"}
    assert rooms - set(LEVEL) == set(), "a new module or package: give it a floor"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path):
    room = room_of(path)
    if room == "__init__":  # the public names, loaded on first use
        top = [name for name, _ in imports(parsed(path), inside_functions=False) if name.startswith("fastnet")]
        assert top == []
        return
    wrong = []
    for name, line in imports(parsed(path), inside_functions=room not in SETTINGS):
        parts = name.split(".")
        if parts[0] == "fastnet" and len(parts) > 1 and LEVEL[parts[1]] > LEVEL[room]:
            wrong.append(f"line {line}: {room} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("room", ["layers", "losses", "optim", "regularizers", "models"])
def test_layers_never_import_numpy(room):
    """Array mathematics is the backend's, so that another backend runs the same layers."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        if room_of(path) == room
        for name, line in imports(parsed(path), inside_functions=True)
        if name.split(".")[0] in ("numpy", "cupy", "scipy")
    ]
    assert found == []


def test_backends_never_see_a_layer_and_geometry_touches_no_array():
    for path in sources():
        names = {name for name, _ in imports(parsed(path), inside_functions=True)}
        if room_of(path) == "backends":
            assert not {name for name in names if name.startswith(("fastnet.layers", "fastnet.models"))}
        if room_of(path) == "geometry":
            assert "numpy" not in names


def test_optional_dependencies_are_imported_inside_functions():
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sources()
        for name, line in imports(parsed(path), inside_functions=False)
        if name.split(".")[0] in OPTIONAL
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

"""fastnet.compat uses fastnet's public names only, so that it could be a package of its own."""

import ast
import importlib
import re
from pathlib import Path

import pytest

import fastnet

ROOT = Path(fastnet.__file__).parent
SOURCES = sorted((ROOT / "compat").rglob("*.py"))
GUARDED = ("backends", "_native")


def is_compat(module):
    return module.split(".")[:2] == ["fastnet", "compat"]


def public_names(module):
    """The names that compat may use of a module: `fastnet`, or one of the modules that it lists, except backends."""
    if module.removeprefix("fastnet.") in GUARDED:
        return []
    if module != "fastnet" and module.removeprefix("fastnet.") not in fastnet.__all__:
        return []
    return importlib.import_module(module).__all__


def imported(tree):
    """(local name, module, name in it or None, line) of each import of fastnet."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.split(".")[0], alias.name, None, node.lineno
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, node.module, alias.name, node.lineno


def wrong_imports(tree):
    for _, module, name, line in imported(tree):
        if module.split(".")[0] != "fastnet" or is_compat(module) or (module, name) == ("fastnet", "compat"):
            continue
        allowed = set(public_names(module)) - set(GUARDED)
        if not allowed if name is None else name not in allowed:
            yield f"line {line}: {module} {name or ''}".rstrip()


def wrong_attributes(tree):
    """Attributes of fastnet's modules that are not public, and any attribute of `ops`, an argument of layers."""
    modules = {}
    for local, module, name, _ in imported(tree):
        full = module if name is None else f"{module}.{name}"
        if full.split(".")[0] == "fastnet" and not is_compat(full):
            modules[local] = "fastnet" if name is None else full
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        module = modules.get(node.value.id)
        is_module = module == "fastnet" or (module or "").removeprefix("fastnet.") in fastnet._MODULES
        if node.value.id == "ops" or (is_module and node.attr not in public_names(module)) or node.attr in GUARDED:
            yield f"line {node.lineno}: {node.value.id}.{node.attr}"


def private(tree):
    """The underscore names that are read as attributes, by line, and the names that are defined."""
    read, defined = {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
            elif re.match("_[^_]", node.attr):
                read[node.attr] = node.lineno
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            defined.add(node.value)  # of __slots__
    return read, defined


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "compat")))
def test_compat_uses_public_names_only(path):
    tree = parsed(path)
    assert [*wrong_imports(tree), *wrong_attributes(tree)] == []
    hidden = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"fastnet(\.\w+)+", node.value)
        and not is_compat(node.value)
    ]
    assert hidden == [], "modules may not be imported by name either"


def test_private_attributes_are_those_of_compat_itself():
    parts = [private(parsed(path)) for path in SOURCES]
    defined = set().union(*(names for _, names in parts))
    from_elsewhere = {"_getframe"}  # of sys; it has no public name
    assert {name for read, _ in parts for name in read} - defined <= from_elsewhere


@pytest.mark.parametrize(
    "code",
    [
        "from fastnet.backends import current",
        "from fastnet import backends",
        "import fastnet.backends",
        "from fastnet.backends import _native",
        "from fastnet.functional import _elementwise",
        "from fastnet.functional.arguments import arrays_of",
        "from fastnet.functional import current",
        "from fastnet.pickles import load_plain_pickle",
        "import fastnet.pickles",
        "import fastnet\nfastnet.backends.current()",
        "import fastnet as fn\nfn._MODULES",
        "from fastnet import functional\nfunctional._elementwise(None)",
        "from fastnet import functional as F\nF.current()",
        "def run(self, x, training, ops): return ops.relu(x)",
    ],
)
def test_the_check_finds(code):
    tree = ast.parse(code)
    assert [*wrong_imports(tree), *wrong_attributes(tree)] != []


@pytest.mark.parametrize(
    "code",
    [
        "import fastnet",
        "import fastnet as fn\nfn.functional.conv2d",
        "from fastnet import functional\nfunctional.conv2d",
        "from fastnet.layers import Conv2d\nConv2d.anything",
        "from fastnet.compat import kernels\nkernels._anything",
        "from fastnet import compat",
    ],
)
def test_the_check_accepts(code):
    tree = ast.parse(code)
    assert [*wrong_imports(tree), *wrong_attributes(tree)] == []

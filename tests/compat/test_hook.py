"""The import hook: before and after the package's first import, its levels, nested packages, reloading, removal."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import subprocess
import sys
import types
import warnings

import pytest
from compat import assignment

from fastnet import compat
from fastnet.compat import hook


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    before = set(sys.modules)
    yield
    compat.uninstall()
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("cs231n", "deeplearning", "assignment2", "mycourse"):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An assignment folder, which is the working folder and the first on sys.path."""
    assignment.lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def notebook(monkeypatch):
    """A module that represents a notebook; calling it runs cells."""
    module = types.ModuleType("notebook_of_the_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.run = lambda *cells: exec("\n".join(cells), vars(module))
    return module


def finders():
    return [finder for finder in sys.meta_path if isinstance(finder, hook._Finder)]


def test_before_the_first_import(folder, notebook, capsys):
    before = assignment.tree(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compat.install()
    notebook.run(*assignment.CELLS)
    assignment.verify(capsys.readouterr().out)
    import cs231n.fast_layers

    assert sys.modules["cs231n"].fast_layers is sys.modules["cs231n.fast_layers"]
    assert cs231n.fast_layers.__name__ == "cs231n.fast_layers" and "fastnet" in cs231n.fast_layers.__file__
    names = {name for name in vars(cs231n.fast_layers) if not name.startswith("__")}
    assert names == set(importlib.import_module("fastnet.compat.cs231n.fast_layers").__all__)
    assert {"np", "col2im_6d_cython", "im2col_indices", "conv_forward_im2col"} < names
    for name in ("layers", "layer_utils", "solver", "classifiers.cnn"):  # the student's
        assert sys.modules[f"cs231n.{name}"].__file__ == str(folder / "cs231n" / f"{name.replace('.', '/')}.py")
    assert assignment.tree(folder) == before
    assert not list(folder.rglob("fast_layers*.pyc"))


def test_level_1_serves_the_extension_alone(folder, notebook, capsys):
    compat.install(level=1)
    cells = [cell for cell in assignment.CELLS if cell != assignment.OVERLAPPING_POOL]
    notebook.run(*cells)
    printed = capsys.readouterr().out
    assert "not built" not in printed
    assert "from cs231n.fast_layers" in printed
    assert sys.modules["cs231n.fast_layers"].__file__ == str(folder / "cs231n" / "fast_layers.py")
    assignment.verify(printed + "pool a 0\npool b 0\n", source="cs231n.")


def test_it_comes_before_a_stale_extension(folder):
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    (folder / "cs231n" / f"im2col_cython{suffix}").write_bytes(b"built for another Python")
    with pytest.raises(ImportError):
        importlib.import_module("cs231n.im2col_cython")
    compat.install(level=1)
    assert callable(importlib.import_module("cs231n.im2col_cython").col2im_6d_cython)


def test_after_the_first_import(folder, notebook, capsys):
    notebook.run(assignment.IMPORTS, "from cs231n import fast_layers as given", "kept = {'f': conv_forward_fast}")
    assert "not built" in capsys.readouterr().out
    with pytest.raises(NameError, match="col2im_6d_cython"):
        notebook.run(assignment.CONV)
    with pytest.warns(UserWarning, match="cs231n.fast_layers had been imported before") as caught:
        compat.install()
    for place in ("cs231n.layer_utils", "cs231n.classifiers.cnn", "notebook_of_the_test", "restart the kernel"):
        assert place in str(caught[0].message)
    capsys.readouterr()
    notebook.run(*assignment.CELLS[1:])
    assignment.verify(capsys.readouterr().out)
    assert notebook.given is sys.modules["cs231n.fast_layers"] is sys.modules["cs231n"].fast_layers
    assert notebook.kept["f"].__module__ == "cs231n.fast_layers"  # not replaced, which is why there is a warning
    assert sys.modules["cs231n.layers"].np is notebook.np


def test_a_cache_from_before_the_install_is_refused(folder, notebook):
    forward, _, backward = assignment.CONV.partition("naive, fast =")
    notebook.run(assignment.IMPORTS, forward)
    with pytest.warns(UserWarning, match="rerun the cells whose results are used in a backward pass"):
        compat.install()
    with pytest.raises(TypeError, match="functions in pairs"):
        notebook.run("naive, fast =" + backward)


def test_level_1_after_the_first_import(folder, notebook, capsys):
    notebook.run(assignment.IMPORTS)
    with pytest.warns(UserWarning, match="cs231n.fast_layers had been imported before"):
        compat.install(level=1)
    notebook.run(assignment.CONV)
    assert "conv dx" in capsys.readouterr().out
    assert notebook.conv_forward_fast is sys.modules["cs231n.fast_layers"].conv_forward_fast


def test_a_built_extension_is_replaced_after_its_import(folder, notebook):
    text = "\n".join(
        f"def {name}(*args):\n    return 0\n" for name in ("im2col_cython", "col2im_cython", "col2im_6d_cython")
    )
    (folder / "cs231n" / "im2col_cython.py").write_text(text)
    notebook.run(assignment.IMPORTS, "from cs231n.im2col_cython import im2col_cython as own")
    assert notebook.own() == 0
    with pytest.warns(UserWarning, match="cs231n.im2col_cython and cs231n.fast_layers had been"):
        compat.install(level=1)
    served = importlib.import_module("fastnet.compat.cs231n.im2col_cython")
    assert notebook.own is served.im2col_cython
    assert sys.modules["cs231n.fast_layers"].col2im_6d_cython is served.col2im_6d_cython


def test_levels_can_change(folder):
    compat.install(level=1)
    module = importlib.import_module("cs231n.fast_layers")
    assert "fastnet" not in module.__file__
    compat.install(level=2)
    assert "fastnet" in importlib.import_module("cs231n.fast_layers").__file__
    compat.install(level=1)
    module = importlib.import_module("cs231n.fast_layers")
    assert module.__file__ == str(folder / "cs231n" / "fast_layers.py")
    assert module.im2col_cython.__module__.startswith("fastnet.")


def test_uninstall_restores_the_courses_modules(folder, notebook, capsys):
    compat.install()
    notebook.run(assignment.IMPORTS)
    compat.uninstall()
    assert finders() == [] and not [finder for finder in sys.meta_path if type(finder).__module__.startswith("fastnet")]
    assert notebook.conv_forward_fast.__module__ == "cs231n.fast_layers"
    assert sys.modules["cs231n.layer_utils"].conv_forward_fast is notebook.conv_forward_fast
    assert sys.modules["cs231n.fast_layers"].__file__ == str(folder / "cs231n" / "fast_layers.py")
    assert (
        importlib.import_module("fastnet.compat.cs231n.fast_layers").conv_forward_fast is not notebook.conv_forward_fast
    )
    compat.uninstall()  # calling it twice is allowed


def test_uninstall_with_files_of_old_years(folder):
    """The course's own modules may need the stand-ins to be imported again."""
    path = folder / "cs231n" / "fast_layers.py"
    path.write_text("from past.builtins import xrange\nfrom six.moves import cPickle\n" + path.read_text())
    code = (
        "import sys\n"
        "from fastnet import compat\n"
        "from fastnet.compat import standins\n"
        "missing = set(standins.missing())\n"
        "for _ in range(2):\n"
        "    compat.install()\n"
        "    from cs231n.fast_layers import conv_forward_fast\n"
        "    compat.uninstall()\n"
        "    print(conv_forward_fast.__module__, sys.modules['cs231n.fast_layers'].__name__)\n"
        "    assert not missing & set(sys.modules)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), *filter(None, sys.path)))}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    lines = [line for line in result.stdout.splitlines() if line.startswith("cs231n.")]
    assert lines == ["cs231n.fast_layers cs231n.fast_layers"] * 2, result.stderr


@pytest.mark.parametrize("line, reason", [("print 'built'", "SyntaxError"), ("import no_torch", "no_torch")])
def test_uninstall_warns_of_modules_that_cannot_be_imported(folder, notebook, line, reason):
    path = folder / "cs231n" / "fast_layers.py"
    path.write_text(f"{line}\n{path.read_text()}")
    compat.install()
    notebook.run("from cs231n.fast_layers import *")
    with pytest.warns(UserWarning, match=f"fast_layers cannot be imported from its folder .*{reason}"):
        compat.uninstall()
    assert notebook.conv_forward_fast.__module__.startswith("fastnet.")
    assert finders() == []


def test_several_packages_and_nested_ones(tmp_path, monkeypatch):
    for package in ("cs231n", "deeplearning", "assignment2/cs231n", "mycourse"):
        assignment.lay_out(tmp_path, package)
    monkeypatch.syspath_prepend(str(tmp_path))
    compat.install(["cs231n", "deeplearning"])
    for package in ("cs231n", "deeplearning", "assignment2.cs231n"):
        module = importlib.import_module(f"{package}.fast_layers")
        assert module.__name__ == f"{package}.fast_layers" and "fastnet" in module.__file__
    assert "fastnet" not in importlib.import_module("mycourse.fast_layers").__file__
    modules = [sys.modules[f"{package}.fast_layers"] for package in ("cs231n", "deeplearning")]
    assert modules[0] is not modules[1] and modules[0].conv_forward_fast is modules[1].conv_forward_fast
    with pytest.warns(UserWarning, match="mycourse"):
        importlib.import_module("mycourse.layer_utils")
        compat.install("mycourse")
    assert "fastnet" in importlib.import_module("mycourse.fast_layers").__file__


def test_fastnets_own_modules_are_not_served(folder):
    source = importlib.import_module("fastnet.compat.cs231n.fast_layers")
    compat.install()
    assert importlib.reload(source).__spec__.loader.__class__ is importlib.machinery.SourceFileLoader
    served = importlib.import_module("cs231n.fast_layers")
    assert served is not source and source.__name__ == "fastnet.compat.cs231n.fast_layers"


def test_installing_again_keeps_one_finder_in_front(folder):
    compat.install()
    sys.meta_path.insert(0, other := importlib.machinery.BuiltinImporter)
    compat.install("deeplearning")
    sys.meta_path.remove(other)
    assert finders() == [finder for finder in sys.meta_path if isinstance(finder, hook._Finder)] and len(finders()) == 1
    assert finders()[0].levels == {"cs231n": 2, "deeplearning": 2}


def test_reloading(folder, notebook):
    compat.install()
    notebook.run(assignment.IMPORTS, "import cs231n.fast_layers, cs231n.layer_utils")
    module = sys.modules["cs231n.fast_layers"]
    module.conv_forward_fast = None
    assert importlib.reload(module) is module and module.conv_forward_fast is notebook.conv_forward_fast
    path = folder / "cs231n" / "layer_utils.py"
    path.write_text(path.read_text() + "\n\nadded = conv_forward_fast\n")
    assert importlib.reload(sys.modules["cs231n.layer_utils"]).added is notebook.conv_forward_fast


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"package": "assignment2/cs231n"}, ValueError, "'assignment2/cs231n' is not a package name"),
        ({"package": ""}, ValueError, "not a package"),
        ({"package": ["cs231n", 3]}, TypeError, "must be a string or several, got 3"),
        ({"package": 3}, TypeError, "must be a string or several, got 3"),
        ({"package": b"cs231n"}, TypeError, "must be a string or several, got b'cs231n'"),
        ({"level": 3}, ValueError, "level must be 1 .* or 2 .*, got 3"),
    ],
)
def test_bad_arguments_install_nothing(arguments, error, message):
    with pytest.raises(error, match=message):
        compat.install(**arguments)
    assert finders() == []


def test_importing_the_hook_loads_no_kernels():
    code = "import fastnet.compat.hook, sys; print([n for n in ('numpy', 'fastnet.backends') if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert result.stdout.strip() == "[]"


def test_every_public_name_of_compat_is_there():
    assert {"install", "uninstall", "check", "cs231n"} <= set(compat.__all__) <= set(dir(compat))
    for name in compat.__all__:
        assert getattr(compat, name).__doc__, name
    with pytest.raises(AttributeError, match="module 'fastnet.compat' has no attribute 'Conv3d'"):
        compat.Conv3d  # noqa: B018

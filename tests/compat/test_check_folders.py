"""Where fastnet.compat.check finds what was handed in, and what it says if it finds nothing."""

from __future__ import annotations

import importlib
import json
import os
import sys

import pytest
from compat.handed_in import RELU, SOFTMAX, USES, command, write
from compat.solutions import GENEROUS

from fastnet.compat import check

pytestmark = pytest.mark.usefixtures("frozen")


@pytest.mark.parametrize("imports", ["from cs231n.layers import *", "from ..layers import *", "from layers import *"])
@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize("classifiers", ["from cs231n.classifiers.softmax import *\n", "", None])
def test_packages_with_and_without_init(tmp_path, imports, top, classifiers):
    files = {
        "alice/cs231n/layers.py": RELU,
        "alice/cs231n/classifiers/softmax.py": SOFTMAX.format(imports=imports),
    }
    if top:
        files["alice/cs231n/__init__.py"] = ""
    if classifiers is not None:
        files["alice/cs231n/classifiers/__init__.py"] = classifiers
    write(tmp_path, files)
    for given in (tmp_path / "alice" / "cs231n", tmp_path / "alice" / "cs231n" / "classifiers" / "softmax.py"):
        report = check.run(given, limit=GENEROUS, timeout=GENEROUS)
        assert report.passed and report["softmax_loss_naive"].passed, report
    assert "cs231n" not in sys.modules and "layers" not in sys.modules


@pytest.mark.parametrize("name", ["hw-1", "my work", "hw.1", "test", "code", "1", "json"])
@pytest.mark.parametrize("imports", ["from .layers import *", "from layers import *"])
def test_folders_of_any_name(tmp_path, name, imports):
    """Of names that are no identifiers, or those of Python's own packages."""
    write(tmp_path, {f"{name}/layers.py": RELU, f"{name}/optim.py": f"{imports}\n{USES}"})
    report = check.run(tmp_path / name, limit=GENEROUS, timeout=GENEROUS)
    assert report.passed and [result.name for result in report] == ["relu_forward", "relu_backward"], report


@pytest.mark.parametrize("above", ["cs231n/hw1", "deeplearning/a/b", "cs231n/classifiers"])
@pytest.mark.parametrize("imports", ["from .maths import *", "from maths import *", "from work.maths import *"])
def test_folders_below_one_with_the_courses_name(tmp_path, above, imports):
    """As in a clone named cs231n."""
    write(tmp_path, {f"{above}/work/layers.py": f"{imports}\n{USES}", f"{above}/work/maths.py": RELU})
    report = check.run(tmp_path / above / "work", limit=GENEROUS, timeout=GENEROUS)
    assert report.passed and len(report) == 2, report


@pytest.mark.parametrize("name", ["layers (1).py", "alice-layers.py", "layers.v2.py", "1.py", "test.py"])
def test_files_of_any_name(tmp_path, name):
    """As learning platforms rename what is handed in."""
    write(tmp_path, {f"hw.1/{name}": "from .maths import *\n" + USES, "hw.1/maths.py": RELU})
    report = check.run(tmp_path / "hw.1" / name, limit=GENEROUS, timeout=GENEROUS)
    assert report.passed and len(report) == 2, report


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="symbolic links")
def test_a_link_counts_where_it_lies(tmp_path):
    write(tmp_path, {"store/abc": "from .maths import *\n" + USES, "alice/cs231n/maths.py": RELU})
    os.symlink(tmp_path / "store" / "abc", tmp_path / "alice" / "cs231n" / "layers.py")
    report = check.run(tmp_path / "alice" / "cs231n", limit=GENEROUS, timeout=GENEROUS)
    assert report.passed and len(report) == 2, report


def test_other_encodings(tmp_path):
    write(tmp_path, {"cs231n/layers.py": "\ufeff" + RELU})
    assert check.run(tmp_path / "cs231n", limit=GENEROUS, timeout=GENEROUS).passed
    (tmp_path / "cs231n" / "layers.py").write_bytes(("NAME = 'caf\u00e9'\n" + RELU).encode("latin-1"))
    (result,) = check.run(tmp_path / "cs231n", timeout=GENEROUS)
    assert "cannot be imported: SyntaxError" in result.words and "save the file as UTF-8" in result.words


def test_a_relative_path_from_elsewhere(tmp_path):
    write(tmp_path, {"alice/cs231n/layers.py": RELU, "bob/cs231n/layers.py": RELU.replace("maximum", "minimum")})
    assert command(tmp_path, "alice/cs231n")[0] == 0
    assert command(tmp_path / "alice", "cs231n/layers.py")[0] == 0
    assert command(tmp_path / "alice" / "cs231n", "layers.py")[0] == 0
    assert command(tmp_path / "alice" / "cs231n", ".")[0] == 0
    code, out, _ = command(tmp_path / "alice", "../bob/cs231n")
    assert code == 1 and "it is min(x, 0)" in out


def test_a_package_in_a_package(tmp_path):
    """An __init__.py above the course's package changes nothing."""
    write(tmp_path, {
        "hw/__init__.py": "", "hw/a1/__init__.py": "", "hw/a1/cs231n/__init__.py": "",
        "hw/a1/cs231n/maths.py": RELU, "hw/a1/cs231n/layers.py": "from cs231n.maths import *\n" + USES,
    })  # fmt: skip
    report = check.run(tmp_path / "hw" / "a1" / "cs231n", limit=GENEROUS, timeout=GENEROUS)
    assert report.passed and len(report) == 2, report


def test_another_copy_that_is_already_imported(tmp_path, monkeypatch):
    """A notebook has its own cs231n; the file that is named counts."""
    write(tmp_path, {"mine/cs231n/layers.py": RELU, "yours/cs231n/layers.py": RELU.replace("maximum", "minimum")})
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    importlib.import_module("cs231n.layers")
    try:
        assert not check.run(tmp_path / "yours" / "cs231n", limit=GENEROUS, timeout=GENEROUS).passed
        assert check.run(tmp_path / "mine" / "cs231n", limit=GENEROUS, timeout=GENEROUS).passed
    finally:
        for name in ("cs231n.layers", "cs231n"):
            del sys.modules[name]


def test_siblings_that_were_not_handed_in(tmp_path):
    """classifiers/__init__.py imports files that the course gives."""
    init = "from cs231n.classifiers.softmax import *\nfrom cs231n.classifiers.linear_classifier import *\n"
    write(tmp_path, {
        "cs231n/__init__.py": "", "cs231n/classifiers/__init__.py": init,
        "cs231n/classifiers/softmax.py": SOFTMAX.format(imports=""),
    })  # fmt: skip
    report = check.run(tmp_path / "cs231n", limit=GENEROUS, timeout=GENEROUS)
    assert report.passed and len(report) == 1, report


def test_other_paths_get_advice(tmp_path):
    write(tmp_path, {"a1/cs231n/layers.py": RELU, "a1/a.ipynb": "{}", "a1/submission.zip": "PK"})
    for name in ("a.ipynb", "submission.zip"):
        with pytest.raises(ValueError, match=f"{name} is not a Python file; expected one such as layers.py"):
            check.run(tmp_path / "a1" / name)
    for folder in (tmp_path, tmp_path / "a1"):
        with pytest.raises(FileNotFoundError, match=r"the folder that holds layers\.py: .*a1.cs231n\?"):
            check.run(folder)
    code, _, err = command(tmp_path, "a1/a.ipynb")
    assert code == 2 and "is not a Python file" in err


@pytest.mark.parametrize(
    "text",
    ["", "x = 1\n", "def relu_fwd(x):\n    return x\n", "relu_forward = None\n", "class KNearestNeighbor:\n    pass\n"],
)
def test_nothing_to_check_does_not_pass(tmp_path, text):
    write(tmp_path, {"layers.py": text})
    report = check.run(tmp_path / "layers.py", timeout=GENEROUS)
    assert not report.passed and len(report) == 0 and "nothing to check" in str(report)
    code, out, err = command(tmp_path, "layers.py", "--json", "results.json")
    assert code == 2 and out == "" and "error: layers.py: nothing to check: no function or class has a name" in err
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["score"] == 0 and results["tests"] == [] and "nothing to check" in results["output"]


def test_nothing_asked_for_does_not_pass():
    assert not check.run({"relu_forward": len}, []).passed
    assert not check.run({}).passed


def test_names_with_spaces(tmp_path):
    write(tmp_path, {"layers.py": RELU + USES})
    assert command(tmp_path, "layers.py", "--names", "relu_forward, relu_backward")[0] == 0

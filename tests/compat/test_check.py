"""The autograder kit: right solutions are right; functions, modules, files and folders; reports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from compat.solutions import GENEROUS, WORK, solutions

from fastnet.compat import check
from fastnet.compat.check import runner
from fastnet.compat.check.tasks import FUNCTIONS

pytestmark = pytest.mark.usefixtures("frozen")


def test_right_solutions_are_right():
    """Read from a file, which the parent process does not import."""
    report = check.run(WORK, limit=GENEROUS, timeout=GENEROUS)
    wrong = {result.name: result.words for result in report if not result.passed}
    assert wrong == {} and report.passed and "student_work" not in sys.modules
    assert {result.name for result in report} == {
        name for name in FUNCTIONS if "fast" not in name and "im2col" not in name and "strides" not in name
    }
    assert report.score == report.points == len(report)
    assert all(result.error < 1e-9 for result in report if result.name != "dropout_forward")


@pytest.mark.parametrize("name", ["conv_backward_naive", "batchnorm_backward", "KNearestNeighbor.predict_labels"])
def test_a_spawned_child_gives_the_same_verdicts(monkeypatch, name):
    """As on systems where a fork is not safe."""
    monkeypatch.setattr(runner, "_METHOD", "spawn")
    assert check.run(WORK, [name], limit=GENEROUS, timeout=GENEROUS).passed


def test_a_spawned_child_needs_importable_functions(monkeypatch):
    from fastnet.compat.cs231n import layers

    monkeypatch.setattr(runner, "_METHOD", "spawn")
    assert check.relu_forward(layers.relu_forward, limit=GENEROUS, timeout=GENEROUS).passed
    assert check.run(layers, ["batchnorm_backward"], limit=GENEROUS, timeout=GENEROUS).passed
    with pytest.raises(TypeError, match=r"write it to a file and check that"):
        check.relu_forward(lambda x: (np.maximum(x, 0), x))


# ---------------------------------------------------------------- one function, options


def test_one_function_alone():
    work = solutions()
    assert check.conv_forward(work["conv_forward_naive"], limit=GENEROUS).name == "conv_forward_naive"
    result = check.conv_forward(
        lambda x, w, b, conv_param: work["conv_forward_naive"](x, w, b, conv_param), limit=GENEROUS
    )
    assert result.passed and str(result).splitlines()[1].startswith("conv_forward_naive")
    # a cache as the course describes it, or the student's own
    assert check.conv_backward(work["conv_backward_naive"], limit=GENEROUS).passed
    assert check.dropout_backward(work["dropout_backward"], limit=GENEROUS).passed
    alone = check.batchnorm_backward(work["batchnorm_backward"], limit=GENEROUS)
    assert alone.verdict == "unchecked" and "forward=" in alone.words
    assert check.batchnorm_backward(work["batchnorm_backward"], work["batchnorm_forward"], limit=GENEROUS).passed
    with pytest.raises(TypeError, match="pass the function itself, got tuple"):
        check.relu_forward((1, 2))


def test_options_of_years():
    drops = solutions("dropout_forward", "< p) / p", ">= p) / (1 - p)")
    names = ["dropout_forward", "dropout_backward"]
    assert check.run(drops, names, drop_p=True, limit=GENEROUS).passed
    assert not check.run(drops, names[:1], limit=GENEROUS).passed
    half = solutions("svm_loss_vectorized", "2 * reg", "reg")
    half = half | {"svm_loss_vectorized": lambda W, X, y, reg: _minus_half(half["svm_loss_vectorized"], W, X, y, reg)}
    assert check.svm_loss_linear(half["svm_loss_vectorized"], l2=0.5, limit=GENEROUS).passed


def _minus_half(loss, W, X, y, reg):
    value, dW = solutions("svm_loss_vectorized", "2 * reg", "reg")["svm_loss_vectorized"](W, X, y, reg)
    return value - 0.5 * reg * np.sum(W * W), dW


# ---------------------------------------------------------------- modules, files, folders


def test_names_that_are_missing_or_unknown():
    report = check.run({"relu_forward": solutions()["relu_forward"]}, ["relu_forward", "adam"], limit=GENEROUS)
    assert [result.verdict for result in report] == ["right", "missing"] and report.score == 1 and report.points == 2
    assert not report.passed
    with pytest.raises(ValueError, match="no check for conv_forwrad; there are checks for affine_forward"):
        check.run({}, ["conv_forwrad"])
    with pytest.raises(KeyError, match="no result 'sgd'"):
        report["sgd"]


def assignment(folder, layers):
    """A folder with the structure of an assignment, whose modules import each other."""
    package = folder / "course_like"
    (package / "classifiers").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "classifiers" / "__init__.py").write_text("")
    (package / "maths.py").write_text("import numpy as np\n\n\ndef positive(x):\n    return np.maximum(x, 0)\n")
    (package / "layers.py").write_text(layers)
    (package / "classifiers" / "softmax.py").write_text("from ..layers import *\n\nsoftmax_loss_naive = None\n")
    return package


GOOD = "from .maths import *\n\n\ndef relu_forward(x):\n    return positive(x), x\n"


def test_a_folder(tmp_path):
    package = assignment(tmp_path, GOOD)
    path = list(sys.path)
    for given in (package, package / "layers.py", str(package / "layers.py")):
        report = check.run(given, limit=GENEROUS)
        assert [result.name for result in report] == ["relu_forward"] and report.passed
    assert sys.path == path and not any(name.startswith("course_like") for name in sys.modules)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        check.run(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="expected the folder that holds layers.py"):
        check.run(tmp_path)
    with pytest.raises(TypeError, match="a module, a dict of functions or a path, got int"):
        check.run(3)


@pytest.mark.parametrize(
    "layers, words",
    [
        ("def relu_forward(x:\n    pass\n", "cannot be imported: SyntaxError"),
        ("from .nothing import x\n", "cannot be imported: ModuleNotFoundError"),
        ("import sys\nsys.exit(0)\n", "cannot be imported: SystemExit"),
        ("import os\nos._exit(0)\n", "cannot be imported: it ends the process, with exit status 0"),
        ("while True:\n    pass\n", "cannot be imported: it does not end"),
    ],
)
def test_a_module_that_cannot_be_imported(tmp_path, monkeypatch, layers, words):
    if "while" in layers:
        monkeypatch.setattr(runner, "_IMPORT", 0.5)
    report = check.run(assignment(tmp_path, layers) / "layers.py", ["relu_forward"], limit=GENEROUS)
    assert not report.passed and report.score == 0 and report.points == 1
    assert [result.verdict for result in report] == ["raises", "missing"] and report[0].words.startswith(words)


def test_a_module_object():
    module = types.ModuleType("work")
    vars(module).update(solutions())
    assert check.run(module, ["relu_forward"], limit=GENEROUS).passed


# ---------------------------------------------------------------- reports


def test_gradescope(tmp_path):
    work = solutions("relu_forward", "np.maximum(0, x)", "np.abs(x)")
    report = check.run(work, ["relu_forward", "relu_backward"], points={"relu_backward": 3}, limit=GENEROUS)
    report.save(tmp_path / "results.json")
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["score"] == report.score == 3
    bad, good = data["tests"]
    assert bad == {
        "name": "relu_forward",
        "number": "1",
        "score": 0.0,
        "max_score": 1.0,
        "status": "failed",
        "output": "wrong out: it is the absolute value",
        "visibility": "visible",
    }
    assert (good["score"], good["max_score"], good["status"], good["output"]) == (3.0, 3.0, "passed", "right")


def test_the_table():
    work = solutions("relu_forward", "np.maximum(0, x)", "np.abs(x)")
    lines = str(check.run(work, ["relu_forward", "relu_backward"], limit=GENEROUS)).splitlines()
    assert lines[0].split() == ["function", "points", "error", "time", "verdict"]
    assert lines[1].startswith("relu_forward") and lines[1].endswith("wrong out: it is the absolute value")
    assert lines[2].startswith("relu_backward") and lines[2].endswith("  right") and " 1/1 " in lines[2]
    assert lines[-1] == "1 of 2 points"


def command(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "fastnet.compat", "check", *map(str, arguments)], capture_output=True, text=True, **more
    )


def test_the_command(tmp_path):
    package = assignment(tmp_path, GOOD)
    done = command(package, "--json", tmp_path / "results.json", cwd=Path(check.__file__).parents[3])
    assert done.returncode == 0 and re.search(r"^relu_forward +1/1 .* right$", done.stdout, re.M), done
    assert json.loads((tmp_path / "results.json").read_text())["score"] == 1
    done = command(package, "--names", "relu_forward,adam", cwd=Path(check.__file__).parents[3])
    assert done.returncode == 1 and "there is no such function" in done.stdout
    for wrong in (["nowhere.py"], [package, "--names", "x"], [package, "--json", tmp_path / "no" / "results.json"]):
        done = command(*wrong, cwd=Path(check.__file__).parents[3])
        assert done.returncode == 2 and done.stderr.startswith("python -m fastnet.compat check: error: "), done


@pytest.mark.parametrize("part", ["layers", "optim", "fast_layers", "classifiers"])
def test_the_reference_passes(part):
    """fastnet's own course API, including the kernels behind fast_layers."""
    import fastnet.compat.cs231n as reference

    folder = Path(reference.__file__).parent
    if part == "classifiers":
        from fastnet.compat.cs231n.classifiers import KNearestNeighbor, linear_svm, softmax

        given = {**vars(linear_svm), **vars(softmax), "KNearestNeighbor": KNearestNeighbor}
    else:
        given = folder / f"{part}.py"
    report = check.run(given, limit=GENEROUS, timeout=GENEROUS)
    assert report.passed and len(report) >= 4, report

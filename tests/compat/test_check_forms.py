"""The autograder is fair to every form of the starter code, and to every layout of an assignment's folder."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compat.solutions import GENEROUS

from fastnet.compat import check

# ---------------------------------------------------------------- Adam's step count


def adam(start, before=1, after=0):
    """Adam whose step count begins with `start` and grows before and after its use."""

    def rule(w, dw, config=None):
        config = {} if config is None else config
        for name, value in {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}.items():
            config.setdefault(name, value)
        for name in "mv":
            config.setdefault(name, np.zeros_like(w))
        config.setdefault("t", start)
        config["t"] += before
        config["m"] = config["beta1"] * config["m"] + (1 - config["beta1"]) * dw
        config["v"] = config["beta2"] * config["v"] + (1 - config["beta2"]) * dw**2
        m = config["m"] / (1 - config["beta1"] ** config["t"])
        v = config["v"] / (1 - config["beta2"] ** config["t"])
        config["t"] += after
        return w - config["learning_rate"] * m / (np.sqrt(v) + config["epsilon"]), config

    return rule


@pytest.mark.parametrize(
    "start, before, after, words",
    [
        (0, 1, 0, "right"),
        (1, 1, 0, "right (t is 1 before the first step, as in the starter code of 2015 to 2017)"),
        (1, 0, 1, "right (t is 1 before the first step, and incremented after its use)"),
    ],
)
def test_step_counts_of_all_years(start, before, after, words):
    result = check.adam(adam(start, before, after), limit=GENEROUS, timeout=GENEROUS)
    assert result.passed and result.words == words


@pytest.mark.parametrize(
    "start, before, after", [(0, 0, 1), (2, 1, 0), (1, 2, 0), (1, 0, 0), (0, 1, 1), (5, 0, 1), (0, 2, -1)]
)
def test_other_step_counts_are_wrong(start, before, after):
    result = check.adam(adam(start, before, after), limit=GENEROUS, timeout=GENEROUS)
    assert result.verdict == "wrong" and result.score < 1


# ---------------------------------------------------------------- linear classifiers


def svm_2015(W, X, y, reg):
    """W is (C, D), X (D, N), in the starter code of 2015."""
    scores = W.dot(X)
    margins = np.maximum(0, scores - scores[y, np.arange(X.shape[1])] + 1)
    margins[y, np.arange(X.shape[1])] = 0
    dscores = (margins > 0).astype(float)
    dscores[y, np.arange(X.shape[1])] -= dscores.sum(axis=0)
    loss = margins.sum() / X.shape[1] + 0.5 * reg * np.sum(W * W)
    return loss, dscores.dot(X.T) / X.shape[1] + reg * W


def test_the_form_of_2015():
    for name in ("svm_loss_naive", "svm_loss_vectorized"):
        (result,) = check.run({name: svm_2015}, [name], l2=0.5, limit=GENEROUS, timeout=GENEROUS)
        assert result.passed and result.words == "right (in the form of 2015: W is (C, D), X is (D, N))", result.words
    mistaken = {
        "svm_loss_vectorized": lambda W, X, y, reg: (svm_2015(W, X, y, reg)[0], svm_2015(W, X, y, reg)[1] - reg * W)
    }
    (result,) = check.run(mistaken, l2=0.5, limit=GENEROUS, timeout=GENEROUS)
    assert result.words == "wrong dW: the regularisation is missing (in the form of 2015: W is (C, D), X is (D, N))"
    assert result.score == 0.5
    unwritten = {"svm_loss_vectorized": lambda W, X, y, reg: (0.0, None)}
    (result,) = check.run(unwritten, limit=GENEROUS, timeout=GENEROUS)
    assert "2015" not in result.words and "it is None: not written yet?" in result.words


# ---------------------------------------------------------------- group normalisation


def group_forward(x, gamma, beta, G, gn_param):
    """gamma and beta are (C,), as in the docstring of 2018 to 2020."""
    groups = x.reshape(len(x), G, -1)
    std = np.sqrt(groups.var(axis=2, keepdims=True) + gn_param.get("eps", 1e-5))
    hat = ((groups - groups.mean(axis=2, keepdims=True)) / std).reshape(x.shape)
    return gamma[None, :, None, None] * hat + beta[None, :, None, None], (hat, std, gamma, G)


def group_backward(dout, cache):
    hat, std, gamma, G = cache
    dhat = (dout * gamma[None, :, None, None]).reshape(len(hat), G, -1)
    rows = hat.reshape(dhat.shape)
    means = [array.mean(axis=2, keepdims=True) for array in (dhat, dhat * rows)]
    dx = ((dhat - means[0] - rows * means[1]) / std).reshape(hat.shape)
    return dx, (dout * hat).sum(axis=(0, 2, 3)), dout.sum(axis=(0, 2, 3))


def test_gamma_of_group_normalisation():
    names = {"spatial_groupnorm_forward": group_forward, "spatial_groupnorm_backward": group_backward}
    for result in check.run(names, limit=GENEROUS, timeout=GENEROUS):
        assert result.words == "right (gamma and beta are (C,), as the docstring of 2018 to 2020 says)", result
    mistaken = names | {"spatial_groupnorm_backward": lambda dout, cache: (0, *group_backward(dout, cache)[1:])}
    result = check.run(mistaken, ["spatial_groupnorm_backward"], limit=GENEROUS, timeout=GENEROUS)[0]
    assert result.verdict == "wrong" and result.words.startswith("wrong dx") and result.score == pytest.approx(2 / 3)


# ---------------------------------------------------------------- folders

RELU = "import numpy as np\n\n\ndef relu_forward(x):\n    return np.maximum(x, 0), x\n"
USES = "\n\ndef relu_backward(dout, cache):\n    return dout * (relu_forward(cache)[0] > 0)\n"
SOFTMAX = """import numpy as np
{imports}

def softmax_loss_naive(W, X, y, reg):
    scores = X.dot(W)
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    N = X.shape[0]
    dscores = p.copy()
    for i in xrange(N):
        dscores[i, y[i]] -= 1
    return -np.log(p[np.arange(N), y]).mean() + reg * np.sum(W * W), X.T.dot(dscores) / N + 2 * reg * W
"""


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(Path(check.__file__).parents[3]), **more}


def command(folder, *arguments, **more):
    done = subprocess.run(
        [sys.executable, "-m", "fastnet.compat", "check", *map(str, arguments)],
        capture_output=True,
        encoding=more.get("PYTHONIOENCODING"),
        text=True,
        cwd=folder,
        env=environment(**more),
    )
    return done.returncode, done.stdout, done.stderr


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


# ---------------------------------------------------------------- nothing to check


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


# ---------------------------------------------------------------- exceptions in words


def raises(error):
    def relu_forward(x):
        raise error

    return relu_forward


@pytest.mark.parametrize(
    "error",
    [
        ValueError("first\nsecond\n\nthird"),
        ValueError("x" * 10_000),
        ValueError("\n\n"),
        ValueError("a\tb\rc\x1b[31m\x07d\x85e\u2028f"),
        AssertionError(),
        KeyError("a\nb"),
        type("Odd", (Exception,), {"__str__": lambda self: 1 / 0})(),
    ],
    ids=range(7),
)
def test_the_table_keeps_its_lines(error):
    result = check.relu_forward(raises(error), timeout=GENEROUS)
    table = str(result).split("\n\nrelu_forward:")[0]
    assert len(table.splitlines()) == 2 and len(table) < 600, table
    assert result.verdict == "raises" and table.replace("\n", "").isprintable()


WIDE = "def relu_forward(x):\n    print('größer → 測試')\n    raise ValueError('größer als 0 → 測試')\n"


def test_any_output_encoding(tmp_path):
    write(tmp_path, {"größe/layers.py": WIDE})
    for encoding in ("ascii", "latin-1", "cp1252", "utf-8"):
        code, out, err = command(tmp_path, "größe/layers.py", PYTHONIOENCODING=encoding)
        assert code == 1 and "raises ValueError: gr" in out and "Traceback" not in err, err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's full device")
def test_a_report_that_cannot_be_written(tmp_path):
    write(tmp_path, {"layers.py": WIDE})
    line = f"{sys.executable} -m fastnet.compat check layers.py"
    for shell, code in ((f"{line} > /dev/full", 2), (f"{line} | true; exit ${{PIPESTATUS[0]}}", 1)):
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, cwd=tmp_path, env=environment())
        assert done.returncode == code and "Traceback" not in done.stderr, done
        assert ("cannot write the report: No space left on device" in done.stderr) == (code == 2)


def divides(x):
    return np.zeros(x.shape[0] / 2), x


def slices(x):
    return x[: x.shape[0] / 2], x


def unpacks(x):
    out, cache = None
    return out, cache


def old_alias(x):
    return np.maximum(0, x).astype(np.float), x


def old_name(x):
    return np.maximum(0, x).astype(long), x  # noqa: F821


def old_method(x):
    for _ in {}.iteritems():
        pass


def old_library(x):
    import cPickle  # noqa: F401


def unwritten(x):
    raise NotImplementedError


def integer(x):
    out = np.zeros(x.shape, int)
    out += x
    return out, x


@pytest.mark.parametrize(
    "function, words",
    [
        (divides, "write //"),
        (slices, "write //"),
        (unpacks, r"not written yet\?"),
        (
            old_alias,
            "raises AttributeError: module 'numpy' has no attribute 'float': this NumPy has no np.float, write float",
        ),
        (old_name, "that is Python 2, write int"),
        (old_method, "that is Python 2, write items"),
        (old_library, "that is Python 2, write pickle"),
        (unwritten, r"raises NotImplementedError: not written yet\?"),
        (integer, r"write x = x \+ \.\.\."),
    ],
)
def test_exceptions_are_explained(function, words):
    result = check.relu_forward(function, timeout=GENEROUS)
    assert result.verdict == "raises"
    assert re.search(words, result.words), result.words


def test_a_file_of_python_2_is_explained(tmp_path):
    write(tmp_path, {"layers.py": RELU + "\nprint 'loaded'\n"})
    (result,) = check.run(tmp_path / "layers.py", timeout=GENEROUS)
    assert "cannot be imported: SyntaxError" in result.words and "that is Python 2: write print(...)" in result.words

"""The autograder kit: right solutions are right, and each of a list of mistakes is called by its name."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from fastnet.compat import check
from fastnet.compat.check import runner
from fastnet.compat.check.tasks import FUNCTIONS

WORK = Path(__file__).with_name("student_work.py")
GENEROUS = 60.0  # seconds: verdicts of these tests do not depend on the machine


def solutions(function=None, old=None, new=None):
    """The solutions, with `old` replaced by `new` in one function."""
    text = WORK.read_text(encoding="utf-8")
    if function:
        start = text.index(f"def {function}(")
        end = re.compile(r"^\S|^    def |\Z", re.M).search(text, text.index("\n", start)).start()
        body = text[start:end]
        assert old in body, f"{function} has no {old!r}"
        text = text[:start] + body.replace(old, new) + text[end:]
    functions = {}
    exec(compile(text, str(WORK), "exec"), functions)
    return functions


def result_of(functions, name, **more):
    (result,) = check.run(functions, [name], limit=GENEROUS, timeout=GENEROUS, **more)
    return result


def test_right_solutions_are_right():
    """From a file, which the parent process does not import."""
    report = check.run(WORK, limit=GENEROUS, timeout=GENEROUS)
    wrong = {result.name: result.words for result in report if not result.passed}
    assert wrong == {} and report.passed and "student_work" not in sys.modules
    assert {result.name for result in report} == {
        name for name in FUNCTIONS if "fast" not in name and "im2col" not in name and "strides" not in name
    }
    assert report.score == report.points == len(report)
    assert all(result.error < 1e-9 for result in report if result.name != "dropout_forward")


@pytest.mark.parametrize("name", ["conv_backward_naive", "batchnorm_backward", "KNearestNeighbor.predict_labels"])
def test_a_child_that_starts_afresh_judges_alike(monkeypatch, name):
    """Where a fork is not safe."""
    monkeypatch.setattr(runner, "_METHOD", "spawn")
    assert check.run(WORK, [name], limit=GENEROUS, timeout=GENEROUS).passed


def test_a_child_that_starts_afresh_needs_functions_that_it_can_import(monkeypatch):
    from fastnet.compat.cs231n import layers

    monkeypatch.setattr(runner, "_METHOD", "spawn")
    assert check.relu_forward(layers.relu_forward, limit=GENEROUS, timeout=GENEROUS).passed
    assert check.run(layers, ["batchnorm_backward"], limit=GENEROUS, timeout=GENEROUS).passed
    with pytest.raises(TypeError, match=r"write it into a file and check that"):
        check.relu_forward(lambda x: (np.maximum(x, 0), x))


MISTAKES = [
    # function changed, old, new, function checked, words
    ("affine_forward", " + b", "", "affine_forward", "wrong out: the bias is missing"),
    ("affine_backward", ".reshape(x.shape)\n", "\n", "affine_backward", "wrong dx: it must have x's shape"),
    ("affine_backward", "dout.sum(axis=0)", "dout.mean(axis=0)", "affine_backward", "wrong db: .*once too often|mean"),
    ("affine_backward", "dw = x", "dw = -x", "affine_backward", "wrong dw: it has the wrong sign"),
    ("affine_backward", "dw = x", "dw = 3 * x", "affine_backward", "wrong dw: it is 3 times what it should be"),
    ("affine_backward", ".T.dot(dout)", ".T.dot(dout).T", "affine_backward", "wrong dw: it is transposed"),
    ("relu_forward", "np.maximum(0, x)", "np.abs(x)", "relu_forward", "wrong out: it is the absolute value"),
    ("relu_forward", "np.maximum(0, x)", "x > 0", "relu_forward", "wrong out: it is 0 and 1: the mask"),
    ("relu_backward", " * (x > 0)", "", "relu_backward", "wrong dx: the gradient passes where x < 0 too"),
    ("relu_backward", "(x > 0)", "(dout > 0)", "relu_backward", "wrong dx: the mask looks at dout"),
    ("dropout_forward", "< p) / p", "< p)", "dropout_forward", r"wrong scale: .* \(inverted dropout\)"),
    ("dropout_forward", "< p) / p", "> p) / (1 - p)", "dropout_forward", "wrong zeros: p is taken for the other"),
    ("dropout_forward", 'mode == "train"', "True", "dropout_forward", "test mode must not drop"),
    ("dropout_backward", "dout * mask", "dout", "dropout_backward", r"wrong dx - dout \* mask: \d+ of 250000"),
    (
        "batchnorm_forward",
        "x.var(axis=0)",
        "x.var(axis=0, ddof=1)",
        "batchnorm_forward",
        "wrong out: the variance must",
    ),
    (
        "batchnorm_forward",
        "np.sqrt(var + eps)",
        "np.sqrt(var) + eps",
        "batchnorm_forward",
        "wrong out: eps belongs under",
    ),
    (
        "batchnorm_forward",
        "np.sqrt(var + eps)",
        "var + eps",
        "batchnorm_forward",
        "wrong out: .* not by its square root",
    ),
    ("batchnorm_forward", "gamma * xhat + beta", "gamma * xhat", "batchnorm_forward", "wrong out: beta is missing"),
    (
        "batchnorm_forward",
        "momentum * running_mean + (1 - momentum) * mean",
        "momentum * mean + (1 - momentum) * running_mean",
        "batchnorm_forward",
        "wrong running_mean: momentum is the weight of the old value",
    ),
    (
        "batchnorm_forward",
        'bn_param["running_var"] = running_var',
        "pass",
        "batchnorm_forward",
        "wrong running_var: it is None",
    ),
    ("batchnorm_forward", 'mode == "train"', "True", "batchnorm_forward", "wrong out: test mode must use the running"),
    ("batchnorm_backward", " - dvar_part", "", "batchnorm_backward", "wrong dx: the variance's gradient is missing"),
    ("batchnorm_backward", " - dmean_part", "", "batchnorm_backward_alt", "wrong dx: the mean's gradient is missing"),
    (
        "batchnorm_backward",
        " - dmean_part - dvar_part",
        "",
        "batchnorm_backward",
        "wrong dx: mean and variance depend on x too",
    ),
    ("batchnorm_backward", "dout * gamma", "dout", "batchnorm_backward", "wrong dx: gamma is missing"),
    ("batchnorm_backward", "(dout * xhat)", "dout", "batchnorm_backward", "wrong dgamma: it is dbeta"),
    ("layernorm_forward", "axis=1", "axis=0", "layernorm_forward", "wrong out: means are over the features, axis 1"),
    ("layernorm_backward", " - dvar_part", "", "layernorm_backward", "wrong dx: the variance's gradient is missing"),
    ("conv_forward_naive", " + b[f]", "", "conv_forward_naive", "wrong out: the bias is missing"),
    ("conv_forward_naive", "w[f])", "w[f, :, ::-1, ::-1])", "conv_forward_naive", "wrong out: the kernel is flipped"),
    ("conv_forward_naive", "w[f]) + b[f]", "w[f] + b[f])", "conv_forward_naive", "wrong out: .*added to each product"),
    (
        "conv_forward_naive",
        'stride, pad = conv_param["stride"], conv_param["pad"]',
        'stride, pad = conv_param["stride"], 0',
        "conv_forward_naive",
        "wrong out: the padding is missing",
    ),
    (
        "conv_forward_naive",
        'stride, pad = conv_param["stride"]',
        "stride, pad = 1",
        "conv_forward_naive",
        "wrong out: the stride is ignored",
    ),
    ("conv_backward_naive", "dw[f] +=", "dw[f] =", "conv_backward_naive", "wrong dw: only the last window counts"),
    (
        "conv_backward_naive",
        "dpadded[n, :, rows, columns] +=",
        "dpadded[n, :, rows, columns] =",
        "conv_backward_naive",
        r"wrong dx: windows that overlap must add up",
    ),
    (
        "conv_backward_naive",
        "pad : pad + H, pad : pad + W",
        ":, :",
        "conv_backward_naive",
        "wrong dx: the padding is not",
    ),
    (
        "conv_backward_naive",
        "* w[f]",
        "* w[f, :, ::-1, ::-1]",
        "conv_backward_naive",
        "wrong dx: the kernel is flipped",
    ),
    (
        "conv_backward_naive",
        "dx, dw, db",
        "dx, dw / len(x), db",
        "conv_backward_naive",
        "wrong dw: it is divided by the",
    ),
    ("conv_backward_naive", "axis=(0, 2, 3)", "axis=(2, 3)", "conv_backward_naive", "wrong db: .* over the images"),
    ("max_pool_forward_naive", "window.max(", "window.mean(", "max_pool_forward_naive", "wrong out: it is the mean"),
    ("max_pool_backward_naive", "dx[at] +=", "dx[at] =", "max_pool_backward_naive", "wrong dx: windows that overlap"),
    ("max_pool_backward_naive", "mask * dout", "dout", "max_pool_backward_naive", "wrong dx: every pixel of a window"),
    (
        "spatial_batchnorm_forward",
        "x.transpose(0, 2, 3, 1).reshape(-1, C)",
        "x.reshape(-1, C)",
        "spatial_batchnorm_forward",
        r"wrong out: .* numbers are wrong, the first at \[0, 0, 0, 0\]",
    ),
    (
        "spatial_groupnorm_forward",
        "axis=(2, 3, 4)",
        "axis=(0, 2, 3, 4)",
        "spatial_groupnorm_forward",
        "wrong out: means are over one image",
    ),
    ("spatial_groupnorm_backward", " - mean", "", "spatial_groupnorm_backward", "wrong dx: the mean's gradient"),
    (
        "spatial_groupnorm_backward",
        "dgamma = (dout * xhat).sum(axis=(0, 2, 3), keepdims=True)",
        "dgamma = (dout * xhat).sum(axis=(0, 2, 3))",
        "spatial_groupnorm_backward",
        r"wrong dgamma: it has shape \(6,\), expected \(1, 6, 1, 1\)",
    ),
    ("svm_loss", "margins[np.arange(N), y] = 0", "pass", "svm_loss", "wrong loss: the right class is counted too"),
    (
        "svm_loss",
        "dx[np.arange(N), y] -= dx.sum(axis=1)",
        "pass",
        "svm_loss",
        "wrong dx: the right class gets no gradient",
    ),
    ("svm_loss", "margins.sum() / N", "margins.sum()", "svm_loss", "wrong loss: it is the sum over examples"),
    ("softmax_loss", "dx[np.arange(N), y] -= 1", "pass", "softmax_loss", "wrong dx: the 1 of the right class"),
    ("softmax_loss", "dx / N", "dx", "softmax_loss", "wrong dx: it is the sum over examples, not the mean"),
    ("softmax_loss", "- x.max(axis=1, keepdims=True)", "", "softmax_loss", "NaN.*subtract the largest first"),
    ("svm_loss_naive", "+ 2 * reg * W", "", "svm_loss_naive", "wrong dW: the regularisation is missing"),
    ("svm_loss_naive", "dW[:, y[i]] -= X[i]", "pass", "svm_loss_naive", "wrong dW: the right class gets no gradient"),
    ("svm_loss_vectorized", "+ reg *", "+ 0.5 * reg *", "svm_loss_vectorized", "wrong loss: .* factor 0.5.*l2=0.5"),
    ("softmax_loss_naive", "+ 2 * reg", "+ reg", "softmax_loss_vectorized", "wrong dW: the regularisation's gradient"),
    ("sgd", "-=", "+=", "sgd", "wrong next_w: it steps uphill"),
    ("sgd_momentum", "- config", "+ config", "sgd_momentum", "wrong next_w, velocity: the gradient is added"),
    ("sgd_momentum", 'config["velocity"] = v', "pass", "sgd_momentum", "wrong velocity: it is "),
    (
        "sgd_momentum",
        "w + v",
        'w + config.get("velocity", 0)',
        "sgd_momentum",
        "wrong next_w: the old velocity is added",
    ),
    (
        "rmsprop",
        'np.sqrt(cache) + config["epsilon"]',
        'np.sqrt(cache + config["epsilon"])',
        "rmsprop",
        "wrong next_w: epsilon is added to the square root",
    ),
    ("rmsprop", "dw**2", "dw", "rmsprop", "wrong cache: the gradient is not squared"),
    ("adam", "beta1**t", "beta1 ** (t - 1)", "adam", "wrong next_w"),
    ("adam", "m / (1 - beta1**t), v / (1 - beta2**t)", "m, v", "adam", "wrong next_w: the bias correction is missing"),
    ("adam", 'config.get("t", 0) + 1', 'config.get("t", 0) + 0', "adam", "wrong t: it is not incremented"),
    (
        "compute_distances_two_loops",
        "np.sqrt(",
        "(",
        "KNearestNeighbor.compute_distances_two_loops",
        "wrong dists: the square root is missing",
    ),
    (
        "compute_distances_one_loop",
        "np.sqrt(np.sum((X[i] - self.X_train) ** 2, axis=1))",
        "np.sum(np.abs(X[i] - self.X_train), axis=1)",
        "KNearestNeighbor.compute_distances_one_loop",
        "wrong dists: it is the L1 distance",
    ),
    ("predict_labels", "[:k]", "[:1]", "KNearestNeighbor.predict_labels", "wrong y_pred: .*whatever k"),
    # what any function may do
    ("relu_forward", "np.maximum(0, x)", "None", "relu_forward", "wrong out: it is None: not written yet"),
    ("relu_forward", "np.maximum(0, x)", "np.zeros_like(x)", "relu_forward", "wrong out: it is all zeros"),
    ("relu_forward", "np.maximum(0, x)", "np.maximum(0, x).tolist()", "relu_forward", "wrong out: it is of type list"),
    ("relu_forward", "return out, x", "return out", "relu_forward", r"it returns one ndarray, expected \(out, cache\)"),
    (
        "relu_forward",
        "np.maximum(0, x)",
        "np.maximum(0, x.astype('f'))",
        "relu_forward",
        "wrong out: .* wrong|dtype float32",
    ),
    ("affine_forward", " + b", " + np.nan", "affine_forward", "wrong out: it is NaN in 6 of 6 places"),
    ("affine_forward", "x.reshape(x.shape[0], -1)", "x", "affine_forward", r"raises ValueError: shapes \(2,4,5,6\)"),
    ("affine_forward", "out = x", "out = y", "affine_forward", "raises NameError"),
    ("affine_forward", "out = x", "raise SystemExit(3)\n    out = x", "affine_forward", "raises SystemExit: 3"),
    (
        "batchnorm_forward",
        "xhat = (",
        "xhat = 1 / 0 * (",
        "batchnorm_backward",
        "batchnorm_forward, whose cache it needs",
    ),
]


@pytest.mark.parametrize("changed, old, new, checked, words", MISTAKES, ids=lambda value: str(value)[:30])
def test_a_mistake_is_called_by_its_name(changed, old, new, checked, words):
    result = result_of(solutions(changed, old, new), checked)
    assert not result.passed and re.search(words, result.words), result.words
    assert result.score < 1


# ---------------------------------------------------------------- a student's function may do anything


def loops(x):
    while True:
        pass


def exits(x):
    os._exit(7)


def crashes(x):
    os.kill(os.getpid(), signal.SIGSEGV)


def leaves(x):
    sys.exit("bye")


@pytest.mark.parametrize(
    "function, verdict, words",
    [
        (loops, "timeout", r"stopped after 0\.5 s: an endless loop\?"),
        (exits, "crash", "it ends the process, with exit status 7"),
        pytest.param(
            crashes,
            "crash",
            "it is killed by SIGSEGV",
            marks=pytest.mark.skipif(not hasattr(os, "setsid"), reason="signals as POSIX has them"),
        ),
        (leaves, "raises", "raises SystemExit: bye"),
    ],
)
def test_the_grader_lives_on(function, verdict, words):
    report = check.run(
        {"relu_forward": function, "affine_forward": solutions()["affine_forward"]}, limit=GENEROUS, timeout=0.5
    )
    bad = report["relu_forward"]
    assert (bad.verdict, bad.score) == (verdict, 0) and re.search(words, bad.words)
    assert "(x (10, 10))" in bad.words  # the example
    assert report["affine_forward"].verdict in ("right", "timeout")  # half a second may be short on a busy machine


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_it_started_ends_with_it(tmp_path):
    def relu_forward(x):
        import subprocess

        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        (tmp_path / "child").write_text(str(child.pid))
        child.wait()

    assert check.relu_forward(relu_forward, timeout=2.0).verdict == "timeout"
    status = Path("/proc", (tmp_path / "child").read_text(), "status")
    deadline = time.monotonic() + GENEROUS
    while status.exists() and not re.search(r"^State:\s+[ZX]", status.read_text(), re.M):
        assert time.monotonic() < deadline, "the grandchild lives"
        time.sleep(0.01)


STRANGE = [
    None,
    "text",
    {"a": 1},
    np.ones((3, 3)),
    (np.ones(3) * 1j,) * 2,
    (np.array([None, "x"]),) * 3,
    (np.zeros(0),) * 2,
    (np.zeros(0),) * 3,
    (10**400, 2),
    (np.float16(2), np.longdouble(3)),
    (np.ma.masked_array([1.0]), {}),
]
KINDS = [
    "relu_forward",
    "relu_backward",
    "dropout_forward",
    "dropout_backward",
    "batchnorm_forward",
    "conv_backward_naive",
]


@pytest.mark.parametrize("name", [*KINDS, "svm_loss", "softmax_loss_naive", "adam"])
def test_whatever_it_returns_there_is_a_verdict(name):
    for value in STRANGE:
        report = check.run({name: lambda *args, value=value: value}, [name], limit=GENEROUS, timeout=GENEROUS)
        assert report[0].verdict == "wrong" and report.score < 1, (value, report)
        assert re.search("it is|it has|it returns|wrong", report[0].words) and report.gradescope()


def test_the_traceback_is_the_students():
    def relu_forward(x):
        print("here I am")
        return helper(x)

    def helper(x):
        raise RuntimeError("no idea")

    result = check.relu_forward(relu_forward, timeout=GENEROUS)
    assert result.verdict == "raises" and result.words == "raises RuntimeError: no idea (x (10, 10))"
    assert "return helper(x)" in result.details and "runner.py" not in result.details
    assert "here I am" in result.details


def test_a_flood_of_text_fills_no_disk():
    def relu_forward(x):
        while True:
            print("x" * 1_000_000)

    result = check.relu_forward(relu_forward, timeout=GENEROUS)
    assert result.verdict == "raises" and "File too large" in result.words and len(result.details) < 10_000


def test_warnings_are_no_errors_and_seen():
    """Whatever the caller's filters make of them; these tests' make errors of some."""

    def relu_forward(x):
        return np.log(x * 0), x

    result = check.relu_forward(relu_forward, timeout=GENEROUS)
    assert result.verdict == "wrong" and "divide by zero" in result.details


def test_random_numbers_stay_where_they_are():
    def relu_forward(x):
        np.random.seed(5)
        return np.maximum(x, 0), x

    np.random.seed(1)
    expected = np.random.rand(3)
    np.random.seed(1)
    assert check.relu_forward(relu_forward, limit=GENEROUS).passed
    np.testing.assert_array_equal(np.random.rand(3), expected)


def test_slow():
    def relu_forward(x):
        time.sleep(0.05)
        return np.maximum(x, 0), x

    result = check.relu_forward(relu_forward, limit=0.01)
    assert result.verdict == "slow" and result.score == 0.5 and result.seconds >= 0.05
    assert re.search(r"right, but slow: 0\.\d+ s, of at most 0\.01 s on this machine", result.words)


def test_limits_are_multiples_of_what_loops_take():
    work = solutions()
    two, none = (
        check.run(work, [f"KNearestNeighbor.compute_distances_{which}"], timeout=GENEROUS)[0].limit
        for which in ("two_loops", "no_loops")
    )
    assert (two - 0.1) / 10.0 == pytest.approx((none - 0.005) / 0.4) and none > 0.005


def test_changing_an_argument():
    def relu_backward(dout, cache):
        dout[cache <= 0] = 0
        return dout

    result = check.relu_backward(relu_backward, limit=GENEROUS)
    assert result.verdict == "changes" and result.score == 0.75
    assert result.words == "right, but it changes dout in place, which others may still need"
    assert check.sgd(solutions()["sgd"], limit=GENEROUS).passed  # sgd may


def test_parts_that_are_right_get_points():
    one_of_three = result_of(solutions("conv_backward_naive", "dx, dw, db", "dx, dw, -db"), "conv_backward_naive")
    assert one_of_three.score == pytest.approx(2 / 3)
    square_only = "assert x.shape[2] == x.shape[3]\n    return out, (x"
    result = result_of(
        solutions("max_pool_forward_naive", "return out, (x", square_only), "max_pool_forward_naive", points=FOUR
    )
    assert result.verdict == "raises" and result.points == 4 and result.score == pytest.approx(4 * 2 / 5)


FOUR = {"max_pool_forward_naive": 4}


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
    with pytest.raises(TypeError, match="give the function itself, got tuple"):
        check.relu_forward((1, 2))


def test_years_differ():
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
    """A folder of an assignment's structure, whose modules import each other."""
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
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        check.run(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="give the folder that holds layers.py"):
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
    """fastnet's own course API, the kernels behind fast_layers among it."""
    import fastnet.compat.cs231n as reference

    folder = Path(reference.__file__).parent
    if part == "classifiers":
        from fastnet.compat.cs231n.classifiers import KNearestNeighbor, linear_svm, softmax

        given = {**vars(linear_svm), **vars(softmax), "KNearestNeighbor": KNearestNeighbor}
    else:
        given = folder / f"{part}.py"
    report = check.run(given, limit=GENEROUS, timeout=GENEROUS)
    assert report.passed and len(report) >= 4, report

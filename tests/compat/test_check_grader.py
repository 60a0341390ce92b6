"""The autograder survives whatever a student's function does: endless loops, crashes, floods of output, odd results."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from compat.solutions import GENEROUS, result_of, solutions

from fastnet.compat import check

pytestmark = pytest.mark.usefixtures("frozen")


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
def test_the_grader_survives(function, verdict, words):
    report = check.run(
        {"relu_forward": function, "affine_forward": solutions()["affine_forward"]}, limit=GENEROUS, timeout=0.5
    )
    bad = report["relu_forward"]
    assert (bad.verdict, bad.score) == (verdict, 0) and re.search(words, bad.words)
    assert "(x (10, 10))" in bad.words  # the example
    assert report["affine_forward"].verdict in ("right", "timeout")  # half a second may be short on a busy machine


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_its_child_processes_end_with_it(tmp_path):
    def relu_forward(x):

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
def test_any_result_gets_a_verdict(name):
    for value in STRANGE:
        report = check.run({name: lambda *args, value=value: value}, [name], limit=GENEROUS, timeout=GENEROUS)
        assert report[0].verdict == "wrong" and report.score < 1, (value, report)
        assert re.search("it is|it has|it returns|wrong", report[0].words) and report.gradescope()


def test_the_traceback_shows_the_students_frames():
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


def test_warnings_are_shown_and_not_raised():
    """Independently of the caller's filters; those of these tests turn some warnings into errors."""

    def relu_forward(x):
        return np.log(x * 0), x

    result = check.relu_forward(relu_forward, timeout=GENEROUS)
    assert result.verdict == "wrong" and "divide by zero" in result.details


def test_the_random_state_does_not_change():
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
    assert re.search(r"right, but slow: 0\.\d+ s, expected at most 0\.01 s on this machine", result.words)


def test_limits_are_multiples_of_the_time_of_loops():
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
    assert result.words == "right, but it changes dout in place, which its caller may still need"
    assert check.sgd(solutions()["sgd"], limit=GENEROUS).passed  # sgd may


def test_right_outputs_get_partial_points():
    one_of_three = result_of(solutions("conv_backward_naive", "dx, dw, db", "dx, dw, -db"), "conv_backward_naive")
    assert one_of_three.score == pytest.approx(2 / 3)
    square_only = "assert x.shape[2] == x.shape[3]\n    return out, (x"
    result = result_of(
        solutions("max_pool_forward_naive", "return out, (x", square_only), "max_pool_forward_naive", points=FOUR
    )
    assert result.verdict == "raises" and result.points == 4 and result.score == pytest.approx(4 * 2 / 5)


FOUR = {"max_pool_forward_naive": 4}
